"""What surrounds the sequence loop: packing weights, and the gradients summed over time and batch.

Layouts as in `layout`; T time steps, B batch, I input size, H hidden size, HP padded to whole
vectors, S slots, of which the first nx are fed by x and the last nh by h; U vectors of units in a
panel. A panel is told by the first of its vectors, v; w is the width of its rows.

All of these are called by address, as those in `routines` are; `addresses` holds them all. What is
called from several threads says which share each does.

This text is compiled from a copy in the user's cache folder, with DTYPE set: see `build`.
"""

from numba import carray, cfunc, njit, types  # type: ignore[attr-defined]

from minirnn.kernels.cpu.product import (
    CACHE_LINE,
    COMPILE,
    COPY,
    PRODUCT,
    TRANSPOSE,
    UNTRANSPOSE,
    WIDEST,
    address,
    call,
    lanes_of,
    panel_vectors,
)
from minirnn.kernels.cpu.vector import FORMATS
from minirnn.kernels.cpu.waiting import bring

DTYPE = "float32"
CACHE = False

LANES, SIZE = lanes_of(DTYPE), FORMATS[DTYPE].bytes
# Rows of dz that dx is computed from at a time: they are in the cache for all of W.
ROWS_AT_ONCE = 96
# Rows of the sums from which on it pays to pack a panel of dz that is wider than a tile.
WORTH_PACKING = 32

_ARRAY = {
    "i": types.int64,
    "n": types.CPointer(types.int64),
    "f": types.CPointer(getattr(types, DTYPE)),
}


def _exported(kinds):
    """A C function of integers (i), addresses of int64s (n) and of elements (f)."""
    signature = types.void(*[_ARRAY[kind] for kind in kinds.replace(" ", "")])
    return cfunc(signature, cache=CACHE, error_model="numpy")


# -- packing ------------------------------------------------------------------------------------


