"""`Recurrent`: any cell over a sequence, in layers and directions; `RNN`, `GRU` and `LSTM`.

T time steps, B sequences, I input size, H hidden size, L layers, D directions (1 or 2).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from minirnn.device import check_device
from minirnn.errors import ArgumentError, ShapeError
from minirnn.functional.noise import dropout as dropout_of
from minirnn.functional.recurrent import recurrent
from minirnn.functional.shaping import concatenate, stack, swapaxes, unbind
from minirnn.inspect.recording import active
from minirnn.inspect.source import TraceSource
from minirnn.kernels import cells
from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.contract import Array, Keep, Tape, Weights
from minirnn.nn import states
from minirnn.nn.arguments import (
    boolean,
    drop_probability,
    float_dtype,
    generator,
    level_of_the_user,
    positive_int,
)
from minirnn.nn.between import Norm, checked_norm, normalised, normalizer, valid_steps
from minirnn.nn.lengths import checked_lengths
from minirnn.nn.linear import uniform_parameter
from minirnn.nn.module import Module
from minirnn.nn.projection import Ran, projected
from minirnn.nn.stream import Stream
from minirnn.tensor import Tensor, as_tensor

DIRECTIONS = (False, True)  # of time: forward, reverse
CELLS: dict[str, Callable[..., Cell]] = {"rnn": cells.rnn, "gru": cells.gru, "lstm": cells.lstm}


class Recurrent(Module):
    """A sequence of any cell: `num_layers` layers, in one direction or both.

    `cell` is "rnn", "gru", "lstm", or a cell of one's own made with `minirnn.cell`.

    Parameters are named and shaped as PyTorch's, for layer k: `weight_ih_l{k} (Gi*H, I)`, for k > 0
    `(Gi*H, D*H)`; `weight_hh_l{k} (Gh*H, H)`; `bias_ih_l{k} (Gi*H,)`; `bias_hh_l{k} (Gh*H,)`; and
    the same with `_reverse`. Gi and Gh count the slots that the cell feeds from x and from h; rows
    are in blocks, in the order of `cell.input_slots` and `cell.hidden_slots`. All start uniform
    between plus and minus 1/sqrt(H).

    bias           False leaves both biases out
    batch_first    x and output are (B, T, ...) at this layer's door, as views; states never are
    dropout        probability of dropping each output of every layer but the last, in training
    bidirectional  a second set of parameters runs from T-1 to 0; outputs are joined (T, B, 2*H)
    norm           "layer" or "batch": the output of every layer but the last is normalised on its
                   way to the next, by `norm_l{k}`, a `LayerNorm` or `BatchNorm` of D*H features;
                   steps past a sequence's end enter no statistics. "none" has no such modules
    recompute      True keeps about H numbers per step and sequence for backward, where an LSTM
                   keeps 6 H otherwise, and computes the gates again there: the same gradients, for
                   the operations of one more forward pass. A recording keeps everything anyway
    dtype          "float32" or "float64", of the parameters and of every input
    device         "cpu" or "cuda", of the parameters and of every input; see also `to`
    rng            None, a seed, or a numpy Generator: for the parameters, which are the same on
                   both devices, then for dropout, whose masks are not

    Raises: ArgumentError, DTypeError or DeviceError that names the argument.
    """

    _directions: tuple[bool, ...] = DIRECTIONS  # of the sets of parameters of a layer, in order

    def __init__(
        self,
        cell: Cell | str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        norm: Norm = "none",
        recompute: bool = False,
        dtype: Any = "float32",
        device: str = "cpu",
        rng: Any = None,
    ) -> None:
        """Make the layer; its arguments are told at the class."""
        self.cell = _cell(cell)
        self.input_size = positive_int("input_size", input_size)
        self.hidden_size = positive_int("hidden_size", hidden_size)
        self.num_layers = positive_int("num_layers", num_layers)
        self.bias = boolean("bias", bias)
        self.batch_first = boolean("batch_first", batch_first)
        self.dropout = drop_probability("dropout", dropout)
        self.bidirectional = boolean("bidirectional", bidirectional)
        self.norm = checked_norm(norm)
        self.recompute = boolean("recompute", recompute)
        self.dtype = float_dtype(dtype)
        where = check_device(device)
        self.rng = generator(rng)
        self.num_directions = 2 if bidirectional else 1
        for name in ("dropout", "norm") if self.num_layers == 1 else ():
            if (value := getattr(self, name)) not in (0.0, "none"):
                warnings.warn(
                    f"{name}={value!r} has no effect with num_layers=1: it acts between layers",
                    UserWarning,
                    stacklevel=level_of_the_user(),  # who makes the layer, or converts one
                )
        # Names of the parameters by layer and direction. What they name is looked up at each call,
        # so that a parameter may be replaced by assignment.
        suffixes = ("", "_reverse")[: self.num_directions]
        self._names = tuple(
            tuple(self._make_parameters(layer, suffix, where) for suffix in suffixes)
            for layer in range(self.num_layers)
        )
        for layer in range(self.num_layers - 1) if self.norm != "none" else ():
            features = self.num_directions * self.output_size
            setattr(self, f"norm_l{layer}", normalizer(self.norm, features, self.dtype, where))

    def _make_parameters(self, layer: int, suffix: str, device: str) -> tuple[str, ...]:
        H, outputs = self.hidden_size, self.output_size
        inputs = self.input_size if layer == 0 else self.num_directions * outputs
        rows_x, rows_h = len(self.cell.input_slots) * H, len(self.cell.hidden_slots) * H
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (rows_x, inputs),
            "weight_hh": (rows_h, outputs),
        }
        if self.bias:
            shapes |= {"bias_ih": (rows_x,), "bias_hh": (rows_h,)}
        for name, shape in shapes.items():
            parameter = uniform_parameter(self.rng, 1.0 / math.sqrt(H), shape, self.dtype, device)
            setattr(self, f"{name}_l{layer}{suffix}", parameter)
        return tuple(f"{name}_l{layer}{suffix}" for name in shapes)

    @property
    def device(self) -> str:
        """Where the parameters are: "cpu" or "cuda"."""
        return self.weight_ih_l0.device

    @property
    def output_size(self) -> int:
        """Features of the output in one direction: H, unless an LSTM projects its own."""
        return self.hidden_size

    def weights(self, layer: int = 0, *, reverse: bool = False) -> Weights:
        """The parameters (Tensors) of one layer in one direction."""
        return self._weights(self._names[layer][reverse])

    def _weights(self, names: tuple[str, ...]) -> Weights:
        attributes = self.__dict__
        return Weights(*[attributes[name] for name in names])

    def forward(
        self, x: Tensor | Array, state: Any = None, lengths: Any = None
    ) -> tuple[Tensor, Any]:
        """Run the layer over x (T, B, I); with `batch_first`, (B, T, I).

        state    initial states (L*D, B, H): one, or for a cell of several states a tuple (LSTM:
                 (h, c)); None is zeros
        lengths  (B,) integers, 0 <= length <= T: a sequence's own number of steps. Steps past it
                 change no state, have zero output and no gradient. None is T for all. They are
                 looked at on the CPU: an array on the GPU is copied from there, and waited for

        Returns output (T, B, D*H), or (B, T, D*H), and the last states, shaped like `state`. In
        the reverse direction the last state is the one after step 0.

        Raises: ShapeError, DTypeError, DeviceError (also for too little memory on the GPU) or
        ArgumentError that names the argument.
        """
        x = as_tensor(x, self.dtype, "x", self.__dict__["weight_ih_l0"].data)
        self._check_shape(x.data.shape)
        if self.batch_first:
            x = swapaxes(x, 0, 1)
        T, B, _ = x.data.shape
        if lengths is not None:
            lengths = checked_lengths(lengths, T, B)
        initial, truncated = self._initial_states(state, B, x.data)
        recordings = active()
        calls = [recording.begin_call() for recording in recordings]
        keep: Keep | None = "record" if recordings else None
        finals: list[states.States] = []
        for layer, directions in enumerate(self._names):
            if layer > 0:
                x = self._between(layer - 1, x, lengths)
            outputs = []
            for reverse, names in zip(self._directions, directions, strict=False):
                ran = self._run(
                    x, initial[len(finals)], names,
                    lengths=lengths, reverse=reverse, keep=keep, recompute=self.recompute,
                )  # fmt: skip
                outputs.append(ran.output)
                finals.append(ran.last)
                if recordings and ran.tape is not None:
                    source = self._trace_source(
                        layer, ran.x, ran.start, ran.weights, lengths, ran.tape, truncated
                    )
                    for recording, call in zip(recordings, calls, strict=True):
                        recording.add(call, source)
            x = outputs[0] if len(outputs) == 1 else concatenate(outputs, axis=2)
        if self.batch_first:
            x = swapaxes(x, 0, 1)
        if len(finals) == 1:  # one level: its states have kept their (1, B, H)
            last = finals[0]
        else:
            last = tuple([stack(levels) for levels in zip(*finals, strict=True)])
        return x, last[0] if len(last) == 1 else last

    def _between(self, layer: int, x: Tensor, lengths: Array | None) -> Tensor:
        """What becomes of a layer's output (T, B, D*H) on its way to the next layer."""
        if self.norm != "none":
            norm = self.__dict__[f"norm_l{layer}"]
            x = normalised(norm, x, valid_steps(len(x.data), lengths))
        if self.training and self.dropout > 0.0:
            x = dropout_of(x, self.dropout, self.rng)
        return x

    def _run(self, x: Tensor, start: states.States, names: tuple[str, ...], **options: Any) -> Ran:
        """One layer in one direction, with the parameters of those names."""
        weights = self._weights(names)
        output, final, tape = recurrent(self.cell, x, start, weights, **options)
        return Ran(output, final, tape, x, start, weights)

    def stream(self, batch: int = 1, state: Any = None) -> Stream:
        """Run step by step as samples arrive, with the parameters of now: see `minirnn.nn.Stream`.

        Raises: ArgumentError if the layer is bidirectional or normalises between its layers;
        ShapeError or DTypeError for a state that does not fit.
        """
        return Stream(self, batch, state)

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        batch_axis = 0 if self.batch_first else 1
        if len(shape) == 3 and shape[2] == self.input_size and shape[batch_axis] > 0:
            return
        wanted = f"({'B, T' if self.batch_first else 'T, B'}, {self.input_size})"
        hint = ""
        if len(shape) == 2:
            added = "x[None]" if self.batch_first else "x[:, None]"
            hint = f"A sequence without a batch axis becomes a batch of one with {added}"
        elif len(shape) == 3 and shape[2] == self.input_size:
            wanted += " with at least one sequence"
        raise ShapeError("x", f"shape {shape}", wanted, hint)

    def _initial_states(self, state: Any, B: int, like: Array) -> tuple[list[states.States], bool]:
        """The states at each level, and whether they were cut off a tape (truncated BPTT)."""
        names, H = self.cell.states, self.hidden_size
        levels = self.num_layers * self.num_directions
        if state is None:
            shape = (1, B, H) if levels == 1 else (B, H)
            return [states.zero_states(len(names), shape, self.dtype, like)] * levels, False
        shape = (levels, B, H)
        given = states.given_states(state, names, shape, self.dtype, like, self.output_size)
        truncated = any(each._truncated for each in given)
        if levels == 1:
            return [given], truncated
        return list(zip(*[unbind(each) for each in given], strict=True)), truncated

    def _trace_source(
        self,
        layer: int,
        x: Tensor,
        start: states.States,
        weights: Weights,
        lengths: Array | None,
        tape: Tape,
        truncated: bool,
    ) -> TraceSource:
        return TraceSource(
            cell=self.cell,
            tape=tape,
            x=x.data,
            state=tuple(each.data.reshape(each.data.shape[-2:]) for each in start),
            weights=Weights(*[None if each is None else each.data for each in weights]),
            lengths=lengths,
            layer=layer,
            class_name=type(self).__name__,
            truncated=truncated,
            copy_x=layer == 0,
        )

    def _describe(self) -> str:
        cell = "" if type(self) in (RNN, GRU, LSTM) else f"{self.cell.name!r}, "
        text = f"{cell}{self.input_size}, {self.hidden_size}"
        plain: dict[str, Any] = {
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0.0,
        }
        plain |= {"bidirectional": False, "norm": "none", "recompute": False}
        for name, default in plain.items():
            value = getattr(self, name)
            shown = repr(value) if isinstance(value, str) else value
            text += "" if value == default else f", {name}={shown}"
        return text

    if TYPE_CHECKING:  # the parameters, whose names depend on the number of layers

        def __getattr__(self, name: str) -> Tensor: ...


