"""Sequences and their targets, and how they are dealt out in batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minirnn.device import Array, beside, check_beside, device_of, to_device
from minirnn.errors import ArgumentError, DTypeError, ShapeError
from minirnn.gpu import cupy_array
from minirnn.kernels.contract import check_lengths


@dataclass(frozen=True, eq=False)
class Sequences:
    """N sequences of T steps with I features, and what each is to be answered with.

    x        (N, T, I) float32 or float64
    y        (N, O) or, one answer a step, (N, T, O), in the dtype of x; class labels are integers,
             (N,) or (N, T)
    lengths  (N,) integers, 0 <= lengths <= T, or None: how many steps of each sequence count

    x and y are NumPy's arrays, or CuPy's on the GPU. `lengths` are kept on the CPU wherever they
    come from.

    Raises: ShapeError, DTypeError, DeviceError or ArgumentError that names the array.
    """

    x: NDArray[Any]
    y: NDArray[Any]
    lengths: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        """Check the arrays against each other."""
        for name, array in (("x", self.x), ("y", self.y), ("lengths", self.lengths)):
            if isinstance(array, np.ndarray) or (name == "lengths" and array is None):
                continue
            if not cupy_array(array):
                raise ArgumentError(name, type(array).__name__, "a NumPy or CuPy array")
        check_beside(self.y, self.x, "y")
        if cupy_array(self.lengths):
            object.__setattr__(self, "lengths", to_device(self.lengths, "cpu"))
        if self.x.ndim != 3 or 0 in self.x.shape:
            wanted = "(N, T, I): at least one sequence, step and feature"
            raise ShapeError("x", f"shape {self.x.shape}", wanted)
        if self.x.dtype not in (np.float32, np.float64):
            raise DTypeError("x", self.x.dtype.name, "float32 or float64")
        N, T, _ = self.x.shape
        if self.y.ndim == 0 or len(self.y) != N:
            raise ShapeError("y", f"shape {self.y.shape}", f"{N} rows, one per sequence of x")
        if self.is_labels:
            if self.y.shape not in ((N,), (N, T)):
                wanted = f"class labels ({N},), or ({N}, {T}) for one a step"
                raise ShapeError("y", f"integers of shape {self.y.shape}", wanted)
        elif self.y.dtype != self.x.dtype:
            wanted = f"{self.x.dtype.name}, the dtype of x, or integer class labels"
            raise DTypeError("y", self.y.dtype.name, wanted)
        elif (
            self.y.ndim not in (2, 3)
            or (self.y.ndim == 3 and self.y.shape[1] != T)
            or self.y.shape[-1] == 0
        ):
            raise ShapeError(
                "y",
                f"shape {self.y.shape}",
                f"({N}, O), or ({N}, {T}, O) for one a step",
                f"Reshape it to ({N}, 1)" if self.y.ndim == 1 else "",
            )
        if self.lengths is not None:
            check_lengths(self.lengths, T, N)

    @property
    def is_labels(self) -> bool:
        """Whether y holds class labels."""
        return self.y.dtype.kind in "iu"

    @property
    def per_step(self) -> bool:
        """Whether y holds one answer for every step."""
        return self.y.ndim == (2 if self.is_labels else 3)

    @property
    def device(self) -> str:
        """Where x and y are: "cpu" or "cuda"."""
        return device_of(self.x)

    def to(self, device: str) -> Sequences:
        """These sequences with x and y on `device`: themselves if they are there.

        Raises: DeviceError, also for too little memory on the GPU.
        """
        if device == self.device:
            return self
        return Sequences(to_device(self.x, device), to_device(self.y, device), self.lengths)

    def __len__(self) -> int:
        """The number of sequences, N."""
        return len(self.x)

    def take(self, rows: Any) -> Sequences:
        """The sequences at these indexes (an array of integers, or a slice)."""
        placed = beside(rows, self.x) if isinstance(rows, np.ndarray) else rows
        return self._take(rows, placed)

    def _take(self, rows: Any, placed: Any) -> Sequences:
        """`take`, where `placed` are the same indexes on the device of x and y."""
        lengths = None if self.lengths is None else self.lengths[rows]
        return Sequences(self.x[placed], self.y[placed], lengths)

    def batches(
        self, batch_size: int, rng: np.random.Generator | None = None
    ) -> Iterator[Sequences]:
        """Deal the sequences out, `batch_size` at a time (the last batch may be smaller).

        In order, or shuffled by `rng`.
        """
        order = None if rng is None else rng.permutation(len(self))
        placed: Array = None if order is None else beside(order, self.x)  # once, not a batch
        for start in range(0, len(self), batch_size):
            rows = slice(start, start + batch_size)
            yield self.take(rows) if order is None else self._take(order[rows], placed[rows])


def as_sequences(data: Any, argument: str) -> Sequences:
    """Accept `Sequences`, or a tuple (x, y) or (x, y, lengths).

    Raises: ArgumentError for anything else, and what `Sequences` raises.
    """
    if isinstance(data, Sequences):
        return data
    if isinstance(data, (tuple, list)) and len(data) in (2, 3):
        return Sequences(*data)
    came = f"{type(data).__name__}" + (f" of {len(data)}" if isinstance(data, tuple) else "")
    raise ArgumentError(argument, came, "Sequences, or a tuple (x, y) or (x, y, lengths)")
