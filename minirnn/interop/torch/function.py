"""One layer in one direction as an operation of PyTorch's autograd: our kernels on its memory.

Dimensions: T time steps, B sequences, I inputs, H units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from minirnn.interop.torch import differentiable, modes, openmp
from minirnn.interop.torch.arrays import array_of, kernels_for, kernels_on, tensor_of
from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.contract import Array, Keep, Needs, Tape, Weights

Tensor = Any


@dataclass(slots=True)
class Run:
    """One pass of one layer in one direction: all of it that is no tensor.

    cell     the equations
    reverse  time runs from T-1 down to 0
    lengths  (B,) int64 on the CPU, or None
    records  keep what a trace shows; the tape then has its gradients once backward has run
    tape     the kernel's, after a forward that kept one
    carried  where it records, after backward: dL/d each initial state, (B, H)
    """

    cell: Cell
    reverse: bool = False
    lengths: Array | None = None
    records: bool = False
    tape: Tape | None = None
    carried: tuple[Tensor, ...] | None = None


class Inputs(NamedTuple):
    """The tensors that enter."""

    x: Tensor  # (T, B, I)
    states: tuple[Tensor, ...]  # (B, H) each
    weights: Weights  # a bias may be None

    @classmethod
    def of(cls, cell: Cell, tensors: Sequence[Tensor | None]) -> Inputs:
        """From the arguments of the autograd function, in their order."""
        after = 1 + len(cell.states)
        return cls(tensors[0], tuple(tensors[1:after]), Weights(*tensors[after:]))


def run_layer(
    run: Run, x: Tensor, states: Sequence[Tensor], weights: Weights
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Take x (T, B, I) from states, (B, H) each, to the output (T, B, H) and the last states.

    What backward will need is kept, and nothing where none can come.
    """
    tensors = (x, *states, *weights)
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors):
        output, *last = _Layer.apply(run, *tensors)
        return output, tuple(last)
    output, last, run.tape = _forward(run, Inputs(x, tuple(states), weights), "nothing")
    return output, last


class _Layer(torch.autograd.Function):
    """Forward by our kernels, and backpropagation through time.

    The tensors are PyTorch's to keep, so that its checks hold: what was written into between
    forward and backward is an error as it is there, and a freed graph is gone. Our tape serves one
    backward. A second (retain_graph), one for which nothing was kept (checkpointing), and one whose
    output was written into, which shares the tape's memory, run forward again, to the same bits.
    """

    @staticmethod
    def forward(ctx: Any, run: Run, *tensors: Tensor | None) -> tuple[Tensor, ...]:
        keep: Keep = "nothing" if modes.saves_elsewhere() else "tape"
        output, last, run.tape = _forward(run, Inputs.of(run.cell, tensors), keep)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors)
        ctx.run = run
        ctx.fresh = run.tape is not None
        # It shares output's memory and its count of writes.
        ctx.watched = output.detach()
        ctx.writes = ctx.watched._version
        return output, *last

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        run: Run = ctx.run
        inputs = Inputs.of(run.cell, ctx.saved_tensors)
        wants = ctx.needs_input_grad[1:]
        fresh, ctx.fresh = ctx.fresh, False
        # Gradients that are to be differentiated again, or come in batches: PyTorch's operations.
        theirs = torch.is_grad_enabled() or any(map(modes.is_batched, gradients))
        result: Sequence[Tensor | None] = ()
        if not theirs or (fresh and run.records and not any(map(modes.is_batched, gradients))):
            with torch.no_grad():
                untouched = run.records or ctx.watched._version == ctx.writes
                tape = run.tape if fresh and untouched else _forward(run, inputs, "tape")[2]
                if not run.records:
                    run.tape = None
                result = _backward(run, tape, inputs, gradients, wants)
        if theirs:
            result = differentiable.gradients(run, inputs, gradients, wants)
        return None, *result


def _forward(run: Run, inputs: Inputs, keep: Keep) -> tuple[Tensor, tuple[Tensor, ...], Any]:
    x, states, weights = inputs
    if run.records and run.tape is None:
        keep = "record"
    openmp.make_room(x, weights)
    with kernels_on(x):
        output, last, tape = kernels_for(x).forward(
            run.cell,
            array_of(x),
            [array_of(s) for s in states],
            Weights(*[None if w is None else array_of(w) for w in weights]),
            lengths=run.lengths,
            keep=keep,
            reverse=run.reverse,
        )
        if keep == "record":
            output = output.copy()  # the user may write into theirs: the trace shows its own
        return tensor_of(output), tuple([tensor_of(s) for s in last]), tape


def _backward(
    run: Run,
    tape: Any,
    inputs: Inputs,
    gradients: Sequence[Tensor | None],
    wants: Sequence[bool],
) -> list[Tensor | None]:
    after = 1 + len(inputs.states)
    into_states = any(wants[1:after])
    needs = Needs(wants[0], into_states or run.records, *wants[after:])
    openmp.make_room(inputs.x, inputs.weights)
    with kernels_on(inputs.x):
        doutput, *dlast = [None if g is None else array_of(g) for g in gradients]
        if run.records and tape is run.tape:  # the trace keeps them, and others may go on with them
            doutput, dlast[0] = [None if g is None else g.copy() for g in (doutput, dlast[0])]
        g = kernels_for(inputs.x).backward(run.cell, doutput, dlast, tape, needs=needs)
        states = tuple([tensor_of(s) for s in g.state]) if g.state is not None else ()
        if run.records and tape is run.tape:
            run.carried = states
        states = states if into_states else (None,) * len(inputs.states)
        return [tensor_of(g.x), *states, *[tensor_of(w) for w in g[2:]]]
