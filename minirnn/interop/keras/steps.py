"""Masks: which steps of each sequence count, and how Keras's rules for them become `lengths`.

Keras hands a mask (B, T) from layer to layer; a masked step changes no state. minirnn knows
`lengths`: steps that count stand at the front. So the steps that count are moved to the front, the
layer runs with their numbers as lengths, and its outputs are put where Keras has them. A mask whose
rows are already ones and then zeros (padding at the end) moves nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minirnn.device import array_namespace, to_device
from minirnn.errors import ArgumentError, DTypeError, ShapeError
from minirnn.functional.indexing import take
from minirnn.kernels.contract import Array, check_lengths
from minirnn.tensor import Tensor

Mask = Array  # (B, T) bool, on the CPU: it decides what is launched


def mask_from(x: Tensor, lengths: Any, mask: Any) -> Mask | None:
    """The mask (B, T) that `lengths` or `mask` ask for, or None for neither.

    x        (B, T, ...)
    lengths  (B,) integers, 0 <= length <= T
    mask     (B, T) bool: True where a step counts

    Raises: ArgumentError, ShapeError or DTypeError that names the argument.
    """
    if lengths is None and mask is None:
        return None
    if lengths is not None and mask is not None:
        raise ArgumentError("lengths", "both lengths and mask", "one of the two")
    name = "mask" if lengths is None else "lengths"
    if x.ndim < 2:
        raise ShapeError("x", f"shape {x.shape}", f"(B, T, ...), to go with {name}")
    B, T = x.shape[:2]
    if lengths is not None:
        rows = on_cpu(lengths)
        check_lengths(rows, T, B)
        made: Mask = np.arange(T) < rows[:, None]
        return made
    given = on_cpu(mask)
    if given.dtype != np.bool_:
        raise DTypeError("mask", str(given.dtype), "bool")
    if given.shape != (B, T):
        raise ShapeError("mask", f"shape {given.shape}", f"({B}, {T}), which is (B, T)")
    return given


def on_cpu(array: Any) -> Array:
    """An array or Tensor as an array on the CPU."""
    if isinstance(array, Tensor):
        array = array.data
    return to_device(array, "cpu") if hasattr(array, "dtype") else np.asarray(array)


def both(first: Mask | None, second: Mask | None) -> Mask | None:
    """The steps that count in both masks; None is all of them."""
    if first is None or second is None:
        return second if first is None else first
    joined: Mask = first & second
    return joined


class Front:
    """The steps that count, moved to the front: `lengths (B,)`, `gather` and `spread`."""

    def __init__(self, mask: Mask | None) -> None:
        self.lengths: Array | None = None
        self._order: Array | None = None
        if mask is None:
            return
        self._mask = mask
        self.lengths = mask.sum(1)
        if not np.array_equal(mask, np.arange(mask.shape[1]) < self.lengths[:, None]):
            self._order = np.argsort(~mask, axis=1, kind="stable")

    def gather(self, x: Tensor) -> Tensor:
        """x (B, T, ...) with each sequence's steps that count at the front, in their order."""
        return x if self._order is None else _at_steps(x, self._order, distinct=True)

    def spread(self, y: Tensor, *, hold: bool, reverse: bool) -> Tensor:
        """Outputs y (B, T, ...), zero past the lengths, where Keras has them.

        At a masked step: the output of the step that counts and was taken last (before it in time;
        after it where the layer runs in `reverse`; zero where there is none) if `hold`, Keras's
        default; else zero, its `zero_output_for_mask`.
        """
        if self.lengths is None or (self._order is None and (not hold or reverse)):
            return y
        mask, nothing = self._mask, self.lengths[:, None]  # row b is zero at step `length`
        if mask.all():
            return y
        passed = np.cumsum(mask, axis=1)
        # The next step that counts is number `passed`, or, after the last, the one that is zero.
        held = passed if reverse else np.where(passed > 0, passed - 1, nothing)
        source = np.where(mask, passed - 1, held if hold else nothing)
        return _at_steps(y, source, distinct=False)


def _at_steps(x: Tensor, steps: Array, *, distinct: bool) -> Tensor:
    xp = array_namespace(x.data)
    rows = np.arange(len(steps))[:, None]
    return take(x, (xp.asarray(rows), xp.asarray(steps)), distinct=distinct)