@njit(**COMPILE)
def _pack_columns(addresses, weight, blocks, nb, U, H, HP, depth, packed, part, parts):
    """Pack W^T for z += x W^T: of each panel the slots in `blocks`, a vector of units a column."""
    for v in range(part * U, HP // LANES, parts * U):
        u = min(U, HP // LANES - v)
        columns, column = nb * u * LANES, 0
        while column < columns:
            width = panel_vectors(columns - column, LANES) * LANES
            to = packed + (v * nb * LANES + column) * depth * SIZE
            for j in range(0, width, LANES):
                slot, vector = divmod((column + j) // LANES, u)
                unit = (v + vector) * LANES
                source = weight + (blocks[slot] * H + unit) * depth * SIZE
                call(addresses[TRANSPOSE], H - unit, depth, source, depth, to + j * SIZE, width)
            column += width


@njit(**COMPILE)
def _add_bias(values, blocks, nb, first, U, S, H, HP, bias):
    """bias[panel row] += values, for the slots from number `first` on, in `blocks`."""
    for v in range(0, HP // LANES, U):
        u = min(U, HP // LANES - v)
        for slot in range(nb):
            for j in range(min(u * LANES, H - v * LANES)):
                at = v * S * LANES + (first + slot) * u * LANES + j
                bias[at] += values[blocks[slot] * H + v * LANES + j]


@_exported("n ii ffii nini iiiii iifii")
def pack_forward(addresses_at, weight_ih, weight_hh, bias_ih, bias_hh, has_ih, has_hh, x_blocks, nx,
                 h_blocks, nh, U, S, H, HP, width, packed_x, packed_h, bias_at, part,
                 parts):  # fmt: skip
    """Pack both weights for the forward products; `bias` (S*HP) becomes what enters each slot.

    One of several threads packs part 0, 1 … parts-1 of the panels; the first also the biases.
    """
    addresses = carray(addresses_at, (COPY + 1,))
    _pack_columns(addresses, weight_ih, x_blocks, nx, U, H, HP, width, packed_x, part, parts)
    _pack_columns(addresses, weight_hh, h_blocks, nh, U, H, HP, H, packed_h, part, parts)
    if part > 0:
        return
    bias = carray(bias_at, (S * HP,))
    bias[:] = 0
    if has_ih:
        _add_bias(bias_ih, x_blocks, nx, 0, U, S, H, HP, bias)
    if has_hh:
        _add_bias(bias_hh, h_blocks, nh, S - nh, U, S, H, HP, bias)


@_exported("n i ni iiii ii f ii")
def pack_rows(addresses_at, weight, blocks, nb, U, H, HP, real, first, last, packed_at, part,
              parts):  # fmt: skip
    """Pack W for dz W, columns first … last-1 of `real` columns: rows as dz has them, panel wise.

    Full panels are one matrix, the panel of fewer vectors at the end another, behind it. Rows of
    units that pad a vector are zero. One of several threads packs part 0, 1 … parts-1.
    """
    addresses = carray(addresses_at, (COPY + 1,))
    vectors = HP // LANES
    full = vectors // U * U
    columns = last - first
    across = (columns + LANES - 1) // LANES * LANES  # columns as they are packed
    packed = carray(packed_at, (HP * nb * (first + across),))
    for begin, end, step in ((0, full, U), (full, vectors, vectors - full)):
        depth = (end - begin) * nb * LANES
        base = first * HP * nb + begin * nb * LANES * across
        column = number = 0
        while column < columns and depth > 0:
            width = panel_vectors(columns - column, LANES) * LANES
            if number % parts == part:
                at = base + column * depth
                for v in range(begin, end, step):
                    for slot in range(nb):
                        for vector in range(v, v + step):
                            unit = vector * LANES
                            rows = min(LANES, H - unit)
                            source = (blocks[slot] * H + unit) * real + first + column
                            call(addresses[COPY], min(width, real - first - column), rows,
                                 weight + source * SIZE, real, address(packed, at),
                                 width)  # fmt: skip
                            packed[at + rows * width : at + LANES * width] = 0
                            at += LANES * width
            column += width
            number += 1


# -- gradients ----------------------------------------------------------------------------------


@_exported("n i ii ii iiiii i ii")
def input_gradient(addresses_at, dz, z_rows, z_at, packed, zeros, U, S, nx, HP, width, dx, first,
                   last):  # fmt: skip
    """dx = dz W for rows first … last-1 of dx; the row of dz for the first row of dx is z_at.

    `z_rows` is how many rows a panel of dz holds.
    """
    addresses = carray(addresses_at, (COPY + 1,))
    vectors = HP // LANES
    full = vectors // U * U
    across = (width + LANES - 1) // LANES * LANES
    for begin in range(first, last, ROWS_AT_ONCE):
        rows = min(ROWS_AT_ONCE, last - begin)
        to, row = dx + begin * width * SIZE, z_at + begin
        ahead = rows * S * U * LANES * SIZE if begin + rows < last else 0
        turned = (begin // ROWS_AT_ONCE) & 1
        start, start_row = zeros, 0
        if full > 0:
            w = S * U * LANES
            call(addresses[PRODUCT], dz + row * w * SIZE, w, 1, w * z_rows, packed, 0, start,
                 start_row, to, width, rows, width, nx * U * LANES, full // U, ahead,
                 turned)  # fmt: skip
            start, start_row = to, width
        if full < vectors:
            u = vectors - full
            w = S * u * LANES
            call(addresses[PRODUCT], dz + (full * S * LANES * z_rows + row * w) * SIZE, w, 1, 0,
                 packed + full * nx * LANES * across * SIZE, 0, start, start_row, to, width, rows,
                 width, nx * u * LANES, 1, 0, turned)  # fmt: skip


@njit(**COMPILE)
def _without_padding(addresses, source, width, B, lengths, t_from, first, rows, zeros, clean):
    """Copy rows first … of (T*B, width), with zeros where a sequence has ended.

    Each copy ends with a whole vector: what is too much the next row takes back.
    """
    for k in range(rows):
        t, b = divmod(first + k, B)
        row = source + (first + k) * width * SIZE if t_from + t < lengths[b] else zeros
        call(addresses[COPY], width, 1, row, 0, clean + k * width * SIZE, 0)


@njit(**COMPILE)
def _pack_tiles(addresses, source, source_row, columns, rows, packed):
    """Pack rows of a panel as a product takes B, when it has more columns than a tile."""
    column = 0
    while column < columns:
        width = panel_vectors(columns - column, LANES) * LANES
        call(addresses[COPY], width, rows, source + column * SIZE, source_row,
             packed + column * rows * SIZE, width)  # fmt: skip
        column += width


@_exported("n iii ii ii iiiiiiiii ni iiiiii iii iii")
def weight_gradients(addresses_at, dz, z_rows, z_at, x, h, zeros, one, total, B, width, H, HP, U, S,
                     nx, nh, lengths, t_from, masked, reverse, needs_ih, needs_hh, needs_bias,
                     fresh, chunk, clean, tiled, sums, first, last):  # fmt: skip
    """Sums over time and batch of x^T dz, h_(t-1)^T dz and dz; add to `sums` if not `fresh`.

    `sums` has I + H + 1 rows a panel: what x, h and the biases contribute. The work is cut by those
    rows, panel after panel: first … last-1 are done here. x (total, I) begins at time t_from, its
    dz at row z_at of the z_rows in a panel, its h_(t-1) at h. The sum runs against the order of the
    steps, from the last one on, so that it can be taken up chunk by chunk; it is the same bits
    whoever computes which rows. Where `masked`, what stands in the padding is left out: it may be
    anything. `clean` has room for that, `tiled` for a chunk of a panel of dz.
    """
    if first >= last:
        return
    addresses = carray(addresses_at, (COPY + 1,))
    vectors = HP // LANES
    height = width + H + 1
    direction = 1 if reverse else -1
    for done in range(0, total, chunk):
        rows = min(chunk, total - done)
        # Rows low … low + rows - 1, taken from the row `at` on in that direction.
        low = done if reverse else total - done - rows
        at = low if reverse else low + rows - 1
        from_x, from_h = x + at * width * SIZE, h + at * H * SIZE
        if masked:
            if needs_ih:
                _without_padding(addresses, x, width, B, lengths, t_from, low, rows, zeros, clean)
                from_x = clean + (at - low) * width * SIZE
            if needs_hh:
                clean_h = clean + (rows * width + LANES) * SIZE
                _without_padding(addresses, h, H, B, lengths, t_from, low, rows, zeros, clean_h)
                from_h = clean_h + (at - low) * H * SIZE
        low_next = done + rows if reverse else max(0, low - chunk)  # of the next chunk
        panels = (last - 1) // height + 1 - first // height
        share = chunk * (width + H) // panels * SIZE
        for number in range(first // height, (last - 1) // height + 1):
            v = number * U
            u = min(U, vectors - v)
            w = S * u * LANES
            if done + rows < total:  # meanwhile bring the next rows of x and h, share by share
                part = number - first // height
                for base, across in ((x, width), (h, H)):
                    size = share * across // (width + H)
                    bring(base + low_next * across * SIZE + part * size, size, CACHE_LINE)
            for part in range(3):
                if not (needs_ih, needs_hh, needs_bias)[part]:
                    continue
                top = (0, width, width + H)[part]
                lo = max(top, first - number * height)
                hi = min((width, width + H, height)[part], last - number * height)
                if lo >= hi:
                    continue
                a = (from_x, from_h, one)[part] + (lo - top) * SIZE
                a_k = (direction * width, direction * H, 0)[part]
                column = (S - nh) * u * LANES if part == 1 else 0
                columns = (nx * u * LANES, nh * u * LANES, w)[part]
                to = sums + (v * S * LANES * height + lo * w + column) * SIZE
                start, start_row = to, w
                if fresh and done == 0:
                    start, start_row = zeros, 0
                b = dz + (v * S * LANES * z_rows + (z_at + at) * w + column) * SIZE
                b_row = direction * w
                if columns > WIDEST * LANES and hi - lo > WORTH_PACKING:
                    _pack_tiles(addresses, b, b_row, columns, rows, tiled)
                    b, b_row = tiled, 0
                call(addresses[PRODUCT], a, 1, a_k, 0, b, b_row, start, start_row, to, w, hi - lo,
                     columns, rows, 1, 0, 0)  # fmt: skip


@_exported("n f nini iiiii iiff iiii ii")
def unpack_gradients(addresses_at, sums_at, x_blocks, nx, h_blocks, nh, U, S, width, H, HP, dw_ih,
                     dw_hh, db_ih, db_hh, wants_ih, wants_hh, wants_bias_ih, wants_bias_hh, first,
                     last):  # fmt: skip
    """Turn `sums` into the gradients of weights and biases, for panels first … last-1."""
    addresses = carray(addresses_at, (COPY + 1,))
    vectors, height = HP // LANES, width + H + 1
    sums = carray(sums_at, (height * S * HP,))
    for v in range(first * U, min(last * U, vectors), U):
        u = min(U, vectors - v)
        w = S * u * LANES
        panel = v * S * LANES * height
        biases = panel + (height - 1) * w
        for vector in range(u):
            unit = (v + vector) * LANES
            real = min(LANES, H - unit)
            for slot in range(nx):
                row, column = x_blocks[slot] * H + unit, (slot * u + vector) * LANES
                if wants_ih:
                    call(addresses[UNTRANSPOSE], real, width, address(sums, panel + column), w,
                         dw_ih + row * width * SIZE, width)  # fmt: skip
                if wants_bias_ih:
                    for j in range(real):
                        db_ih[row + j] = sums[biases + column + j]
            for slot in range(nh):
                row, column = h_blocks[slot] * H + unit, ((S - nh + slot) * u + vector) * LANES
                if wants_hh:
                    at = panel + width * w + column
                    call(addresses[UNTRANSPOSE], real, H, address(sums, at), w,
                         dw_hh + row * H * SIZE, H)  # fmt: skip
                if wants_bias_hh:
                    for j in range(real):
                        db_hh[row + j] = sums[biases + column + j]
