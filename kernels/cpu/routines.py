"""The routines that every kernel calls by address: the product, and the moves that pack.

They are compiled once per dtype, so that the many kernels that need them do not each carry a copy.
Everything crosses such a call as an int64: addresses in bytes, strides and sizes in elements. An
address is good for one process only; it is asked for at each start and never compiled in.

This text is compiled from a copy in the user's cache folder, with DTYPE set: see `build`.
"""

from numba import cfunc, njit

from minirnn.kernels.cpu.packing import moves
from minirnn.kernels.cpu.product import COMPILE, TILE_ROWS, WIDEST, lanes_of, panel_start, tiles
from minirnn.kernels.cpu.vector import FORMATS

DTYPE = "float32"
CACHE = False

LANES, SIZE = lanes_of(DTYPE), FORMATS[DTYPE].bytes
ROWS = tuple(TILE_ROWS[min(n, WIDEST)] for n in (1, 2, 3, 4))
# B is passed over so many rows of k at a time: a panel of it should stay in the L2 cache.
K_BLOCK = 1024
SIX, SIXTEEN = ("void(" + ", ".join(["i8"] * n) + ")" for n in (6, 16))

_tile1, _tile2, _tile3, _tile4 = tiles(DTYPE)
_transpose, _untranspose, _copy = moves(DTYPE)


@njit(forceinline=True, **COMPILE)
def _product(a, a_row, a_k, a_block, b, b_row, start, start_row, c, c_row, rows, columns,
             depth, blocks, ahead, turned):  # fmt: skip
    """C (rows, columns) = start + A (rows, blocks * depth) B.

    A[i, block, k] is at a + i a_row + block a_block + k a_k, start[i, j] at start + i start_row + j
    (a start_row of 0 repeats one row), C[i, j] at c + i c_row + j. B has blocks * depth rows, each
    `b_row` apart, or packed in panels where b_row is 0. While the last panel of columns is
    computed, what lies `ahead` bytes from A is brought to the cache, if `ahead` is not 0. If
    `turned`, panels are taken from the last to the first: the same sums, but who calls with the
    same B again, turned every other time, begins with what is still in the cache.
    """
    # For few rows no part of B is read twice.
    at_once = blocks if rows <= ROWS[WIDEST - 1] else max(1, K_BLOCK // max(1, depth))
    vectors = (columns + LANES - 1) // LANES
    panels = (vectors + WIDEST - 1) // WIDEST
    for first in range(0, blocks, at_once):
        some = min(at_once, blocks - first)
        from_a = a + first * a_block * SIZE
        from_start, from_row = (start, start_row) if first == 0 else (c, c_row)
        for number in range(panels):
            which = panels - 1 - number if turned else number
            before, after = panel_start(which, vectors), panel_start(which + 1, vectors)
            n, column = after - before, before * LANES
            real = min(LANES, columns - (after - 1) * LANES)
            if b_row == 0:
                b_step = n * LANES
                panel = b + (column * blocks * depth + first * depth * b_step) * SIZE
            else:
                b_step = b_row
                panel = b + (first * depth * b_row + column) * SIZE
            asked = ahead if number == panels - 1 else 0
            tile_rows = ROWS[n - 1]
            tiles = (rows + tile_rows - 1) // tile_rows
            row = 0
            for i in range(tiles):  # as even as can be: 32 rows are 6, 6, 5, 5, 5, 5
                count = (rows - row + tiles - i - 1) // (tiles - i)
                at = from_a + row * a_row * SIZE
                begin = from_start + (row * from_row + column) * SIZE
                to = c + (row * c_row + column) * SIZE
                if n == 4:
                    _tile4(count, at, a_row, a_k, a_block, panel, b_step, begin, from_row,
                           to, c_row, depth, some, asked, real)  # fmt: skip
                elif n == 3:
                    _tile3(count, at, a_row, a_k, a_block, panel, b_step, begin, from_row,
                           to, c_row, depth, some, asked, real)  # fmt: skip
                elif n == 2:
                    _tile2(count, at, a_row, a_k, a_block, panel, b_step, begin, from_row,
                           to, c_row, depth, some, asked, real)  # fmt: skip
                else:
                    _tile1(count, at, a_row, a_k, a_block, panel, b_step, begin, from_row,
                           to, c_row, depth, some, asked, real)  # fmt: skip
                row += count


@cfunc(SIXTEEN, cache=CACHE, error_model="numpy")
def product(a, a_row, a_k, a_block, b, b_row, start, start_row, c, c_row, rows, columns,
            depth, blocks, ahead, turned):  # fmt: skip
    """See `_product`."""
    _product(a, a_row, a_k, a_block, b, b_row, start, start_row, c, c_row, rows, columns,
             depth, blocks, ahead, turned)  # fmt: skip


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
