"""The sequence loop: the schedule that every cell runs in, forward and backward.

The loop knows nothing of gates. `source(cell, dtype)` writes it out for a cell's slots and states
as the text of a Numba module; `build` compiles that. A call runs steps first_step … last_step-1 of
rows first … last-1 of the batch, for the units in vectors v0 … v1-1. So threads own slices of the
batch and never wait for one another; or, for small batches, all rows of some units, and then a
team of `team` threads meets at a barrier in every step.

Layouts, all C-contiguous; the kernels address them by flat offsets:
  z       (panels, z_rows, width)  see `layout`: slots' z, overwritten by the stored gates. z_steps
                                   steps of B rows each, then some rows that are not used. The
                                   first step is z_from where the kernels keep z, or else the
                                   first of the chunk that they are at
  dz      as z, may be z itself
  h       (T+1, B, H)              states in time order. Forward direction: entry t+1 is the state
                                   after step t, entry 0 the initial one. Reverse: entry t is the
                                   state after step t, entry T the initial one
  c…      (depth, B, H)            other states: entry e of h is at e % depth
  finals  (states, B, H)           the last states
  carry   (B, HP) per state        gradient on its way from step to step

What else a call is given:
  masked, lengths, shortest   whether sequences have lengths of their own, those, the shortest
  reverse                     time runs from T-1 down
  keeps                       z is kept for all steps, not for a chunk at a time
  known                       every h is there already: only gates and other states are rebuilt
  records                     totals of the state gradients are kept for every step
  barrier, team               what the members of a team count at in every step, and how many
                              they are; 1 if each has rows of its own
  clock                       of size 0, or what `clock.IN_LOOPS` counts in
The arguments of `call(product, …)` are those of `routines._product`, those of other calls by
address stand in `around`.

What each thread does before and after the loop stands in `shares`.
"""

from __future__ import annotations

from collections.abc import Iterable

from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.cells.vocabulary import in_order
from minirnn.kernels.cpu.layout import CHUNK_ROWS, FEW_ROWS, KNOWN_ROWS, layout_of
from minirnn.kernels.cpu.plan import COUNTERS, PHASES, PIECES
from minirnn.kernels.cpu.shares import BACKWARD_SHARE, FORWARD_SHARE, STEP

_HEADER = '''\
"""Sequence loop in {dtype} of a cell like {name}; written by minirnn.kernels.cpu.sequence.

States {state_names}; slots, as they lie in a row: {order}.
"""

import numpy as np
from numba import njit

from minirnn.kernels.cpu.product import (
    BACKWARD_PANEL, COMPILE, COPY, FORWARD_PANEL, INPUT_GRADIENT, PACK_FORWARD, PACK_ROWS, PRODUCT,
    UNPACK_GRADIENTS, WEIGHT_GRADIENTS, address, call, lanes_of,
)
from minirnn.kernels.cpu.waiting import bring, copy_bytes, meet, take, ticks

INSIDE = dict(COMPILE, no_cpython_wrapper=True, no_cfunc_wrapper=True)
V, SIZE = lanes_of("{dtype}"), {size}  # elements in a vector; bytes of an element
S, NX, NH = {slots}, {fed_by_x}, {fed_by_h}  # slots; fed by x: the first NX, by h: the last NH
U = {vectors}  # vectors of units in a full panel
X_BLOCKS, H_BLOCKS = np.array({x_blocks}), np.array({h_blocks})
'''

