"""What is timed on a GPU: cells, shapes, precisions and modes, those that tell most first.

T time steps, B sequences, H hidden units, and I = H inputs: a layer upon another.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from bench.shapes import GATES, MODES, Shape, operations

# Of the operands of products. In the last two PyTorch keeps all of its arrays in 16 bits.
PRECISIONS = ("float32", "tf32", "bfloat16", "float16")
SIZES = (16, 64, 256, 1024, 4096)  # of each dimension of the grid
CENTRE = (256, 64, 256)  # from which the grid is walked outwards
MOST_BYTES = 8 << 30  # that a case may keep
MOST_OPERATIONS = 2e14  # and compute


class GpuCase(NamedTuple):
    """One layer in one precision, one shape, one mode."""

    cell: str
    precision: str
    shape: Shape
    mode: str

    def __str__(self) -> str:
        return f"{self.cell}-{self.precision}-{self.shape}-{self.mode}"

    @property
    def operations(self) -> float:
        """Of the matrix products, see `bench.shapes`."""
        return operations(self.cell, self.shape, self.mode)

    @property
    def nbytes(self) -> int:
        """What training keeps at least: x, dy, gates and states, in float32."""
        T, B, I, H = self.shape  # noqa: E741
        return 4 * T * B * (I + (GATES[self.cell] + 3) * H)


def _square(T: int, B: int, H: int) -> Shape:
    return Shape(T, B, H, H)


# What people run, and the size that other kernels are published at (T 1024, B 16, H 768).
TELLING = tuple(
    _square(*sizes)
    for sizes in (
        (1024, 16, 768), (100, 64, 256), (256, 64, 512), (64, 64, 1024), (1000, 16, 128),
        (100, 1, 512), (512, 128, 1024), (64, 32, 2048),
    )
)  # fmt: skip


def gpu_cases() -> Iterator[GpuCase]:
    """All of them; whoever runs out of time leaves out the last.

    The telling shapes: LSTM in every precision, GRU and RNN in some. Then the grid, from its
    centre outwards, LSTM in float32 and bfloat16 before the others.
    """
    seen: set[GpuCase] = set()
    for case in _in_order():
        fits = case.nbytes <= MOST_BYTES and case.operations <= MOST_OPERATIONS
        if fits and case not in seen:
            seen.add(case)
            yield case


def _in_order() -> Iterator[GpuCase]:
    two = ("float32", "bfloat16")
    for cell, precisions, shapes in (
        ("lstm", PRECISIONS, TELLING[:4]), ("gru", PRECISIONS, TELLING[:2]),
        ("rnn", two, TELLING[:2]), ("lstm", PRECISIONS, TELLING[4:]),
        ("gru", PRECISIONS, TELLING[2:4]), ("rnn", two, TELLING[2:4]),
    ):  # fmt: skip
        for shape, precision in product(shapes, precisions):
            yield from _modes(cell, precision, shape)
    grid = sorted((_square(*sizes) for sizes in product(SIZES, repeat=3)), key=_distance)
    for precisions, cells in (
        (two, ("lstm",)),
        (("tf32", "float16"), ("lstm",)),
        (PRECISIONS, ("gru", "rnn")),
    ):
        for shape, cell, precision in product(grid, cells, precisions):
            yield from _modes(cell, precision, shape)


def _modes(cell: str, precision: str, shape: Shape) -> Iterator[GpuCase]:
    for mode in reversed(MODES):  # training tells more
        yield GpuCase(cell, precision, shape, mode)


def _distance(shape: Shape) -> float:
    sizes = (shape.T, shape.B, shape.H)
    return sum(abs(math.log(n / m)) for n, m in zip(sizes, CENTRE, strict=True))


# As small as an emulated GPU can run them: nothing is learned from their times.
EMULATED = (
    GpuCase("lstm", "float32", _square(4, 3, 8), "training"),
    GpuCase("gru", "tf32", _square(3, 2, 8), "training"),
    GpuCase("rnn", "bfloat16", _square(3, 2, 8), "inference"),
    GpuCase("lstm", "float16", _square(3, 2, 8), "training"),
)
