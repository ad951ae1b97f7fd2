"""What the attributes of an RNN, GRU or LSTM node say: cells, directions, layout, order of gates.

ONNX's blocks of rows, H each: LSTM input, output, forget, cell; GRU update, reset, hidden. Peephole
vectors: input, output, forget. Source: the operators' specifications, versions 7, 14 and 22.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from minirnn.errors import ArgumentError
from minirnn.interop.activations import Activation, activation, takes
from minirnn.interop.cells import gru_variant, lstm_variant, rnn_variant
from minirnn.interop.onnx.node import Node
from minirnn.kernels.cells import Cell

# Which of ONNX's blocks stands at each place of ours.
BLOCKS = {"RNN": (0,), "GRU": (1, 0, 2), "LSTM": (0, 2, 3, 1)}
COUPLED_BLOCKS = (0, 3, 1)  # an LSTM's without forget
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
HOLES, COUPLED_HOLES = (0, 2, 1), (0, 1)  # of P, likewise
DEFAULTS = {
    "RNN": (Activation("tanh"),),
    "GRU": (Activation("sigmoid"), Activation("tanh")),
    "LSTM": (Activation("sigmoid"), Activation("tanh"), Activation("tanh")),
}
DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
KNOWN = {
    "activation_alpha", "activation_beta", "activations", "clip", "direction", "hidden_size",
    "layout",
}  # fmt: skip
OWN = {"RNN": set(), "GRU": {"linear_before_reset"}, "LSTM": {"input_forget"}}
INPUTS = {"RNN": 6, "GRU": 6, "LSTM": 8}


@dataclass(frozen=True)
class Settings:
    """The attributes of a recurrent node, understood; one cell and one `reverse` a direction."""

    op: str
    cells: tuple[Cell, ...]
    reverse: tuple[bool, ...]
    batch_first: bool  # layout 1
    hidden_size: int | None
    blocks: tuple[int, ...]
    holes: tuple[int, ...]  # empty for a node without peepholes

    @property
    def gates(self) -> int:
        """Blocks of rows in W: 1, 3 or 4."""
        return GATES[self.op]


def settings_of(node: Node) -> Settings:
    """Understand a node's attributes.

    Raises: ArgumentError that names the node and what is unknown or does not fit.
    """
    op = node.op
    unknown = set(node.attributes) - KNOWN - OWN[op]
    if unknown:
        raise node.refuse(f"attributes {', '.join(sorted(unknown))}", f"those of {op}")
    if len(node.inputs) > INPUTS[op]:
        raise node.refuse(f"{len(node.inputs)} inputs", f"at most {INPUTS[op]}")
    direction = node.get("direction", "forward")
    if direction not in DIRECTIONS:
        raise node.refuse(f"direction {direction!r}", f"one of {', '.join(DIRECTIONS)}")
    layout = node.get("layout", 0)
    if layout not in (0, 1):
        raise node.refuse(f"layout {layout}", "0 or 1")
    reverse = DIRECTIONS[direction]
    peepholes = op == "LSTM" and len(node.inputs) == 8 and bool(node.inputs[7])
    coupled = bool(node.get("input_forget", 0))
    try:
        cells = tuple(
            _cell(node, functions, coupled, peepholes)
            for functions in _activations(node, len(reverse))
        )
    except ArgumentError as error:
        raise node.refuse(f"{error.argument}: {error.came}", error.wanted) from error
    return Settings(
        op=op,
        cells=cells,
        reverse=reverse,
        batch_first=layout == 1,
        hidden_size=node.get("hidden_size"),
        blocks=COUPLED_BLOCKS if coupled else BLOCKS[op],
        holes=() if not peepholes else COUPLED_HOLES if coupled else HOLES,
    )


def _cell(node: Node, functions: tuple[Activation, ...], coupled: bool, peepholes: bool) -> Cell:
    clip = node.get("clip")
    if node.op == "RNN":
        return rnn_variant(*functions, clip=clip)
    if node.op == "GRU":
        reset: Any = "after" if node.get("linear_before_reset", 0) else "before"
        return gru_variant(*functions, reset=reset, clip=clip)
    return lstm_variant(*functions, clip=clip, coupled=coupled, peepholes=peepholes)


def _activations(node: Node, directions: int) -> list[tuple[Activation, ...]]:
    """The activations (f, g, h) of each direction."""
    defaults = DEFAULTS[node.op]
    names = node.get("activations")
    if names is None:
        names = [f.name for f in defaults] * directions
    if node.op == "RNN" and directions == 1 and len(names) == 2:
        names = names[:1]  # the specification's own default names two
    wanted = len(defaults) * directions
    if len(names) != wanted:
        raise ArgumentError("activations", f"{len(names)} names", f"{wanted}")
    needs = [takes(name, "activations") for name in names]
    alphas = _numbers(node, "activation_alpha", [alpha for alpha, _ in needs])
    betas = _numbers(node, "activation_beta", [beta for _, beta in needs])
    chosen = [
        activation((name, alpha, beta), "activations")
        for name, alpha, beta in zip(names, alphas, betas, strict=True)
    ]
    size = len(defaults)
    return [tuple(chosen[at : at + size]) for at in range(0, wanted, size)]


def _numbers(node: Node, attribute: str, needed: list[bool]) -> list[float | None]:
    """The alphas or betas, one an activation; None where there is none.

    "The values are consumed in the order of activation functions": by those that take one. Some
    exporters write one for every activation instead; the number of values tells which it is.
    """
    given = [float(value) for value in node.get(attribute) or ()]
    if len(given) == len(needed):
        return [value if need else None for value, need in zip(given, needed, strict=True)]
    if len(given) > sum(needed):
        wanted = f"at most {sum(needed)}, or {len(needed)}"
        raise ArgumentError(attribute, f"{len(given)} values", wanted)
    values = iter(given)
    return [next(values, None) if need else None for need in needed]
