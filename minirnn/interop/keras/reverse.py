"""`Reverse`: one layer that runs from the last step to the first, alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NoReturn

from minirnn.errors import ArgumentError
from minirnn.inspect.source import TraceSource
from minirnn.kernels.contract import Weights
from minirnn.nn.recurrent import Recurrent

CLASSES = {"rnn": "RNN", "lstm": "LSTM", "gru": "GRU"}


class Reverse(Recurrent):
    """A cell from each sequence's last step to its first: the second half of a bidirectional layer.

    Output and trace have the input's time; the last state is the one after step 0. Arguments,
    parameters, shapes and errors as `Recurrent`'s of one layer. Not for `stream`.
    """

    _directions = (True,)

    def weights(self, layer: int = 0, *, reverse: bool = True) -> Weights:
        """The parameters (Tensors), which are of the reverse direction."""
        return super().weights(layer)

    def stream(self, batch: int = 1, state: Any = None) -> NoReturn:
        """Raise ArgumentError: the first step needs the end of the sequence."""
        wanted = "a layer that runs forward: this one needs the end of the sequence first"
        raise ArgumentError("layer", repr(self), wanted)

    def _trace_source(self, *arguments: Any) -> TraceSource:
        kind = self.cell.name.split("_")[0]
        return replace(
            super()._trace_source(*arguments), class_name=CLASSES.get(kind, type(self).__name__)
        )
