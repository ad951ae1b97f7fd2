"""Prepare a series for a network: split it, encode it, cut it into windows, and find the way back.

The order is the point. The series is split first; what is fitted (a scale) is fitted on the
training part alone. A held-out window may reach back into the training part for its context,
as a forecaster may; its target never does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from minirnn.device import Array, array_namespace, beside, device_of, to_device
from minirnn.errors import ArgumentError, DataError, DTypeError
from minirnn.nn import Module
from minirnn.training.encoding import Encoding, Transform, fit_encoding
from minirnn.training.missing import count_missing, interpolate_missing
from minirnn.training.predict import predict
from minirnn.training.scaling import SCALES, ScaleKind
from minirnn.training.sequences import Sequences
from minirnn.training.windows import check_count, check_series, split_index

Missing = Literal["keep", "interpolate"]
Part = Literal["training", "validation"]
Floats = NDArray[np.float64]

# What a series may hold in its own units: squares of it, as an error takes them, are numbers.
SMALLEST, LARGEST = 1e-150, 1e150


@dataclass(frozen=True, eq=False)
class PreparedSeries:
    """A series ready for a network, and the way from the network's outputs back to its units.

    `values (n,)` is the whole series in its own units, float64, filled where that was asked, on the
    CPU, or where `to` brought it: windows, predictions and free runs are made where it is. `cut`
    is the index of the first held-out value; `encoding` was fitted on the values before it.
    `missing` counts the values that were missing, `gaps` the runs they lie in, before filling.
    """

    values: Array
    cut: int
    window: int
    horizon: int
    encoding: Encoding
    missing: int
    gaps: int
    dtype: np.dtype[Any]

    def to(self, device: str) -> PreparedSeries:
        """This series with its values on `device`, where the model is: itself if they are there.

        Raises: DeviceError, also for too little memory on the GPU.
        """
        if device == device_of(self.values):
            return self
        return replace(self, values=to_device(self.values, device))

    @property
    def training(self) -> Sequences:
        """The windows whose targets lie before `cut`, encoded: x (N, window, 1), y (N, 1)."""
        return self._sequences("training")

    @property
    def validation(self) -> Sequences | None:
        """The windows whose targets are held out, encoded; None when nothing is."""
        return self._sequences("validation") if self.cut < len(self.values) else None

    def indices(self, part: Part) -> NDArray[np.int64]:
        """Where in `values` the targets of a part lie, `(N,)`."""
        if part not in get_args(Part):
            raise ArgumentError("part", repr(part), "'training' or 'validation'")
        if part == "training":
            return np.arange(self.window + self.horizon - 1, self.cut)
        return np.arange(self.cut, len(self.values))

    def targets(self, part: Part) -> Array:
        """The targets of a part in the series' units, `(N,)`."""
        return self.values[beside(self.indices(part), self.values)]

    def contexts(self, part: Part) -> Array:
        """The window before each target of a part in the series' units, `(N, window)`."""
        first = beside(self.indices(part) - self.horizon - self.window + 1, self.values)
        return self.values[first[:, None] + array_namespace(first).arange(self.window)]

    def predictions(self, model: Module, part: Part = "validation") -> Array:
        """What the model predicts for each target of a part, in the series' units, `(N,)`."""
        contexts = self.contexts(part)
        if len(contexts) == 0:
            return array_namespace(contexts).empty(0)
        return self._predict(model, contexts)

    def free_run(
        self, model: Module, steps: int | None = None, *, start: int | None = None
    ) -> Array:
        """Let the model continue the series from its own predictions; `(steps,)`, in its units.

        The run begins at index `start` (default: the first held-out value) from the `window` true
        values before it; each prediction then takes its place in the next window. `steps` defaults
        to the rest of the series.

        Raises: ArgumentError when the horizon is not 1, or `start` leaves too little context.
        """
        if self.horizon != 1:
            raise ArgumentError(
                "horizon", self.horizon, "1 for a free run, which goes step by step"
            )
        begin = self.cut if start is None else check_count("start", start)
        if not self.window <= begin <= len(self.values):
            raise ArgumentError("start", begin, f"{self.window} <= start <= {len(self.values)}")
        steps = len(self.values) - begin if steps is None else check_count("steps", steps, 0)
        xp = array_namespace(self.values)
        run = xp.concatenate([self.values[begin - self.window : begin], xp.empty(steps)])
        for k in range(steps):
            run[k + self.window] = self._predict(model, run[None, k : k + self.window])[0]
        return run[self.window :]

    def _predict(self, model: Module, contexts: Array) -> Array:
        with np.errstate(over="ignore"):
            inputs = self.encoding.encode(contexts).astype(self.dtype)
        outputs = predict(model, inputs)
        return self.encoding.decode(outputs, contexts)

    def _sequences(self, part: Part) -> Sequences:
        contexts = self.contexts(part)
        with np.errstate(over="ignore"):  # what overflows is infinite, and found as `non-finite`
            return Sequences(
                self.encoding.encode(contexts).astype(self.dtype),
                self.encoding.encode_targets(self.targets(part), contexts).astype(self.dtype),
            )


