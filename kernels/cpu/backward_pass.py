"""Backward on the processor: BPTT step by step, then the large products over time and batch."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from minirnn.errors import ArgumentError
from minirnn.kernels import staged
from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.contract import Array, Gradients, Needs, check_gradients
from minirnn.kernels.cpu import forward_pass, pool, threads
from minirnn.kernels.cpu.backward_alone import backward_alone
from minirnn.kernels.cpu.clock import Watch
from minirnn.kernels.cpu.plan import (
    GRADIENT_ROWS,
    NO_LENGTHS,
    Slice,
    plain,
    plan_of,
    run_slices,
    sliced,
)
from minirnn.kernels.cpu.tape import CpuTape
from minirnn.kernels.staged import StagedTape


def backward(
    cell: Cell,
    doutput: Array | None,
    dstate: Sequence[Array | None] | None,
    tape: CpuTape | StagedTape,
    *,
    needs: Needs,
) -> Gradients:
    """Backpropagation through time; arguments and results as in `contract`.

    Raises: TapeError if the tape was used before; ShapeError or DTypeError for a gradient that does
    not fit.
    """
    if isinstance(tape, StagedTape):
        return staged.backward(backward, np, cell, doutput, dstate, tape, needs=needs)
    if tape.cell is not cell:
        raise ArgumentError("cell", repr(cell), f"the cell of the tape, {tape.cell!r}")
    T, B, width, H, _ = tape.sizes
    dtype = tape.x.dtype
    dstates = tuple(dstate) if dstate is not None else (None,) * len(cell.states)
    check_gradients(cell, doutput, dstates, (T, B, H), dtype)
    tape.begin_backward()
    operations = 2.0 * T * B * len(cell.slots) * H * (width + H)
    if T > 0 and not tape.interval and threads.is_small(operations):
        return backward_alone(tape, needs, doutput, dstates)
    work = _Backward(tape, needs, doutput, dstates)
    if tape.interval:
        for first in reversed(range(0, T, tape.interval)):
            work.rebuild_and_go_back(first, min(T, first + tape.interval))
    else:
        # Some steps at a time: their dz is still in the cache when the products come to it.
        steps = forward_pass.cached_steps(work.plan, tape.sizes)
        for first in reversed(range(0, T, steps)):
            last = min(T, first + steps)
            low = T - last if tape.reverse else first
            work.go_back(_Part(first, last, low, tape.z_rows, 0, tape.z, work.dz, tape.states))
    if tape.keep == "record":
        tape.dz, tape.totals = work.dz, work.totals
        tape.doutput, tape.dstate_h = doutput, dstates[0]
    else:  # the buffers can go now, whoever still holds the tape
        tape.forget()
    return work.gradients()


PIECES = 4  # of the products over time and batch, for each thread


class _Part(NamedTuple):
    """Some steps, and what is kept of them."""

    first: int  # steps
    last: int
    low: int  # the earliest time
    z_rows: int  # in a panel of z and dz
    z_from: int  # the time of the first of them
    z: Array
    dz: Array
    states: tuple[Array, ...]

    @property
    def steps(self) -> int:
        """How many."""
        return self.last - self.first


class _Backward:
    """The buffers of one backward pass, and its phases."""

    def __init__(
        self,
        tape: CpuTape,
        needs: Needs,
        doutput: Array | None,
        dstates: tuple[Array | None, ...],
    ) -> None:
        self.watch = Watch("backward")
        self.tape, self.needs = tape, needs
        T, B, width, H, HP = tape.sizes
        self.dtype = dtype = tape.x.dtype
        self.plan = plan = plan_of(tape.cell, dtype)
        self.records = tape.keep == "record"
        self.masked = tape.lengths is not None
        self.lengths = NO_LENGTHS if tape.lengths is None else tape.lengths
        self.shortest = int(self.lengths.min()) if self.masked else T
        self.weights = [plan.no_bias if w is None else plain(w) for w in tape.weights]
        # A row of zeros: where no gradient arrives, and what sums begin with.
        row = plan.slots * plan.layout.vectors * plan.lanes
        self.zeros = np.zeros(max(width, HP, row), dtype)
        self.nothing = self.zeros[None, None]
        self.doutput = None if doutput is None else plain(doutput)
        self.dz = pool.empty(tape.z.shape, dtype) if self.records else tape.z
        empty = pool.zeros if self.masked else pool.empty
        self.totals = tuple(
            [empty((T if self.records else 1, B, H), dtype) for _ in tape.cell.states]
        )
        self.carries = []
        for gradient in dstates:
            carry = pool.zeros((B, HP), dtype)
            if gradient is not None:
                carry[:, :H] = gradient
            self.carries.append(carry)
        self.dx = pool.empty((T, B, width), dtype) if needs.x else None
        self.packed_x: Array | None = None
        self.packed_h: tuple[list[tuple[int, int]], Array] | None = None
        self.packed: tuple[Array, ...] | None = None
        wants_bias = needs.bias_ih and tape.weights.bias_ih is not None
        wants_bias |= needs.bias_hh and tape.weights.bias_hh is not None
        self.wants = needs.weight_ih, needs.weight_hh, wants_bias
        self.sums: Array | None = None

    def rebuild_and_go_back(self, first: int, last: int) -> None:
        """The gates of some steps once more, from x, h and a checkpoint; then back through them."""
        tape, plan = self.tape, self.plan
        T, B, _, H, HP = tape.sizes
        steps = last - first
        if self.packed is None:
            workspace = forward_pass.forward_workspace(plan, tape.sizes, self.dtype)
            self.packed = forward_pass.pack_forward(plan, tape.sizes, self.weights, workspace)
            self.watch.lap("pack")
            most = plan.z_rows(tape.interval, B)
            self.z = pool.empty((most * plan.slots * HP,), self.dtype)
            self.rebuilt = [
                pool.empty((tape.interval + 1, B, H), self.dtype) for _ in tape.states[1:]
            ]
        depth = tape.interval + 1
        entry = (T - first if tape.reverse else first) % depth
        for s, kept in zip(self.rebuilt, tape.states[1:], strict=True):
            s[entry] = kept[first // tape.interval]
        low = T - last if tape.reverse else first
        states = (tape.states[0], *self.rebuilt)
        finals = np.empty((len(states), B, H), self.dtype)
        z, z_rows = self.z, plan.z_rows(tape.interval, B)

        def rebuild(part: Slice, barrier: Array, team: int) -> None:
            assert self.packed is not None
            plan.kernels.forward_rows(
                plan.routines, tape.x, *self.packed, z, tape.states[0], finals, self.lengths,
                self.masked, self.shortest, tape.reverse, True, True, first, last, steps, z_rows,
                low, *part, barrier, 1, self.watch.ticks("rebuild"), *tape.sizes, depth, *states,
            )  # fmt: skip

        with sliced(plan, tape.sizes, self._operations(steps, True, True)) as cut:
            run_slices(rebuild, cut)
        self.watch.lap()
        self.go_back(_Part(first, last, low, z_rows, low, z, z, states))

    def go_back(self, part: _Part) -> None:
        """Backpropagation through some steps, then their share of dx and of the weights'."""
        tape, plan = self.tape, self.plan
        T, B, _, H, HP = tape.sizes
        depth = part.states[-1].shape[0] if len(part.states) > 1 else T + 1
        per_state = [
            a for each in zip(part.states, self.carries, self.totals, strict=True) for a in each
        ]
        doutput = self.nothing if self.doutput is None else self.doutput

        def bptt(rows: Slice, barrier: Array, team: int) -> None:
            plan.kernels.backward_rows(
                plan.routines, doutput, self.zeros, part.z, part.dz, packed_h, self.lengths,
                self.masked, self.shortest, tape.reverse, self.records, self.doutput is not None,
                part.first, part.last, part.z_rows, part.z_from, *rows, barrier, team,
                self.watch.ticks(), T, B, H, HP, depth, *per_state,
            )  # fmt: skip

        with sliced(plan, tape.sizes, self._operations(part.steps, False, True)) as cut:
            packed_h = self._pack_h(cut)
            run_slices(bptt, cut)
        self.watch.lap()
        if self.dx is not None or any(self.wants):
            self._products(part)

    def _operations(self, steps: int, x: float, h: float) -> float:
        _, B, width, H, _ = self.tape.sizes
        return 2.0 * steps * B * self.plan.slots * H * (width * x + H * h)

    def _pack_h(self, cut: list[Slice]) -> Array:
        """U for dz U, packed once for each share of its columns."""
        _, _, _, H, HP = self.tape.sizes
        shares = sorted({(each.v0, each.v1) for each in cut})
        if self.packed_h is None or self.packed_h[0] != shares:
            plan = self.plan
            packed = pool.empty((plan.layout.fed_by_h * HP * HP,), self.dtype)
            for v0, v1 in shares:
                self._pack_rows(
                    self.weights[1], plan.h_blocks, H, v0 * plan.lanes, v1 * plan.lanes, packed
                )
            self.packed_h = shares, packed
            self.watch.lap("pack")
        return self.packed_h[1]

    def _pack_rows(
        self, weight: Array, blocks: Array, real: int, first: int, last: int, packed: Array
    ) -> None:
        _, _, _, H, HP = self.tape.sizes
        plan = self.plan

        def some(part: int, parts: int) -> None:
            plan.shared.pack_rows(
                plan.routines, weight, blocks, plan.layout.vectors, H, HP, real, first, last,
                packed, part, parts,
            )  # fmt: skip

        size = len(blocks) * HP * (last - first)
        threads.run_parts(some, -(-(last - first) // plan.lanes), threads.MOVING * size)

    def _products(self, part: _Part) -> None:
        """dx, and the sums over time and batch: each thread takes a share of either."""
        plan = self.plan
        _, B, width, H, HP = self.tape.sizes
        input_gradient, weight_gradients = self._input_gradient(part), self._weight_gradients(part)
        panels = plan.panels(HP)
        rows, sums = part.steps * B, panels * (width + H + 1)
        wants_x, wants_h, _ = self.wants
        count = threads.parts(
            max(rows, sums),
            self._operations(part.steps, x=bool(input_gradient) + wants_x, h=wants_h),
        )
        times = [self.watch.ticks() for _ in range(count)]

        # More pieces than threads: one that starts late, or is held up, takes fewer.
        pieces = PIECES * count if count > 1 else 1
        taken = itertools.count()

        def share(i: int) -> None:
            while (piece := next(taken)) < pieces:
                if input_gradient is not None:
                    with self.watch.counting(times[i], "input gradient"):
                        input_gradient(rows * piece // pieces, rows * (piece + 1) // pieces)
                if weight_gradients is not None:
                    with self.watch.counting(times[i], "weight gradients"):
                        weight_gradients(sums * piece // pieces, sums * (piece + 1) // pieces)

        threads.run_each(share, count)
        self.watch.lap()

    def _input_gradient(self, part: _Part) -> Callable[[int, int], None] | None:
        """What computes some rows of dx."""
        plan = self.plan
        _, B, width, _, HP = self.tape.sizes
        if self.dx is None:
            return None
        if self.packed_x is None:
            columns = -(-width // plan.lanes) * plan.lanes
            self.packed_x = pool.empty((plan.layout.fed_by_x * HP * columns,), self.dtype)
            self._pack_rows(self.weights[0], plan.x_blocks, width, 0, width, self.packed_x)
            self.watch.lap("pack")
        packed = self.packed_x
        dx = self.dx[part.low : part.low + part.steps].reshape(-1, width)

        def rows(first: int, last: int) -> None:
            plan.shared.input_gradient(
                plan.routines, part.dz, part.z_rows, (part.low - part.z_from) * B, packed,
                self.zeros, plan.layout.vectors, plan.slots, plan.layout.fed_by_x, HP, width, dx,
                first, last,
            )  # fmt: skip

        return rows

    def _weight_gradients(self, part: _Part) -> Callable[[int, int], None] | None:
        """What computes some rows of the sums."""
        tape, plan = self.tape, self.plan
        _, B, width, H, HP = tape.sizes
        if not any(self.wants):
            return None
        fresh = self.sums is None
        if self.sums is None:
            self.sums = pool.empty(((width + H + 1) * plan.slots * HP,), self.dtype)
        sums = self.sums
        x = tape.x[part.low : part.low + part.steps].reshape(-1, width)
        h = tape.states[0].reshape(-1, H)
        h_at = (part.low + (1 if tape.reverse else 0)) * B * H
        chunk = min(GRADIENT_ROWS, part.steps * B)

        def rows(first: int, last: int) -> None:
            if first == last:
                return
            clean = np.empty(chunk * (width + H) if self.masked else 0, self.dtype)
            turned = np.empty(chunk * plan.tiled_width, self.dtype)
            plan.shared.weight_gradients(
                plan.routines, part.dz, part.z_rows, (part.low - part.z_from) * B, x, h, h_at,
                self.zeros, plan.one, B, width, H, HP, plan.layout.vectors, plan.slots,
                plan.layout.fed_by_x, plan.layout.fed_by_h, self.lengths, part.low, self.masked,
                tape.reverse, *self.wants, fresh, chunk, clean, turned, sums, first, last,
            )  # fmt: skip

        return rows

    def gradients(self) -> Gradients:
        """All that was asked for."""
        _, _, width, H, HP = self.tape.sizes
        plan, needs = self.plan, self.needs
        wanted = [
            pool.empty(w.shape, self.dtype) if need and w is not None else None
            for w, need in zip(self.tape.weights, needs[2:], strict=True)
        ]
        sums = self.sums
        if sums is not None:
            none = (plan.no_weight, plan.no_weight, plan.no_bias, plan.no_bias)
            targets = [n if w is None else w for w, n in zip(wanted, none, strict=True)]

            def some(first: int, last: int) -> None:
                plan.shared.unpack_gradients(
                    plan.routines, sums, plan.x_blocks, plan.h_blocks, plan.layout.vectors,
                    plan.slots, width, H, HP, *targets, first, last,
                )  # fmt: skip

            panels = plan.panels(HP)
            threads.run(some, panels, threads.MOVING * sums.size)
        else:  # no steps
            for gradient in wanted:
                if gradient is not None:
                    gradient.fill(0)
        state = tuple([carry[:, :H].copy() for carry in self.carries]) if needs.state else None
        self.watch.lap("pack")
        self.watch.stop()
        return Gradients(self.dx, state, *wanted)
