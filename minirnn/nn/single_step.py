"""`RNNCell`, `GRUCell` and `LSTMCell`: one step at a time, for loops of one's own.

B sequences, I input size, H hidden size. A loop over a cell computes what the layer of the same
weights does, and its gradients; the layer is faster, for it knows all of x at once.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from minirnn.device import check_device
from minirnn.errors import ShapeError
from minirnn.functional.recurrent import recurrent
from minirnn.functional.shaping import expand_dims
from minirnn.inspect.recording import active
from minirnn.inspect.source import TraceSource
from minirnn.kernels import cells
from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.contract import Array, Keep, Weights
from minirnn.nn import states
from minirnn.nn.arguments import boolean, float_dtype, generator, positive_int
from minirnn.nn.linear import uniform_parameter
from minirnn.nn.module import Module
from minirnn.tensor import Tensor, as_tensor


class RecurrentCell(Module):
    """One step of any cell: the base of `RNNCell`, `GRUCell` and `LSTMCell`.

    Parameters are named and shaped as PyTorch's: `weight_ih (Gi*H, I)`, `weight_hh (Gh*H, H)`,
    `bias_ih (Gi*H,)`, `bias_hh (Gh*H,)`, uniform between plus and minus 1/sqrt(H) at first. Gi and
    Gh count the slots that the cell feeds from x and from h. A recording has one trace of one step
    for each call.

    cell    a cell made with `minirnn.cell`, or a built-in one
    bias    False leaves both biases out
    dtype   "float32" or "float64", of the parameters and of every input
    device  "cpu" or "cuda", of the parameters and of every input; see also `to`
    rng     None, a seed, or a numpy Generator, for the parameters

    Raises: ArgumentError, DTypeError or DeviceError that names the argument.
    """

    def __init__(
        self,
        cell: Cell,
        input_size: int,
        hidden_size: int,
        *,
        bias: bool = True,
        dtype: Any = "float32",
        device: str = "cpu",
        rng: Any = None,
    ) -> None:
        """Make the cell; its arguments are told at the class."""
        self.cell = cell
        self.input_size = I = positive_int("input_size", input_size)  # noqa: E741
        self.hidden_size = H = positive_int("hidden_size", hidden_size)
        self.bias = boolean("bias", bias)
        self.dtype = float_dtype(dtype)
        where, random = check_device(device), generator(rng)
        rows_x, rows_h = len(cell.input_slots) * H, len(cell.hidden_slots) * H
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows_x, I), "weight_hh": (rows_h, H)}
        if self.bias:
            shapes |= {"bias_ih": (rows_x,), "bias_hh": (rows_h,)}
        for name, shape in shapes.items():
            setattr(
                self, name, uniform_parameter(random, 1.0 / math.sqrt(H), shape, self.dtype, where)
            )

    @property
    def device(self) -> str:
        """Where the parameters are: "cpu" or "cuda"."""
        return self.weight_ih.device

    def weights(self) -> Weights:
        """The parameters (Tensors)."""
        biases = (self.bias_ih, self.bias_hh) if self.bias else ()
        return Weights(self.weight_ih, self.weight_hh, *biases)

    def forward(self, x: Tensor | Array, state: Any = None) -> Any:
        """One step from `state` over x (B, I).

        state  (B, H), or for a cell of several states a tuple of them (LSTM: (h, c)); None is zeros

        Returns the states after the step, likewise.

        Raises: ShapeError, DTypeError, DeviceError or ArgumentError that names the argument.
        """
        x = as_tensor(x, self.dtype, "x", self.weight_ih.data)
        if x.ndim != 2 or x.shape[1] != self.input_size or len(x) == 0:
            hint = "A single sample becomes a batch of one with x[None]" if x.ndim == 1 else ""
            wanted = f"(B, {self.input_size}) with at least one sequence"
            raise ShapeError("x", f"shape {x.shape}", wanted, hint)
        start = self._start(state, len(x), x.data)
        weights, recordings = self.weights(), active()
        keep: Keep | None = "record" if recordings else None
        _, last, tape = recurrent(self.cell, expand_dims(x, 0), start, weights, keep=keep)
        if tape is not None and recordings:
            source = TraceSource(
                cell=self.cell,
                tape=tape,
                x=x.data[None],
                state=tuple(each.data for each in start),
                weights=Weights(*[None if each is None else each.data for each in weights]),
                lengths=None,
                layer=0,
                class_name=type(self).__name__,
                truncated=any(each._truncated for each in start),
            )
            for recording in recordings:
                recording.add(recording.begin_call(), source)
        return last[0] if len(last) == 1 else last

    def _start(self, state: Any, B: int, like: Array) -> states.States:
        names, shape = self.cell.states, (B, self.hidden_size)
        if state is None:
            return states.zero_states(len(names), shape, self.dtype, like)
        return states.given_states(state, names, shape, self.dtype, like)

    def _describe(self) -> str:
        cell = f"{self.cell.name!r}, " if type(self) is RecurrentCell else ""
        text = f"{cell}{self.input_size}, {self.hidden_size}"
        return text if self.bias else f"{text}, bias=False"

    if TYPE_CHECKING:  # the parameters, of which the biases may be missing

        def __getattr__(self, name: str) -> Tensor: ...


class RNNCell(RecurrentCell):
    """One step of `RNN`: `h = cell(x, h)`, x (B, I), h (B, H).

    `nonlinearity` is "tanh", "relu", "sigmoid" or "identity"; the rest as `RecurrentCell`'s.
    """

    def __init__(
        self, input_size: int, hidden_size: int, *, nonlinearity: str = "tanh", **options: Any
    ) -> None:
        """Make the cell; its arguments are told at the class."""
        super().__init__(cells.rnn(nonlinearity), input_size, hidden_size, **options)


class GRUCell(RecurrentCell):
    """One step of `GRU`: `h = cell(x, h)`, x (B, I), h (B, H).

    `activation` of the candidate is "tanh", "relu" or "sigmoid"; `reset_after` as `GRU`'s; the rest
    as `RecurrentCell`'s.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        activation: str = "tanh",
        reset_after: bool = True,
        **options: Any,
    ) -> None:
        """Make the cell; its arguments are told at the class."""
        reset = "after" if boolean("reset_after", reset_after) else "before"
        super().__init__(cells.gru(activation, reset), input_size, hidden_size, **options)


class LSTMCell(RecurrentCell):
    """One step of `LSTM`: `h, c = cell(x, (h, c))`, x (B, I), h and c (B, H).

    `activation`, "tanh", "relu" or "sigmoid", stands in for both tanh's; the rest as
    `RecurrentCell`'s.
    """

    def __init__(
        self, input_size: int, hidden_size: int, *, activation: str = "tanh", **options: Any
    ) -> None:
        """Make the cell; its arguments are told at the class."""
        super().__init__(cells.lstm(activation), input_size, hidden_size, **options)
