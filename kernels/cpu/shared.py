"""What every cell needs around its sequence loop: packed weights and weight gradients.

This text is compiled once per dtype from a copy in the user's cache folder (see `build`), which is
why it is plain functions that `build` gives signatures to, without a decorator here.

H hidden size, HP the same padded to whole vectors; a slot's z sits HP apart in a row of slots.
"""

from numba import njit

from minirnn.kernels.cpu.packing import transpose
from minirnn.kernels.cpu.product import COMPILE, accumulate, panel_vectors, vector_lanes


@njit(**COMPILE)
def pack_panels(source, at, row_step, column_step, rows, columns, packed, to):
    """Pack a (rows, columns) matrix into panels; the last panel is filled up with zeros."""
    lanes = vector_lanes(packed)
    column = 0
    while column < columns:
        width = panel_vectors(columns - column, lanes) * lanes
        panel = to + column * rows
        real = min(width, columns - column)
        for k in range(rows):
            start = at + k * row_step + column * column_step
            for j in range(real):
                packed[panel + k * width + j] = source[start + j * column_step]
            for j in range(real, width):
                packed[panel + k * width + j] = 0
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


def pack_backward(weight, blocks, H, columns, packed_columns, packed):
    """Pack each gate block (H, columns) of a weight for the products dz W."""
    flat = weight.reshape(-1)
    for block in range(blocks):
        pack_panels(
            flat, block * H * columns, columns, 1, H, columns, packed,
            block * H * packed_columns,
        )  # fmt: skip


def weight_gradient(dz, row_size, slot_columns, source, source_at, width, steps, B, lengths, masked,
                    gradient, H, first, last, packed, chunk):  # fmt: skip
    """gradient (slots*H, width) += dz^T source, for units first … last-1 of every slot.

    dz has a row of `row_size` for each (t, b), source one of `width`. The sum runs over (t, b) in
    order, so it is the same bits whoever computes which units. Steps past a sequence's end are left
    out altogether: what stands in the padding of x may be anything.
    """
    total = steps * B
    source = source.reshape(-1)
    lanes = vector_lanes(packed)
    for start in range(0, total, chunk):
        rows = min(chunk, total - start)
        pack_panels(source, source_at + start * width, width, 1, rows, width, packed, 0)
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
        for slot in range(slot_columns.shape[0]):
            accumulate(
                dz, start * row_size + slot_columns[slot] + first, 1, row_size, last - first, rows,
                packed, 0, width, gradient, (slot * H + first) * width, width,
            )  # fmt: skip


def bias_gradient(dz, row_size, slots, H, HP, total, gradient, first, last):
    """gradient (slots, H) += the sum of dz over (t, b) in order, for units first … last-1."""
    for row in range(total):
        for slot in range(slots):
            at, to = row * row_size + slot * HP, slot * H
            for unit in range(first, last):
                gradient[to + unit] += dz[at + unit]
