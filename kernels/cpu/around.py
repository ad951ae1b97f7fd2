"""What surrounds the sequence loop: packing weights, and the gradients summed over time and batch.

Layouts as in `layout`; T time steps, B batch, I input size, H hidden size, HP padded to whole
vectors, S slots, of which the first nx are fed by x and the last nh by h; U vectors of units in a
panel. A panel is told by the first of its vectors, v; w is the width of its rows. The argument
`routines` holds the addresses of the functions in routines.py.

Compiled once per dtype from a copy of this text, with signatures that `build` adds.
"""

from numba import njit

from minirnn.kernels.cpu.product import CACHE_LINE, WIDEST, COMPILE, address, call, panel_vectors, vector_lanes
from minirnn.kernels.cpu.waiting import bring, ticks

PRODUCT, TRANSPOSE, UNTRANSPOSE, COPY = 0, 1, 2, 3  # in the array of addresses

# Rows of dz that dx is computed from at a time: they are in the cache for all of W.
ROWS_AT_ONCE = 96
WORTH_PACKING = 32


@njit(**COMPILE)
def _pack_columns(routines, weight, blocks, U, H, HP, depth, packed, part, parts):
    """Pack W^T for z += x W^T: of each panel the slots in `blocks`, a vector of units a column."""
    lanes = vector_lanes(packed)
    for v in range(part * U, HP // lanes, parts * U):
        u = min(U, HP // lanes - v)
        columns, column = blocks.shape[0] * u * lanes, 0
        to = v * blocks.shape[0] * lanes * depth
        while column < columns:
            width = panel_vectors(columns - column, lanes) * lanes
            for j in range(0, width, lanes):
                slot, vector = divmod((column + j) // lanes, u)
                unit = (v + vector) * lanes
                source = address(weight, (blocks[slot] * H + unit) * depth)
                target = address(packed, to + column * depth + j)
                call(routines[TRANSPOSE], H - unit, depth, source, depth, target, width)
            column += width


@njit(**COMPILE)
def _add_bias(values, blocks, first, U, S, H, HP, bias, lanes):
    """bias[panel row] += values, for the slots from number `first` on, in `blocks`."""
    for v in range(0, HP // lanes, U):
        u = min(U, HP // lanes - v)
        for slot in range(blocks.shape[0]):
            for j in range(min(u * lanes, H - v * lanes)):
                at = v * S * lanes + (first + slot) * u * lanes + j
                bias[at] += values[blocks[slot] * H + v * lanes + j]


@njit(**COMPILE)
def pack_forward(routines, weight_ih, weight_hh, bias_ih, bias_hh, x_blocks, h_blocks, U, S, H, HP,
                 width, packed_x, packed_h, bias, part, parts):  # fmt: skip
    """Pack both weights for the forward products; `bias` (S*HP) becomes what enters each slot.

    A bias of size 0 is none. One of several threads packs part 0, 1 … parts-1 of the panels.
    """
    _pack_columns(routines, weight_ih, x_blocks, U, H, HP, width, packed_x, part, parts)
    _pack_columns(routines, weight_hh, h_blocks, U, H, HP, H, packed_h, part, parts)
    if part > 0:
        return
    lanes = vector_lanes(bias)
    bias[:] = 0
    if bias_ih.shape[0] > 0:
        _add_bias(bias_ih, x_blocks, 0, U, S, H, HP, bias, lanes)
    if bias_hh.shape[0] > 0:
        _add_bias(bias_hh, h_blocks, S - h_blocks.shape[0], U, S, H, HP, bias, lanes)


def pack_rows(routines, weight, blocks, U, H, HP, real, first, last, packed, part,
              parts):  # fmt: skip
    """Pack W for dz W, columns first … last-1 of `real` columns: rows as dz has them, panel wise.

    Full panels are one matrix, the panel of fewer vectors at the end another, behind it. Rows of
    units that pad a vector are zero. One of several threads packs part 0, 1 … parts-1 of them.
    """
    lanes = vector_lanes(packed)
    vectors, slots = HP // lanes, blocks.shape[0]
    full = vectors // U * U
    columns = last - first
    for begin, end, step in ((0, full, U), (full, vectors, vectors - full)):
        depth = (end - begin) * slots * lanes
        base = first * HP * slots + begin * slots * lanes * padded_columns(columns, lanes)
        column = number = 0
        while column < columns and depth > 0:
            width = panel_vectors(columns - column, lanes) * lanes
            if number % parts == part:
                k = 0
                for v in range(begin, end, step):
                    for slot in range(slots):
                        for vector in range(v, v + step):
                            unit = vector * lanes
                            rows = min(lanes, H - unit)
                            source = (blocks[slot] * H + unit) * real + first + column
                            at = base + column * depth + k * width
                            call(routines[COPY], min(width, real - first - column), rows,
                                 address(weight, source), real, address(packed, at),
                                 width)  # fmt: skip
                            packed[at + rows * width:at + lanes * width] = 0
                            k += lanes
            column += width
            number += 1


def input_gradient(routines, dz, z_rows, z_at, packed, zeros, U, S, nx, HP, width, dx,
                   first, last):  # fmt: skip
    """dx = dz W for rows first … last-1 of dx; the row of dz for the first row of dx is z_at.

    `z_rows` is how many rows a panel of dz holds.
    """
    lanes = vector_lanes(dz)
    vectors = HP // lanes
    full = vectors // U * U
    for begin in range(first, last, ROWS_AT_ONCE):
        rows = min(ROWS_AT_ONCE, last - begin)
        to, row = address(dx, begin * width), z_at + begin
        ahead = rows * S * U * lanes * dz.itemsize if begin + rows < last else 0
        start, start_row = address(zeros, 0), 0
        if full > 0:
            w = S * U * lanes
            call(routines[PRODUCT], address(dz, row * w), w, 1, w * z_rows, address(packed, 0), 0,
                 start, start_row, to, width, rows, width, nx * U * lanes, full // U,
                 ahead, (begin // ROWS_AT_ONCE) & 1)  # fmt: skip
            start, start_row = to, width
        if full < vectors:
            u = vectors - full
            w = S * u * lanes
            dz_at = full * S * lanes * z_rows + row * w
            packed_at = address(packed, full * nx * lanes * padded_columns(width, lanes))
            call(routines[PRODUCT], address(dz, dz_at), w, 1, 0, packed_at, 0,
                 start, start_row, to, width, rows, width, nx * u * lanes, 1, 0, 0)  # fmt: skip


@njit(**COMPILE)
def _without_padding(source, at, width, B, lengths, t_from, first, rows, clean, to):
    """Copy rows first … of (T*B, width) with zeros where a sequence has ended."""
    flat = source.reshape(-1)
    for k in range(rows):
        t, b = divmod(first + k, B)
        row, target = at + (first + k) * width, to + k * width
        for j in range(width):
            clean[target + j] = flat[row + j] if t_from + t < lengths[b] else 0


@njit(**COMPILE)
def _pack_tiles(routines, source, source_row, columns, rows, packed):
    """Pack rows of a panel as a product takes B, when it has more columns than a tile."""
    lanes = vector_lanes(packed)
    column = 0
    while column < columns:
        width = panel_vectors(columns - column, lanes) * lanes
        call(routines[COPY], width, rows, source + column * packed.itemsize, source_row,
             address(packed, column * rows), width)  # fmt: skip
        column += width


def weight_gradients(routines, dz, z_rows, z_at, x, h, h_at, zeros, one, B, width, H, HP, U, S, nx,
                     nh, lengths, t_from, masked, reverse, needs_ih, needs_hh, needs_bias, fresh,
                     chunk, clean, turned, sums, first, last):  # fmt: skip
    """Sums over time and batch of x^T dz, h_(t-1)^T dz and dz; add to `sums` if not `fresh`.

    `sums` has I + H + 1 rows a panel: what x, h and the biases contribute. The work is cut by those
    rows, panel after panel: first … last-1 are done here. x (rows, I) begins at time t_from, its dz
    at row z_at of the z_rows in a panel, its h_(t-1) at h_at in h. The sum runs against the order
    of the steps, from the last one on, so that it can be taken up chunk by chunk; it is the same
    bits whoever computes which rows. Where `masked`, what stands in the padding is left out: it may
    be anything. `clean` has room for that.
    """
    lanes = vector_lanes(dz)
    vectors, total = HP // lanes, x.shape[0]
    height = width + H + 1
    direction = 1 if reverse else -1
    for done in range(0, total, chunk):
        rows = min(chunk, total - done)
        # Rows low … low + rows - 1, taken from the row `at` on in that direction.
        low = done if reverse else total - done - rows
        at = low if reverse else low + rows - 1
        from_x, from_h = address(x, at * width), address(h, h_at + at * H)
        if masked:
            if needs_ih:
                _without_padding(x, 0, width, B, lengths, t_from, low, rows, clean, 0)
                from_x = address(clean, (at - low) * width)
            if needs_hh:
                _without_padding(h, h_at, H, B, lengths, t_from, low, rows, clean, rows * width)
                from_h = address(clean, rows * width + (at - low) * H)
        low_next = done + rows if reverse else max(0, low - chunk)  # of the next chunk
        panels = (last - 1) // height + 1 - first // height
        share = chunk * (width + H) // panels * sums.itemsize
        for number in range(first // height, (last - 1) // height + 1):
            v = number * U
            u = min(U, vectors - v)
            w = S * u * lanes
            if done + rows < total:  # meanwhile bring the next rows of x and h, share by share
                part = number - first // height
                bring(
                    address(x, low_next * width) + part * share * width // (width + H),
                    share * width // (width + H), CACHE_LINE,
                )
                bring(
                    address(h, h_at + low_next * H) + part * share * H // (width + H),
                    share * H // (width + H), CACHE_LINE,
                )
            for part in range(3):
                if not (needs_ih, needs_hh, needs_bias)[part]:
                    continue
                top = (0, width, width + H)[part]
                lo = max(top, first - number * height)
                hi = min((width, width + H, height)[part], last - number * height)
                if lo >= hi:
                    continue
                a = (from_x, from_h, address(one, 0))[part] + (lo - top) * sums.itemsize
                a_k = (direction * width, direction * H, 0)[part]
                column = (S - nh) * u * lanes if part == 1 else 0
                columns = (nx * u * lanes, nh * u * lanes, w)[part]
                to = address(sums, v * S * lanes * height + lo * w + column)
                start, start_row = to, w
                if fresh and done == 0:
                    start, start_row = address(zeros, 0), 0
                b = address(dz, v * S * lanes * z_rows + (z_at + at) * w + column)
                b_row = direction * w
                if columns > WIDEST * lanes and hi - lo > WORTH_PACKING:
                    _pack_tiles(routines, b, b_row, columns, rows, turned)
                    b, b_row = address(turned, 0), 0
                call(routines[PRODUCT], a, 1, a_k, 0, b, b_row, start, start_row, to, w, hi - lo,
                     columns, rows, 1, 0, 0)  # fmt: skip


def unpack_gradients(routines, sums, x_blocks, h_blocks, U, S, width, H, HP,
                     dw_ih, dw_hh, db_ih, db_hh, first, last):  # fmt: skip
    """Turn `sums` into the gradients of weights and biases, for panels first … last-1.

    A gradient of size 0 is not wanted.
    """
    lanes = vector_lanes(sums)
    vectors, height = HP // lanes, width + H + 1
    nx, nh = x_blocks.shape[0], h_blocks.shape[0]
    for v in range(first * U, min(last * U, vectors), U):
        u = min(U, vectors - v)
        w = S * u * lanes
        panel = v * S * lanes * height
        for vector in range(u):
            unit = (v + vector) * lanes
            real = min(lanes, H - unit)
            for slot in range(nx):
                row, column = x_blocks[slot] * H + unit, (slot * u + vector) * lanes
                if dw_ih.shape[0] > 0:
                    call(routines[UNTRANSPOSE], real, width, address(sums, panel + column), w,
                         address(dw_ih, row * width), width)  # fmt: skip
                if db_ih.shape[0] > 0:
                    for j in range(real):
                        db_ih[row + j] = sums[panel + (height - 1) * w + column + j]
            for slot in range(nh):
                row, column = h_blocks[slot] * H + unit, ((S - nh + slot) * u + vector) * lanes
                if dw_hh.shape[0] > 0:
                    at = panel + width * w + column
                    call(routines[UNTRANSPOSE], real, H, address(sums, at), w,
                         address(dw_hh, row * H), H)  # fmt: skip
                if db_hh.shape[0] > 0:
                    for j in range(real):
                        db_hh[row + j] = sums[panel + (height - 1) * w + column + j]


def pack_backward_alone(routines, weight_ih, weight_hh, x_blocks, h_blocks, U, H, HP, width,
                        needs_x, packed_x, packed_h):  # fmt: skip
    """Both weights for backward, in one call."""
    pack_rows(routines, weight_hh, h_blocks, U, H, HP, H, 0, HP, packed_h, 0, 1)
    if needs_x:
        pack_rows(routines, weight_ih, x_blocks, U, H, HP, width, 0, width, packed_x, 0, 1)


def gradients_alone(routines, dz, z_rows, packed, zeros, one, x, dx, h, h_at, x_blocks, h_blocks, B,
                    width, H, HP, U, S, lengths, masked, reverse, needs_x, needs_ih, needs_hh,
                    needs_bias, chunk, clean, turned, sums, dw_ih, dw_hh, db_ih, db_hh, clock):  # fmt: skip
    """All gradients that follow BPTT, in one call; `clock` counts as `clock.Watch.ticks` says."""
    timed = clock.shape[0] > 0
    started = ticks() if timed else 0
    nx, nh = x_blocks.shape[0], h_blocks.shape[0]
    lanes = vector_lanes(dz)
    if needs_x:
        input_gradient(routines, dz, z_rows, 0, packed, zeros, U, S, nx, HP, width, dx, 0,
                       dx.shape[0])  # fmt: skip
        if timed:
            clock[3] += ticks() - started
            started = ticks()
    if needs_ih or needs_hh or needs_bias:
        panels = (HP // lanes + U - 1) // U
        weight_gradients(routines, dz, z_rows, 0, x, h, h_at, zeros, one, B, width, H, HP, U, S, nx,
                         nh, lengths, 0, masked, reverse, needs_ih, needs_hh, needs_bias, True,
                         chunk, clean, turned, sums, 0, panels * (width + H + 1))  # fmt: skip
        if timed:
            clock[4] += ticks() - started
            started = ticks()
        unpack_gradients(routines, sums, x_blocks, h_blocks, U, S, width, H, HP,
                         dw_ih, dw_hh, db_ih, db_hh, 0, panels)  # fmt: skip
        if timed:
            clock[2] += ticks() - started


@njit(**COMPILE)
def padded_columns(columns, lanes):
    """Columns rounded up to whole vectors: the width that packing takes up."""
    return (columns + lanes - 1) // lanes * lanes
