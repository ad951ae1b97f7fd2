"""Backward on the processor: BPTT step by step, then the large products over time and batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minirnn.errors import ArgumentError
from minirnn.kernels import staged
from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.contract import Array, Gradients, Needs, check_gradients
from minirnn.kernels.cpu import forward_pass, pool, threads
from minirnn.kernels.cpu.clock import Watch
from minirnn.kernels.cpu.plan import (
    GRADIENT_ROWS,
    NO_LENGTHS,
    NOTHING,
    Cut,
    Slice,
    cut_up,
    meeting_place,
    plain,
    plan_of,
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
    T, B, _, H, _ = tape.sizes
    dtype = tape.x.dtype
    dstates = tuple(dstate) if dstate is not None else (None,) * len(cell.states)
    check_gradients(cell, doutput, dstates, (T, B, H), dtype)
    tape.begin_backward()
    work = _Backward(tape, needs, doutput, dstates)
    if T > 0:
        work.run()
    if tape.keep == "record":
        tape.dz, tape.totals = work.dz, work.totals
        tape.doutput, tape.dstate_h = doutput, dstates[0]
    else:  # the buffers can go now, whoever still holds the tape
        tape.forget()
    return work.gradients()


class _Backward:
    """The buffers of one backward pass, and what each thread does with them."""

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
        dtype = tape.x.dtype
        self.plan = plan = plan_of(tape.cell, dtype)
        self.records = tape.keep == "record"
        self.masked = tape.lengths is not None
        self.lengths = NO_LENGTHS if tape.lengths is None else tape.lengths
        self.shortest = int(self.lengths.min()) if self.masked else T
        self.weights = [plan.no_bias if w is None else plain(w) for w in tape.weights]
        # A row of zeros: where no gradient arrives, and what sums begin with. Behind them a 1.
        row = plan.slots * plan.layout.vectors * plan.lanes
        self.zeros = np.zeros(max(width, HP, row) + 1, dtype)
        self.zeros[-1] = 1
        self.doutput = self.zeros[None, None] if doutput is None else plain(doutput)
        self.has_doutput = doutput is not None
        # Some steps at a time: their dz is still in the cache when the products come to it.
        self.steps = tape.interval or forward_pass.cached_steps(plan, tape.sizes)
        if tape.interval:  # nothing was kept but h and checkpoints of the other states
            self.z_rows = plan.z_rows(tape.interval, B)
            self.z = pool.empty((self.z_rows * plan.slots * HP,), dtype)
            rebuilt = [pool.empty((tape.interval + 1, B, H), dtype) for _ in tape.states[1:]]
            self.states = (tape.states[0], *rebuilt)
            self.workspace = forward_pass.forward_workspace(plan, tape.sizes)
        else:
            self.z_rows, self.z, self.states = tape.z_rows, tape.z, tape.states
        self.depth = self.states[-1].shape[0]
        self.dz = pool.empty(tape.z.shape, dtype) if self.records else self.z
        if self.records:
            empty = pool.zeros if self.masked else pool.empty
            self.totals = tuple([empty((T, B, H), dtype) for _ in tape.cell.states])
        else:  # somewhere to write what nobody asks for
            self.totals = (pool.empty((1, B, H), dtype),) * len(tape.cell.states)
        self.carries = []
        for gradient in dstates:
            carry = pool.zeros((B, HP), dtype)
            if gradient is not None:
                carry[:, :H] = gradient
            self.carries.append(carry)
        self.dx = pool.empty((T, B, width), dtype) if needs.x else None
        self.wanted = [
            pool.empty(w.shape, dtype) if need and w is not None else None
            for w, need in zip(tape.weights, needs[2:], strict=True)
        ]
        self.wants_sums = any(w is not None for w in self.wanted)

    def run(self) -> None:
        """Backpropagation through time, then or meanwhile the products over time and batch."""
        tape, plan = self.tape, self.plan
        T, B, width, H, _ = tape.sizes
        each = 2.0 * plan.slots * B * H
        at_once = each * min(T, self.steps)
        xs = (self.dx is not None) + (self.wanted[0] is not None)
        products = at_once * (width * xs + H * (self.wanted[1] is not None))
        cut = cut_up(plan, tape.sizes, each * T * H, products)
        try:
            count = max(len(cut.slices), cut.products)
            self._allocate(count)
            parts = range((T - 1) // self.steps + 1)
            # A team counts its steps from the last one on, so it goes through all of them.
            if cut.team > 1 or 2 * len(cut.slices) > count:  # they start but once
                self._share_out(cut, len(cut.slices), parts, True, True)
            else:  # steps that few threads can go back through: no others shall wait meanwhile
                for part in reversed(parts):
                    some = range(part, part + 1)
                    self._share_out(cut, len(cut.slices), some, True, False)
                    self._share_out(cut, count, some, False, True)
        finally:
            cut.release()
        self.watch.lap()

    def _allocate(self, count: int) -> None:
        """What is used by the way: packed weights, sums over time and batch, room of each thread.

        All of it in one piece, because every piece takes its microsecond.
        """
        plan = self.plan
        T, B, width, H, HP = self.tape.sizes
        layout, lanes = plan.layout, plan.lanes
        columns = -(-width // lanes) * lanes if self.dx is not None else 0
        after_packed = layout.fed_by_h * HP * HP + layout.fed_by_x * HP * columns
        after_sums = after_packed
        if self.wants_sums:
            after_sums += (width + H + 1) * plan.slots * HP
        self.chunk = min(GRADIENT_ROWS, B * min(T, self.steps))
        room = self.chunk * plan.tiled_width
        if self.masked:
            room += self.chunk * (width + H) + 2 * lanes
        all_of_it = pool.aligned(after_sums + -(-room // lanes) * lanes * count, plan.dtype)
        self.packed, self.sums = all_of_it[:after_packed], all_of_it[after_packed:after_sums]
        self.room = all_of_it[after_sums:]

    def _share_out(self, cut: Cut, count: int, parts: range, loops: bool, multiplies: bool) -> None:
        """Let `count` threads go back through some parts, from the last step on."""
        tape, plan = self.tape, self.plan
        T, steps = tape.sizes.T, self.steps
        meeting = meeting_place(parts.stop)
        none = (plan.no_weight, plan.no_weight, plan.no_bias, plan.no_bias)
        targets = [n if w is None else w for w, n in zip(self.wanted, none, strict=True)]
        wants = [w is not None for w in self.wanted]
        has_dx = self.dx is not None
        dx = self.dx if self.dx is not None else self.zeros[None, None]
        per_state = [
            a for each in zip(self.states, self.carries, self.totals, strict=True) for a in each
        ]
        # Gates are rebuilt part by part; otherwise a thread goes through all of them in one call.
        stretches = [(p, p + 1) for p in reversed(parts)]
        if not tape.interval:
            stretches = [(parts.start, parts.stop)]

        def share(member: int) -> None:
            part = cut.slices[member] if loops else NOTHING
            ticks, met = self.watch.ticks(), 0
            rebuild_ticks = self.watch.ticks("rebuild") if tape.interval else ticks
            for begin, end in stretches:
                first, last = begin * steps, min(T, end * steps)
                begins, ends, z_from = last == T, first == 0, 0
                if tape.interval:
                    z_from = T - last if tape.reverse else first
                if tape.interval and loops:
                    met = self._rebuild(
                        first, last, z_from, part, member, count, meeting, met, rebuild_ticks
                    )
                met = plan.kernels.backward_share(
                    plan.addresses, self.weights[0], self.weights[1], tape.x, self.doutput,
                    self.zeros, self.z, self.dz, self.packed, self.room, self.lengths, self.masked,
                    self.shortest, tape.reverse, self.records, self.has_doutput, loops and begins,
                    loops, multiplies and (has_dx or self.wants_sums),
                    multiplies and ends and self.wants_sums, has_dx, wants[0], wants[1],
                    wants[2] or wants[3], begins, first, last, steps, self.z_rows, z_from, *part,
                    member, count, cut.team, meeting, met, ticks, self.chunk, self.sums, dx,
                    *targets, *tape.sizes, self.depth, *per_state,
                )  # fmt: skip

        threads.run_each(share, count, meeting)

    def _rebuild(
        self, first: int, last: int, low: int, part: Slice, member: int, count: int,
        meeting: Array, met: int, ticks: Array,
    ) -> int:  # fmt: skip
        """The gates of some steps once more, from x, h and a checkpoint of the other states."""
        tape, plan = self.tape, self.plan
        T, B, _, H, _ = tape.sizes
        entry = (T - first if tape.reverse else first) % self.depth
        units, rows = slice(part.v0 * plan.lanes, part.v1 * plan.lanes), slice(*part[:2])
        for s, kept in zip(self.states[1:], tape.states[1:], strict=True):
            s[entry, rows, units] = kept[first // tape.interval, rows, units]
        finals = np.empty((len(self.states), B, H), plan.dtype)  # nobody asks
        met = plan.kernels.forward_share(
            plan.addresses, *self.weights, tape.x, self.workspace, self.z, tape.states[0], finals,
            self.lengths, self.masked, self.shortest, tape.reverse, True, True, last == T, first,
            last, last - first, self.z_rows, low, *part, member, count, 1, meeting, met, ticks,
            *tape.sizes, self.depth, *self.states,
        )  # fmt: skip
        return int(met)

    def gradients(self) -> Gradients:
        """All that was asked for."""
        H = self.tape.sizes.H
        if self.tape.sizes.T == 0:
            for gradient in self.wanted:
                if gradient is not None:
                    gradient.fill(0)
        needs = self.needs
        state = tuple([carry[:, :H].copy() for carry in self.carries]) if needs.state else None
        self.watch.stop()
        return Gradients(self.dx, state, *self.wanted)
