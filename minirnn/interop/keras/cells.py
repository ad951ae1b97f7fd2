"""Keras's recurrent cells as layers of minirnn: which cell, which weights, which bias."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from minirnn.errors import ArgumentError
from minirnn.functional.noise import dropout
from minirnn.interop import cells as variants
from minirnn.interop.keras.activations import in_cell
from minirnn.interop.keras.base import Build, ones_like_row
from minirnn.interop.keras.layout import Layout
from minirnn.interop.keras.reverse import Reverse
from minirnn.interop.keras.source import Layer
from minirnn.kernels.cells import Cell
from minirnn.nn.recurrent import GRU, LSTM, RNN, Recurrent
from minirnn.tensor import Tensor

KINDS = {
    "SimpleRNN": "rnn", "SimpleRNNCell": "rnn", "GRU": "gru", "GRUCell": "gru",
    "LSTM": "lstm", "LSTMCell": "lstm",
}  # fmt: skip
CELLS = ("SimpleRNNCell", "GRUCell", "LSTMCell")


@dataclass(frozen=True)
class CellPlan:
    """One Keras cell: the cell of minirnn, its size, the layout of its weights, its dropout."""

    cell: Cell
    units: int
    layout: Layout
    reset_after: bool
    dropout: float
    recurrent_dropout: float
    told: str  # the layer in words

    def make(self, layer: Layer, build: Build, *, reverse: bool) -> Recurrent:
        """A layer of one direction, with the weights of `layer`."""
        arrays = layer.weights(*self.layout.shapes(self.units))
        options: dict[str, Any] = {
            "bias": self.layout.biases > 0,
            "batch_first": True,
            "dtype": build.dtype_of(layer, arrays),
            "device": build.device,
            "rng": 0,  # what it draws is written over
        }
        size = (arrays[0].shape[0], self.units)
        made = Reverse(self.cell, *size, **options) if reverse else self._forward(size, options)
        self.layout.into(arrays, made.weights())
        return made

    def _forward(self, size: tuple[int, int], options: dict[str, Any]) -> Recurrent:
        given = self.cell.options
        if self.cell.name == "rnn":
            return RNN(*size, nonlinearity=given["nonlinearity"], **options)
        if self.cell.name == "lstm":
            return LSTM(*size, activation=given["activation"], **options)
        if self.cell.name == "gru":
            if not self.reset_after:
                options["reset_after"] = False
            return GRU(*size, activation=given["activation"], **options)
        return Recurrent(self.cell, *size, **options)

    def in_training(self, x: Tensor, rng: Any) -> Tensor:
        """x (B, T, I) as it is in training: Keras drops each feature for all steps at once.

        Raises: ArgumentError for a layer with `recurrent_dropout`.
        """
        if self.recurrent_dropout:
            came = f"{self.told} with recurrent_dropout={self.recurrent_dropout} in training"
            wanted = "recurrent_dropout=0, or evaluation: model.eval()"
            raise ArgumentError("model", came, wanted)
        return dropout(ones_like_row(x), self.dropout, rng) * x if self.dropout else x


def plan(layer: Layer) -> CellPlan:
    """What a SimpleRNN, GRU or LSTM, or a cell of that name, is here.

    Raises: ArgumentError for an activation that is not known; what `Layer.damaged` raises for a
    configuration that is not whole.
    """
    layer.check_policy()
    kind = KINDS[layer.kind]
    biases = 1 if layer.flag("use_bias", True) else 0
    reset_after = True
    f = in_cell(layer, "activation")
    if kind == "rnn":
        cell = variants.rnn_variant(f)
    elif kind == "lstm":
        cell = variants.lstm_variant(in_cell(layer, "recurrent_activation"), f, f)
    else:
        reset_after = layer.flag("reset_after", True)
        biases *= 2 if reset_after else 1
        gates = in_cell(layer, "recurrent_activation")
        cell = variants.gru_variant(gates, f, reset="after" if reset_after else "before")
    return CellPlan(
        cell=cell,
        units=layer.size("units"),
        layout=Layout(kind, biases),
        reset_after=reset_after,
        dropout=_share(layer, "dropout"),
        recurrent_dropout=_share(layer, "recurrent_dropout"),
        told=str(layer),
    )


def _share(layer: Layer, key: str) -> float:
    value = layer.number(key, 0.0)
    if not 0.0 <= value <= 1.0:
        layer.damaged(f"{key}={value!r}", f"0 <= {key} <= 1")
    return value


def cell_layers(layer: Layer) -> list[Layer]:
    """The cells of a SimpleRNN, GRU, LSTM or RNN, each with its configuration and weights.

    Raises: ArgumentError for a cell that is none of Keras's three.
    """
    if layer.kind != "RNN":
        return [Layer(layer.entry, layer.store.child("cell"), layer.path.rpartition("/")[0])]
    cell = layer.inner("cell")
    found = [cell]
    if cell.of_keras and cell.kind == "StackedRNNCells":
        found = cell.inner_list("cells")
    for each in found:
        if not each.of_keras or each.kind not in CELLS:
            layer.refuse(f"the cell {each}", f"StackedRNNCells of {', '.join(CELLS)}, or one")
    if not found:
        layer.damaged("no cells", "at least one cell")
    return found
