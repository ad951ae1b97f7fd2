"""A cell over a sequence, as one operation on the tape: one layer, one direction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minirnn.device import check_beside
from minirnn.kernels import kernel_set
from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.contract import Array, Keep, Needs, Tape, Weights
from minirnn.tensor import Tensor, apply, constant, is_grad_enabled


def recurrent(
    cell: Cell,
    x: Tensor,
    state: Sequence[Tensor],
    weights: Weights,
    *,
    lengths: Array | None = None,
    reverse: bool = False,
    keep: Keep | None = None,
    recompute: bool = False,
) -> tuple[Tensor, tuple[Tensor, ...], Tape | None]:
    """Run a cell over `x (T, B, I)` from `state`, one (B, H) tensor per state of the cell.

    state     (1, B, H) will do too, and the last states then come back in that shape
    weights   `Weights` of tensors; a bias may be None
    lengths   (B,) int64, on the CPU whatever the device of x, or None: steps at or past it change
              no state and give zero output
    reverse   run from T-1 down to 0
    keep      what to keep inside, see `minirnn.kernels.contract`; None keeps what a backward will
              need, and nothing where none can come
    recompute  where `keep` is None: keep checkpoints only, and rebuild the gates in backward

    Returns the output (T, B, H), the last states, and the kernel's tape (None if nothing was kept);
    with keep="record" its gradients are there once backward has run.

    Raises: ShapeError, DTypeError, DeviceError (also for too little memory on the GPU) or
    ArgumentError that names the argument.
    """
    present = [w for w in weights if w is not None]
    tensors = (x, *state, *present)
    wants = [tensor._requires_grad for tensor in tensors]
    if keep is None:
        keep = "nothing"
        if True in wants and is_grad_enabled():
            keep = "checkpoints" if recompute else "tape"
    kind = type(x.data)
    kernels = _kernels.get(kind) or _kernels_of(x)
    for tensor in tensors:
        if type(tensor.data) is not kind:
            _check_device(cell, x, state, weights)
    arrays = Weights(*[None if w is None else w.data for w in weights])
    initial = [s.data for s in state]
    stacked = initial[0].ndim == 3
    if stacked:
        initial = [s[0] if len(s) == 1 else s for s in initial]
    output, last, tape = kernels.forward(
        cell, x.data, initial, arrays, lengths=lengths, keep=keep, reverse=reverse
    )
    if stacked:
        last = [s[None] for s in last]
    if tape is None:
        return constant(output), tuple([constant(s) for s in last]), None

    after_states = 1 + len(initial)

    def backward(*gradients: Array | None) -> list[Array | None]:
        flags = iter(wants[after_states:])
        needs = Needs(
            wants[0],
            True in wants[1:after_states],
            *[w is not None and next(flags) for w in arrays],
        )
        dstate = gradients[1:]
        if stacked:
            dstate = tuple([None if d is None else d[0] for d in dstate])
        g = kernels.backward(cell, gradients[0], dstate, tape, needs=needs)
        dinitial: list[Array | None] = [None] * len(initial)
        if g.state is not None:
            dinitial = [d[None] for d in g.state] if stacked else list(g.state)
        parameters = [d for d, w in zip(g[2:], arrays, strict=True) if w is not None]
        return [g.x, *dinitial, *parameters]

    results = apply("recurrent", tensors, (output, *last), backward, fresh=True)
    return results[0], results[1:], tape


def _check_device(cell: Cell, x: Tensor, state: Sequence[Tensor], weights: Weights) -> None:
    """Check that states and weights are where x is. Raises: DeviceError."""
    for name, tensor in zip(cell.states, state, strict=True):
        check_beside(tensor.data, x.data, f"state {name!r}")
    for name, weight in zip(Weights._fields, weights, strict=True):
        if weight is not None:
            check_beside(weight.data, x.data, name)


_kernels: dict[type, Any] = {}  # by the type of array that they take


def _kernels_of(x: Tensor) -> Any:
    found = _kernels[type(x.data)] = kernel_set(x.device)
    return found
