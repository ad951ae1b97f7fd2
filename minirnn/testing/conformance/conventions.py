"""How an implementation orders and lays out its arrays, and the way there and back.

minirnn's own conventions are PyTorch's (docs/conventions.md). What is turned on the way to an
implementation is turned back on the way from it, gradients with their arrays, so that everything
is compared in minirnn's conventions. Turning moves numbers and changes their sign, never their
value: both sides compute with the very same floats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from minirnn.errors import ArgumentError
from minirnn.kernels.contract import Array, Weights
from minirnn.testing.conformance.storage import STORAGES

if TYPE_CHECKING:
    from minirnn.kernels.cells.cell import Cell

# What texts call the gates. A cell's own order is that of its slots, which is PyTorch's.
LETTERS: dict[str, dict[str, str]] = {
    "lstm": {
        "i": "input",
        "f": "forget",
        "g": "cell",
        "c": "cell",
        "j": "cell",
        "o": "output",
    },
    "gru": {
        "r": "reset",
        "z": "update",
        "u": "update",
        "n": "new",
        "h": "new",
        "c": "new",
        "g": "new",
    },
    "rnn": {"n": "new", "h": "new"},
}
LIBRARIES: dict[str, dict[str, str]] = {
    "pytorch": {"lstm": "ifgo", "gru": "rzn", "rnn": "n"},
    "keras": {"lstm": "ifgo", "gru": "zrn", "rnn": "n"},
    "onnx": {"lstm": "iofg", "gru": "zrn", "rnn": "n"},
}
Lengths = Literal["none", "positive", "any"]


@dataclass(frozen=True)
class Conventions:
    """What an implementation wants and gives; `check_cell` explains every field."""

    cell: Cell
    gate_order: tuple[str, ...]
    biases: int = 2
    layout: str = "time_major"
    weights: str = "rows"
    update_gate: str = "keeps"
    states: tuple[str, ...] = ()
    storage: str = "float32"
    precision: str | None = None
    lengths: str = "none"
    padding: str = "anything"
    padded_output: str = "zeros"
    reverse: bool = False
    initial_state: bool = True
    last_state: bool = True
    no_steps: bool = True
    strided: bool = True
    same_bits: bool = True
    nan: str = "kept"
    gradients: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raises: ArgumentError that names the field."""
        known: dict[str, Sequence[Any]] = {
            "biases": (0, 1, 2),
            "layout": ("time_major", "batch_major"),
            "weights": ("rows", "columns"),
            "update_gate": ("keeps", "replaces"),
            "storage": tuple(STORAGES),
            "precision": (None, "tf32", "bfloat16", "float16"),
            "lengths": ("none", "positive", "any"),
            "padding": ("anything", "finite"),
            "padded_output": ("zeros", "anything"),
            "nan": ("kept", "may be lost"),
        }
        for name, values in known.items():
            if getattr(self, name) not in values:
                wanted = ", ".join(map(repr, values))
                raise ArgumentError(name, repr(getattr(self, name)), f"one of {wanted}")
        if self.precision is not None and self.storage != "float32":
            came = f"{self.precision!r} with storage {self.storage!r}"
            raise ArgumentError("precision", came, "a precision of products of float32 arrays")
        if sorted(self.states) != sorted(self.cell.states):
            wanted = f"{', '.join(self.cell.states)} in any order"
            raise ArgumentError("states", repr(self.states), wanted)
        unknown = set(self.gradients) - set(self.gradient_names)
        if unknown:
            wanted = f"some of {', '.join(self.gradient_names)}"
            raise ArgumentError("gradients", ", ".join(sorted(unknown)), wanted)

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the weights that are handed over, in order."""
        return Weights._fields[: 2 + self.biases]

    @property
    def gradient_names(self) -> tuple[str, ...]:
        """Every gradient that there could be, in the order in which a tuple holds them."""
        state = ("state",) if self.initial_state else ()
        return ("x", *state, *self.parameters)

    def to_theirs(self, name: str, array: Array) -> Array:
        """An array of ours, named as `kernels.contract` names it, in the implementation's way."""
        if name in ("x", "doutput", "output"):
            return array.swapaxes(0, 1) if self.layout == "batch_major" else array
        if not name.startswith(("weight", "bias")):
            return array
        blocks = np.split(array, len(self.gate_order))
        order = [_slots(self.cell).index(gate) for gate in self.gate_order]
        turned = np.concatenate([self._signed(k, blocks[k]) for k in order])
        return turned.T if self.weights == "columns" and turned.ndim == 2 else turned

    def from_theirs(self, name: str, array: Array) -> Array:
        """The way back."""
        if name in ("x", "doutput", "output"):
            return array.swapaxes(0, 1) if self.layout == "batch_major" else array
        if not name.startswith(("weight", "bias")):
            return array
        turned = array.T if self.weights == "columns" and array.ndim == 2 else array
        blocks = dict(zip(self.gate_order, np.split(turned, len(self.gate_order)), strict=True))
        slots = _slots(self.cell)
        return np.concatenate([self._signed(k, blocks[gate]) for k, gate in enumerate(slots)])

    def _signed(self, k: int, block: Array) -> Array:
        # An update gate that lets the new in where ours keeps the old is σ(-z) = 1 - σ(z).
        turned = self.update_gate == "replaces" and _slots(self.cell)[k] == "update"
        return -block if turned else block


def gate_order_of(cell: Cell, order: str | Sequence[str] | None) -> tuple[str, ...]:
    """The gates' names in an order given as a library's name, as letters, or as names.

    Raises: ArgumentError if it is not an order of the cell's gates.
    """
    slots = _slots(cell)
    if order is None:
        return slots
    letters = LETTERS.get(cell.name, {})
    if isinstance(order, str):
        order = LIBRARIES.get(order.lower(), {}).get(cell.name, order)
        named = tuple(letters.get(letter, letter) for letter in order)
    else:
        named = tuple(letters.get(gate, gate) for gate in order)
    if sorted(named) != sorted(slots):
        initials = "".join(next((a for a, gate in letters.items() if gate == s), s) for s in slots)
        wanted = f'a library ({", ".join(LIBRARIES)}), letters such as "{initials}", or the names '
        raise ArgumentError("gate_order", repr(order), f"{wanted}{', '.join(slots)} in some order")
    return named


def _slots(cell: Cell) -> tuple[str, ...]:
    """The gates that the blocks of a weight belong to, in the cell's order.

    Of weight_hh a GRU's last block feeds `recurrent_new`; it stands where "new" does.
    """
    return tuple(cell.input_slots)


def named_arrays_of_weights(conventions: Conventions, weights: Weights) -> Mapping[str, Array]:
    """The weights that are handed over, by name, in the implementation's way."""
    return {
        name: conventions.to_theirs(name, getattr(weights, name)) for name in conventions.parameters
    }
