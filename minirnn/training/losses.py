"""The loss of a batch: which function, of which steps, and whether prediction and target fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minirnn import functional
from minirnn.device import Array, array_namespace, beside
from minirnn.errors import ArgumentError, DeviceError, DTypeError, ShapeError
from minirnn.functional.indexing import stray, take
from minirnn.nn import Module
from minirnn.nn.module import device_of_module
from minirnn.tensor import Tensor
from minirnn.training.sequences import Sequences

Loss = Callable[[Tensor, Any], Tensor]
"""loss(prediction, target) -> Tensor of one element, a mean over the rows it is given."""

LOSSES: dict[str, Loss] = {
    "mse": functional.mse_loss,
    "l1": functional.l1_loss,
    "huber": functional.huber_loss,
    "cross_entropy": functional.cross_entropy,
    "bce": functional.binary_cross_entropy_with_logits,
}


def resolve_loss(loss: str | Loss) -> Loss:
    """A loss by name, or the callable itself.

    Raises: ArgumentError that lists the names.
    """
    if isinstance(loss, str) and loss in LOSSES:
        return LOSSES[loss]
    if not callable(loss):
        raise ArgumentError("loss", repr(loss), f"{', '.join(LOSSES)}, or a callable")
    return loss


def device_for(model: Module, source: str, argument: str) -> str:
    """Where data from the device `source` are to meet the model: where the model is.

    Raises: DeviceError for data on the GPU and a model on the CPU, and for a model on both.
    """
    device = device_of_module(model, source)
    if source == "cuda" and device == "cpu":
        hint = "Move the model with model.to('cuda')"
        raise DeviceError(argument, "arrays on 'cuda'", "'cpu', where the model is", hint)
    return device


def on_device_of(model: Module, data: Sequences, argument: str) -> Sequences:
    """The data where the model is: what comes from the CPU is copied to the GPU, all at once.

    Raises: DeviceError as `device_for`, and for too little memory.
    """
    return data.to(device_for(model, data.device, argument))


def run_model(model: Module, batch: Sequences) -> Tensor:
    """The model's output for a batch: (B, O), or time-major (T, B, O).

    The model is called with `x` time-major (T, B, I), or (B, T, I) if it says `batch_first`, and
    with `lengths` (on the CPU) when the batch has them.
    """
    batch_first = is_batch_first(model)
    x = batch.x
    if not batch_first:
        x = array_namespace(x).ascontiguousarray(x.swapaxes(0, 1))
    output = model(x) if batch.lengths is None else model(x, lengths=batch.lengths)
    if not isinstance(output, Tensor):
        came = f"one that returns {type(output).__name__}"
        raise ArgumentError("model", came, "one that returns a Tensor, such as a SequenceModel")
    return output.swapaxes(0, 1) if batch_first and output.ndim == 3 else output


def check_model(model: object) -> None:
    """Raises: ArgumentError, if `model` is no `Module`."""
    if not isinstance(model, Module):
        raise ArgumentError("model", f"a {type(model).__name__}", "a minirnn Module")


def is_batch_first(model: Module) -> bool:
    """Whether the model, or the recurrent layers inside it, say `batch_first`."""
    return bool(getattr(getattr(model, "recurrent", model), "batch_first", False))


def align(output: Tensor, batch: Sequences) -> tuple[Tensor, Array]:
    """Bring an output and the batch's targets together: rows that count, in one order.

    One answer a sequence: (B, O) and (B, O), or labels (B,). One a step: (R, O) and (R, O), or
    labels (R,), where R counts the valid steps of the batch.
    """
    if not batch.per_step:
        return output, batch.y
    T, B, O = output.shape  # noqa: E741
    target = batch.y.swapaxes(0, 1).reshape(T * B, *batch.y.shape[2:])
    output = output.reshape(T * B, O)
    if batch.lengths is None:
        return output, target
    valid = np.flatnonzero((np.arange(T)[:, None] < batch.lengths).reshape(-1))
    rows = beside(valid, target)
    return take(output, rows, distinct=True), target[rows]


def check_fit(output: Tensor, batch: Sequences, loss: Loss) -> None:
    """See that a model's output for a batch can be held against the batch's targets.

    A target never broadcasts against an output: (B,) and (B, 1) would make (B, B) errors. A loss
    of one's own may read another number of features than the target has (a mean and a variance,
    say), but never other rows.

    Raises: ShapeError or DTypeError that names `y`, or ShapeError that names `model`.
    """
    B, T = batch.x.shape[:2]
    if output.shape[:-1] not in ((B,), (T, B)):
        wanted = f"(B, O) or (T, B, O), with B = {B} and T = {T}"
        raise ShapeError("model", f"one whose output has shape {output.shape}", wanted)
    known = loss in LOSSES.values()
    if known and batch.is_labels != (loss is functional.cross_entropy):
        wanted = f"{batch.x.dtype.name} numbers" if batch.is_labels else "integer class labels"
        raise DTypeError("y", batch.y.dtype.name, f"{wanted} for this loss")
    rows = "N, T" if output.ndim == 3 else "N"
    fits = batch.per_step == (output.ndim == 3)
    if known and not batch.is_labels:
        fits = fits and batch.y.shape[-1] == output.shape[-1]
    if not fits:
        came = ", ".join(["N", *map(str, batch.y.shape[1:])])
        wanted = f"({rows})" if batch.is_labels else f"({rows}, {output.shape[-1]})"
        why = "as the model's output: a target never broadcasts"
        raise ShapeError("y", f"shape ({came})", f"{wanted}, {why}")


def check_number(argument: str, value: Any) -> Tensor:
    """What a loss or a penalty returned, if it is one number; raises ArgumentError."""
    if not isinstance(value, Tensor) or value.size != 1:
        shape = f"a Tensor of shape {value.shape}" if isinstance(value, Tensor) else value
        raise ArgumentError(argument, f"one that returns {shape}", "a Tensor of one element")
    return value


def check_steps(data: Sequences, argument: str) -> None:
    """See that there is something to learn from; raises ArgumentError that names `lengths`."""
    if data.lengths is not None and not data.lengths.any():
        came = f"no step in any sequence of `{argument}`"
        raise ArgumentError("lengths", came, "a sequence with a step that counts")


def check_labels(data: Sequences, classes: int) -> None:
    """See that the labels of all steps that count lie in 0 … classes - 1; raises ArgumentError."""
    labels = data.y
    if data.per_step and data.lengths is not None:
        valid = np.arange(labels.shape[1]) < data.lengths[:, None]
        labels = labels[beside(valid, labels)]
    if stray(labels, 0, classes) is not None:
        came = f"class labels from {labels.min()} to {labels.max()}"
        raise ArgumentError("y", came, f"0 to {classes - 1}, for the model's {classes} outputs")
