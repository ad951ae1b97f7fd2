"""The routines that every kernel calls by address: the product, and the moves that pack.

They are compiled once per dtype, so that the many kernels that need them do not each carry a copy.
Everything crosses such a call as an int64: addresses in bytes, strides and sizes in elements. An
address is good for one process only; it is asked for at each start and never compiled in.

This text is compiled from a copy in the user's cache folder, with DTYPE set: see `build`.
"""

from numba import cfunc, njit

from minirnn.kernels.cpu.packing import moves
from minirnn.kernels.cpu.product import COMPILE, TILE_ROWS, WIDEST, lanes_of, panel_vectors, tiles
from minirnn.kernels.cpu.vector import FORMATS

DTYPE = "float32"
CACHE = False

PRODUCT, TRANSPOSE, UNTRANSPOSE, COPY = 0, 1, 2, 3  # in the array of addresses

LANES, SIZE = lanes_of(DTYPE), FORMATS[DTYPE].bytes
ROWS = tuple(TILE_ROWS[min(n, WIDEST)] for n in (1, 2, 3, 4))
# B is passed over so many rows of k at a time: a panel of it should stay in the L2 cache.
K_BLOCK = 1024
SIX, FIFTEEN = ("void(" + ", ".join(["i8"] * n) + ")" for n in (6, 15))

_tile1, _tile2, _tile3, _tile4, _tile_partial = tiles(DTYPE)
_transpose, _untranspose, _copy = moves(DTYPE)


@njit(**COMPILE)
def _product(a, a_row, a_k, a_block, b, b_row, start, start_row, c, c_row, rows, columns,
             depth, blocks, ahead):  # fmt: skip
    """C (rows, columns) = start + A (rows, blocks * depth) B.

    A[i, block, k] is at a + i a_row + block a_block + k a_k, start[i, j] at start + i start_row + j
    (a start_row of 0 repeats one row), C[i, j] at c + i c_row + j. B has blocks * depth rows, each
    `b_row` apart, or packed in panels where b_row is 0. While the last panel of columns is
    computed, what lies `ahead` bytes from A is brought to the cache, if `ahead` is not 0.
    """
    at_once = max(1, K_BLOCK // max(1, depth))
    for first in range(0, blocks, at_once):
        some = min(at_once, blocks - first)
        from_a = a + first * a_block * SIZE
        from_start, from_row = (start, start_row) if first == 0 else (c, c_row)
        column = 0
        while column < columns:
            left = columns - column
            n = panel_vectors(left, LANES)
            if b_row == 0:
                b_step = n * LANES
                panel = b + (column * blocks * depth + first * depth * b_step) * SIZE
            else:
                b_step = b_row
                panel = b + (first * depth * b_row + column) * SIZE
            asked = ahead if column + n * LANES >= columns else 0
            tile_rows = ROWS[n - 1]
            tiles = (rows + tile_rows - 1) // tile_rows
            row = 0
            for i in range(tiles):  # as even as can be: 32 rows are 6, 6, 5, 5, 5, 5
                count = (rows - row + tiles - i - 1) // (tiles - i)
                at = from_a + row * a_row * SIZE
                begin = from_start + (row * from_row + column) * SIZE
                to = c + (row * c_row + column) * SIZE
                if left < LANES:
                    _tile_partial(count, at, a_row, a_k, a_block, panel, b_step, begin, from_row,
                                  to, c_row, depth, some, asked, left)  # fmt: skip
                elif n == 4:
                    _tile4(count, at, a_row, a_k, a_block, panel, b_step, begin, from_row,
                           to, c_row, depth, some, asked, LANES)  # fmt: skip
                elif n == 3:
                    _tile3(count, at, a_row, a_k, a_block, panel, b_step, begin, from_row,
                           to, c_row, depth, some, asked, LANES)  # fmt: skip
                elif n == 2:
                    _tile2(count, at, a_row, a_k, a_block, panel, b_step, begin, from_row,
                           to, c_row, depth, some, asked, LANES)  # fmt: skip
                else:
                    _tile1(count, at, a_row, a_k, a_block, panel, b_step, begin, from_row,
                           to, c_row, depth, some, asked, LANES)  # fmt: skip
                row += count
            column += n * LANES


@cfunc(FIFTEEN, cache=CACHE, error_model="numpy")
def product(a, a_row, a_k, a_block, b, b_row, start, start_row, c, c_row, rows, columns,
            depth, blocks, ahead):  # fmt: skip
    """See `_product`."""
    _product(a, a_row, a_k, a_block, b, b_row, start, start_row, c, c_row, rows, columns,
             depth, blocks, ahead)  # fmt: skip


@cfunc(SIX, cache=CACHE, error_model="numpy")
def transpose(rows, depth, source, step, packed, width):
    """See `packing.transpose_function`."""
    _transpose(rows, depth, source, step, packed, width)


@cfunc(SIX, cache=CACHE, error_model="numpy")
def untranspose(rows, depth, packed, width, target, step):
    """See `packing.untranspose_function`."""
    _untranspose(rows, depth, packed, width, target, step)


@cfunc(SIX, cache=CACHE, error_model="numpy")
def copy(columns, rows, source, step, packed, width):
    """See `packing.copy_function`."""
    _copy(columns, rows, source, step, packed, width)
