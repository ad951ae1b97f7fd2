"""Which cells a model runs: weights of one shape mean different things to different cells.

A GRU that resets before the product has the weights of one that resets after it, and an LSTM with
relu those of one with tanh. So files of weights hold the cells too, and what is read into a model
of other cells is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minirnn.errors import CheckpointError
from minirnn.kernels.cells.cell import Cell
from minirnn.nn import Module


def cells_of(model: Module) -> dict[str, dict[str, Any]]:
    """The cells of a model's modules by dotted name, in plain values.

    `gate_order` gives the blocks of rows of the weights fed by x and of those fed by h.
    """
    found = {}
    for name, module in model.named_modules():
        cell = vars(module).get("cell")
        if isinstance(cell, Cell):
            found[name] = {
                "name": cell.name,
                "options": dict(cell.options),
                "fingerprint": cell.fingerprint(),
                "gate_order": {
                    "weight_ih": list(cell.input_slots),
                    "weight_hh": list(cell.hidden_slots),
                },
            }
    return found


def check_cells(model: Module, saved: Mapping[str, Any], argument: str = "model") -> None:
    """Raises: CheckpointError that names `argument`, where a cell differs from the saved one.

    Only cells of the same place are compared: whether the places fit, parameters' names tell.
    """
    for name, mine in cells_of(model).items():
        other = saved.get(name)
        if other is not None and other["fingerprint"] != mine["fingerprint"]:
            where = f"the cell of {name!r}" if name else "the cell"
            came = f"one in which {where} is {_words(mine)}"
            raise CheckpointError(argument, came, f"{_words(other)}, whose weights were saved")


def _words(cell: Mapping[str, Any]) -> str:
    options = "".join(f", {name}={value!r}" for name, value in cell["options"].items())
    return f"{cell['name']}{options} (equations {cell['fingerprint']})"
