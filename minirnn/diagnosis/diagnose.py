"""`diagnose`: one look at a network as it is, without training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minirnn import functional
from minirnn.device import check_beside, device_of, to_device
from minirnn.diagnosis.evidence import Evidence, answers_to
from minirnn.diagnosis.evidence.as_begun import as_begun
from minirnn.diagnosis.evidence.look import arrays_of
from minirnn.diagnosis.examine import findings_in
from minirnn.diagnosis.finding import Diagnosis
from minirnn.errors import ArgumentError, DTypeError, ShapeError
from minirnn.inspect.host import fetch, on_host
from minirnn.inspect.probe import gradient_probe
from minirnn.kernels.contract import check_lengths
from minirnn.nn import Module
from minirnn.tensor import Tensor, as_tensor, no_grad
from minirnn.training.losses import LOSSES, is_batch_first, resolve_loss
from minirnn.training.predict import mode

Array = Any
LIBRARIES = {"torch": "PyTorch", "keras": "Keras"}  # by their packages


def diagnose(
    model: Module,
    inputs: Array | Tensor,
    targets: Array | Tensor,
    *,
    loss: str | Callable[..., Tensor] = "mse",
    lengths: Array | None = None,
) -> Diagnosis:
    """Look into a network once, forward and backward, and say what ails it.

    Nothing is trained and nothing in the model is changed. What only training or held-out data can
    show (`outside-training-range`, a gradient that leaps from batch to batch) is for `doctor`.
    Whether the network was trained is not known, but its weights show where no step has moved them
    (see `evidence.as_begun`): of such a network, one answer for all inputs is worth a note.

    model    a `SequenceModel`, or any `Module` that has recurrent layers and returns one Tensor
    inputs   (T, B, I) as the model takes them; (B, T, I) for a model with `batch_first`
    targets  one answer a sequence, (B, O), or one a step, (T, B, O); integer class labels without
             the last axis
    loss     "mse", "l1", "huber", "cross_entropy", "bce", or a callable (prediction, target)
    lengths  (B,) whole numbers, or None when every sequence has T steps

    A model on the GPU is looked at there. NumPy inputs and targets are copied to it, once; what
    comes back are the numbers that the findings tell.

    Raises: ShapeError, DTypeError, DeviceError or ArgumentError that names the argument.
    """
    function = resolve_loss(loss)
    if not isinstance(model, Module):
        raise ArgumentError("model", _named(model), "a minirnn Module", _way_in(model))
    x, y = (_checked(*each, model) for each in (("inputs", inputs), ("targets", targets)))
    if x.ndim != 3 or 0 in x.shape:
        wanted = "(T, B, I): at least one step, sequence and feature"
        raise ShapeError("inputs", f"shape {x.shape}", wanted)
    if x.dtype not in (np.float32, np.float64):
        raise DTypeError("inputs", x.dtype.name, "float32 or float64, as the model has it")
    swapped = is_batch_first(model)
    T, B = x.shape[1::-1] if swapped else x.shape[:2]
    if lengths is not None:
        lengths = on_host(lengths)
        check_lengths(lengths, T, B)
        if not lengths.any():
            raise ArgumentError("lengths", "no step in any sequence", "a sequence with a step")
    with mode(model, training=False), no_grad(), np.errstate(all="ignore"):
        fed = as_tensor(x)
        output = model(fed) if lengths is None else model(fed, lengths=lengths)
    if not isinstance(output, Tensor):
        raise ArgumentError(
            "model", f"one that returns {type(output).__name__}", "one that returns a Tensor",
            "A bare recurrent layer returns a tuple: put it into a SequenceModel",
        )  # fmt: skip
    _check_output(output.data, (B, T) if swapped else (T, B))
    _check_targets(y, output.data, function, x, swapped)
    with np.errstate(all="ignore"):
        probe = gradient_probe(model, x, y, loss=function, lengths=lengths)
    outputs = output.data
    if swapped:
        x = x.swapaxes(0, 1)
        if outputs.ndim == 3:
            outputs, y = outputs.swapaxes(0, 1), y.swapaxes(0, 1)
    answers = answers_to(outputs, y, lengths, function)
    with np.errstate(all="ignore"):
        begun = as_begun(model, answers)
    evidence = Evidence(
        inputs=x,
        targets=y,
        lengths=lengths,
        probe=probe,
        answers=answers,
        parameters=arrays_of(model),
        as_begun=begun,
    )
    return Diagnosis(findings_in(evidence))


def _named(model: object) -> str:
    """A class by its name, with the library it comes from."""
    library = _library(model)
    return f"{type(model).__name__}, a {library} model" if library else type(model).__name__


def _library(model: object) -> str:
    """The library whose model it is, "" for none of those known; none is imported to tell."""
    homes = {cls.__module__.partition(".")[0] for cls in type(model).__mro__}
    return next((name for home, name in LIBRARIES.items() if home in homes), "")


def _way_in(model: object) -> str:
    library = _library(model)
    if library == "PyTorch":
        return (
            "minirnn.interop.torch.watch(model) around your own training loop looks into it as it "
            "is, and its diagnosis() tells what it saw; from_torch(model), beside it, gives a copy "
            "that diagnose takes"
        )
    if library == "Keras":
        return "minirnn.interop.keras.from_keras(model) gives a copy that diagnose takes"
    return ""


def _checked(argument: str, value: Array | Tensor, model: Module) -> Array:
    """The array in a value, on the model's device."""
    array = value.data if isinstance(value, Tensor) else value
    if not isinstance(array, np.ndarray) and device_of(array) == "cpu":
        raise ArgumentError(argument, type(value).__name__, "a NumPy array or a Tensor")
    if array.dtype.kind not in "fiu":
        raise DTypeError(argument, array.dtype.name, "numbers")
    parameter = next(iter(model.parameters()), None)
    if parameter is None:
        return array
    if device_of(array) == "cuda":
        check_beside(array, parameter.data, argument)
    return to_device(array, parameter.device, argument)


