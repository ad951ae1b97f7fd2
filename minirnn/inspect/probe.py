"""The gradient probe: what vanishing is measured on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minirnn import functional
from minirnn.device import array_namespace
from minirnn.errors import ArgumentError, ShapeError, TraceError
from minirnn.inspect.host import fetch, on_host
from minirnn.inspect.norms import norm
from minirnn.inspect.recording import record
from minirnn.inspect.trace import Trace
from minirnn.inspect.values import STATE_NAMES
from minirnn.tensor import Tensor, as_tensor, is_grad_enabled

Array = Any
Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Probe:
    """One forward and backward pass whose loss saw each sequence's last valid step only.

    loss        its value
    prediction  (N, O), what the loss was taken of, for the N sequences that have a step; on the
                device of the model
    traces      of every recurrent layer and direction, with gradients
    parameters  {name: norm of the loss's gradient}, 0 where none arrived
    """

    loss: float
    prediction: Array
    traces: tuple[Trace, ...]
    parameters: dict[str, float]

    def gradient_norms(self, state: str = "hidden") -> dict[str, Array]:
        """`Trace.gradient_norms` of every trace whose cell has that state, by the trace's name."""
        return {name: trace.gradient_norms(state) for name, trace in self._with(state).items()}

    def gradient_decay(self, state: str = "hidden") -> dict[str, Array]:
        """`Trace.gradient_decay`, likewise."""
        return {name: trace.gradient_decay(state) for name, trace in self._with(state).items()}

    def half_lives(self, state: str = "hidden") -> dict[str, float]:
        """`Trace.half_life`, likewise."""
        return {name: trace.half_life(state) for name, trace in self._with(state).items()}

    def _with(self, state: str) -> dict[str, Trace]:
        key = STATE_NAMES.get(state, state)
        named: dict[str, Trace] = {}
        for trace in self.traces:
            # Two layers, or two calls of one, may have the same name.
            name = f"{trace.name} (call {trace.call})" if trace.name in named else trace.name
            if key in trace.cell.states:
                named[name] = trace
        return named


def gradient_probe(
    model: Any,
    inputs: Array | Tensor,
    targets: Array | Tensor,
    *,
    loss: Loss | None = None,
    lengths: Array | None = None,
) -> Probe:
    """Run a model once under `record` and send back a loss at each sequence's last valid step.

    A loss at every step puts gradient in everywhere and hides that none of it travels. So of a
    model that predicts at every step, (T, B, O), the loss here takes the last valid step of each
    sequence alone; a model that reads out the last state, (B, O), is taken as it is. In the reverse
    direction of a model that predicts at every step that is the first step taken, from which
    nothing travels: of such a model, read the forward traces.

    model    called as model(inputs) or model(inputs, lengths=lengths), with `parameters`,
             `modules`, `train` and `eval` as `minirnn.Module`; it runs in evaluation mode. Its
             modes and the `grad` of its parameters are put back as they were
    inputs   (T, B, I), or (B, T, I) for a model with `batch_first`
    targets  as for the model's own loss: (T, B, O), (B, O), or class labels without the last axis
    loss     of (prediction, target), a scalar; None is `mse_loss`, or `cross_entropy` for labels
    lengths  (B,), or None when every sequence has T steps

    Raises: ShapeError for targets that do not fit the prediction; ArgumentError if no sequence has
    a step or the model has no recurrent layer; TraceError under `no_grad`; and what model and loss
    raise.
    """
    if not is_grad_enabled():
        raise TraceError("gradient_probe needs gradients: call it outside no_grad")
    inputs = as_tensor(inputs, argument="inputs")
    targets = as_tensor(targets, argument="targets")
    if loss is None:
        labels = targets.data.dtype.kind in "iub"
        loss = functional.cross_entropy if labels else functional.mse_loss
    if not callable(loss):
        raise ArgumentError("loss", repr(loss), "a callable of (prediction, target), or None")
    if not callable(model) or not hasattr(model, "named_parameters"):
        raise ArgumentError("model", f"a {type(model).__name__}", "a minirnn Module")
    parameters = dict(model.named_parameters())
    gradients = {name: parameter.grad for name, parameter in parameters.items()}
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        for parameter in parameters.values():
            parameter.grad = None
        with record() as recording:
            output = model(inputs) if lengths is None else model(inputs, lengths=lengths)
            prediction, target = _at_last_step(model, output, inputs, targets, lengths)
            value = loss(prediction, target)
            if not isinstance(value, Tensor) or value.size != 1:
                came = f"one that returns {_what(value)}"
                raise ArgumentError("loss", came, "a Tensor of one element")
            value.backward()
        norms = _norms({name: parameter.grad for name, parameter in parameters.items()})
    finally:
        for name, parameter in parameters.items():
            parameter.grad = gradients[name]
        for module, training in modes:
            module.training = training
    traces = tuple(trace for trace in recording.traces if trace.has_gradients)
    if not traces:
        raise ArgumentError("model", repr(model), "a model whose loss passes a recurrent layer")
    return Probe(value.item(), prediction.data, traces, norms)


def _what(value: Any) -> str:
    shape = f" of shape {value.shape}" if isinstance(value, Tensor) else ""
    return f"a {type(value).__name__}{shape}"


def _norms(gradients: dict[str, Array | None]) -> dict[str, float]:
    """The norm of each gradient, 0 where there is none."""
    there = {name: g for name, g in gradients.items() if g is not None}
    norms = fetch(*[norm(g, tuple(range(g.ndim))) for g in there.values()])
    return dict.fromkeys(gradients, 0.0) | dict(zip(there, norms, strict=True))


def _at_last_step(
    model: Any, output: Tensor, inputs: Tensor, targets: Tensor, lengths: Array | None
) -> tuple[Tensor, Tensor]:
    """Prediction and target at the last valid step of each sequence that has one."""
    if not isinstance(output, Tensor):
        raise ArgumentError("model", f"one that returns a {type(output).__name__}", "a prediction")
    if inputs.ndim < 2:
        raise ShapeError("inputs", f"shape {inputs.shape}", "(T, B, I)")
    every_step = _predicts_every_step(model, output, inputs)
    swapped = _batch_first(model)
    T, B = inputs.shape[1::-1] if swapped else inputs.shape[:2]
    leading = output.shape[: 2 if every_step else 1]
    if targets.shape[: len(leading)] != leading:
        wanted = ", ".join(str(size) for size in leading)
        raise ShapeError("targets", f"shape {targets.shape}", f"({wanted}, ...), as the prediction")
    taken = np.full(B, T) if lengths is None else on_host(lengths)
    sequences = np.flatnonzero(taken > 0)
    if len(sequences) == 0:
        raise ArgumentError("lengths", "no step in any sequence", "a sequence with a step")
    xp = array_namespace(output.data)
    rows = xp.asarray(sequences)
    if every_step:
        last = xp.asarray(taken[sequences] - 1)
        at = (rows, last) if swapped else (last, rows)
        return output[at], targets[at]
    if len(sequences) == B:
        return output, targets
    return output[rows], targets[rows]


def _predicts_every_step(model: Any, output: Tensor, inputs: Tensor) -> bool:
    readout = getattr(model, "readout", None)
    if readout is not None:
        return bool(readout == "all")
    return output.ndim == 3 and output.shape[:2] == inputs.shape[:2]


def _batch_first(model: Any) -> bool:
    layer = model if hasattr(model, "batch_first") else getattr(model, "recurrent", None)
    return bool(getattr(layer, "batch_first", False))
