"""A cell over a sequence, as one operation on the tape: one layer, one direction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minirnn.kernels import kernel_set
from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.contract import Array, Keep, Needs, Tape, Weights
from minirnn.tensor import Tensor, apply, constant, is_grad_enabled

_kernels: dict[str, Any] = {}


def recurrent(
    cell: Cell,
    x: Tensor,
    state: Sequence[Tensor],
    weights: Weights,
    *,
    lengths: Array | None = None,
    reverse: bool = False,
    keep: Keep | None = None,
) -> tuple[Tensor, tuple[Tensor, ...], Tape | None]:
    """Run a cell over `x (T, B, I)` from `state`, one (B, H) tensor per state of the cell.

    state     (1, B, H) will do too, and the last states then come back in that shape
    weights   `Weights` of tensors; a bias may be None
    lengths   (B,) int64 or None: steps at or past it change no state and give zero output
    reverse   run from T-1 down to 0
    keep      what to keep inside, see `minirnn.kernels.contract`; None keeps what a backward will
              need, and nothing where none can come

    Returns the output (T, B, H), the last states, and the kernel's tape (None if nothing was kept);
    with keep="record" its gradients are there once backward has run.

    Raises: ShapeError, DTypeError or ArgumentError that names the argument.
    """
    tensors = (x, *state, *[w for w in weights if w is not None])
    if keep is None:
        keep = "nothing"
        if is_grad_enabled():
            for tensor in tensors:
                if tensor.requires_grad:
                    keep = "tape"
                    break
    kernels = _kernels_of(x.device)
    arrays = Weights(*[None if w is None else w.data for w in weights])
    initial = [s.data for s in state]
    stacked = initial[0].ndim == 3
    if stacked:
        initial = [s.reshape(s.shape[1:]) if s.shape[0] == 1 else s for s in initial]
    output, last, tape = kernels.forward(
        cell, x.data, initial, arrays, lengths=lengths, keep=keep, reverse=reverse
    )
    if stacked:
        last = tuple([s[None] for s in last])
    if tape is None:
        return constant(output), tuple([constant(s) for s in last]), None

    states = len(cell.states)
    wants = [tensor.requires_grad for tensor in tensors]
    present = [w is not None for w in weights]

    def backward(*gradients: Array | None) -> list[Array | None]:
        flags = iter(wants[1 + states :])
        needs = Needs(wants[0], any(wants[1 : 1 + states]), *[p and next(flags) for p in present])
        dstate = gradients[1:]
        if stacked:
            dstate = tuple([None if g is None else g[0] for g in dstate])
        g = kernels.backward(cell, gradients[0], dstate, tape, needs=needs)
        dstate = g.state or (None,) * states
        if stacked:
            dstate = tuple([None if d is None else d[None] for d in dstate])
        parameters = [part for part, there in zip(g[2:], present, strict=True) if there]
        return [g.x, *dstate, *parameters]

    results = apply("recurrent", tensors, (output, *last), backward)
    return results[0], results[1:], tape


def _kernels_of(device: str) -> Any:
    found = _kernels.get(device)
    if found is None:
        found = _kernels[device] = kernel_set(device)
    return found
