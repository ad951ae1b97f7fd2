"""The sequence loop: the schedule that every cell runs in, forward and backward.

The loop knows nothing of gates. `source(cell, dtype)` writes it out for a cell's slots and states
as the text of a Numba module; `build` compiles that. Each call runs rows first … last-1 of the
batch through all T steps, so threads own slices of the batch and never wait for one another.

Layouts, all C-contiguous; the kernels address them by flat offsets:
  z       (T or 1, B, slots, HP)   slots' z, overwritten by the stored gates; backward: dz
  h, c…   (T+1, B, H)              states in time order. Forward direction: entry t+1 is the state
                                   after step t, entry 0 the initial one. Reverse: entry t is the
                                   state after step t, entry T the initial one. States other than h
                                   are kept in two alternating entries when no tape is wanted.
  finals  (states, B, H)           the last states
  carry   (B, HP) per state        gradient on its way from step to step

`forward_alone` packs the weights and runs all rows in one call, for work that is not worth a second
thread.
"""

from __future__ import annotations

from collections.abc import Iterable

from minirnn.kernels.cells.cell import Cell

_HEADER = '''\
"""Sequence loop of the cell {name} in {dtype}; written by minirnn.kernels.cpu.sequence."""

import numpy as np
from numba import njit

from minirnn.kernels.cpu.build import compiling_cell
from minirnn.kernels.cpu.lowering import row_intrinsics
from minirnn.kernels.cpu.product import COMPILE, accumulate
from minirnn.kernels.cpu.shared import pack_forward

forward_row, backward_row = row_intrinsics(compiling_cell("{fingerprint}"))
INPUT_RUNS = np.array({input_runs}, dtype=np.int64)  # (first slot, how many) fed by x, and by h
HIDDEN_RUNS = np.array({hidden_runs}, dtype=np.int64)
'''

_FORWARD = """

@njit("void({t}, {f}, {f}, {m}, {f}, {t}, {t}, i8[::1], b1, b1, b1, "
      "i8, i8, i8, i8, i8, i8, i8, i8{state_types})", cache={cache}, **COMPILE)
def forward_rows(x, packed_x, packed_h, bias, z, output, finals, lengths, masked, reverse,
                 keeps, first, last, T, B, I, H, HP, depth{states}):
    rows, row_size = last - first, {slots} * HP
    for step in range(T):
        t = T - 1 - step if reverse else step
        before, now = (t + 1, t) if reverse else (t, t + 1)
        base = (t if keeps else 0) * B * row_size
        for b in range(first, last):
            at = base + b * row_size
            for slot in range({slots}):
                for j in range(HP):
                    z[at + slot * HP + j] = bias[slot, j]
        at = base + first * row_size
        # z += W x_t
{input_products}
        # z += U h_(t-1)
{hidden_products}
        for b in range(first, last):
{entries}
            if masked and t >= lengths[b]:
{copies}
                continue
            forward_row(H, HP, z, base + b * row_size{lasts}{news})
            if masked:
                for j in range(H):
                    output[t, b, j] = h[now, b, j]
    end = 0 if reverse else T
    for b in range(first, last):
        for j in range(H):
{finals}


@njit("void({m}, {m}, {f}, {f}, {t}, {f}, {f}, {t}, {t}, i8[::1], b1, b1, b1, "
      "i8, i8, i8, i8, i8, i8{state_types})", cache={cache}, **COMPILE)
def forward_alone(weight_ih, weight_hh, bias_ih, bias_hh, x, workspace, z, output, finals,
                  lengths, masked, reverse, keeps, T, B, I, H, HP, depth{states}):
    after_x = {input_slots} * HP * I
    after_h = after_x + {hidden_slots} * HP * H
    packed_x, packed_h = workspace[:after_x], workspace[after_x:after_h]
    bias = workspace[after_h:].reshape({slots}, HP)
    pack_forward(weight_ih, weight_hh, bias_ih, bias_hh, INPUT_RUNS, HIDDEN_RUNS, H, HP, I,
                 packed_x, packed_h, bias)
    forward_rows(x, packed_x, packed_h, bias, z, output, finals, lengths, masked, reverse,
                 keeps, 0, B, T, B, I, H, HP, depth{states})
"""

_BACKWARD = """

@njit("void({t}, {f}, {f}, {f}, {f}, {f}, {t}, i8[::1], b1, b1, b1, b1, b1, "
      "i8, i8, i8, i8, i8, i8, i8, i8{gradient_types})", cache={cache}, **COMPILE)
def backward_rows(doutput, nothing, z, dz, packed_h, packed_x, dx, lengths, masked, reverse,
                  records, has_doutput, needs_x, first, last, T, B, I, H, HP, IP{gradients}):
    rows, row_size = last - first, {slots} * HP
    for step in range(T - 1, -1, -1):
        t = T - 1 - step if reverse else step
        before, now = (t + 1, t) if reverse else (t, t + 1)
        base = t * B * row_size
        for b in range(first, last):
            at = base + b * row_size
            total = (t * B + b) * H if records else b * H
            if masked and t >= lengths[b]:
                for j in range(row_size):
                    dz[at + j] = 0
                continue
{entries}
            if has_doutput:
                backward_row(H, HP, z, at, dz, at, doutput, (t * B + b) * H{places})
            else:
                backward_row(H, HP, z, at, dz, at, nothing, 0{places})
        at = base + first * row_size
        # dh_(t-1) += dz_t U
{hidden_products}
        # dx_t = dz_t W
        if needs_x:
            to = (t * B + first) * I
{input_products}
"""