def _check_output(output: Array, leading: tuple[int, int]) -> None:
    """One answer a sequence, or one a step."""
    one_a_step = output.ndim == 3 and output.shape[:2] == leading
    one_a_sequence = output.ndim == 2 and len(output) in leading
    if not one_a_step and not one_a_sequence:
        raise ShapeError(
            "model", f"one whose output has shape {output.shape}", "(B, O), or one answer a step"
        )


def _check_targets(y: Array, output: Array, loss: Any, x: Array, swapped: bool) -> None:
    """A target never broadcasts against an output: (B,) against (B, 1) would make (B, B) errors."""
    dtype, labels = x.dtype, y.dtype.kind in "iu"
    if loss in LOSSES.values() and labels != (loss is functional.cross_entropy):
        wanted = f"{dtype.name} for this loss" if labels else "integer class labels for this loss"
        raise DTypeError("targets", y.dtype.name, wanted)
    if labels:
        if y.shape != output.shape[:-1]:
            hint = _turned(y, output, x, swapped)
            raise ShapeError("targets", f"shape {y.shape}", f"{output.shape[:-1]}", hint)
        (least, most), C = map(int, fetch(y.min(), y.max())), output.shape[-1]
        if least < 0 or most >= C:
            came = f"class labels from {least} to {most}"
            raise ArgumentError("targets", came, f"0 to {C - 1}, for the model's {C} outputs")
        return
    if loss in LOSSES.values():
        if y.shape != output.shape:
            hint = _turned(y, output, x, swapped)
            if not hint and y.size == output.size:
                hint = f"Reshape it to {output.shape}"
            raise ShapeError("targets", f"shape {y.shape}", f"{output.shape}, the output's", hint)
        if y.dtype != dtype:
            raise DTypeError("targets", y.dtype.name, f"{dtype.name}, the dtype of inputs")


def _turned(y: Array, output: Array, x: Array, swapped: bool) -> str:
    """The hint for targets that would fit if time and batch changed places."""
    B, T = x.shape[:2] if swapped else x.shape[1::-1]
    leading = output.shape[:-1]
    turned = {(B,): (T,), (B, T): (T, B), (T, B): (B, T)}.get(leading)
    if T == B or y.shape[: len(leading)] != turned:
        return ""
    first, layout = ("batch", "(B, T, I)") if swapped else ("steps", "(T, B, I)")
    return f"This network takes the {first} first: X as {layout}"
