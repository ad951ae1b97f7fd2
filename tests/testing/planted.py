"""Bugs planted in a copy of the reference's own source: what shall be named, and by whom.

The copies know nothing of `minirnn.testing.causes`. A bug in forward leaves the backward as it was,
so its gradients are not even those of the wrong function.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from minirnn.kernels import cells
from minirnn.kernels import reference as original
from minirnn.kernels.contract import Needs, Weights
from minirnn.testing import ReferenceRun, reference
from minirnn.testing.reference import named_arrays

FOLDER = Path(original.__file__).parent
CELLS = {
    "rnn": cells.rnn(),
    "gru": cells.gru(),
    "gru_before": cells.gru(reset="before"),
    "lstm": cells.lstm(),
}


PARTS = ("activations", "sequence")


class Bug(NamedTuple):
    """One replacement in one file of the reference; the cause it has to be told as."""

    cause: str | None
    cell: str
    file: str
    old: str
    new: str


SPLIT_LSTM = "z_i, z_f, z_g, z_o = np.split(z, 4, axis=1)"
STEP_GRU = "h_new = (1 - u) * n + u * h"
OUTPUT = 'output = np.where(valid, states["h"], 0)'
LAST = "states[name][order[-1]].copy() if T"
NEW_BEFORE = "(r * h) @ W_hn.T + b_hn"
INPUT_SUM = "sum((dz_x[t].T @ tape.x[t] for t in order)"
HIDDEN_BLOCKS = "np.concatenate([dz_i, dz_f, dz_g, dz_o], axis=1) @ W_hh"

FORWARD = [
    Bug("gates-permuted", "lstm", "lstm", SPLIT_LSTM, SPLIT_LSTM.replace("z_g, z_o", "z_o, z_g")),
    Bug("gates-permuted", "lstm", "lstm", SPLIT_LSTM, SPLIT_LSTM.replace("z_i, z_f", "z_f, z_i")),
    Bug("bias-dropped", "lstm", "lstm", "@ W_ih.T + b_ih + h", "@ W_ih.T + h"),
    Bug("bias-dropped", "lstm", "lstm", "@ W_hh.T + b_hh", "@ W_hh.T"),
    Bug("bias-doubled", "lstm", "lstm", "@ W_ih.T + b_ih + h", "@ W_ih.T + 2 * b_ih + h"),
    Bug("biases-swapped", "lstm", "lstm", "@ W_hh.T + b_hh", "@ W_hh.T + b_ih"),
    Bug("forget-bias", "lstm", "lstm", "sigmoid(z_f)", "sigmoid(z_f + 1.0)"),
    Bug("wrong-activation", "lstm", "lstm", "phi.value(z_g)", "sigmoid(z_g)"),
    Bug("wrong-activation", "lstm", "lstm", "o * phi.value(c_new)", "o * c_new"),
    Bug("wrong-activation", "lstm", "lstm", "sigmoid(z_o)", "np.clip(0.2 * z_o + 0.5, 0, 1)"),
    Bug("wrong-activation", "rnn", "rnn", "phi.value(z)", "np.maximum(z, 0)"),
    Bug("weights-transposed", "rnn", "rnn", "h @ W_hh.T", "h @ W_hh"),
    Bug("cell-for-hidden", "lstm", "__init__", OUTPUT, OUTPUT.replace('"h"', '"c"')),
    Bug("cell-for-hidden", "lstm", "lstm", "h, c = state", "c, h = state"),
    Bug("initial-state-ignored", "lstm", "lstm", "h, c = state", "h, c = 0 * state[0], state[1]"),
    Bug("initial-state-ignored", "gru", "gru", "(h,) = state", "(h,) = (0 * state[0],)"),
    Bug("state-not-carried", "lstm", "lstm", "f * c + i * g", "f * (0 * c) + i * g"),
    Bug("padding-read", "lstm", "lstm", "on = valid[t]", "on = True"),
    Bug("padding-read", "gru", "__init__", OUTPUT, 'output = states["h"]'),
    Bug("padding-read", "rnn", "__init__", LAST, "(output[-1] if name == 'h' else 0) if T"),
    Bug("off-by-one-step", "lstm", "__init__", LAST, LAST.replace("-1", "-2")),
    Bug("off-by-one-step", "gru", "gru", "x[t] @ W_ih.T", "x[t - 1] * (t > 0) @ W_ih.T"),
    Bug("direction-reversed", "gru", "sequence", "if reverse else", "if not reverse else"),
    Bug("reset-before", "gru", "gru", "x_n + r * q", "x_n + (r * h) @ W_hh[2*len(W_hh)//3:].T"
        " + b_hh[2*len(W_hh)//3:]"),
    Bug("reset-ignored", "gru", "gru", "x_n + r * q", "x_n + q"),
    Bug("bias-outside-reset", "gru", "gru", "x_n + r * q",
        "x_n + r * (q - b_hh[2*len(W_hh)//3:]) + b_hh[2*len(W_hh)//3:]"),
    Bug("update-complemented", "gru", "gru", STEP_GRU, "h_new = u * n + (1 - u) * h"),
    Bug("gates-permuted", "gru", "gru", "h_r, h_u, q =", "h_u, h_r, q ="),
    Bug("reset-after", "gru_before", "gru_before", NEW_BEFORE, "r * (h @ W_hn.T + b_hn)"),
    Bug("bias-outside-reset", "gru_before", "gru_before", NEW_BEFORE, "r * (h @ W_hn.T) + b_hn"),
    Bug("bias-dropped", "gru_before", "gru_before", NEW_BEFORE, "(r * h) @ W_hn.T"),
]  # fmt: skip

BACKWARD = [
    Bug("chain-cut", "lstm", "lstm", "dc_before = f * dc", "dc_before = dc"),
    Bug("chain-cut", "lstm", "lstm", "dc_before = f * dc", "dc_before = 0 * dc"),
    Bug("chain-cut", "lstm", "lstm", "dc_later + dh * o * phi.derivative(phi_c)", "dc_later"),
    Bug("chain-cut", "lstm", "lstm", HIDDEN_BLOCKS, f"0 * ({HIDDEN_BLOCKS})"),
    Bug("off-by-one-step", "lstm", "lstm", "dc * c_before[t]", 'dc * states["c"][t]'),
    Bug("wrong-derivative", "lstm", "lstm", "phi_c * sigmoid_derivative(o)", "phi_c"),
    Bug("wrong-derivative", "lstm", "lstm", "dh * o * phi.derivative(phi_c)", "dh * o"),
    Bug("wrong-derivative", "lstm", "lstm", "dc * i * phi.derivative(g)",
        "dc * i * sigmoid_derivative(g)"),
    Bug("gradient-ignored", "lstm", "lstm", "dh_later, dc_later = dlast",
        "dh_later, dc_later = dlast[0], 0 * dlast[1]"),
    Bug("backward-truncated", "lstm", "lstm", "dc_before = f * dc",
        "dc_before = f * dc * (t != 3); W_hh = tape.weights.weight_hh * (t != 3)"),
    Bug("chain-cut", "gru", "gru", "dq = dz_n * r", "dq = dz_n"),
    Bug("chain-cut", "gru", "gru", "dh_before = u * dh +", "dh_before ="),
    Bug("off-by-one-step", "gru", "gru", "(h_before[t] - n)", '(tape.states["h"][t] - n)'),
    Bug("wrong-derivative", "gru", "gru", "dz_n * q * sigmoid_derivative(r)", "dz_n * q"),
    Bug("weights-transposed", "rnn", "rnn", 'dz["new"][t] @ W_hh', 'dz["new"][t] @ W_hh.T'),
    Bug("wrong-derivative", "rnn", "rnn", "dh * phi.derivative(new)", "dh"),
    Bug("h-after-for-h-before", "gru", "__init__", "h_before = before(tape.states[",
        "h_before = (lambda after, *_: after)(tape.states["),
    Bug("gradient-of-some-steps", "lstm", "sequence", INPUT_SUM, INPUT_SUM[:-1] + "[1:])"),
    Bug("gradient-of-some-steps", "gru", "sequence", INPUT_SUM, INPUT_SUM[:-1] + "[-1:])"),
    Bug("gradient-doubled", "lstm", "sequence", "dz_h.sum(axis=(0, 1))", "2 * dz_h.sum((0, 1))"),
    Bug("gradient-missing", "gru", "sequence", "db_ih = dz_x.sum(axis=(0, 1))",
        "db_ih = 0 * dz_x.sum((0, 1))"),
    Bug("gradient-averaged", "lstm", "sequence", "dz_h.sum(axis=(0, 1))",
        "dz_h.sum(0).mean(0)"),
    Bug("gates-permuted", "gru", "sequence", "db_ih = dz_x.sum(axis=(0, 1))",
        "db_ih = np.roll(dz_x.sum((0, 1)), W_ih.shape[0] // 3)"),
]  # fmt: skip

# What no mutant does: of these no cause may be told.
UNKNOWN = [
    Bug(None, "lstm", "lstm", "f * c + i * g", "f * c + o * g"),
    Bug(None, "lstm", "lstm", "f * c + i * g", "np.clip(f * c + i * g, -0.4, 0.4)"),
    Bug(None, "lstm", "lstm", "f * c + i * g", "f * c + (1 - f) * g"),
    Bug(None, "gru", "gru", STEP_GRU, "h_new = (1 - u) * n + u * np.roll(h, 1, axis=0)"),
    Bug(None, "gru", "gru", "x_n + r * q", "x_n + r * r * q"),
    Bug(None, "rnn", "rnn", "phi.value(z)", "phi.value(0.9 * z)"),
    Bug(None, "rnn", "rnn", "new = phi.value(z)", "new = phi.value(z); new[..., -1] = 0"),
    Bug(None, "lstm", "lstm", "dc_before = f * dc", "dc_before = i * dc"),
    Bug(None, "lstm", "lstm", "dz_i = dc * g *", "dz_i = dc * g * g *"),
    Bug(None, "gru", "gru", "dq = dz_n * r", "dq = dz_n * u"),
    Bug(None, "gru", "sequence", INPUT_SUM, INPUT_SUM[:-1] + "[::2])"),
]


def planted(bug: Bug) -> ModuleType:
    """The reference's package, copied, with the bug."""
    package = f"planted_reference_{abs(hash(bug))}"
    modules = {}
    cells_by_hand = sorted({p.stem for p in FOLDER.glob("*.py")} - {*PARTS, "__init__"})
    for name in (*PARTS, *cells_by_hand, "__init__"):
        source = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
        if name == bug.file:
            assert source.count(bug.old) == 1, f"{bug.old!r} is not there once"
            source = source.replace(bug.old, bug.new)
        source = source.replace("minirnn.kernels.reference", package)
        full = package if name == "__init__" else f"{package}.{name}"
        module = ModuleType(full)
        if name == "__init__":
            for part, made in modules.items():
                setattr(module, part, made)
        else:
            modules[name] = module
        sys.modules[full] = module
        if package not in sys.modules:
            sys.modules[package] = ModuleType(package)
        exec(compile(source, f"{full}.py", "exec"), vars(module))
    copy = sys.modules[package]
    for name in [package, *(f"{package}.{part}" for part in modules)]:
        del sys.modules[name]
    return copy


