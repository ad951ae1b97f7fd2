"""Sequences and their targets, and how they are dealt out in batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minirnn.errors import ArgumentError, DTypeError, ShapeError
from minirnn.kernels.contract import check_lengths


@dataclass(frozen=True, eq=False)
class Sequences:
    """N sequences of T steps with I features, and what each is to be answered with.

    x        (N, T, I) float32 or float64
    y        (N, O) or, one answer a step, (N, T, O), in the dtype of x; class labels are integers,
             (N,) or (N, T)
    lengths  (N,) integers, 0 <= lengths <= T, or None: how many steps of each sequence count

    Raises: ShapeError, DTypeError or ArgumentError that names the array.
    """

    x: NDArray[Any]
    y: NDArray[Any]
    lengths: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        """Check the arrays against each other."""
        for name, array in (("x", self.x), ("y", self.y), ("lengths", self.lengths)):
            if not isinstance(array, np.ndarray) and not (name == "lengths" and array is None):
                raise ArgumentError(name, type(array).__name__, "a NumPy array")
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
        elif self.y.ndim not in (2, 3) or (self.y.ndim == 3 and self.y.shape[1] != T):
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

    def __len__(self) -> int:
        """The number of sequences, N."""
        return len(self.x)

    def take(self, rows: Any) -> Sequences:
        """The sequences at these indexes (an array of integers, or a slice)."""
        lengths = None if self.lengths is None else self.lengths[rows]
        return Sequences(self.x[rows], self.y[rows], lengths)

    def batches(
        self, batch_size: int, rng: np.random.Generator | None = None
    ) -> Iterator[Sequences]:
        """Deal the sequences out, `batch_size` at a time (the last batch may be smaller).

        In order, or shuffled by `rng`.
        """
        order = None if rng is None else rng.permutation(len(self))
        for start in range(0, len(self), batch_size):
            rows = slice(start, start + batch_size)
            yield self.take(rows if order is None else order[rows])


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
