"""Forward and backward on the processor: allocate, pack, cut the work in slices, call the loops."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple, NoReturn

import numpy as np

from minirnn.errors import ArgumentError, DTypeError, ShapeError
from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.contract import Array, Gradients, Keep, Needs, Weights, check_call
from minirnn.kernels.cpu import threads
from minirnn.kernels.cpu.tape import CpuTape

# A packed chunk of x or h stays in the cache while every gate's rows pass over it.
CHUNK_ELEMENTS = 32_768


class _Plan(NamedTuple):
    """What depends only on the cell and the dtype."""

    forward_rows: Any
    forward_alone: Any
    backward_rows: Any
    shared: Any
    lanes: int
    no_bias: Array  # (0,) and (0, 0): stand for a bias or a weight gradient that is not there
    no_weight: Array
    input_runs: Array  # (runs, 2) int64: first slot, how many
    hidden_runs: Array
    input_slots: Array  # number of each slot fed by x, in block order
    hidden_slots: Array


@cache
def _plan(cell: Cell, dtype: np.dtype[Any]) -> _Plan:
    from minirnn.kernels.cpu import build, product, sequence

    kernels = build.kernels_of(cell, dtype.name)
    slots = list(cell.slots)
    return _Plan(
        kernels.forward_rows,
        kernels.forward_alone,
        kernels.backward_rows,
        build.shared_of(dtype.name),
        product.lanes_of(dtype.name),
        np.empty(0, dtype),
        np.empty((0, 0), dtype),
        np.array(sequence.runs(cell, "x"), dtype=np.int64),
        np.array(sequence.runs(cell, "h"), dtype=np.int64),
        np.array([slots.index(s) for s in cell.input_slots], dtype=np.int64),
        np.array([slots.index(s) for s in cell.hidden_slots], dtype=np.int64),
    )


def warm_up(cell: Cell, dtype: str = "float32") -> None:
    """Compile (or load) everything that a cell needs in a dtype, ahead of its first use."""
    _plan(cell, np.dtype(dtype))


def generated_source(cell: Cell, dtype: str = "float32") -> str:
    """The text of the sequence loop that is compiled for a cell."""
    from minirnn.kernels.cpu.sequence import source

    return source(cell, dtype)


_NO_LENGTHS = np.zeros(1, dtype=np.int64)


def forward(
    cell: Cell,
    x: Array,
    state: Sequence[Array],
    weights: Weights,
    *,
    lengths: Array | None = None,
    keep: Keep = "nothing",
    reverse: bool = False,
) -> tuple[Array, tuple[Array, ...], CpuTape | None]:
    """Run a cell over a sequence; arguments, results and errors as in `contract`."""
    T, B, width, H = check_call(cell, x, state, weights, lengths, keep)
    dtype = x.dtype
    plan = _plan(cell, dtype)
    lanes = plan.lanes
    HP = -(-H // lanes) * lanes
    slots = len(cell.slots)
    keeps = keep != "nothing"
    x = _plain(x)
    flat_lengths = _NO_LENGTHS if lengths is None else np.ascontiguousarray(lengths, dtype=np.int64)
    masked = lengths is not None

    z = np.empty((T if keeps else 1) * B * slots * HP, dtype)
    buffers = []
    depth = T + 1 if keeps else 2
    initial = T if reverse else 0
    for name, values in zip(cell.states, state, strict=True):
        entries = T + 1 if name == "h" else depth
        buffer = np.empty((entries, B, H), dtype)
        buffer[initial % entries] = values
        buffers.append(buffer)
    h = buffers[0]
    output = np.zeros((T, B, H), dtype) if masked else (h[:T] if reverse else h[1:])

    finals = np.empty((len(buffers), B, H), dtype)
    after_x = len(cell.input_slots) * HP * width
    after_h = after_x + len(cell.hidden_slots) * HP * H
    workspace = np.empty(after_h + slots * HP, dtype)
    given = [plan.no_bias if w is None else _plain(w) for w in weights]
    operations = 2.0 * T * B * slots * H * (width + H)
    if threads.parts(B, operations) == 1:
        plan.forward_alone(
            *given, x, workspace, z, output, finals, flat_lengths, masked, reverse, keeps,
            T, B, width, H, HP, depth, *buffers,
        )  # fmt: skip
    else:
        packed_x, packed_h = workspace[:after_x], workspace[after_x:after_h]
        bias = workspace[after_h:].reshape(slots, HP)
        plan.shared.pack_forward(
            *given, plan.input_runs, plan.hidden_runs, H, HP, width, packed_x, packed_h, bias
        )

        def rows(first: int, last: int) -> None:
            plan.forward_rows(
                x, packed_x, packed_h, bias, z, output, finals, flat_lengths, masked, reverse,
                keeps, first, last, T, B, width, H, HP, depth, *buffers,
            )  # fmt: skip

        threads.run(rows, B, operations)
    last_state = tuple(finals)
    if not keeps:
        return output, last_state, None
    tape = CpuTape(
        cell, keep, reverse, (T, B, width, H, HP), x, weights,
        flat_lengths if masked else None, z, tuple(buffers),
    )  # fmt: skip
    return output, last_state, tape


def backward(
    cell: Cell,
    doutput: Array | None,
    dstate: Sequence[Array | None] | None,
    tape: CpuTape,
    *,
    needs: Needs,
) -> Gradients:
    """Backpropagation through time; arguments and results as in `contract`.

    Raises: TapeError if the tape was used before; ShapeError or DTypeError for a gradient that does
    not fit.
    """
    if tape.cell is not cell:
        raise ArgumentError("cell", repr(cell), f"the cell of the tape, {tape.cell!r}")
    T, B, width, H, HP = tape.sizes
    dtype = tape.z.dtype
    dstates = tuple(dstate) if dstate is not None else (None,) * len(cell.states)
    _check_gradients(cell, doutput, dstates, (T, B, H), dtype)
    tape.begin_backward()
    plan = _plan(cell, dtype)
    slots, weights = len(cell.slots), tape.weights
    records = tape.keep == "record"
    masked = tape.lengths is not None
    flat_lengths = tape.lengths if tape.lengths is not None else _NO_LENGTHS

    dz = np.empty_like(tape.z) if records else tape.z
    empty = np.zeros if masked else np.empty
    totals = tuple([empty((T if records else 1, B, H), dtype) for _ in cell.states])
    carries = []
    for gradient in dstates:
        carry = np.zeros((B, HP), dtype)
        if gradient is not None:
            carry[:, :H] = gradient
        carries.append(carry)
    IP = -(-width // plan.lanes) * plan.lanes
    packed_h = np.empty(len(cell.hidden_slots) * H * HP, dtype)
    packed_x = np.empty(len(cell.input_slots) * H * IP if needs.x else 0, dtype)
    plan.shared.pack_backward(
        _plain(weights.weight_ih), _plain(weights.weight_hh), len(cell.hidden_slots),
        H, HP, width, IP, needs.x, packed_x, packed_h,
    )  # fmt: skip
    nothing = np.zeros(H, dtype)  # a row of gradients where none arrive
    none = nothing[None, None]
    dx = np.zeros((T, B, width), dtype) if needs.x else none
    given = none if doutput is None else _plain(doutput)
    per_state = [a for arrays in zip(tape.states, carries, totals, strict=True) for a in arrays]

    def rows(first: int, last: int) -> None:
        plan.backward_rows(
            given, nothing, tape.z, dz, packed_h, packed_x, dx, flat_lengths, masked,
            tape.reverse, records, doutput is not None, needs.x,
            first, last, T, B, width, H, HP, IP, *per_state,
        )  # fmt: skip

    operations = 2.0 * T * B * slots * H * (H + (width if needs.x else 0))
    threads.run(rows, B, operations)
    if records:
        tape.dz, tape.totals = dz, totals
        tape.doutput, tape.dstate_h = doutput, dstates[0]
    dw_ih, dw_hh, db_ih, db_hh = _parameter_gradients(plan, tape, dz, needs)
    if not records:
        tape.z, tape.x = nothing, none  # the buffers can go now, whoever still holds the tape
        tape.states = ()
    return Gradients(
        dx if needs.x else None,
        tuple(carry[:, :H].copy() for carry in carries) if needs.state else None,
        dw_ih, dw_hh, db_ih, db_hh,
    )  # fmt: skip


def _parameter_gradients(
    plan: _Plan, tape: CpuTape, dz: Array, needs: Needs
) -> tuple[Array | None, Array | None, Array | None, Array | None]:
    """dW, dU and both biases': large sums over (t, b) after the loop, cut by hidden units."""
    T, B, width, H, HP = tape.sizes
    slots, dtype = len(tape.cell.slots), dz.dtype
    lengths = _NO_LENGTHS if tape.lengths is None else tape.lengths
    wanted = [
        np.zeros(w.shape, dtype) if need and w is not None else None
        for w, need in zip(tape.weights, needs[2:], strict=True)
    ]
    columns = (width if needs.weight_ih else 0) + (H if needs.weight_hh else 0) + 1
    if all(w is None for w in wanted):
        return None, None, None, None
    none = (plan.no_weight, plan.no_weight, plan.no_bias, plan.no_bias)
    targets = [n if w is None else w for w, n in zip(wanted, none, strict=True)]
    widest = -(-max(width, H) // plan.lanes) * plan.lanes
    chunk = widest * max(16, min(256, T * B, CHUNK_ELEMENTS // widest))

    def units(first: int, last: int) -> None:
        plan.shared.parameter_gradients(
            dz, HP, slots * HP, tape.x, tape.states[0], B * H if tape.reverse else 0,
            T, B, width, H, lengths, tape.lengths is not None, plan.input_slots,
            plan.hidden_slots, *targets, np.empty(chunk, dtype), first, last,
        )  # fmt: skip

    threads.run(units, H, 2.0 * T * B * slots * H * columns)
    return wanted[0], wanted[1], wanted[2], wanted[3]


def _plain(array: Array) -> Array:
    """The array as the kernels take it: C-contiguous, aligned, writable; copied if it is not."""
    return array if array.flags.carray else np.array(array, order="C")


def _check_gradients(
    cell: Cell,
    doutput: Array | None,
    dstates: tuple[Array | None, ...],
    shape: tuple[int, int, int],
    dtype: np.dtype[Any],
) -> None:
    if len(dstates) != len(cell.states):
        raise ArgumentError("dstate", f"{len(dstates)} array(s)", f"{len(cell.states)}")
    if doutput is not None and (doutput.shape != shape or doutput.dtype != dtype):
        _refuse("doutput", doutput, shape, dtype)
    for name, gradient in zip(cell.states, dstates, strict=True):
        if gradient is not None and (gradient.shape != shape[1:] or gradient.dtype != dtype):
            _refuse(f"dstate {name!r}", gradient, shape[1:], dtype)


def _refuse(name: str, gradient: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NoReturn:
    if gradient.shape != shape:
        raise ShapeError(name, f"shape {gradient.shape}", f"{shape}")
    raise DTypeError(name, gradient.dtype.name, dtype.name)
