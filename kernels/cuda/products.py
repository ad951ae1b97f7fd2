"""Large products and sums over time and batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from minirnn.kernels.cuda import build, source
from minirnn.kernels.cuda.device import Gpu
from minirnn.kernels.cuda.launch import THREADS, blocks, launch
from minirnn.kernels.cuda.packing import (
    ELEMENT_BYTES,
    ELEMENTS,
    EXACT,
    PAD_BYTES,
    VECTOR_BYTES,
)  # fmt: skip
from minirnn.kernels.cuda.source import ProductTile

ZERO, ROW, C_ITSELF = 0, 1, 2  # what a product is added to, see product.cuh
# What is long is cut along what it sums over, in up to so many tiles: two for each multiprocessor
# of the largest GPU. A constant, so that every GPU sums in the same order.
MULTIPROCESSORS = 132
MOST_TILES = 2 * MULTIPROCESSORS
SLICE_DEPTH = 256  # of which a slice has so much at least
START_DEPTH = 64  # what a tile takes before and after its sums, as so much more to sum

# The tiles that a product may be cut into, and how much of the arithmetic's speed each can reach.
# All of a format have one depth, so that no element's sum depends on the choice.
LARGE_TILES = {
    "float32": ProductTile(128, 128, 16, 4, 3),
    "float64": ProductTile(128, 64, 8, 4, 3),
    "tf32": ProductTile(128, 256, 16, 2, 3),
    "bfloat16": ProductTile(128, 256, 32, 2, 3),
    "float16": ProductTile(128, 256, 32, 2, 3),
}
MIDDLE_TILES = {
    "float32": ProductTile(128, 64, 16, 4, 3),
    "float64": ProductTile(64, 64, 8, 4, 4),
    "tf32": ProductTile(128, 128, 16, 2, 3),
    "bfloat16": ProductTile(128, 128, 32, 2, 3),
    "float16": ProductTile(128, 128, 32, 2, 3),
}
SMALL_TILES = {
    "float32": ProductTile(64, 64, 16, 4, 4),
    "float64": ProductTile(64, 64, 8, 4, 4),
    "tf32": ProductTile(64, 64, 16, 4, 4),
    "bfloat16": ProductTile(64, 64, 32, 4, 4),
    "float16": ProductTile(64, 64, 32, 4, 4),
}
TILES = ((LARGE_TILES, 1.0), (MIDDLE_TILES, 0.8), (SMALL_TILES, 0.5))
PADDING_TURNED = {"float32": 0, "float64": 0, "tf32": 8, "bfloat16": 8, "float16": 8}
# From so many products of two numbers on, exact operands that lie along k are turned: the factors
# then come to registers of two banks, which is worth a fifth of the time.
TURNED_FROM = 2e9
TURNED_SIDE = 32  # lines, and numbers of each, that a block turns
MOST_DOWN = 65535  # blocks in the second dimension of a grid
LINES_EACH = 4  # lines of an operand in which a thread lays out a vector


def shared_bytes(
    precision: str, tile: ProductTile, a_along_k: bool = True, b_along_k: bool = True
) -> int:
    """The shared memory of a block of a large product: `Side::SIZE` of both, for each stage."""
    element, total = ELEMENT_BYTES[precision], 0
    for rows, along_k in ((tile.rows, a_along_k), (tile.columns, b_along_k)):
        if along_k:
            total += rows * (tile.depth * element + (PAD_BYTES if precision in EXACT else 0))
        else:
            total += tile.depth * (rows + PADDING_TURNED[precision]) * element
    return tile.stages * total


class Cut(NamedTuple):
    """How a product is shared among blocks."""

    tile: ProductTile
    slices: int


@lru_cache(maxsize=4096)
def cut_of(precision: str, M: int, N: int, K: int, most_slices: int) -> Cut:
    """The cut that is done first, by an estimate, with at most so many slices of K."""
    best, least = Cut(SMALL_TILES[precision], 1), math.inf
    for tiles, speed in TILES:
        tile = tiles[precision]
        count = -(-M // tile.rows) * -(-N // tile.columns)
        for slices in range(1, max(1, min(most_slices, MOST_TILES // max(1, count))) + 1):
            turns = -(-count * slices // MULTIPROCESSORS)
            time = turns * tile.rows * tile.columns / speed * (K / slices + START_DEPTH)
            time += M * N * slices if slices > 1 else 0  # to write the slices, and to add them
            if time < least:
                best, least = Cut(tile, slices), time
    return best


def fitting(precision: str, tile: ProductTile, a_along_k: bool, b_along_k: bool) -> ProductTile:
    """The tile itself, or the next smaller where its numbers would not all have registers."""
    if precision in EXACT and a_along_k and b_along_k and tile == LARGE_TILES[precision]:
        return MIDDLE_TILES[precision]
    return tile


class Operand(NamedTuple):
    """One side of a product: rows n and what is summed over, k."""

    array: Any  # where it begins
    step: int  # from one row of memory to the next
    along_k: bool  # whether k is contiguous, else the rows are
    laid_out: bool = False  # whether it lies as the kernel reads it; see operands.cuh


class Matrix(NamedTuple):
    """A matrix (lines, width) of which several products take columns; see `Products.matrix`."""

    array: Any  # as it came
    step: int
    width: int
    laid_out: Operand | None  # the same as the kernel reads it; None if it lies so anyway

    def columns(self, first: int, count: int, along_k: bool) -> Operand:
        """Some columns as an operand: k if `along_k`, else its rows."""
        if self.laid_out is not None:
            array, step, *_ = self.laid_out
            vector = VECTOR_BYTES // array.itemsize
            # What k does not have, a vector must not bring from the next columns.
            whole = not along_k or count % vector == 0 or first + count == self.width
            if first % vector == 0 and whole:
                return Operand(array[:, first:], step, along_k, True)
        return Operand(self.array[..., first:], self.step, along_k)


class Products:
    """The products of one dtype and precision on one GPU."""

    def __init__(self, dtype: np.dtype[Any], precision: str, gpu: Gpu) -> None:
        self.dtype, self.precision, self.gpu = dtype, precision, gpu

    def matrix(self, array: Any, lines: int, width: int) -> Matrix:
        """A contiguous array (…, width), laid out once for all products that take columns of it."""
        (operand,) = self._laid_out(((Operand(array, width, True), lines),), width)
        return Matrix(array, width, width, operand if operand.laid_out else None)

    def into(
        self,
        c: Any,
        c_step: int,
        a: Operand,
        b: Operand,
        sizes: tuple[int, int, int],
        *,
        begin: int = ZERO,
        start: Any = None,
    ) -> None:
        """C = start + A B^T for sizes (M, N, K); element (m, n) of C at c[m * c_step + n]."""
        cut = cut_of(self.precision, *sizes, 1)
        self._launch(c, c_step, 0, a, b, start, begin, sizes, cut)

    def sum_over(
        self, c: Any, a: Operand, b: Operand, sizes: tuple[int, int, int], *, accumulate: bool
    ) -> None:
        """C (M, N), contiguous, = A B^T where K, time and batch, is long; or added to C."""
        import cupy

        M, N, K = sizes
        cut = cut_of(self.precision, M, N, K, K // SLICE_DEPTH)
        if cut.slices == 1:
            begin = C_ITSELF if accumulate else ZERO
            self._launch(c, N, 0, a, b, None, begin, sizes, cut)
            return
        parts = cupy.empty((cut.slices, M, N), self.dtype)
        self._launch(parts, N, M * N, a, b, None, ZERO, sizes, cut)
        self.add_slices(c, parts, M * N, cut.slices, accumulate)

    def sum_rows(self, to: Any, a: Any, a_step: int, N: int, K: int, *, accumulate: bool) -> None:
        """to (N,) = the sum of a[k * a_step + n] over K rows; added to it if so asked."""
        import cupy

        across = -(-N // 32)
        slices = max(1, min(MOST_TILES // across, K // SLICE_DEPTH))
        parts = cupy.empty((slices, N), self.dtype)
        shared = THREADS * self.dtype.itemsize
        launch(self._around("sum_the_rows"), (across, slices), (parts, a, a_step, N, K), shared)
        self.add_slices(to, parts, N, slices, accumulate)

    def add_slices(self, c: Any, parts: Any, count: int, slices: int, accumulate: bool) -> None:
        """Add up the results of slices, in order."""
        arguments = (c, parts, count, slices, int(accumulate))
        launch(self._around("add_the_slices"), blocks(count), arguments)

    def _launch(
        self, c: Any, c_step: int, slice_step: int, a: Operand, b: Operand, start: Any, begin: int,
        sizes: tuple[int, int, int], cut: Cut,
    ) -> None:  # fmt: skip
        M, N, K = sizes
        if self.precision in EXACT and M * N * K >= TURNED_FROM:
            a, b = self._turned(a, M, K), self._turned(b, N, K)
        tile = fitting(self.precision, cut.tile, a.along_k, b.along_k)
        text = source.product_source(self.dtype.name, self.precision, tile, a.along_k, b.along_k)
        kernel = build.kernel(
            "large_product", text, self.gpu.target, f"products ({self.precision})"
        )
        a, b = self._laid_out(((a, M), (b, N)), K)
        launch(
            kernel,
            (-(-M // tile.rows) * -(-N // tile.columns), 1, cut.slices),
            (c, c_step, slice_step, a.array, a.step, b.array, b.step, start, begin, *sizes),
            shared_bytes(self.precision, tile, a.along_k, b.along_k),
        )

    def _turned(self, operand: Operand, rows: int, K: int) -> Operand:
        """An operand whose lines run along its rows, a copy if need be."""
        import cupy

        across, down = -(-rows // TURNED_SIDE), -(-K // TURNED_SIDE)
        if not operand.along_k or down > MOST_DOWN:
            return operand
        vector = VECTOR_BYTES // self.dtype.itemsize
        step = -(-rows // vector) * vector
        to = cupy.empty((K, step), self.dtype)
        text = source.operands_source(self.dtype.name, self.precision)
        label = f"operands of products ({self.precision})"
        kernel = build.kernel("turn_an_operand", text, self.gpu.target, label)
        shared = TURNED_SIDE * (TURNED_SIDE + 1) * self.dtype.itemsize
        arguments = (to, step, operand.array, operand.step, rows, K)
        launch(kernel, (across, down), arguments, shared)
        return Operand(to, step, False, True)

    def _laid_out(self, operands: Sequence[tuple[Operand, int]], K: int) -> list[Operand]:
        """Operands, each with its number of rows, as the kernel reads them; see operands.cuh."""
        import cupy

        element = ELEMENTS[self.precision]
        vector = VECTOR_BYTES // ELEMENT_BYTES[self.precision]
        found: list[Operand] = []
        jobs: list[tuple[Any, ...]] = []
        counts: list[int] = []
        for operand, rows in operands:
            lines, width = (rows, K) if operand.along_k else (K, rows)
            if operand.laid_out or not lines * width or self._lies_so(operand, width):
                found.append(operand)
                continue
            vectors = -(-width // vector)
            to = cupy.empty((lines, vectors * vector), element)
            found.append(Operand(to, vectors * vector, operand.along_k, True))
            shift = min(5, (vectors - 1).bit_length())  # so many threads side by side
            jobs.append((to, vectors * vector, operand.array, operand.step, lines, width, shift))
            down = (THREADS >> shift) * LINES_EACH
            counts.append(-(-lines // down) * (-(-vectors // (1 << shift))))
        if jobs:
            second = jobs[1] if len(jobs) > 1 else (None, 0, None, 0, 0, 0, 0)
            text = source.operands_source(self.dtype.name, self.precision)
            label = f"operands of products ({self.precision})"
            kernel = build.kernel("lay_out_operands", text, self.gpu.target, label)
            launch(kernel, (sum(counts),), (*jobs[0], counts[0], *second))
        return found

    def _lies_so(self, operand: Operand, width: int) -> bool:
        """Whether an operand with lines of `width` is already what the kernel reads."""
        return (
            self.precision in EXACT
            and operand.step * self.dtype.itemsize % VECTOR_BYTES == 0
            and width * self.dtype.itemsize % VECTOR_BYTES == 0
            and operand.array.data.ptr % VECTOR_BYTES == 0
        )

    def _around(self, name: str) -> Any:
        text = source.around_source(self.dtype.name, self.precision)
        return build.kernel(name, text, self.gpu.target, f"sums ({self.precision})")