_FORWARD = """

@njit(**COMPILE)
def place(z_rows, row_of_z, v0, panels, number, turned, HP):
    # A panel by its number: its first vector, its vectors, its width, where its rows begin
    v = v0 + (panels - 1 - number if turned else number) * U
    u = min(U, HP // V - v)
    w = S * u * V
    return v, u, w, v * S * V * z_rows + row_of_z * w


@njit(**COMPILE)
def from_x(addresses, x, packed_x, bias, z, z_rows, v, x_row, z_row, rows, turned, I, HP):
    # z = b + W x, for some rows of the panel that begins with vector v
    u = min(U, HP // V - v)
    w = S * u * V
    at = v * S * V * z_rows + z_row * w
    call(addresses[PRODUCT], x + SIZE * (x_row * I), I, 1, 0, packed_x + SIZE * (v * NX * V * I), 0,
         bias + SIZE * (v * S * V), 0, z + SIZE * at, w, rows, NX * u * V, I, 1, 0, turned)
    if NX < S:  # slots that x does not feed
        j = NX * u * V
        call(addresses[COPY], w - j, rows, bias + SIZE * (v * S * V + j), 0, z + SIZE * (at + j), w)


@njit("void(i8[::1], i8, i8, i8, i8, i8, i8, i8, i8[::1], b1, i8, b1, b1, b1, i8, i8, i8, i8, i8, "
      "i8, i8, i8, i8, i8, i8, i8[::1], i8, i8, i8, i8, i8, i8{addresses})",
      cache={cache}, **INSIDE)
def forward_rows(addresses, x, packed_x, packed_h, bias, z, output, finals, lengths, masked,
                 shortest, reverse, keeps, known, first_step, last_step, z_steps, z_rows, z_from,
                 first, last, v0, v1, barrier, team, clock, T, B, I, H, HP, depth{states}):
    product, rows, timed = addresses[PRODUCT], last - first, clock.shape[0] > 0
    met = first_step * team  # at the barrier, in the steps before
    chunk = max(1, min(z_steps, ({known_rows} if known else {chunk_rows}) // rows))
    panels = (v1 - v0 + U - 1) // U
    ours = SIZE * (min(H, v1 * V) - v0 * V)  # bytes of our units in a state
    # Of one row the equations wait for one another's results: those of all panels overlap.
    group = panels if rows <= {few_rows} else 1
    for begin in range(first_step, last_step, chunk):
        n = min(chunk, last_step - begin)
        low = T - begin - n if reverse else begin
        entry = low - z_from if keeps else 0
        at_once = chunk == 1 and not known
        if not at_once:
            started = ticks() if timed else 0
            # Rows that lie together, and how many times: a whole batch goes on into the next step.
            together, times = (rows, n) if rows < B else (rows * n, 1)
            turned = (begin // chunk) & 1
            for v in range(v0, v1, U):
                for i in range(times):
                    from_x(addresses, x, packed_x, bias, z, z_rows, v, (low + i) * B + first,
                           (entry + i) * B + first, together, turned, I, HP)
            if timed:
                clock[0] += ticks() - started
            if known:  # all h are there: z += U h_(t-1) of the whole chunk at once
                started = ticks() if timed else 0
                for v in range(v0, v1, U):
                    u = min(U, HP // V - v)
                    w, panel = S * u * V, v * S * V * z_rows
                    for i in range(times):
                        at = panel + ((entry + i) * B + first) * w + (S - NH) * u * V
                        before = low + i + 1 if reverse else low + i
                        call(product, h + SIZE * ((before * B + first) * H), H, 1, 0,
                             packed_h + SIZE * (v * NH * V * H), 0, z + SIZE * at, w,
                             z + SIZE * at, w, together, NH * u * V, H, 1, 0, turned)
                if timed:
                    clock[1] += ticks() - started
        started = ticks() if timed else 0
        for i in range(n):
            t = low + n - 1 - i if reverse else low + i
            before, now = (t + 1, t) if reverse else (t, t + 1)
{entries}
            uneven = masked and t >= shortest
            ahead = -U if t & 1 else U
            turned = t & 1  # so that a step begins with the weights that the last one ended with
            row_of_z = (t - low + entry) * B + first
            for begun in range(0, panels, group):
                until = min(panels, begun + group)
                for number in range(begun, begun if known else until):
                    v, u, w, at = place(z_rows, row_of_z, v0, panels, number, turned, HP)
                    if at_once:  # z has not left the nearest cache when U h comes to it
                        if timed:
                            clock[1] += ticks() - started
                            started = ticks()
                        from_x(addresses, x, packed_x, bias, z, z_rows, v, t * B + first, row_of_z,
                               rows, turned, I, HP)
                        if timed:
                            clock[0] += ticks() - started
                            started = ticks()
                    # z += U h_(t-1)
                    to = z + SIZE * (at + (S - NH) * u * V)
                    call(product, h + SIZE * ((before * B + first) * H), H, 1, 0,
                         packed_h + SIZE * (v * NH * V * H), 0, to, w, to, w,
                         rows, NH * u * V, H, 1, 0, turned)
                for number in range(begun, until):
                    v, u, w, at = place(z_rows, row_of_z, v0, panels, number, turned, HP)
                    unit = v * V
                    if not uneven:
                        call(addresses[FORWARD_PANEL], rows, u, H - unit, ahead,
                             z + SIZE * at, w{lasts}{news})
                        continue
                    for b in range(first, last):
                        if t < lengths[b]:
                            row = (b - first) * H
                            one = at + (b - first) * w
                            call(addresses[FORWARD_PANEL], 1, u, H - unit, ahead,
                                 z + SIZE * one, w{lasts_of_row}{news_of_row})
                            continue
                        row = (b - first) * H + unit
                        size = SIZE * (min(H, unit + u * V) - unit)
{copies}
            if masked and not known:
                unit = v0 * V
                for b in range(first, last):
                    if t < lengths[b]:
                        copy_bytes(output + SIZE * ((t * B + b) * H + unit),
                                   h + SIZE * ((now * B + b) * H + unit), ours)
            if team > 1:
                met += team
                meet(barrier, met)
        if timed:
            clock[1] += ticks() - started
    end = T - last_step if reverse else last_step
    for b in range(first, last):
{finals}
"""

