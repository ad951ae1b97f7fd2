"""RNN, LSTM and GRU with any activations, clipping, coupled gates and peepholes.

The variants that Keras and ONNX allow, written in the vocabulary of `minirnn.cell`: they run on
every device, are differentiated, and can be recorded like any cell. Where nothing differs from a
built-in cell the built-in one is returned.

An activation is a name, or (name, alpha, beta): see `minirnn.interop.activations.activation`.
`clip` bounds the argument of every activation to [-clip, clip], as ONNX has it.

What a cell keeps for backward, and what a trace shows as its gates, is the gate itself wherever its
derivative can be had from it. With `clip`, and for LeakyRelu, ThresholdedRelu, ScaledTanh, Elu,
Softsign, Softplus and SiLU, it is the argument of the activation instead.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, Literal

from minirnn.errors import ArgumentError
from minirnn.interop.activations import Activation, activation, from_output, write
from minirnn.kernels import cells
from minirnn.kernels.cells import Cell
from minirnn.kernels.cells import clip as clipped
from minirnn.kernels.cells.cell import Feed
from minirnn.kernels.cells.gru import SLOTS as GRU_SLOTS
from minirnn.kernels.cells.gru_before import SLOTS as BEFORE_SLOTS
from minirnn.kernels.cells.lstm import SLOTS as LSTM_SLOTS
from minirnn.kernels.cells.vocabulary import Expression
from minirnn.nn.arguments import boolean

BUILT_IN = ("tanh", "relu", "sigmoid")  # what the built-in cells' options may name
SIGMOID = Activation("sigmoid")

Spec = str | tuple[Any, ...] | Activation
Reset = Literal["after", "before"]


def rnn_variant(f: Spec = "tanh", *, clip: float | None = None) -> Cell:
    """The simple recurrent cell h' = f(W x + b + U h + b') with any activation f.

    Raises: ArgumentError that names the argument.
    """
    return _rnn(activation(f, "f"), _bound(clip))


@cache  # one object a variant: its kernels are compiled once
def _rnn(f: Activation, clip: float | None) -> Cell:
    if clip is None and f.name in (*BUILT_IN, "identity"):
        return cells.rnn(f.name)

    def equations(z: Any, last: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        n, kept = _gate(f, z.new, clip)
        return {"h": n}, {"new": kept}

    return Cell("rnn_variant", ("h",), {"new": "xh"}, equations, _options(clip, f=f))


def lstm_variant(
    gates: Spec = "sigmoid",
    cell: Spec = "tanh",
    output: Spec = "tanh",
    *,
    clip: float | None = None,
    coupled: bool = False,
    peepholes: bool = False,
) -> Cell:
    """The LSTM cell with any activations: ONNX's f (`gates`), g (`cell`) and h (`output`).

    coupled    the forget gate is 1 - i: there is no slot "forget", and the weights have three
               blocks, input, cell, output
    peepholes  the gates see the cell state through a vector each (Gers & Schmidhuber 2000):
               z_input + p_i c', z_forget + p_f c', z_output + p_o c, with c' the last cell state
               and c the new one. A cell has no parameters of its own, so the vectors are states
               that stay as they are, "peephole_input" and so on, (B, H): the gradient of the
               initial one, summed over the batch, is the vector's. `PeepholeLSTM` does that

    Raises: ArgumentError that names the argument.
    """
    return _lstm(
        activation(gates, "gates"), activation(cell, "cell"), activation(output, "output"),
        _bound(clip), boolean("coupled", coupled), boolean("peepholes", peepholes),
    )  # fmt: skip


@cache
def _lstm(
    f: Activation,
    g: Activation,
    h: Activation,
    clip: float | None,
    coupled: bool,
    peepholes: bool,
) -> Cell:
    plain = clip is None and not coupled and not peepholes
    if plain and f == SIGMOID and g == h and g.name in BUILT_IN:
        return cells.lstm(g.name)
    slots: dict[str, Feed] = dict(LSTM_SLOTS)
    if coupled:
        del slots["forget"]
    holes = peephole_states(slots) if peepholes else ()

    def equations(z: Any, last: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        def seen(gate: str, c: Expression) -> Expression:
            slot: Expression = getattr(z, gate)
            return slot + getattr(last, f"peephole_{gate}") * c if peepholes else slot

        stored: dict[str, Expression] = {}
        i, stored["input"] = _gate(f, seen("input", last.c), clip)
        forget = 1 - i
        if not coupled:
            forget, stored["forget"] = _gate(f, seen("forget", last.c), clip)
        candidate, stored["cell"] = _gate(g, z.cell, clip)
        c = forget * last.c + i * candidate
        o, stored["output"] = _gate(f, seen("output", c), clip)
        return {
            "h": o * write(h, _bounded(c, clip)),
            "c": c,
            **{p: getattr(last, p) for p in holes},
        }, stored

    options = _options(clip, f=f, g=g, h=h, coupled=coupled, peepholes=peepholes)
    return Cell("lstm_variant", ("h", "c", *holes), slots, equations, options)


def peephole_states(slots: Any) -> tuple[str, ...]:
    """The names of the states that hold the peephole vectors, in the order of the gates."""
    return tuple(f"peephole_{gate}" for gate in slots if gate != "cell")


def gru_variant(
    gates: Spec = "sigmoid",
    candidate: Spec = "tanh",
    *,
    reset: Reset = "after",
    clip: float | None = None,
) -> Cell:
    """The GRU cell with any activations: ONNX's f (`gates`) and g (`candidate`).

    reset  "after" the product with U_n (PyTorch, ONNX's linear_before_reset=1), or "before" it

    Raises: ArgumentError that names the argument.
    """
    if reset not in ("after", "before"):
        raise ArgumentError("reset", repr(reset), "'after' or 'before'")
    return _gru(activation(gates, "gates"), activation(candidate, "candidate"), reset, _bound(clip))


@cache
def _gru(f: Activation, g: Activation, reset: Reset, clip: float | None) -> Cell:
    if f == SIGMOID and g.name in BUILT_IN and clip is None:
        return cells.gru(g.name, reset=reset)

    def after(z: Any, last: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        r, kept_r = _gate(f, z.reset, clip)
        u, kept_u = _gate(f, z.update, clip)
        q = z.recurrent_new
        n, kept_n = _gate(g, z.new + r * q, clip)
        h = (1 - u) * n + u * last.h
        return {"h": h}, {"reset": kept_r, "update": kept_u, "new": kept_n, "recurrent_new": q}

    def before(z: Any, last: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        r, kept_r = _gate(f, z.reset, clip)
        u, kept_u = _gate(f, z.update, clip)
        n, kept_n = _gate(g, z.new, clip)
        h = (1 - u) * n + u * last.h
        stored = {"reset": kept_r, "update": kept_u, "new": kept_n}
        return {"h": h}, stored, {"new": r * last.h}

    options = _options(clip, f=f, g=g, reset=reset)
    if reset == "after":
        return Cell("gru_variant", ("h",), GRU_SLOTS, after, options)
    return Cell("gru_variant", ("h",), BEFORE_SLOTS, before, options)


def _gate(f: Activation, z: Expression, clip: float | None) -> tuple[Expression, Expression]:
    """The gate, and what has to be stored for it."""
    argument = _bounded(z, clip)
    gate = write(f, argument)
    return gate, gate if clip is None and from_output(f) else argument


def _bounded(z: Expression, clip: float | None) -> Expression:
    return z if clip is None else clipped(z, -clip, clip)


def _bound(clip: Any) -> float | None:
    """`clip` as a positive number, or None for no clipping (ONNX's attribute is then absent)."""
    if clip is None:
        return None
    try:
        number = float(clip)
    except (TypeError, ValueError):
        number = math.nan
    if not 0.0 < number < math.inf:
        raise ArgumentError("clip", repr(clip), "a positive, finite number, or None")
    return number


def _options(clip: float | None, **others: object) -> dict[str, str]:
    told = {name: str(value) for name, value in others.items() if value not in (False, None)}
    return told if clip is None else told | {"clip": repr(clip)}
