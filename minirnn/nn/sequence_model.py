"""`SequenceModel`: recurrent layers and a linear head, what most series and labels need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from minirnn.errors import ArgumentError
from minirnn.functional.shaping import concatenate
from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.contract import Array
from minirnn.nn.arguments import boolean, drop_probability, generator, positive_int
from minirnn.nn.between import (
    Norm,
    Normalizer,
    checked_norm,
    normalised,
    normalizer,
    valid_steps,
)
from minirnn.nn.dropout import Dropout
from minirnn.nn.initial_states import InitialStates, Start, initial_states
from minirnn.nn.lengths import checked_lengths
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
    norm         "layer" or "batch": normalises between recurrent layers and before the head (before
                 dropout, in both places); what is padded enters no statistics of a batch
    initial_state   where a call gives no `state`. "zeros". "learned": parameters `initial.state_h
                 (L*D, 1, H)` and so on, the same for all sequences, zeros at first. "random":
                 standard normal numbers, anew for each batch in training (it makes a network
                 robust to where it begins, and merges or parts no two inputs). "carried": in
                 training those that the batch before ended with, cut off its tape, if it had as
                 many sequences: for batches whose rows continue those of the batch before.
                 `reset_state()` forgets them; `fit` does before each epoch, and to keep rows
                 together it must not shuffle. In evaluation the last two begin at zeros
    activation   of the built-in cells: RNN's nonlinearity, GRU's and LSTM's activation
    rng          None, a seed or a numpy Generator, shared by all parts

    Other arguments as `Recurrent`'s. Attributes: `.recurrent` and `.head`; with a norm also
    `.head_norm`, with initial states other than zeros `.initial`.

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
        norm: Norm = "none",
        initial_state: Start = "zeros",
        activation: str = "tanh",
        batch_first: bool = False,
        bias: bool = True,
        dtype: Any = "float32",
        device: str = "cpu",
        rng: Any = None,
    ) -> None:
        """Make the model; its arguments are told at the class."""
        if not isinstance(readout, str) or readout not in READOUTS:
            raise ArgumentError("readout", repr(readout), "'last' or 'all'")
        self.readout = readout
        outputs = positive_int("output_size", output_size)
        p = drop_probability("head_dropout", head_dropout)
        checked_norm(norm)
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
            norm="none" if positive_int("num_layers", num_layers) == 1 else norm,
            dtype=dtype,
            device=device,
            rng=random,
        )
        features = self.recurrent.num_directions * self.recurrent.output_size
        self.head_dropout = Dropout(p, rng=random)
        self.head = Linear(features, outputs, bias=bias, dtype=dtype, device=device, rng=random)
        self.add_extras(norm, initial_state, random)

    def add_extras(self, norm: Norm, initial_state: Start, rng: np.random.Generator) -> None:
        """Add what only some models have: to the layers and the head that are there.

        Raises: ArgumentError that names the argument.
        """
        self.norm, self.initial_state = checked_norm(norm), initial_state
        layer = self.recurrent
        if self.norm != "none":
            self.head_norm = normalizer(norm, self.head.in_features, layer.dtype, layer.device)
        initial = initial_states(initial_state, layer, rng)
        if initial is not None:
            self.initial = initial

    def reset_state(self) -> None:
        """Forget a state carried from the batch before: the next begins at zeros."""
        if self.initial_state != "zeros":
            self.initial.reset()

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
        if state is None and self.initial_state != "zeros":
            state = self._begin(x)
        output, last = self.recurrent(x, state, lengths)
        if self.initial_state != "zeros":
            self.initial.ended(last)
        valid = None if self.norm == "none" else self._counted(output, lengths)
        if self.readout == "last":
            hidden = last[0] if isinstance(last, tuple) else last
            D = self.recurrent.num_directions
            ends = [hidden[level] for level in range(-D, 0)]  # the last layer's: (B, H) each
            output = ends[0] if D == 1 else concatenate(ends, axis=1)
        if self.norm != "none":
            output = normalised(self.head_norm, output, valid)
        y: Tensor = self.head(self.head_dropout(output))
        return (y, last) if boolean("return_state", return_state) else y

    def _begin(self, x: Any) -> Any:
        """Initial states for the sequences of x; None where the layer will refuse x."""
        shape: tuple[int, ...] = getattr(x, "shape", ())
        if len(shape) != 3:
            return None
        B = shape[0] if self.recurrent.batch_first else shape[1]
        return self.initial.begin(B, self.recurrent.weight_ih_l0.data) if B else None

    def _counted(self, output: Tensor, lengths: Any) -> Any:
        """Which vectors of what goes to the head are some sequence's own; None is all.

        `output` is that of the recurrent layers.
        """
        if lengths is None:
            return None
        batch_first = self.recurrent.batch_first
        B, T = output.shape[:2] if batch_first else output.shape[1::-1]
        ends = checked_lengths(lengths, T, B)
        if self.readout == "last":
            return ends > 0
        valid = valid_steps(T, ends)
        return valid.T if batch_first else valid

    def _describe(self) -> str:
        norm = "" if self.norm == "none" else f", norm={self.norm!r}"
        start = "" if self.initial_state == "zeros" else f", initial_state={self.initial_state!r}"
        return f"readout={self.readout!r}{norm}{start}"

    if TYPE_CHECKING:  # where they are told to be
        head_norm: Normalizer
        initial: InitialStates


def _recurrent(
    cell: Cell | str,
    activation: str,
    input_size: int,
    hidden_size: int,
    num_layers: int,
    **options: Any,
) -> Recurrent:
    if not isinstance(cell, str | Cell):
        wanted = "'rnn', 'gru', 'lstm', or a cell made with minirnn.cell"
        raise ArgumentError("cell", f"a {type(cell).__name__}", wanted)
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
