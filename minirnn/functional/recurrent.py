"""A cell over a sequence, as one operation on the tape: one layer, one direction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minirnn.kernels import kernel_set
from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.contract import Array, Keep, Needs, Tape, Weights
from minirnn.tensor import Tensor, apply, is_grad_enabled

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
    output, last, tape = kernels.forward(
        cell, x.data, [s.data for s in state], arrays, lengths=lengths, keep=keep, reverse=reverse
    )
    if tape is None:
        results = apply("recurrent", (), (output, *last), _never)
        return results[0], results[1:], None

    states = len(cell.states)
    wants = [tensor.requires_grad for tensor in tensors]
    present = [w is not None for w in weights]

    def backward(*gradients: Array | None) -> list[Array | None]:
        flags = iter(wants[1 + states :])
        needs = Needs(wants[0], any(wants[1 : 1 + states]), *[p and next(flags) for p in present])
        g = kernels.backward(cell, gradients[0], gradients[1:], tape, needs=needs)
        parameters = [part for part, there in zip(g[2:], present, strict=True) if there]
        return [g.x, *(g.state or [None] * states), *parameters]

    results = apply("recurrent", tensors, (output, *last), backward)
    return results[0], results[1:], tape


def _kernels_of(device: str) -> Any:
    found = _kernels.get(device)
    if found is None:
        found = _kernels[device] = kernel_set(device)
    return found


def _never(*gradients: Array | None) -> list[Array | None]:
    raise AssertionError("an operation without inputs has no backward")
