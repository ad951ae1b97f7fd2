"""`PeepholeLSTM`: an LSTM whose gates see the cell state (Gers & Schmidhuber 2000).

L layers, D directions, B sequences, H units.
"""

from __future__ import annotations

import math
from typing import Any

from minirnn.errors import ArgumentError
from minirnn.functional.shaping import broadcast_to, split, unbind
from minirnn.interop.cells import lstm_variant, peephole_states
from minirnn.kernels.cells import Cell
from minirnn.kernels.contract import Array
from minirnn.nn import states
from minirnn.nn.linear import uniform_parameter
from minirnn.nn.recurrent import Recurrent
from minirnn.nn.stream import Stream
from minirnn.tensor import Tensor

PREFIX = "weight_peephole"
STATES = ("h", "c")  # those that the caller sees


class PeepholeLSTM(Recurrent):
    """An LSTM with peepholes; call: `output, (h, c) = layer(x, state=None, lengths=None)`.

    `cell` is made by `lstm_variant(..., peepholes=True)`, and is that with ONNX's default
    activations where it is None. Beside `Recurrent`'s parameters there is, for each layer and
    direction, `weight_peephole_l{k}{_reverse} (P*H,)`, in blocks input, forget, output (P = 3; 2
    without forget, where the gates are coupled): z_input and z_forget see the last cell state, and
    z_output the new one, each times its vector. Other arguments, and errors, as `Recurrent`'s.

    A trace of the layer shows the vectors as further states of the cell, which stay as they are.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        cell: Cell | None = None,
        **options: Any,
    ) -> None:
        """Make the layer; its arguments are told at the class."""
        cell = lstm_variant(peepholes=True) if cell is None else cell
        self._holes = peephole_states(cell.slots) if isinstance(cell, Cell) else ()
        if not isinstance(cell, Cell) or cell.states != (*STATES, *self._holes):
            raise ArgumentError("cell", repr(cell), "one of lstm_variant(..., peepholes=True)")
        super().__init__(cell, input_size, hidden_size, num_layers, **options)

    def _make_parameters(self, layer: int, suffix: str, device: str) -> tuple[str, ...]:
        names = super()._make_parameters(layer, suffix, device)
        H = self.hidden_size
        shape = (len(self._holes) * H,)
        peephole = uniform_parameter(self.rng, 1.0 / math.sqrt(H), shape, self.dtype, device)
        setattr(self, f"{PREFIX}_l{layer}{suffix}", peephole)
        return names

    def forward(
        self, x: Tensor | Array, state: Any = None, lengths: Any = None
    ) -> tuple[Tensor, Any]:
        """Run the layer: see `Recurrent.forward`; the states are (h, c), (L*D, B, H) each."""
        output, last = super().forward(x, state, lengths)
        return output, last[: len(STATES)]

    def stream(self, batch: int = 1, state: Any = None) -> Stream:
        """Run step by step: see `Recurrent.stream`; the states are (h, c)."""
        return _PeepholeStream(self, batch, state)

    def _initial_states(self, state: Any, B: int, like: Array) -> tuple[list[states.States], bool]:
        H, vectors = self.hidden_size, self._vectors()
        levels = len(vectors)
        if state is None:
            given = states.zero_states(len(STATES), (levels, B, H), self.dtype, like)
        else:
            given = states.given_states(state, STATES, (levels, B, H), self.dtype, like)
        truncated = any(each._truncated for each in given)
        if levels == 1:  # one level: its states keep their (1, B, H)
            return [(*given, *[broadcast_to(p, (1, B, H)) for p in vectors[0]])], truncated
        by_level = zip(*[unbind(each) for each in given], strict=True)
        return [
            (*level, *[broadcast_to(p, (B, H)) for p in holes])
            for level, holes in zip(by_level, vectors, strict=True)
        ], truncated

    def _vectors(self) -> list[tuple[Tensor, ...]]:
        """At each level, the peephole vectors (H,) in the order of the cell's states."""
        suffixes = ("", "_reverse")[: self.num_directions]
        names = [f"{PREFIX}_l{k}{suffix}" for k in range(self.num_layers) for suffix in suffixes]
        return [split(getattr(self, name), len(self._holes)) for name in names]


class _PeepholeStream(Stream):
    """A stream whose states are (h, c): the peepholes are put in and taken off here."""

    @property
    def state(self) -> Any:
        """The states (h, c), (L, B, H) each, after the last step; assign to go on from others."""
        return tuple(super().state)[: len(STATES)]

    @state.setter
    def state(self, state: Any) -> None:
        for level, start in zip(self._steps, self._levels(state), strict=True):
            level.state = start

    def refresh(self) -> None:
        """Take up the layer's parameters of now, peepholes too; the states stay."""
        super().refresh()
        self.state = self.state

    def _levels(self, state: Any) -> list[tuple[Array, ...]]:
        layer = self._layer
        assert isinstance(layer, PeepholeLSTM)
        starts, _ = layer._initial_states(state, self.batch, self._like)
        shape = (self.batch, layer.hidden_size)
        return [tuple(each.data.reshape(shape) for each in start) for start in starts]
