"""`SequenceModel`: recurrent layers and a linear head, what most series and labels need."""

from __future__ import annotations

from typing import Any, Literal, overload

from minirnn.errors import ArgumentError
from minirnn.functional.shaping import concatenate
from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.contract import Array
from minirnn.nn.arguments import drop_probability, generator, positive_int
from minirnn.nn.dropout import Dropout
from minirnn.nn.linear import Linear
from minirnn.nn.module import Module
from minirnn.nn.recurrent import GRU, LSTM, RNN, Recurrent
from minirnn.tensor import Tensor

READOUTS = ("last", "all")


class SequenceModel(Module):
    """Recurrent layer(s), then dropout, then a `Linear` head; time-major unless `batch_first`.

    cell         "rnn", "gru", "lstm", or a cell made with `minirnn.cell`
    output_size  O, features of the head's output
    readout      "last": the head sees the last layer's final states, forward's after each
                 sequence's last valid step and reverse's after step 0. "all": every step
    dropout      between recurrent layers, in training;  head_dropout  before the head
    activation   of the built-in cells: RNN's nonlinearity, GRU's and LSTM's activation
    rng          None, a seed or a numpy Generator, shared by all parts

    Other arguments as `Recurrent`'s. Attributes: `.recurrent` and `.head`.

    Raises: ArgumentError, DTypeError or DeviceError that names the argument.
    """

    def __init__(
        self,
        cell: Cell | str = "lstm",
        *,
        input_size: int,
        hidden_size: int,
        output_size: int,
        readout: Literal["last", "all"] = "last",
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        head_dropout: float = 0.0,
        activation: str = "tanh",
        batch_first: bool = False,
        bias: bool = True,
        dtype: Any = "float32",
        device: str = "cpu",
        rng: Any = None,
    ) -> None:
        """Make the model; its arguments are told at the class."""
        if readout not in READOUTS:
            raise ArgumentError("readout", repr(readout), "'last' or 'all'")
        self.readout = readout
        outputs = positive_int("output_size", output_size)
        p = drop_probability("head_dropout", head_dropout)
        random = generator(rng)
        self.recurrent = _recurrent(
            cell,
            activation,
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            dtype=dtype,
            device=device,
            rng=random,
        )
        features = self.recurrent.num_directions * self.recurrent.output_size
        self.head_dropout = Dropout(p, rng=random)
        self.head = Linear(features, outputs, bias=bias, dtype=dtype, device=device, rng=random)

    @overload
    def forward(
        self,
        x: Tensor | Array,
        state: Any = None,
        lengths: Any = None,
        return_state: Literal[False] = False,
    ) -> Tensor: ...

    @overload
    def forward(
        self, x: Tensor | Array, state: Any = None, lengths: Any = None, *, return_state: bool
    ) -> Tensor | tuple[Tensor, Any]: ...

    def forward(
        self,
        x: Tensor | Array,
        state: Any = None,
        lengths: Any = None,
        return_state: bool = False,
    ) -> Tensor | tuple[Tensor, Any]:
        """Map x (T, B, I) to (B, O), or with readout "all" to (T, B, O); batch first if it is set.

        `state` and `lengths` as `Recurrent.forward`'s; with `return_state` the last states come as
        second value, to start the next call from.

        Raises: ShapeError, DTypeError or ArgumentError that names the argument.
        """
        output, last = self.recurrent(x, state, lengths)
        if self.readout == "last":
            hidden = last[0] if isinstance(last, tuple) else last
            D = self.recurrent.num_directions
            ends = [hidden[level] for level in range(-D, 0)]  # the last layer's: (B, H) each
            output = ends[0] if D == 1 else concatenate(ends, axis=1)
        y: Tensor = self.head(self.head_dropout(output))
        return (y, last) if return_state else y

    def _describe(self) -> str:
        return f"readout={self.readout!r}"


def _recurrent(
    cell: Cell | str,
    activation: str,
    input_size: int,
    hidden_size: int,
    num_layers: int,
    **options: Any,
) -> Recurrent:
    if cell == "rnn":
        return RNN(input_size, hidden_size, num_layers, nonlinearity=activation, **options)
    if cell == "gru":
        return GRU(input_size, hidden_size, num_layers, activation=activation, **options)
    if cell == "lstm":
        return LSTM(input_size, hidden_size, num_layers, activation=activation, **options)
    if activation != "tanh":
        raise ArgumentError(
            "activation",
            repr(activation),
            "'tanh' with a cell that is not built in",
            "A cell of one's own names its activations in its equations",
        )
    return Recurrent(cell, input_size, hidden_size, num_layers, **options)
