"""Backward on the GPU: BPTT through the steps, then the large products over time and batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from minirnn.errors import ArgumentError, DeviceError
from minirnn.kernels import staged
from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.contract import Array, Gradients, Needs, check_gradients
from minirnn.kernels.cuda.clock import Watch
from minirnn.kernels.cuda.forward_pass import (
    add_from_h,
    enough_memory,
    fill_from_x,
    pack_bias,
    runs,
)
from minirnn.kernels.cuda.packing import Packing
from minirnn.kernels.cuda.products import C_ITSELF, ZERO, Matrix, Operand, Products
from minirnn.kernels.cuda.steps import Span, State, Steps
from minirnn.kernels.cuda.tape import CudaTape
from minirnn.kernels.slots import slot_order
from minirnn.kernels.staged import StagedTape


def backward(
    cell: Cell,
    doutput: Array | None,
    dstate: Sequence[Array | None] | None,
    tape: CudaTape | StagedTape,
    *,
    needs: Needs,
) -> Gradients:
    """Backpropagation through time; arguments and results as in `contract`.

    The products' precision is that of the forward pass; in "float16" those of gradients are tf32's.

    Raises: TapeError if the tape was used before; ShapeError, DTypeError or DeviceError for a
    gradient that does not fit.
    """
    if isinstance(tape, StagedTape):
        import cupy

        _check_on_gpu(cell, tape.inner, doutput, tuple(dstate or ()))
        with enough_memory():
            return staged.backward(backward, cupy, cell, doutput, dstate, tape, needs=needs)
    if tape.cell is not cell:
        raise ArgumentError("cell", repr(cell), f"the cell of the tape, {tape.cell!r}")
    T, B, _, H = tape.sizes
    dstates = tuple(dstate) if dstate is not None else (None,) * len(cell.states)
    _check_on_gpu(cell, tape, doutput, dstates)
    check_gradients(cell, doutput, dstates, (T, B, H), tape.dtype)
    tape.begin_backward()
    with enough_memory():
        work = _Backward(tape, needs, doutput, dstates)
        if tape.interval:
            for first in reversed(range(0, T, tape.interval)):
                work.go_back(work.rebuilt(Span(first, min(T, first + tape.interval))))
        elif tape.z is not None:
            states = tuple(State(s, 0) for s in tape.states)
            part = _Part(Span(0, T), tape.z, work.dz_of(tape.z), states)
            if T:
                work.go_back(part)
        if tape.keep == "record":
            tape.dz, tape.totals = work.dz, work.totals
            tape.doutput, tape.dstate_h = doutput, dstates[0]
        else:  # the buffers can go now, whoever still holds the tape
            tape.forget()
        return work.gradients()


class _Part(NamedTuple):
    """Some steps, and what is kept of them: z and dz (steps, B, S * H)."""

    span: Span
    z: Any
    dz: Any
    states: tuple[State, ...]


class _Backward:
    """The buffers of one backward pass, and its phases."""

    def __init__(
        self,
        tape: CudaTape,
        needs: Needs,
        doutput: Array | None,
        dstates: tuple[Array | None, ...],
    ) -> None:
        import cupy

        self.watch = Watch("backward")
        self.tape, self.needs = tape, needs
        self.x: Any = tape.x
        self.T, self.B, self.width, self.H = T, B, width, H = tape.sizes
        self.dtype = dtype = tape.dtype
        self.order = order = slot_order(tape.cell)
        self.S = len(order.slots)
        self.precision = "tf32" if tape.precision == "float16" else tape.precision
        self.products = Products(dtype, self.precision, tape.gpu)
        self.steps = Steps(tape.cell, dtype, tape.precision, tape.gpu, tape.sizes, tape.reverse)
        self.weights = tape.weights
        self.doutput = None if doutput is None else cupy.ascontiguousarray(doutput)
        self.carry = [
            cupy.zeros((B, H), dtype) if d is None else cupy.array(d, order="C") for d in dstates
        ]
        self.records = tape.keep == "record"
        self.totals: tuple[Any, ...] = ()
        if self.records:
            self.totals = tuple(cupy.empty((T, B, H), dtype) for _ in tape.cell.states)
        self.dz: Any = None
        with self.watch.phase("pack"):
            self.packed = Packing(dtype, self.precision, tape.gpu).weights(
                tape.weights.weight_hh, order.h_blocks, H, transposed=True
            )
        # Weight gradients in the weights' own order of blocks; sums of dz in the order of a row.
        self.dx: Any = cupy.empty((T, B, width), dtype) if needs.x else None
        self.dw_ih = cupy.zeros(self.weights.weight_ih.shape, dtype) if needs.weight_ih else None
        self.dw_hh = cupy.zeros(self.weights.weight_hh.shape, dtype) if needs.weight_hh else None
        biased = (needs.bias_ih and self.weights.bias_ih is not None) or (
            needs.bias_hh and self.weights.bias_hh is not None
        )
        self.sums = cupy.zeros((self.S, H), dtype) if biased else None
        self.accumulate = False

    def dz_of(self, z: Any) -> Any:
        """Where the gradients of the gates in z go: over them, unless they are recorded."""
        import cupy

        self.dz = cupy.empty_like(z) if self.records else z
        return self.dz

    def rebuilt(self, span: Span) -> _Part:
        """The gates of some steps again, from x, the kept h and a checkpoint of other states."""
        import cupy

        tape, H, B = self.tape, self.H, self.B
        steps = span.last - span.first
        h, *checkpoints = tape.states
        states = [State(h, 0)]
        low = span.origin(self.T, tape.reverse)
        for kept in checkpoints:
            entries = cupy.empty((steps + 1, B, H), self.dtype)
            entries[steps if tape.reverse else 0] = kept[span.first // tape.interval]
            states.append(State(entries, low))
        with self.watch.phase("rebuild"):
            forward = Products(self.dtype, tape.precision, tape.gpu)
            bias = pack_bias(self.steps.packing, self.order, self.weights, H)
            z = cupy.empty((steps, B, self.S * H), self.dtype)
            only_h = z[:, :, self.order.fed_by_x * H :]
            only_h[...] = 0 if bias is None else bias[self.order.fed_by_x :].reshape(-1)
            x = self.x[span.times(self.T, tape.reverse)]
            fill_from_x(forward, self.order, z, x, self.weights, bias, tape.sizes)
            add_from_h(forward, self.order, z, self._before(h, span), self.weights, tape.sizes)
            self.steps.rebuild(z, tape.lengths, states, span)
        return _Part(span, z, z, tuple(states))

    def go_back(self, part: _Part) -> None:
        """Through some steps, and their share of every gradient."""
        tape = self.tape
        totals = self.totals or [None] * len(self.carry)
        finish = self.needs.state or part.span.first > 0
        with self.watch.phase("recurrent loop"):
            self.steps.backward(
                part.z, part.dz, self.packed, tape.lengths, self.doutput, self.carry, totals,
                part.states, part.span, precision=self.precision, finish=finish,
            )  # fmt: skip
        steps = part.span.last - part.span.first
        with self.watch.phase("weight gradients" if self.dx is None else "input gradient"):
            dz = self.products.matrix(part.dz, steps * self.B, self.S * self.H)
        if self.dx is not None:
            with self.watch.phase("input gradient"):
                self._input_gradient(part, dz)
        with self.watch.phase("weight gradients"):
            self._weight_gradients(part, dz)
        self.accumulate = True

    def _before(self, h: Any, span: Span) -> Any:
        """h before each step of a span, in order of time."""
        times = span.times(self.T, self.tape.reverse)
        shift = 1 if self.tape.reverse else 0
        return h[times.start + shift : times.stop + shift]

    def _input_gradient(self, part: _Part, dz: Matrix) -> None:
        """dx = dz W, block after block of W."""
        H = self.H
        dx = self.dx[part.span.times(self.T, self.tape.reverse)]
        rows = len(dx) * self.B
        for n, (place, block, count) in enumerate(runs(self.order.x_blocks)):
            self.products.into(
                dx, self.width, dz.columns(place * H, count * H, True),
                Operand(self.weights.weight_ih[block * H :], self.width, False),
                (rows, self.width, count * H), begin=C_ITSELF if n else ZERO,
            )  # fmt: skip

    def _weight_gradients(self, part: _Part, dz: Matrix) -> None:
        """Sums over time and batch: dW = dz^T x, dU = dz^T h before each step, db = sum of dz."""
        import cupy

        tape, order, H = self.tape, self.order, self.H
        row, rows = self.S * H, (part.span.last - part.span.first) * self.B
        x = self.x[part.span.times(self.T, tape.reverse)]
        h = self._before(part.states[0].entries, part.span)
        if tape.lengths is not None:
            # What a state became before its sequence's end, infinite perhaps, stands past it too.
            h = cupy.where(tape.valid()[part.span.times(self.T, tape.reverse)], h, 0)
        sides = (
            (self.dw_ih, x, self.width, order.x_blocks, 0),
            (self.dw_hh, h, H, order.h_blocks, self.S - order.fed_by_h),
        )
        for gradient, other, width, places, first in sides:
            if gradient is None:
                continue
            for place, block, count in runs(places):
                self.products.sum_over(
                    gradient[block * H : (block + count) * H],
                    dz.columns((first + place) * H, count * H, False),
                    Operand(other, width, False),
                    (count * H, width, rows), accumulate=self.accumulate,
                )  # fmt: skip
        if self.sums is not None:
            self.products.sum_rows(self.sums, part.dz, row, row, rows, accumulate=self.accumulate)

    def gradients(self) -> Gradients:
        """What was asked for, in the weights' own order."""
        with self.watch.phase("pack"):
            order, needs = self.order, self.needs
            db_ih = db_hh = None
            if self.sums is not None and needs.bias_ih and self.weights.bias_ih is not None:
                db_ih = self._in_order(self.sums[: order.fed_by_x], order.x_blocks)
            if self.sums is not None and needs.bias_hh and self.weights.bias_hh is not None:
                db_hh = self._in_order(self.sums[self.S - order.fed_by_h :], order.h_blocks)
            state = tuple(self.carry) if needs.state else None
        self.watch.stop()
        return Gradients(self.dx, state, self.dw_ih, self.dw_hh, db_ih, db_hh)

    def _in_order(self, sums: Any, places: tuple[int, ...]) -> Any:
        """Rows of a bias gradient in the order of the bias."""
        import cupy

        gradient = cupy.empty(sums.shape, self.dtype)
        for place, block, count in runs(places):
            gradient[block : block + count] = sums[place : place + count]
        return gradient.reshape(-1)


def _check_on_gpu(
    cell: Cell, tape: CudaTape, doutput: Array | None, dstates: tuple[Array | None, ...]
) -> None:
    import cupy

    here = cupy.cuda.runtime.getDevice()
    names = ["tape", "doutput", *[f"dstate {s!r}" for s in cell.states]]
    for name, gradient in zip(names, (tape.x, doutput, *dstates), strict=False):
        if isinstance(gradient, cupy.ndarray) and gradient.device.id != here:
            raise DeviceError(name, f"on GPU {gradient.device.id}", f"on GPU {here}, the current")
        if gradient is not None and not isinstance(gradient, cupy.ndarray):
            kind = type(gradient)
            came = f"a {kind.__module__}.{kind.__name__}, which is not on the GPU"
            raise DeviceError(name, came, "a CuPy array, as the tape's are")