_BACKWARD = """

@njit("void(i8[::1], i8, i8, i8, i8, i8, i8[::1], b1, i8, b1, b1, b1, i8, i8, i8, i8, i8, i8, i8, "
      "i8, i8, i8, i8[::1], i8, i8, i8, i8, i8{gradient_addresses})",
      cache={cache}, **INSIDE)
def backward_rows(addresses, doutput, zeros, z, dz, packed_h, lengths, masked, shortest, reverse,
                  records, has_doutput, first_step, last_step, z_rows, z_from, first, last, v0, v1,
                  barrier, team, clock, T, B, H, HP, depth{gradients}):
    product, rows, timed = addresses[PRODUCT], last - first, clock.shape[0] > 0
    met = (T - last_step) * team  # at the barrier, in the steps before
    started = ticks() if timed else 0
    vectors = HP // V
    full = vectors // U * U  # vectors of units in full panels
    columns = min(HP, v1 * V) - v0 * V  # of dh, those of our units
    outside_row = H if has_doutput else 0
    total_row = H if records else 0  # one row is written over and over: nobody reads it
    for step in range(last_step - 1, first_step - 1, -1):
        t = T - 1 - step if reverse else step
        before, now = (t + 1, t) if reverse else (t, t + 1)
{entries}
        uneven = masked and t >= shortest
        for v in range(v0, v1, U):
            u = min(U, vectors - v)
            w, unit = S * u * V, v * V
            at = v * S * V * z_rows + ((t - z_from) * B + first) * w
            outside = zeros
            if has_doutput:
                outside = doutput + SIZE * ((t * B + first) * H + unit)
            if not uneven:
                total = (t * B + first) * H + unit if records else first * H + unit
                carried = first * HP + unit
                call(addresses[BACKWARD_PANEL], rows, u, H - unit, U, z + SIZE * at, w,
                     dz + SIZE * at, w, outside, outside_row{places})
                continue
            for b in range(first, last):
                one = at + (b - first) * w
                if t >= lengths[b]:
                    copy_bytes(dz + SIZE * one, zeros, SIZE * w)
                    continue
                total = (t * B + b) * H + unit if records else b * H + unit
                if has_doutput:
                    outside = doutput + SIZE * ((t * B + b) * H + unit)
                carried, row = b * HP + unit, (b - first) * H
                call(addresses[BACKWARD_PANEL], 1, u, H - unit, U, z + SIZE * one, w,
                     dz + SIZE * one, w, outside, 0{places_of_row})
        if team > 1:
            met += team
            meet(barrier, met)
        # Meanwhile what the first panel of the step that comes next will read.
        if step > first_step:
            size = rows * H * SIZE
            row = ((t + 1 if reverse else t - 1) * B + first) * H + v0 * V
            if has_doutput:
                bring(doutput + SIZE * row, size, H * SIZE)
{brought}
        # dh_(t-1) += dz_t U
        to = carry_h + SIZE * (first * HP + v0 * V)
        row = (t - z_from) * B + first
        # Meanwhile the gates of the step that comes next, one row of panels before or behind.
        ahead = z - dz
        ahead += (B if reverse else -B) * S * U * V * SIZE
        if step == first_step:
            ahead = 0
        if full > 0:
            w = S * U * V
            call(product, dz + SIZE * (row * w + (S - NH) * U * V), w, 1, w * z_rows,
                 packed_h + SIZE * (v0 * V * NH * HP), 0, to, HP, to, HP, rows, columns,
                 NH * U * V, full // U, ahead, t & 1)
        if full < vectors:
            u = vectors - full
            w = S * u * V
            at = full * S * V * z_rows + row * w + (S - NH) * u * V
            call(product, dz + SIZE * at, w, 1, 0,
                 packed_h + SIZE * (v0 * V * NH * HP + full * V * NH * columns), 0, to, HP, to, HP,
                 rows, columns, NH * u * V, 1, ahead, t & 1)
    if timed:
        clock[1] += ticks() - started
"""