def question(bug: Bug, *, seed: int = 0, dtype: Any = np.float64) -> dict[str, Any]:
    """Arguments of `reference` that show the bug."""
    rng = np.random.default_rng(seed)
    cell = CELLS[bug.cell]
    T, B, I, H = 7, 4, 5, 6  # noqa: E741
    shapes = [(len(cell.input_slots) * H, I), (len(cell.hidden_slots) * H, H)]
    shapes += [shape[:1] for shape in shapes]
    ragged = bug.cause == "padding-read" or seed % 2
    if "order[-2]" in bug.new or "t > 0" in bug.new:
        ragged = False

    def normal(*shape: int) -> Any:
        return rng.normal(size=shape).astype(dtype)

    return {
        "cell": cell,
        "x": normal(T, B, I),
        "state": tuple(normal(B, H) for _ in cell.states),
        "weights": Weights(*(0.6 * normal(*shape) for shape in shapes)),
        "lengths": np.array([7, 4, 5, 2]) if ragged else None,
        "reverse": False,
        "doutput": normal(T, B, H),
        "dstate": tuple(normal(B, H) for _ in cell.states),
    }


def answers(bug: Bug, given: dict[str, Any], *, record: bool = False) -> dict[str, Any]:
    """The arrays that the copy with the bug gives."""
    kernels = planted(bug)
    wide = {k: v for k, v in given.items() if k not in ("cell", "doutput", "dstate", "lengths")}
    x, state, weights = (wide.pop(k) for k in ("x", "state", "weights"))
    output, last, tape = kernels.forward(
        given["cell"], x.astype(np.float64), tuple(s.astype(np.float64) for s in state),
        Weights(*(w.astype(np.float64) for w in weights)), lengths=given["lengths"],
        keep="record", **wide,
    )  # fmt: skip
    doutput = given["doutput"].astype(np.float64)
    dstate = tuple(d.astype(np.float64) for d in given["dstate"])
    gradients = kernels.backward(given["cell"], doutput, dstate, tape, needs=Needs())
    arrays = named_arrays(given["cell"], output, last, gradients, tape.record() if record else None)
    return {name: np.asarray(a, given["x"].dtype) for name, a in arrays.items()}


def expected(given: dict[str, Any]) -> ReferenceRun:
    """The reference's answer."""
    return reference(**given)