class RNN(Recurrent):
    """h' = f(W_ih x + b_ih + W_hh h + b_hh) (Elman 1990); call: `output, h = layer(x)`.

    `nonlinearity` f is "tanh", "relu", "sigmoid" or "identity"; other arguments, parameters, shapes
    and errors as `Recurrent`'s.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        nonlinearity: str = "tanh",
        **options: Any,
    ) -> None:
        """Make the layer; its arguments are told at the class."""
        super().__init__(cells.rnn(nonlinearity), input_size, hidden_size, num_layers, **options)


class GRU(Recurrent):
    """Gated recurrent unit (Cho et al. 2014); call: `output, h = layer(x)`.

    The update gate keeps the old state: h' = (1 - z) n + z h. Rows of the weights: reset, update,
    new. `activation` of the candidate n is "tanh", "relu" or "sigmoid"; the rest as `Recurrent`'s.

    reset_after  True: the reset gate acts after the product with W_hn, on its bias too, as in
                 PyTorch and cuDNN. False: before it, on h, as first published, in Keras with its
                 reset_after=False and in ONNX by default; that takes about twice the time
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        activation: str = "tanh",
        reset_after: bool = True,
        **options: Any,
    ) -> None:
        """Make the layer; its arguments are told at the class."""
        cell = cells.gru(activation, "after" if boolean("reset_after", reset_after) else "before")
        super().__init__(cell, input_size, hidden_size, num_layers, **options)

    @property
    def reset_after(self) -> bool:
        """Whether the reset gate acts after the product with W_hn."""
        return self.cell.operand is None

    def _describe(self) -> str:
        return super()._describe() + ("" if self.reset_after else ", reset_after=False")


