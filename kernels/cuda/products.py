"""Large products and sums over time and batch, and the packing of weights."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minirnn.kernels.cuda import build, source
from minirnn.kernels.cuda.device import Gpu
from minirnn.kernels.cuda.launch import THREADS, blocks, launch
from minirnn.kernels.cuda.source import ProductTile

ZERO, ROW, C_ITSELF = 0, 1, 2  # what a product begins with, see product.cuh
# A product is cut along what it sums over when it has fewer tiles than this: two for each
# multiprocessor of the largest GPU. A constant, so that every GPU sums in the same order.
MOST_TILES = 264
SLICE_DEPTH = 256  # of which a slice has so much at least
# From so many elements of C on, the large tile: enough of them for all multiprocessors.
LARGE = 132 * 128 * 128

LARGE_TILES = {
    "float32": ProductTile(128, 128, 16, 2),
    "float64": ProductTile(64, 64, 16, 4),
    "tf32": ProductTile(128, 128, 16, 2),
    "bfloat16": ProductTile(128, 128, 32, 2),
    "float16": ProductTile(128, 128, 32, 2),
}
SMALL_TILES = {
    "float32": ProductTile(64, 64, 16, 4),
    "float64": ProductTile(64, 64, 16, 4),
    "tf32": ProductTile(64, 64, 16, 4),
    "bfloat16": ProductTile(64, 64, 32, 4),
    "float16": ProductTile(64, 64, 32, 4),
}
PADDING = {"float32": 4, "float64": 2, "tf32": 4, "bfloat16": 8, "float16": 8}  # Format::PAD
ELEMENT_BYTES = {"float32": 4, "float64": 8, "tf32": 4, "bfloat16": 2, "float16": 2}


def shared_bytes(precision: str, tile: ProductTile) -> int:
    """The shared memory of a block of a large product: two tiles of each operand."""
    stride = (tile.depth + PADDING[precision]) * ELEMENT_BYTES[precision]
    return 2 * (tile.rows + tile.columns) * stride


class Operand(NamedTuple):
    """One side of a product: rows n and what is summed over, k."""

    array: Any  # where it begins
    step: int  # from one row of memory to the next
    along_k: bool  # whether k is contiguous, else the rows are


class Products:
    """The products of one dtype and precision on one GPU."""

    def __init__(self, dtype: np.dtype[Any], precision: str, gpu: Gpu) -> None:
        self.dtype, self.precision, self.gpu = dtype, precision, gpu

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
        M, N, _ = sizes
        tile = self._tile(M, N)
        self._launch(c, c_step, 0, a, b, start, begin, sizes, tile, slices=1)

    def sum_over(
        self, c: Any, a: Operand, b: Operand, sizes: tuple[int, int, int], *, accumulate: bool
    ) -> None:
        """C (M, N), contiguous, = A B^T where K, time and batch, is long; or added to C."""
        import cupy

        M, N, K = sizes
        tile = self._tile(M, N)
        tiles = -(-M // tile.rows) * -(-N // tile.columns)
        slices = min(MOST_TILES // tiles, K // SLICE_DEPTH)
        if slices < 2:
            begin = C_ITSELF if accumulate else ZERO
            self._launch(c, N, 0, a, b, None, begin, sizes, tile, slices=1)
            return
        parts = cupy.empty((slices, M, N), self.dtype)
        self._launch(parts, N, M * N, a, b, None, ZERO, sizes, tile, slices)
        self.add_slices(c, parts, M * N, slices, accumulate)

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

    def _tile(self, M: int, N: int) -> ProductTile:
        return (LARGE_TILES if M * N >= LARGE else SMALL_TILES)[self.precision]

    def _launch(
        self, c: Any, c_step: int, slice_step: int, a: Operand, b: Operand, start: Any, begin: int,
        sizes: tuple[int, int, int], tile: ProductTile, slices: int,
    ) -> None:  # fmt: skip
        M, N, _ = sizes
        text = source.product_source(self.dtype.name, self.precision, tile, a.along_k, b.along_k)
        kernel = build.kernel(
            "large_product", text, self.gpu.target, f"products ({self.precision})"
        )
        launch(
            kernel,
            (-(-M // tile.rows), -(-N // tile.columns), slices),
            (c, c_step, slice_step, a.array, a.step, b.array, b.step, start, begin, *sizes),
            shared_bytes(self.precision, tile),
        )

    def _around(self, name: str) -> Any:
        text = source.around_source(self.dtype.name, self.precision)
        return build.kernel(name, text, self.gpu.target, f"sums and packing ({self.precision})")
