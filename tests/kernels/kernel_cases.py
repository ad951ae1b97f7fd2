"""Random problems for kernels: one call of forward and backward, drawn from a seed.

T time steps, B batch, I input size, H hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minirnn.kernels import cells
from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.contract import Gradients, Needs, Record, Weights
from minirnn.testing.mismatch import assert_matches_reference
from minirnn.testing.reference import ReferenceRun, named_arrays, reference
from minirnn.testing.step_by_step import reference_step_by_step

# Every built-in cell with every activation that it offers, but for GRU with the reset gate before
# the product: there one stands for all, since each takes seconds to compile.
CELLS: dict[str, Cell] = {
    **{f"rnn-{name}": cells.rnn(nonlinearity=name) for name in ("tanh", "relu", "sigmoid")},
    "rnn-identity": cells.rnn(nonlinearity="identity"),
    **{f"gru-{name}": cells.gru(activation=name) for name in ("tanh", "relu", "sigmoid")},
    "gru-before-tanh": cells.gru(reset="before"),
    **{f"lstm-{name}": cells.lstm(activation=name) for name in ("tanh", "relu", "sigmoid")},
}
KINKED = [name for name in CELLS if name.endswith("relu")]
# What the reference has by hand.
BY_HAND = {
    **CELLS,
    **{f"gru-before-{name}": cells.gru(name, reset="before") for name in ("relu", "sigmoid")},
}
BY_HAND_SMOOTH = [name for name in BY_HAND if not name.endswith("relu")]
BY_HAND_KINKED = [name for name in BY_HAND if name.endswith("relu")]


@dataclass(frozen=True)
class Case:
    """The arguments of one forward and one backward."""

    cell: Cell
    x: Any
    state: tuple[Any, ...]
    weights: Weights
    lengths: Any
    reverse: bool
    doutput: Any
    dstate: tuple[Any, ...] | None

    def astype(self, dtype: Any) -> Case:
        """The same numbers in another dtype."""
        cast = lambda a: None if a is None else a.astype(dtype)  # noqa: E731
        return replace(
            self,
            x=cast(self.x),
            state=tuple(map(cast, self.state)),
            weights=Weights(*map(cast, self.weights)),
            doutput=cast(self.doutput),
            dstate=None if self.dstate is None else tuple(map(cast, self.dstate)),
        )

    def inputs(self) -> dict[str, Any]:
        """Every array that a gradient exists for, by the name its gradient has."""
        named = {"x": self.x}
        named |= {f"state.{n}": s for n, s in zip(self.cell.states, self.state, strict=True)}
        named |= {n: w for n, w in self.weights._asdict().items() if w is not None}
        return named

    def with_input(self, name: str, array: Any) -> Case:
        """The same case with one of `inputs` replaced."""
        if name == "x":
            return replace(self, x=array)
        if name.startswith("state."):
            state = list(self.state)
            state[self.cell.states.index(name.removeprefix("state."))] = array
            return replace(self, state=tuple(state))
        return replace(self, weights=self.weights._replace(**{name: array}))


def random_case(
    cell: Cell,
    *,
    T: int = 5,
    B: int = 3,
    I: int = 4,  # noqa: E741
    H: int = 3,
    seed: int = 0,
    dtype: Any = np.float64,
    lengths: Sequence[int] | bool = False,
    reverse: bool = False,
    biases: tuple[bool, bool] = (True, True),
    gain: float = 1.0,
) -> Case:
    """Draw a case; weights uniform in ±gain/√H, PyTorch's default for gain 1, no two alike.

    `lengths=True` draws them between 0 and T, with both ends present where the batch allows.
    """
    rng = np.random.default_rng(seed)
    gi, gh = len(cell.input_slots), len(cell.hidden_slots)
    limit = gain / np.sqrt(H)

    def uniform(*shape: int) -> Any:
        return rng.uniform(-limit, limit, shape).astype(dtype)

    def normal(*shape: int) -> Any:
        return rng.standard_normal(shape).astype(dtype)

    weights = Weights(
        uniform(gi * H, I),
        uniform(gh * H, H),
        uniform(gi * H) if biases[0] else None,
        uniform(gh * H) if biases[1] else None,
    )
    drawn: Any = None
    if lengths is True:
        drawn = rng.integers(0, T + 1, B)
        drawn[rng.permutation(B)[:2]] = np.array([T, 0])[: min(B, 2)]
    elif lengths is not False:
        drawn = np.asarray(lengths, dtype=np.int64)
    return Case(
        cell=cell,
        x=normal(T, B, I),
        state=tuple(0.5 * normal(B, H) for _ in cell.states),
        weights=weights,
        lengths=drawn,
        reverse=reverse,
        doutput=normal(T, B, H),
        dstate=tuple(normal(B, H) for _ in cell.states),
    )


@dataclass
class Run:
    """What a kernel set made of a case."""

    output: Any
    state: tuple[Any, ...]
    gradients: Gradients
    record: Record | None

    def arrays(self, cell: Cell) -> dict[str, Any]:
        """Every array by name, as `minirnn.testing.assert_matches_reference` takes them."""
        return named_arrays(cell, self.output, self.state, self.gradients, self.record)


def run(kernels: Any, case: Case, *, keep: str = "record", needs: Needs | None = None) -> Run:
    """Forward and backward of a kernel set."""
    output, state, tape = kernels.forward(
        case.cell, case.x, case.state, case.weights,
        lengths=case.lengths, keep=keep, reverse=case.reverse,
    )  # fmt: skip
    # What backward may overwrite on the tape must not show in what was handed out, so copies.
    output, state = output.copy(), tuple(s.copy() for s in state)
    gradients = kernels.backward(
        case.cell, case.doutput, case.dstate, tape, needs=Needs() if needs is None else needs
    )
    return Run(output, state, gradients, tape.record() if keep == "record" else None)


def loss(kernels: Any, case: Case) -> Any:
    """The scalar whose gradient doutput and dstate are: Σ output·doutput + Σ state·dstate."""
    output, state, _ = kernels.forward(
        case.cell, case.x, case.state, case.weights, lengths=case.lengths, reverse=case.reverse
    )
    total = (output * case.doutput).sum()
    if case.dstate is not None:
        total += sum((s * d).sum() for s, d in zip(state, case.dstate, strict=True))
    return total


def expected(case: Case) -> ReferenceRun:
    """The reference's run of a case."""
    return reference(
        case.cell, case.x, case.state, case.weights,
        lengths=case.lengths, reverse=case.reverse, doutput=case.doutput, dstate=case.dstate,
    )  # fmt: skip


def expected_step_by_step(case: Case, record: Record) -> ReferenceRun:
    """The reference's run of a case, each step from another kernel's own values."""
    return reference_step_by_step(
        case.cell, case.x, case.state, case.weights, record,
        lengths=case.lengths, reverse=case.reverse, doutput=case.doutput, dstate=case.dstate,
    )  # fmt: skip


def assert_kernels_match(kernels: Any, case: Case, *, needs: Needs | None = None) -> None:
    """Every array of a kernel set's run, as a whole and step by step; zeros where none may be."""
    found = run(kernels, case, needs=needs)
    arrays = found.arrays(case.cell)
    assert_matches_reference(arrays, wanted := expected(case))
    assert_matches_reference(arrays, expected_step_by_step(case, found.record))
    missing = {n.split(".")[1] for n in wanted.arrays().keys() - arrays.keys()}
    assert missing == {n for n, needed in (needs or Needs())._asdict().items() if not needed}
    if case.lengths is not None:
        padding = np.arange(len(case.x))[:, None] >= case.lengths
        for name, array in arrays.items():
            if array.ndim == 3:
                assert not array[padding].any(), f"{name} is not zero past a sequence's end"
