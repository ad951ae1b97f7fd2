"""The graded list of cases that `check_cell` runs, from one step of one unit upwards.

    grade 1   one step          the equations and their derivatives, nothing else
    grade 2   steps in time     the recurrence, forward and back
    grade 3   sizes             1, primes, and below, at and above the widths of vectors and tiles
    grade 4   sequences         initial states, lengths, both directions
    grade 5   values            saturated gates, zeros of both signs, subnormal numbers, NaN
    grade 6   memory            strides, what lies around and in the arrays, calls after calls

Read a report from the lowest grade that fails: what fails above it mostly has the same cause.

All numbers are random, never constant: with equal weights all gates have the same pre-activation,
and swapping them, transposing a matrix or mixing up units changes nothing. Weights and biases are
uniform in ±1/√H, as PyTorch's at the start, which keeps the network from being chaotic, so that
whole runs can be compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from minirnn.kernels.contract import Array, Weights
from minirnn.testing.conformance.storage import (
    LARGEST,
    NARROW_EPSILON,
    SMALLEST_NORMAL,
    STORAGES,
    stored,
)

if TYPE_CHECKING:
    from minirnn.kernels.cells.cell import Cell
    from minirnn.testing.conformance.conventions import Conventions

GRADES = {
    1: "one step",
    2: "steps in time",
    3: "sizes",
    4: "sequences",
    5: "values",
    6: "memory",
}
Values = Literal[
    "normal", "saturating", "overflowing", "open gates", "shut gates", "tiny", "subnormal",
    "signed zeros", "NaN in one sequence",
]  # fmt: skip
Padding = Literal["zeros", "large", "NaN"]
Handling = Literal["once", "strided", "repeated", "in turn", "poisoned", "typed"]
Incoming = Literal["both", "output", "state"]


@dataclass(frozen=True)
class Case:
    """One problem and how the implementation is called with it.

    `lengths` holds one length per sequence, or None; `incoming` says where the loss's gradient
    comes in; `handling` is what `minirnn.testing.conformance.handling` does around the call.
    """

    name: str
    grade: int
    T: int
    B: int
    I: int  # noqa: E741
    H: int
    level: str = "quick"
    state: bool = False
    lengths: tuple[int, ...] | None = None
    reverse: bool = False
    values: Values = "normal"
    padding: Padding = "zeros"
    incoming: Incoming = "both"
    handling: Handling = "once"
    seed: int = 0

    def __str__(self) -> str:
        return f"{self.name} (T={self.T}, B={self.B}, I={self.I}, H={self.H})"


@dataclass(frozen=True)
class Problem:
    """A case's arrays, in minirnn's conventions and in the dtype that holds the storage.

    x (T, B, I); state one (B, H) per state; weights; lengths (B,) int64 or None; doutput (T, B, H);
    dstate like state.
    """

    cell: Cell
    x: Array
    state: tuple[Array, ...]
    weights: Weights
    lengths: Array | None
    doutput: Array
    dstate: tuple[Array, ...]


def cases(level: str = "quick") -> list[Case]:
    """Every case of a level, by grade; "full" contains "quick"."""
    listed = [*_steps(), *_sizes(), *_sequences(), *_values(), *_memory()]
    return [case for case in listed if level == "full" or case.level == "quick"]


def not_applicable(case: Case, conventions: Conventions) -> str | None:
    """Why an implementation with these conventions is not asked, or None."""
    if case.reverse and not conventions.reverse:
        return "it takes no direction"
    if case.state and not conventions.initial_state:
        return "it takes no initial state"
    if case.lengths is not None:
        if conventions.lengths == "none":
            return "it takes no lengths"
        if conventions.lengths == "positive" and 0 in case.lengths:
            return "it takes no length of 0"
    if case.padding == "NaN" and conventions.padding == "finite":
        return "its padding has to be finite"
    if case.incoming == "state" and not conventions.last_state:
        return "it gives no last state"
    if case.T == 0 and not conventions.no_steps:
        return "it takes no sequence of no step"
    if case.handling == "strided" and not conventions.strided:
        return "its arrays have to be contiguous"
    return None


def problem_of(case: Case, conventions: Conventions) -> Problem:
    """Draw the numbers of a case; the same ones each time."""
    cell, storage = conventions.cell, conventions.storage
    T, B, I, H = case.T, case.B, case.I, case.H  # noqa: E741
    rng = np.random.default_rng([case.seed, case.grade, T, B, I, H])
    Gi, Gh = len(cell.input_slots), len(cell.hidden_slots)
    k = 1 / np.sqrt(H)

    weight_ih, weight_hh = rng.uniform(-k, k, (Gi * H, I)), rng.uniform(-k, k, (Gh * H, H))
    bias_ih, bias_hh = rng.uniform(-k, k, Gi * H), rng.uniform(-k, k, Gh * H)
    x = rng.standard_normal((T, B, I))
    given = rng.uniform(-1, 1, (len(cell.states), B, H))
    state = given if case.state else np.zeros_like(given)
    doutput = rng.standard_normal((T, B, H))
    dstate = rng.standard_normal((len(cell.states), B, H))
    if case.incoming == "output" or not conventions.last_state:
        dstate = np.zeros_like(dstate)
    if case.incoming == "state":
        doutput = np.zeros_like(doutput)

    x, bias_ih = _with_values(case, cell.input_slots, storage, x, bias_ih, rng)
    lengths = None if case.lengths is None else np.array(case.lengths, np.int64)
    if lengths is not None and case.padding != "zeros":
        outside = np.arange(T)[:, None] >= lengths
        filling = {"NaN": np.nan, "large": 1e4}[case.padding]
        x = np.where(outside[:, :, None], filling, x)
        doutput = np.where(outside[:, :, None], filling, doutput)
    if lengths is not None and conventions.padded_output == "anything":
        # What an implementation gives there may depend on anything, so no loss may look at it.
        doutput = np.where(np.arange(T)[:, None, None] >= lengths[:, None], 0.0, doutput)

    biases = (bias_ih, bias_hh)[: conventions.biases]
    return Problem(
        cell,
        stored(x, storage),
        tuple(stored(s, storage) for s in state),
        Weights(*(stored(w, storage) for w in (weight_ih, weight_hh, *biases))),
        lengths,
        stored(doutput, storage),
        tuple(stored(d, storage) for d in dstate),
    )


def _with_values(
    case: Case,
    slots: tuple[str, ...],
    storage: str,
    x: Array,
    bias: Array,
    rng: np.random.Generator,
) -> tuple[Array, Array]:
    """x and the first bias of a case of grade 5."""
    smallest = SMALLEST_NORMAL.get(storage) or float(np.finfo(STORAGES[storage]).tiny)
    epsilon = NARROW_EPSILON.get(storage) or float(np.finfo(STORAGES[storage]).eps)
    if case.values == "saturating":
        x = 30 * x
    elif case.values == "overflowing":  # exp(z) is infinite in every format
        x = np.sign(x) * min(1e4, LARGEST[storage] / 32)
    elif case.values in ("open gates", "shut gates"):
        # A gate that remembers: the LSTM's forget gate, the GRU's update gate; else the only one.
        held = next((k for k, s in enumerate(slots) if s in ("forget", "update")), 0)
        shift = 20.0 if case.values == "open gates" else -20.0
        bias = bias + shift * np.repeat(np.arange(len(slots)) == held, case.H)
    elif case.values == "tiny":
        x = epsilon * x
    elif case.values == "subnormal":
        x = smallest * epsilon * rng.integers(-8, 9, x.shape)
    elif case.values == "signed zeros":
        x = np.where(rng.random(x.shape) < 0.5, -0.0, 0.0)
    elif case.values == "NaN in one sequence":
        x = x.copy()
        x[case.T // 2, case.B // 2] = np.nan
    return x, bias


def _steps() -> list[Case]:
    two: dict[str, Any] = {"T": 5, "B": 2, "I": 3, "H": 4}
    return [
        Case("one unit", 1, 1, 1, 1, 1),
        Case("one step", 1, 1, 1, 3, 4),
        Case("one step of a batch", 1, 1, 3, 2, 5),
        Case("one step from a state", 1, 1, 2, 3, 4, state=True),
        Case("one step, loss on the last state", 1, 1, 2, 3, 4, state=True, incoming="state"),
        Case("no step", 2, 0, 2, 3, 4, state=True),
        Case("two steps", 2, 2, 1, 3, 4),
        Case("three steps", 2, 3, 1, 1, 2),
        Case("steps, loss on the output", 2, **two, incoming="output"),
        Case("steps, loss on the last state", 2, **two, incoming="state"),
        Case("a long sequence", 2, 100, 2, 3, 5),
        Case("a very long sequence", 2, 500, 1, 2, 7, "full"),
    ]


def _sizes() -> list[Case]:
    # (T, B, I, H): every width of one array beside small odd ones of the others.
    quick = [(3, 1, 2, 1), (3, 2, 1, 3), (2, 3, 5, 7), (2, 2, 3, 8), (3, 1, 7, 9), (2, 3, 2, 15)]
    quick += [(3, 2, 3, 16), (2, 1, 5, 17), (2, 2, 3, 31), (2, 3, 7, 32), (3, 2, 5, 33)]
    quick += [(2, 2, 3, 64), (2, 3, 2, 65), (2, 2, 16, 5), (2, 2, 17, 5), (2, 1, 33, 6)]
    quick += [(3, 2, 5, 5)]  # square: nothing but the values tells a transposed weight
    quick += [(2, 2, 65, 3), (2, 7, 3, 5), (2, 8, 3, 4), (2, 9, 2, 5), (3, 17, 3, 6), (2, 33, 2, 7)]
    full = [(2, 2, 3, H) for H in (2, 4, 5, 11, 13, 23, 24, 25, 47, 48, 49, 63, 127, 128, 129, 257)]
    full += [(2, 2, I, 5) for I in (7, 8, 9, 15, 31, 32, 64, 127, 128, 129, 257)]  # noqa: E741
    full += [(2, B, 3, 5) for B in (4, 15, 16, 31, 32, 63, 64, 65, 129)]
    full += [(4, 16, 16, 16), (4, 32, 64, 128), (3, 33, 65, 129), (7, 17, 31, 67)]
    listed = [(sizes, "quick") for sizes in quick] + [(sizes, "full") for sizes in full]
    return [
        Case(f"T={T} B={B} I={I} H={H}", 3, T, B, I, H, level)
        for (T, B, I, H), level in listed  # noqa: E741
    ]


def _sequences() -> list[Case]:
    small: dict[str, Any] = {"T": 6, "B": 3, "I": 3, "H": 5}
    ragged = (6, 2, 4)
    made = [
        Case("from a state", 4, **small, state=True),
        Case("from a state, loss on the last one", 4, **small, state=True, incoming="state"),
        Case("lengths, all full", 4, **small, lengths=(6, 6, 6)),
        Case("lengths", 4, **small, lengths=ragged),
        Case("lengths, from a state", 4, **small, lengths=ragged, state=True),
        Case("lengths, none full", 4, **small, lengths=(1, 5, 3), state=True),
        Case("lengths, one of 0", 4, **small, lengths=(3, 0, 6), state=True),
        Case("lengths, all 0", 4, **small, lengths=(0, 0, 0), state=True, level="full"),
        Case("lengths, large numbers in the padding", 4, **small, lengths=ragged, padding="large"),
        Case("lengths, NaN in the padding", 4, **small, lengths=ragged, padding="NaN"),
        Case(
            "lengths of a wide batch", 4, 9, 18, 3, 17, "full",
            lengths=(9, 1, 4, 7, 2, 9, 8, 3, 5, 6, 1, 2, 9, 7, 4, 3, 8, 5), state=True,
        ),
    ]  # fmt: skip
    backwards = [
        Case("reverse", 4, **small, reverse=True),
        Case("reverse, from a state", 4, **small, state=True, reverse=True),
        Case("reverse, loss on the last state", 4, **small, reverse=True, incoming="state"),
        Case("reverse, lengths", 4, **small, lengths=ragged, state=True, reverse=True),
        Case("reverse, one length of 0", 4, **small, lengths=(3, 0, 6), state=True, reverse=True),
        Case(
            "reverse, NaN in the padding", 4, **small, lengths=ragged, padding="NaN", reverse=True
        ),
        Case("reverse, T=31 H=33", 4, 31, 2, 5, 33, "full", state=True, reverse=True),
    ]
    return made + backwards


def _values() -> list[Case]:
    # Few steps where gains are large: there two right implementations drift apart (tolerances.py).
    few: dict[str, Any] = {"T": 2, "B": 3, "I": 4, "H": 5, "state": True}
    many: dict[str, Any] = {"T": 12, "B": 2, "I": 4, "H": 5, "state": True}
    return [
        Case("saturated gates", 5, **few, values="saturating"),
        Case("pre-activations past exp's range", 5, **few, values="overflowing"),
        Case("a gate held open", 5, **many, values="open gates"),
        Case("a gate held shut", 5, **many, values="shut gates"),
        Case("tiny inputs", 5, **many, values="tiny"),
        Case("subnormal inputs", 5, **few, values="subnormal"),
        Case("zeros of both signs", 5, **few, values="signed zeros"),
        Case("NaN in one sequence", 5, **many, values="NaN in one sequence"),
    ]


def _memory() -> list[Case]:
    small: dict[str, Any] = {"T": 4, "B": 3, "I": 5, "H": 6, "state": True}
    return [
        Case("types of the results", 6, **small, handling="typed"),
        Case("arrays with strides", 6, **small, handling="strided"),
        Case("memory full of NaN", 6, **small, handling="poisoned"),
        Case("memory full of NaN, lengths", 6, **small, handling="poisoned", lengths=(3, 1, 4)),
        Case("calls in turn", 6, T=4, B=3, I=5, H=6, handling="in turn"),
        Case("calls in turn, from states", 6, **small, handling="in turn"),
        Case("the same call again and again", 6, **small, handling="repeated"),
        Case("the same call again, H=67", 6, 5, 9, 33, 67, handling="repeated", state=True),
        Case("the same call again, H=130", 6, 9, 33, 65, 130, "full", handling="repeated"),
    ]