def runs(cell: Cell, fed_by: str) -> list[tuple[int, int]]:
    """Runs of neighbouring slots fed by "x" or "h", as (first slot, how many)."""
    found: list[tuple[int, int]] = []
    for number, feed in enumerate(cell.slots.values()):
        if fed_by not in feed:
            continue
        if found and sum(found[-1]) == number:
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((number, 1))
    return found


def source(cell: Cell, dtype: str, cache: bool = True) -> str:
    """The text of the module with the forward and backward loops of a cell."""
    states = cell.states
    element = {"float32": "f4", "float64": "f8"}[dtype]
    flat, matrix, cube = (f"{element}[{axes}]" for axes in ("::1", ":, ::1", ":, :, ::1"))
    fields = {
        "name": cell.name,
        "dtype": dtype,
        "fingerprint": cell.fingerprint(),
        "cache": cache,
        "f": flat,
        "m": matrix,
        "t": cube,
        "slots": len(cell.slots),
        "input_slots": len(cell.input_slots),
        "hidden_slots": len(cell.hidden_slots),
        "input_runs": runs(cell, "x"),
        "hidden_runs": runs(cell, "h"),
    }
    return (
        _HEADER.format(**fields)
        + _FORWARD.format(
            **fields,
            states=_joined(map(_array, states)),
            state_types=f", {cube}" * len(states),
            input_products=_forward_products(cell, "x"),
            hidden_products=_forward_products(cell, "h"),
            entries=_entries(states, indent=12, alternating=True),
            copies=_copies(states),
            finals=_finals(states),
            lasts="".join(f", {_array(s)}, before_{s}" for s in states),
            news="".join(f", {_array(s)}, now_{s}" for s in states),
        )
        + _BACKWARD.format(
            **fields,
            gradients=_joined(f"{_array(s)}, carry_{s}, total_{s}" for s in states),
            gradient_types=f", {cube}, {matrix}, {cube}" * len(states),
            entries=_entries(states, indent=12, alternating=False),
            places="".join(
                f", {_array(s)}, before_{s}, {_array(s)}, now_{s}"
                f", carry_{s}, b * HP, total_{s}, total"
                for s in states
            ),
            hidden_products=_backward_products(cell, "h"),
            input_products=_backward_products(cell, "x"),
        )
    )


def _array(state: str) -> str:
    """The array of a state in the text; the prefix keeps a state "x" or "class" out of trouble."""
    return state if state == "h" else f"state_{state}"


def _joined(names: Iterable[str]) -> str:
    return "".join(f", {name}" for name in names)


def _entries(states: tuple[str, ...], indent: int, alternating: bool) -> str:
    """Where each state's rows before and after the step begin."""
    lines = []
    for s in states:
        for when in ("before", "now"):
            entry = f"{when} % depth" if alternating and s != "h" else when
            lines.append(f"{' ' * indent}{when}_{s} = (({entry}) * B + b) * H")
    return "\n".join(lines)


def _copies(states: tuple[str, ...]) -> str:
    lines = []
    for s in states:
        entries = ("now", "before") if s == "h" else ("now % depth", "before % depth")
        lines.append("                for j in range(H):")
        array, indent = _array(s), " " * 20
        lines.append(f"{indent}{array}[{entries[0]}, b, j] = {array}[{entries[1]}, b, j]")
    return "\n".join(lines)


def _finals(states: tuple[str, ...]) -> str:
    lines = []
    for number, s in enumerate(states):
        entry = "end" if s == "h" else "end % depth"
        lines.append(f"            finals[{number}, b, j] = {_array(s)}[{entry}, b, j]")
    return "\n".join(lines)


def _forward_products(cell: Cell, fed_by: str) -> str:
    source, place, row, depth, packed = {
        "x": ("x", "(t * B + first) * I", "I", "I", "packed_x"),
        "h": ("h", "(before * B + first) * H", "H", "H", "packed_h"),
    }[fed_by]
    lines, block = [], 0
    for slot, count in runs(cell, fed_by):
        lines.append(
            f"        accumulate({source}, {place}, {row}, 1, rows, {depth}, {packed}, "
            f"{block} * HP * {depth}, {count} * HP, z, at + {slot} * HP, row_size)"
        )
        block += count
    return "\n".join(lines)


def _backward_products(cell: Cell, fed_by: str) -> str:
    indent, packed, columns, wide, target = {
        "x": (12, "packed_x", "I", "IP", "dx, to, I"),
        "h": (8, "packed_h", "H", "HP", "carry_h, first * HP, HP"),
    }[fed_by]
    lines, block = [], 0
    for slot, feed in enumerate(cell.slots.values()):
        if fed_by in feed:
            lines.append(
                f"{' ' * indent}accumulate(dz, at + {slot} * HP, row_size, 1, rows, H, {packed}, "
                f"{block} * H * {wide}, {columns}, {target})"
            )
            block += 1
    return "\n".join(lines)