def source(cell: Cell, dtype: str, cache: bool = True) -> str:
    """The text of the module with the forward and backward loops of a cell.

    It is the same for all activations of a cell: the equations are called by address.
    """
    states, layout = cell.states, layout_of(cell)
    per_state = [name for s in states for name in (_array(s), f"carry_{s}", f"total_{s}")]
    element = {"float32": "f4", "float64": "f8"}[dtype]
    flat, matrix, cube = (f"{element}[{axes}]" for axes in ("::1", ":, ::1", ":, :, ::1"))
    fields = {
        "name": cell.name,
        "dtype": dtype,
        "state_names": ", ".join(states),
        "order": ", ".join(layout.order),
        "cache": cache,
        "f": flat,
        "m": matrix,
        "t": cube,
        "size": {"float32": 4, "float64": 8}[dtype],
        "slots": len(cell.slots),
        "fed_by_x": layout.fed_by_x,
        "fed_by_h": layout.fed_by_h,
        "vectors": layout.vectors,
        "x_blocks": list(layout.x_blocks),
        "h_blocks": list(layout.h_blocks),
        "chunk_rows": CHUNK_ROWS,
        "known_rows": KNOWN_ROWS,
        "few_rows": FEW_ROWS,
        "phases": PHASES,
        "counters": COUNTERS,
        "pieces": PIECES,
    }
    return (
        _HEADER.format(**fields)
        + (_FORWARD + FORWARD_SHARE).format(
            **fields,
            states=_joined(map(_array, states)),
            state_types=f", {cube}" * len(states),
            addresses=", i8" * len(states),
            state_addresses=_bases(map(_array, states)),
            copies=_copies(states),
            finals=_finals(states),
            entries=_entries(states, 12),
            lasts=_places(states, "before", "unit", 29),
            news=_places(states, "now", "unit", 29),
            lasts_of_row=_places(states, "before", "row + unit", 33),
            news_of_row=_places(states, "now", "row + unit", 33),
        )
        + STEP.format(
            **fields,
            states=_joined(map(_array, states)),
            state_types=f", {cube}" * len(states),
            state_addresses=_bases(map(_array, states)),
        )
        + (_BACKWARD + BACKWARD_SHARE).format(
            **fields,
            entries=_entries(states, 8),
            brought=_brought(cell),
            gradients=_joined(per_state),
            gradient_addresses=", i8" * len(per_state),
            gradient_bases=_bases(per_state),
            gradient_types=f", {cube}, {matrix}, {cube}" * len(states),
            places=_gradient_places(states, "unit", 21),
            places_of_row=_gradient_places(states, "row + unit", 21),
        )
    )


def _array(state: str) -> str:
    """The array of a state in the text; the prefix keeps a state "x" or "class" out of trouble."""
    return state if state == "h" else f"state_{state}"


def _joined(names: Iterable[str]) -> str:
    return "".join(f", {name}" for name in names)


def _bases(arrays: Iterable[str]) -> str:
    return "".join(f", address({name}, 0)" for name in arrays)


def _entries(states: tuple[str, ...], indent: int) -> str:
    """Where the rows of each state before and after the step begin."""
    lines = []
    for s in states:
        for when in ("before", "now"):
            entry = when if s == "h" else f"({when} % depth)"
            lines.append(f"{' ' * indent}{when}_{s} = ({entry} * B + first) * H")
    return "\n".join(lines)


def _places(states: tuple[str, ...], when: str, offset: str, indent: int) -> str:
    line = ",\n" + " " * indent
    return "".join(f"{line}{_array(s)} + SIZE * ({when}_{s} + {offset}), H" for s in states)


def _gradient_places(states: tuple[str, ...], offset: str, indent: int) -> str:
    line = ",\n" + " " * indent
    return "".join(
        _places((s,), "before", offset, indent)
        + _places((s,), "now", offset, indent)
        + f"{line}carry_{s} + SIZE * carried, HP"
        + f"{line}total_{s} + SIZE * total, total_row"
        for s in states
    )


def _brought(cell: Cell) -> str:
    """Ask for the rows of the states before the step, where the derivative reads them."""
    d = cell.derivative
    roots = [*d.slots.values(), *d.states.values(), *(e for e in d.last.values() if e is not None)]
    leaves = {e.payload for e in in_order(roots) if e.operation == "leaf"}
    lines = []
    for s in cell.states:
        if {("last", s), ("state", s)} & leaves:
            entry = "(before + before - now)" if s == "h" else "((before + before - now) % depth)"
            at = f"({entry} * B + first) * H + v0 * V"
            lines.append(f"            bring({_array(s)} + SIZE * ({at}), size, H * SIZE)")
    return "\n".join(lines)


def _copies(states: tuple[str, ...]) -> str:
    """The states of a sequence that has ended, as they were, for the units of a panel."""
    indent = " " * 24
    return "\n".join(
        f"{indent}copy_bytes({_array(s)} + SIZE * (now_{s} + row), "
        f"{_array(s)} + SIZE * (before_{s} + row), size)"
        for s in states
    )


def _finals(states: tuple[str, ...]) -> str:
    lines = []
    for number, s in enumerate(states):
        entry = "end" if s == "h" else "(end % depth)"
        lines.append(
            f"        copy_bytes(finals + SIZE * (({number} * B + b) * H + v0 * V),\n"
            f"                   {_array(s)} + SIZE * (({entry} * B + b) * H + v0 * V), ours)"
        )
    return "\n".join(lines)
