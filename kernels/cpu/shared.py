"""What every cell needs around its sequence loop: packed weights and weight gradients.

This text is compiled once per dtype from a copy in the user's cache folder (see `build`), which is
why it is plain functions that `build` gives signatures to, without a decorator here.

H hidden size, HP the same padded to whole vectors; a slot's z sits HP apart in a row of slots.
"""

from numba import njit

from minirnn.kernels.cpu.packing import copy_rows, transpose
from minirnn.kernels.cpu.product import COMPILE, accumulate, panel_vectors, vector_lanes


@njit(**COMPILE)
def pack_panels(source, at, rows, columns, packed, to):
    """Pack a contiguous (rows, columns) matrix into panels; the last is filled up with zeros."""
    lanes = vector_lanes(packed)
    column = 0
    while column < columns:
        width = panel_vectors(columns - column, lanes) * lanes
        for j in range(0, width, lanes):
            real = columns - column - j
            start = at + column + j
            copy_rows(real, rows, source, start, columns, packed, to + column * rows + j, width)
        column += width


@njit(**COMPILE)
def pack_transposed(source, at, blocks, H, HP, depth, packed, to):
    """Pack W^T of `blocks` consecutive gate blocks (H, depth); zero between H and HP."""
    lanes = vector_lanes(packed)
    columns = blocks * HP
    column = 0
    while column < columns:
        width = panel_vectors(columns - column, lanes) * lanes
        for j in range(0, width, lanes):  # a vector of columns lies within one block
            block, unit = (column + j) // HP, (column + j) % HP
            row = at + (block * H + unit) * depth
            transpose(H - unit, depth, source, row, packed, to + column * depth + j, width)
        column += width


@njit(**COMPILE)
def pack_forward(weight_ih, weight_hh, bias_ih, bias_hh, input_runs, hidden_runs, H, HP, width,
                 packed_x, packed_h, bias):  # fmt: skip
    """Pack both weights for the forward products, each run of neighbouring slots on its own.

    `bias` (slots, HP) becomes the sum of what enters each slot; a bias of size 0 is none.
    """
    bias[:] = 0
    block = 0
    for run in range(input_runs.shape[0]):
        slot, blocks = input_runs[run]
        at, to = block * H * width, block * HP * width
        pack_transposed(weight_ih, at, blocks, H, HP, width, packed_x, to)
        if bias_ih.shape[0] > 0:
            for i in range(blocks):
                for unit in range(H):
                    bias[slot + i, unit] += bias_ih[(block + i) * H + unit]
        block += blocks
    block = 0
    for run in range(hidden_runs.shape[0]):
        slot, blocks = hidden_runs[run]
        pack_transposed(weight_hh, block * H * H, blocks, H, HP, H, packed_h, block * HP * H)
        if bias_hh.shape[0] > 0:
            for i in range(blocks):
                for unit in range(H):
                    bias[slot + i, unit] += bias_hh[(block + i) * H + unit]
        block += blocks


def pack_backward(weight_ih, weight_hh, blocks_h, H, HP, width, padded_width, needs_x,
                  packed_x, packed_h):  # fmt: skip
    """Pack each gate block of U, and of W if dx is wanted, for the products dz U and dz W."""
    for block in range(blocks_h):
        pack_panels(weight_hh, block * H * H, H, H, packed_h, block * H * HP)
    if needs_x:
        for block in range(weight_ih.shape[0] // H):
            at, to = block * H * width, block * H * padded_width
            pack_panels(weight_ih, at, H, width, packed_x, to)


@njit(**COMPILE)
def weight_gradient(dz, HP, row_size, slots, source, source_at, width, total, B, lengths, masked,
                    gradient, H, first, last, packed):  # fmt: skip
    """gradient (slots*H, width) += dz^T source, for units first … last-1 of every slot in `slots`.

    dz has a row of `row_size` for each (t, b), source one of `width`. The sum runs over (t, b) in
    order, so it is the same bits whoever computes which units. Steps past a sequence's end are left
    out altogether: what stands in the padding of x may be anything.
    """
    lanes = vector_lanes(packed)
    chunk = packed.shape[0] // ((width + lanes - 1) // lanes * lanes)
    for start in range(0, total, chunk):
        rows = min(chunk, total - start)
        pack_panels(source, source_at + start * width, rows, width, packed, 0)
        if masked:
            for k in range(rows):
                t, b = divmod(start + k, B)
                if t >= lengths[b]:
                    column = 0
                    while column < width:
                        panel_width = panel_vectors(width - column, lanes) * lanes
                        at = column * rows + k * panel_width
                        for j in range(panel_width):
                            packed[at + j] = 0
                        column += panel_width
        for block in range(slots.shape[0]):
            accumulate(
                dz, start * row_size + slots[block] * HP + first, 1, row_size, last - first, rows,
                packed, 0, width, gradient, (block * H + first) * width, width,
            )  # fmt: skip


@njit(**COMPILE)
def bias_gradient(dz, HP, row_size, slots, total, gradient, H, first, last):
    """gradient (slots*H,) += the sum of dz over (t, b) in order, for units first … last-1."""
    for row in range(total):
        for block in range(slots.shape[0]):
            at, to = row * row_size + slots[block] * HP, block * H
            for unit in range(first, last):
                gradient[to + unit] += dz[at + unit]


def parameter_gradients(dz, HP, row_size, x, h, h_at, T, B, width, H, lengths, masked, input_slots,
                        hidden_slots, dw_ih, dw_hh, db_ih, db_hh, packed, first, last):  # fmt: skip
    """Gradients of weights and biases for units first … last-1; one of size 0 is not wanted.

    dW = sum over (t, b) of dz x^T, dU = sum of dz h_(t-1)^T; h_at is where h_(t-1) begins in h.
    """
    total = T * B
    if dw_ih.shape[0] > 0:
        weight_gradient(dz, HP, row_size, input_slots, x, 0, width, total, B, lengths, masked,
                        dw_ih, H, first, last, packed)  # fmt: skip
    if dw_hh.shape[0] > 0:
        weight_gradient(dz, HP, row_size, hidden_slots, h, h_at, H, total, B, lengths, masked,
                        dw_hh, H, first, last, packed)  # fmt: skip
    if db_ih.shape[0] > 0:
        bias_gradient(dz, HP, row_size, input_slots, total, db_ih, H, first, last)
    if db_hh.shape[0] > 0:
        bias_gradient(dz, HP, row_size, hidden_slots, total, db_hh, H, first, last)
