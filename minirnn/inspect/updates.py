"""How far a step of the optimiser moved each parameter, relative to its size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from minirnn.errors import ArgumentError, ShapeError
from minirnn.inspect.arguments import parameters
from minirnn.inspect.host import fetch
from minirnn.inspect.norms import norm
from minirnn.tensor import Tensor

Array = Any


def update_ratios(
    before: Mapping[str, Array | Tensor], after: Mapping[str, Array | Tensor]
) -> dict[str, float]:
    """‖after - before‖ / ‖before‖ of each parameter, by name; Frobenius norms.

    About 1e-3 a step is usual (Karpathy, Stanford CS231n, "Parameter updates"); far less and the
    network hardly learns, far more and what it learned is thrown away. 0 for a parameter that
    stayed, inf for one that was all zeros and moved, NaN where a number is not finite.

    before, after  parameters by name, of one device and the same shapes: copies of a `state_dict`,
                   which is of the parameters themselves and moves along with them

    Raises: ArgumentError for other names after than before; ShapeError, which names the parameter.
    """
    before, after = parameters("before", before), parameters("after", after)
    if before.keys() != after.keys():
        unlike = ", ".join(sorted(set(before) ^ set(after)))
        raise ArgumentError("after", f"other names: {unlike}", "those of `before`")
    sums = []
    for name, old in before.items():
        new = after[name]
        if old.shape != new.shape:
            raise ShapeError(f"after[{name!r}]", f"shape {new.shape}", f"{old.shape}, as before")
        axes = tuple(range(old.ndim))
        sums += [norm(new - old, axes), norm(old, axes)]
    sizes = [float(each) for each in fetch(*sums)]
    pairs = zip(sizes[::2], sizes[1::2], strict=True)
    return dict(zip(before, [_ratio(*pair) for pair in pairs], strict=True))


def _ratio(moved: float, size: float) -> float:
    if not (math.isfinite(moved) and math.isfinite(size)):
        return math.nan
    if size == 0.0:
        return math.inf if moved else 0.0
    return moved / size
