"""A network that is profiled, with what it is fed and what is sent back through it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np

from minirnn.errors import ArgumentError, ShapeError
from minirnn.kernels.contract import Array, check_lengths
from minirnn.nn import GRU, LSTM, RNN, Linear, Module, Recurrent, SequenceModel
from minirnn.tensor import Tensor, no_grad
from minirnn.training.losses import is_batch_first

Loss = Callable[[Tensor, Any], Tensor]
PLAIN_LAYERS = (Recurrent, RNN, GRU, LSTM)  # not those that somebody else derived from them


@dataclass(eq=False)
class Subject:
    """A network, ready to run as often as needed: an `Engine` for the timing.

    x         as the model takes it: an array or a Tensor, two of whose axes are T and B
    lengths   (B,) integers, or None
    targets   as the loss takes them, and the `loss` of (output, targets); or None and None: then a
              random `gradient` is sent into the output itself
    """

    name: str
    model: Module
    x: Any
    lengths: Array | None = None
    targets: Any = None
    loss: Loss | None = None
    gradient: Array | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Run once, to see what the model answers.

        Raises: ShapeError, DTypeError or ArgumentError, which are also the model's and the loss's.
        """
        T, B = self.sizes
        if self.lengths is not None:
            check_lengths(self.lengths, T, B)
            if not self.lengths.any():
                raise ArgumentError("lengths", "no step in any sequence", "a sequence with a step")
        with untouched(self.model):
            self.prepare(training=False)
            output = self.infer()
        self.per_step = output.ndim == 3 and output.shape[:2] == shape_of(self.x)[:2]
        self._counted: Any = None  # where the steps that count are, if not all do
        if self.per_step and self.lengths is not None:
            steps, sequences = np.nonzero(np.arange(T)[:, None] < self.lengths)
            self._counted = (sequences, steps) if self.batch_first else (steps, sequences)
        if self.loss is None:
            noise = np.random.default_rng(0).normal(size=output.shape)
            self.gradient = noise.astype(output.dtype)

    @property
    def batch_first(self) -> bool:
        """Whether x is (B, T, ...)."""
        return is_batch_first(self.model)

    @property
    def sizes(self) -> tuple[int, int]:
        """T and B."""
        first, second = shape_of(self.x)[:2]
        return (second, first) if self.batch_first else (first, second)

    def prepare(self, training: bool) -> None:
        """Set the mode, and let go of the gradients of the last step."""
        self.model.train(training)
        self.model.zero_grad()
        if isinstance(self.x, Tensor):
            self.x.grad = None

    def infer(self) -> Tensor:
        """What the model answers, off the tape."""
        with no_grad():
            return self._output()

    def forward(self) -> Tensor:
        """The loss; or the output, where there is no loss."""
        output = self._output()
        if self.loss is None:
            return output
        if self._counted is None:
            return self.loss(output, self.targets)
        return self.loss(output[self._counted], self.targets[self._counted])

    def backward(self, result: Tensor) -> None:
        """Send the gradient back from what `forward` gave."""
        result.backward(self.gradient)

    def _output(self) -> Tensor:
        x, lengths = self.x, self.lengths
        output = self.model(x) if lengths is None else self.model(x, lengths=lengths)
        if isinstance(output, tuple):  # a recurrent layer's, with its last states
            output = output[0]
        if not isinstance(output, Tensor):
            came = f"one that returns a {type(output).__name__}"
            raise ArgumentError("target", came, "a model that returns a Tensor")
        return output


def shape_of(x: Any) -> tuple[int, ...]:
    """The shape of an input. Raises: ShapeError without two axes for T and B."""
    shape = tuple(getattr(x, "shape", ()))
    if len(shape) < 2 or 0 in shape:
        raise ShapeError("inputs", f"shape {shape}", "(T, B, ...) with a step and a sequence")
    return shape


def doubled(subject: Subject, dimension: str) -> Subject | None:
    """The same with twice the "T", "B" or "H"; None where the model cannot be built wider."""
    if dimension == "H":
        model = _wider(subject.model)
        return None if model is None else replace(subject, model=model)
    T_axis, B_axis = (1, 0) if subject.batch_first else (0, 1)
    in_time = dimension == "T"
    lengths, targets = subject.lengths, subject.targets
    if lengths is not None:
        lengths = 2 * lengths if in_time else np.tile(lengths, 2)
    if targets is not None and (subject.per_step or not in_time):
        axis = 0 if not subject.per_step else T_axis if in_time else B_axis
        targets = _twice(targets, axis)
    x = _twice(subject.x, T_axis if in_time else B_axis)
    return replace(subject, x=x, lengths=lengths, targets=targets)


def _twice(values: Any, axis: int) -> Any:
    if isinstance(values, Tensor):
        return Tensor(np.concatenate([values.data] * 2, axis), values.requires_grad)
    return np.concatenate([values] * 2, axis)


def _wider(model: Module) -> Module | None:
    """A network like this one with twice the hidden units, or None if we do not know how."""
    if type(model) in PLAIN_LAYERS:
        return _wider_layer(cast(Recurrent, model))
    if type(model) is not SequenceModel:
        return None
    wide, head = copy.deepcopy(model), model.head
    wide.recurrent = _wider_layer(model.recurrent)
    wide.head = Linear(
        2 * head.in_features, head.out_features, bias=head.bias is not None, dtype=head.dtype, rng=0
    )
    return wide


def _wider_layer(layer: Recurrent) -> Recurrent:
    return Recurrent(
        layer.cell,
        layer.input_size,
        2 * layer.hidden_size,
        layer.num_layers,
        bias=layer.bias,
        batch_first=layer.batch_first,
        dropout=layer.dropout if layer.num_layers > 1 else 0.0,
        bidirectional=layer.bidirectional,
        recompute=layer.recompute,
        dtype=layer.dtype,
        rng=0,
    )


@contextmanager
def untouched(model: Module) -> Iterator[None]:
    """Afterwards modes, gradients and the state of every random generator are as they were."""
    modes = [(module, module.training) for module in model.modules()]
    gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
    generators = [
        (value, value.bit_generator.state)
        for module in model.modules()
        for value in vars(module).values()
        if isinstance(value, np.random.Generator)
    ]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter, gradient in gradients:
            parameter.grad = gradient
        for generator, state in generators:
            generator.bit_generator.state = state
