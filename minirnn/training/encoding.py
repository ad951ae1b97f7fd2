"""What a network is shown of a series: its values or its changes, scaled; and the way back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from minirnn.device import Array, array_namespace
from minirnn.errors import ArgumentError
from minirnn.training.scaling import ScaleKind, Scaler, fit_scaler
from minirnn.training.windows import windows

Transform = Literal["none", "change"]
TRANSFORMS: tuple[Transform, ...] = get_args(Transform)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Encoding:
    """The map between a series' own units and what the network reads and writes.

    With `transform="none"` both scalers are one, fitted on the values. With "change" a window is
    fed relative to its last value and the target is the change from that value: `inputs` is
    fitted on the former, `outputs` on the latter. Arrays may be of either device.
    """

    transform: Transform
    inputs: Scaler
    outputs: Scaler

    def encode(self, contexts: Array) -> Array:
        """From windows of the series `(N, window)` to network inputs `(N, window, 1)`."""
        return self.inputs.apply(contexts - self._base(contexts)[:, None])[..., None]

    def encode_targets(self, targets: Array, contexts: Array) -> Array:
        """From the values that follow the windows `(N,)` to network targets `(N, 1)`."""
        return self.outputs.apply(targets - self._base(contexts))[:, None]

    def decode(self, outputs: Array, contexts: Array) -> Array:
        """From network outputs `(N, 1)` for those windows to the series' units, `(N,)`."""
        return self.outputs.invert(outputs[:, 0].astype(np.float64)) + self._base(contexts)

    def _base(self, contexts: Array) -> Array:
        """What each window is measured from, `(N,)`."""
        if self.transform == "change":
            return contexts[:, -1]
        return array_namespace(contexts).zeros(len(contexts))


def fit_encoding(
    past: Floats, window: int, horizon: int, transform: Transform, scale: ScaleKind
) -> Encoding:
    """Fit an encoding to the training part of a series, `past (n,)`, and to nothing else.

    Raises: ArgumentError for an unknown transform or scale; DataError when what is to be scaled has
    no spread (values all equal; with "change", a straight line).
    """
    if not isinstance(transform, str) or transform not in TRANSFORMS:
        raise ArgumentError("transform", repr(transform), f"one of {', '.join(TRANSFORMS)}")
    if transform == "none":
        scaler = fit_scaler(scale, past)
        return Encoding(transform, scaler, scaler)
    x, y = windows(past, window, horizon)
    last = x[:, -1]
    return Encoding(transform, fit_scaler(scale, x[..., 0] - last), fit_scaler(scale, y - last))
