"""A network that is profiled, with what it is fed and what is sent back through it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np

from minirnn.device import array_namespace, device_of, to_device
from minirnn.errors import ArgumentError, ShapeError
from minirnn.kernels.contract import Array, check_lengths
from minirnn.nn import GRU, LSTM, RNN, Linear, Module, Recurrent, SequenceModel
from minirnn.nn.between import extras_of
from minirnn.nn.module import device_of_module
from minirnn.profiling.device import Device, device_named
from minirnn.tensor import Tensor, no_grad
from minirnn.training.losses import is_batch_first

Loss = Callable[[Tensor, Any], Tensor]
PLAIN_LAYERS = (Recurrent, RNN, GRU, LSTM)  # not those that somebody else derived from them


@dataclass(eq=False)
class Subject:
    """A network, ready to run as often as needed: an `Engine` for the timing.

    x         as the model takes it: an array or a Tensor, two of whose axes are T and B
    lengths   (B,) integers, on the CPU, or None
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
        where = device_of_module(self.model, device_of(_data(self.x)))
        self.device: Device = device_named(where)
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
            valid = np.nonzero(np.arange(T)[:, None] < self.lengths)
            steps, sequences = (to_device(index, where) for index in valid)
            self._counted = (sequences, steps) if self.batch_first else (steps, sequences)
        if self.loss is None:
            noise = np.random.default_rng(0).normal(size=output.shape)
            self.gradient = to_device(noise.astype(output.dtype), where)

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


def on_device(subject: Subject, name: str) -> Subject:
    """The same on a device: itself where it is there, else a copy of network and arrays.

    Raises: DeviceError if the device has too little memory.
    """
    if subject.device.name == name:
        return subject
    model = copy.deepcopy(subject.model).to(name)
    x, targets = subject.x, subject.targets
    if isinstance(x, Tensor):
        x = Tensor(to_device(x.data, name), x.requires_grad)
    else:
        x = to_device(x, name)
    return replace(
        subject, model=model, x=x, targets=None if targets is None else to_device(targets, name)
    )


def doubled(subject: Subject, dimension: str) -> Subject | None:
    """The same with twice the "T", "B" or "H"; None where the model cannot be built wider."""
    T, B = subject.sizes
    if dimension == "H":
        return with_units(subject, 2 * hidden_size_of(subject))
    if dimension == "B":
        return with_batch(subject, 2 * B)
    lengths = None if subject.lengths is None else 2 * subject.lengths
    T_axis = 1 if subject.batch_first else 0
    targets = subject.targets
    if targets is not None and subject.per_step:
        targets = _taken(targets, np.arange(2 * T) % T, T_axis)
    x = _taken(subject.x, np.arange(2 * T) % T, T_axis)
    return replace(subject, x=x, lengths=lengths, targets=targets)


def with_batch(subject: Subject, B: int) -> Subject:
    """The same with so many sequences: the first ones, or all again and again."""
    which = np.arange(B) % subject.sizes[1]
    B_axis = 0 if subject.batch_first else 1
    lengths, targets = subject.lengths, subject.targets
    if lengths is not None:
        lengths = lengths[which]
    if targets is not None:
        targets = _taken(targets, which, B_axis if subject.per_step else 0)
    return replace(subject, x=_taken(subject.x, which, B_axis), lengths=lengths, targets=targets)


def with_units(subject: Subject, H: int) -> Subject | None:
    """The same with so many hidden units; None where the model cannot be built otherwise."""
    model = _with_units(subject.model, H)
    return None if model is None else replace(subject, model=model)


def hidden_size_of(subject: Subject) -> int:
    """H of the first recurrent layer."""
    layers = [module for module in subject.model.modules() if isinstance(module, Recurrent)]
    return layers[0].hidden_size


def _data(x: Any) -> Any:
    return x.data if isinstance(x, Tensor) else x


def _taken(values: Any, which: Array, axis: int) -> Any:
    """Those of a Tensor's or array's elements along an axis, as a new one."""
    if isinstance(values, Tensor):
        return Tensor(_taken(values.data, which, axis), values.requires_grad)
    namespace = array_namespace(values)
    return namespace.take(values, namespace.asarray(which), axis)


def _with_units(model: Module, H: int) -> Module | None:
    """A network like this one with H hidden units, or None if we do not know how."""
    device = device_of_module(model)
    if type(model) in PLAIN_LAYERS:
        layer = cast(Recurrent, model)
        if layer.output_size != layer.hidden_size:  # a projection, of which size?
            return None
        return _layer_with_units(layer, H).to(device)
    if type(model) is not SequenceModel or extras_of(model):
        return None
    other, head = copy.deepcopy(model), model.head
    inputs = head.in_features // model.recurrent.hidden_size * H
    other.recurrent = _layer_with_units(model.recurrent, H)
    other.head = Linear(
        inputs, head.out_features, bias=head.bias is not None, dtype=head.dtype, rng=0
    )
    return other.to(device)


def _layer_with_units(layer: Recurrent, H: int) -> Recurrent:
    return Recurrent(
        layer.cell,
        layer.input_size,
        H,
        layer.num_layers,
        bias=layer.bias,
        batch_first=layer.batch_first,
        dropout=layer.dropout if layer.num_layers > 1 else 0.0,
        bidirectional=layer.bidirectional,
        norm=layer.norm,
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