class LSTM(Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber 1997, forget gate by Gers et al. 2000).

    Call: `output, (h, c) = layer(x)`. Rows of the weights: input, forget, cell, output.
    `activation`, "tanh", "relu" or "sigmoid", stands in for both tanh's; the rest as `Recurrent`'s.

    proj_size  P > 0, less than H: h is projected, h = W_hr (o ∘ tanh(c)) (Sak et al. 2014). Then
               `weight_hr_l{k} (P, H)` stands beside `weight_hh_l{k} (4H, P)`, output is
               (T, B, D*P), h (L*D, B, P) and c (L*D, B, H). A trace shows what the kernels run:
               `hidden` is o ∘ tanh(c), before the projection, the recurrent weight W_hh W_hr, and
               with an initial state x has P more features, which hold h at the first step
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        activation: str = "tanh",
        proj_size: int = 0,
        **options: Any,
    ) -> None:
        """Make the layer; its arguments are told at the class."""
        self.proj_size = 0 if proj_size == 0 else positive_int("proj_size", proj_size)
        if self.proj_size >= positive_int("hidden_size", hidden_size):
            raise ArgumentError(
                "proj_size", repr(proj_size), f"less than hidden_size={hidden_size}"
            )
        super().__init__(cells.lstm(activation), input_size, hidden_size, num_layers, **options)

    @property
    def output_size(self) -> int:
        """Features of the output in one direction: P, or H without a projection."""
        return self.proj_size or self.hidden_size

    def _make_parameters(self, layer: int, suffix: str, device: str) -> tuple[str, ...]:
        names = super()._make_parameters(layer, suffix, device)
        if self.proj_size:
            shape, bound = (self.proj_size, self.hidden_size), 1.0 / math.sqrt(self.hidden_size)
            weight = uniform_parameter(self.rng, bound, shape, self.dtype, device)
            setattr(self, f"weight_hr_l{layer}{suffix}", weight)
        return names

    def _run(self, x: Tensor, start: states.States, names: tuple[str, ...], **options: Any) -> Ran:
        if not self.proj_size:
            return super()._run(x, start, names, **options)
        weight_hr = self.__dict__[names[0].replace("weight_ih", "weight_hr")]
        return projected(self.cell, x, start, self._weights(names), weight_hr, **options)

    def stream(self, batch: int = 1, state: Any = None) -> Stream:
        """As any layer's. Raises: ArgumentError too for a layer with a projection."""
        if self.proj_size:
            raise ArgumentError("layer", repr(self), "an LSTM with proj_size=0")
        return super().stream(batch, state)

    def _describe(self) -> str:
        return super()._describe() + (f", proj_size={self.proj_size}" if self.proj_size else "")


def _cell(cell: Cell | str) -> Cell:
    if isinstance(cell, Cell):
        return cell
    if isinstance(cell, str) and cell in CELLS:
        return CELLS[cell]("tanh")
    wanted = f"{', '.join(map(repr, CELLS))}, or a cell made with minirnn.cell"
    raise ArgumentError("cell", repr(cell), wanted)