def prepare_series(
    values: Any,
    *,
    window: int,
    horizon: int = 1,
    transform: Transform = "none",
    scale: ScaleKind = "none",
    validation: float = 0.2,
    missing: Missing = "keep",
    dtype: str = "float32",
) -> PreparedSeries:
    """Split a series `(n,)`, then fit its encoding on the training part.

    The last share `validation` is held out. With `transform="change"` the network is shown each
    window relative to its last value and predicts the change from it. `scale` ("none",
    "standard", "minmax", "robust") is fitted on the training values, or on the training windows
    and changes. `missing="interpolate"` fills NaN linearly in time, in the training part without a
    look at held-out values; "keep" leaves NaN, and every window that holds one. The network's
    inputs and targets are handed over in `dtype`, "float32" or "float64".

    Raises: ArgumentError, ShapeError, DTypeError; DataError when the training part is too short
    for one window and its target, holds no number, or has no spread (a constant series; with
    "change" and a scale, a straight line), and when the values are too large or too small.
    """
    series = check_series(values, "values")
    window, horizon = check_count("window", window), check_count("horizon", horizon)
    if not isinstance(missing, str) or missing not in get_args(Missing):
        raise ArgumentError("missing", repr(missing), f"one of {', '.join(get_args(Missing))}")
    if not isinstance(scale, str) or scale not in SCALES:
        raise ArgumentError("scale", repr(scale), f"one of {', '.join(SCALES)}")
    if dtype not in ("float32", "float64"):
        raise DTypeError("dtype", repr(dtype), "'float32' or 'float64'")

    cut = split_index(len(series), validation)
    if cut < window + horizon:
        raise DataError(
            "values",
            f"a series of {len(series)} values, {cut} of them for training",
            f"at least {window + horizon} for training: a window of {window} and its target"
            + (f" {horizon} steps later" if horizon > 1 else ""),
            "Choose a smaller window" + (" or horizon" if horizon > 1 else ""),
        )
    _check_spread(series[:cut])
    fed = float(np.finfo(dtype).tiny) if scale == "none" else 0.0
    _check_size(series, max(SMALLEST, fed))
    absent, gaps = count_missing(series)
    if missing == "interpolate":
        series = interpolate_missing(series, cut)
    encoding = fit_encoding(series[:cut], window, horizon, transform, scale)
    return PreparedSeries(series, cut, window, horizon, encoding, absent, gaps, np.dtype(dtype))


def _check_size(series: Floats, smallest: float) -> None:
    """Refuse what would become zeros or infinities on the way, in silence."""
    largest = float(np.nanmax(np.abs(series)))
    if not smallest <= largest <= LARGEST:
        raise DataError(
            "values",
            f"values of up to {largest:g}",
            f"a largest value between {smallest:.2g} and {LARGEST:g}",
            "Write the series in another unit",
        )


def _check_spread(past: Floats) -> None:
    known = past[~np.isnan(past)]
    if known.size == 0:
        raise DataError("values", "no number in the training part", "a series of numbers")
    if np.all(known == known[0]):
        raise DataError(
            "values",
            f"a training part whose {known.size} values are all {known[0]:g}",
            "a series that varies: a constant holds nothing to learn",
        )
