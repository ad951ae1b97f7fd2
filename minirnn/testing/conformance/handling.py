"""How a case is run: once, with strides, in poisoned memory, again and again, in turn with another.

Each way gives runs to be compared with the reference, and failures of its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minirnn.kernels.contract import Array
from minirnn.testing.conformance.cases import Case, Problem, problem_of
from minirnn.testing.conformance.guarded import poison_memory
from minirnn.testing.conformance.implementation import Forward, Implementation, Inputs, inputs_of
from minirnn.testing.conformance.storage import STORAGES
from minirnn.testing.reference import reference

REPEATS = 20


@dataclass(frozen=True)
class Observed:
    """What one run of a case gave, and what was seen beside it.

    `arrays` by the names of `ReferenceRun.arrays`; `wrongs` maps causes to sentences; `blame` is
    the cause of a difference from the reference that only this way of running shows.
    """

    problem: Problem
    arrays: dict[str, Array]
    wrongs: dict[str, str]
    blame: str | None = None


def observe(case: Case, implementation: Implementation) -> Iterator[Observed]:
    """Run a case.

    Raises: BadResultError.
    """
    problem = problem_of(case, implementation.conventions)
    if case.handling == "repeated":
        yield from _repeated(case, problem, implementation)
    elif case.handling == "in turn":
        yield from _in_turn(case, problem, implementation)
    else:
        inputs = inputs_of(problem, implementation.conventions, strided=case.handling == "strided")
        poisons = (np.nan, 1.0) if case.handling == "poisoned" else (None,)
        runs = [_run(case, implementation, inputs, poison) for poison in poisons]
        wrongs = _written(inputs, implementation)
        if case.handling == "typed":
            wrongs |= _types(runs[0], implementation)
        holding = [[n for n, a in arrays.items() if np.isnan(a).any()] for arrays in runs]
        if len(runs) == 2 and set(holding[0]) - set(holding[1]):
            wrongs["uninitialised-memory"] = (
                f"NaN in {', '.join(holding[0])} where memory held NaN before the call, and none "
                "where it held ones: memory is read before it is written"
            )
        blame = {"poisoned": "uninitialised-memory", "strided": "strides-ignored"}
        for arrays in runs:
            yield Observed(problem, arrays, wrongs, blame.get(case.handling))
            wrongs = {}


def _run(
    case: Case, implementation: Implementation, inputs: Inputs, poison: float | None = None
) -> dict[str, Array]:
    """Forward and backward once, perhaps in memory that was filled with a poison before."""
    sizes = [] if poison is None else _sizes(case)
    poison_memory(sizes, poison or 0.0)
    forward = implementation.forward(inputs, reverse=case.reverse)
    poison_memory(sizes, poison or 0.0)
    return forward.arrays | implementation.backward(inputs, forward.saved)


def _repeated(case: Case, problem: Problem, implementation: Implementation) -> Iterator[Observed]:
    """The same call again and again: each run right, and (unless it need not) the same bits."""
    inputs = inputs_of(problem, implementation.conventions)
    runs = [_run(case, implementation, inputs) for _ in range(REPEATS)]
    wrongs = _written(inputs, implementation)
    differing = {}
    for name, first in runs[0].items():
        count = sum(arrays[name].tobytes() != first.tobytes() for arrays in runs)
        if count:
            differing[name] = count
    told = ", ".join(f"{name} in {n}" for name, n in differing.items())
    blame = None
    if told:
        blame = "carried-over" if _drifts(runs, list(differing)) else "not-repeatable"
    if blame is not None and implementation.conventions.same_bits:
        wrongs[blame] = f"of {REPEATS} runs of the same call, some have other bits: {told}"
        if blame == "not-repeatable":
            wrongs[blame] += ". If sums are added up in no fixed order: same_bits=False"
        else:
            wrongs[blame] += ", further off each time: something is left over from call to call"
    # What differs from run to run, and is wrong, is wrong because of that.
    for arrays in runs if told else runs[:1]:
        yield Observed(problem, arrays, wrongs, blame)
        wrongs = {}


def _drifts(runs: list[dict[str, Array]], differing: list[str]) -> bool:
    """Whether every run is further from the first than the run before it."""
    for name in differing:
        away = [float(np.linalg.norm(r[name] - runs[0][name])) for r in runs]
        if all(later > earlier for earlier, later in itertools.pairwise(away)):
            return True
    return False


def _in_turn(case: Case, problem: Problem, implementation: Implementation) -> Iterator[Observed]:
    """Two calls of each function in turn: neither may leave anything behind for the other."""
    conventions = implementation.conventions
    problems = (problem, problem_of(replace(case, seed=case.seed + 1), conventions))
    inputs = [inputs_of(p, conventions) for p in problems]
    forwards = [implementation.forward(i, reverse=case.reverse) for i in inputs]
    wrongs = _reused(forwards[0], implementation)
    gradients = [implementation.backward(i, f.saved) for i, f in zip(inputs, forwards, strict=True)]
    # The first once more, after the second.
    before = implementation.forward(inputs[1], reverse=case.reverse).arrays
    again = implementation.forward(inputs[0], reverse=case.reverse).arrays
    if conventions.last_state and _starts_where_the_other_ended(case, problem, before, again):
        wrongs["state-carried-over"] = (
            "a call begins with the last state of the call before it, in place of the state given"
        )
    # What is not even the same the second time is no matter of turns.
    once_more = implementation.forward(inputs[0], reverse=case.reverse).arrays
    steady = all(a.tobytes() == once_more[n].tobytes() for n, a in again.items())
    blame = next(iter(wrongs), "carried-over" if steady else None)
    for k in (0, 1):
        arrays = forwards[k].arrays | gradients[k]
        yield Observed(problems[k], arrays, wrongs if k == 0 else {}, blame)
    yield Observed(problem, again, {}, blame)


def _starts_where_the_other_ended(
    case: Case, problem: Problem, before: dict[str, Array], after: dict[str, Array]
) -> bool:
    """Whether a result is what the last state of the call before it leads to."""
    cell = problem.cell
    state = [before[f"state.{name}"].astype(np.float64) for name in cell.states]
    arguments: dict[str, Any] = {"lengths": problem.lengths, "reverse": case.reverse}
    wanted = reference(cell, problem.x, state, problem.weights, **arguments).output
    rightly = reference(cell, problem.x, problem.state, problem.weights, **arguments).output
    distance = np.abs(after["output"] - wanted).max(initial=0.0)
    return bool(distance < 0.01 * np.abs(rightly - wanted).max(initial=0.0))


def _reused(first: Forward, implementation: Implementation) -> dict[str, str]:
    """Whether what the first call gave was written over by the second."""
    changed = []
    for name, came in first.came.items():
        kind = "output" if name == "output" else "state"
        now = implementation.conventions.from_theirs(kind, np.asarray(came))
        if not np.array_equal(now, first.arrays[name], equal_nan=True):
            changed.append(name)
    if not changed:
        return {}
    return {
        "buffer-reused": f"{' and '.join(changed)} of the first call changed when forward was "
        "called again: both share memory"
    }


def _written(inputs: Inputs, implementation: Implementation) -> dict[str, str]:
    """Whether an input, or what lies around it, was written to."""
    wrongs = {}
    for name, array in inputs.named(implementation.conventions).items():
        changed = array.changed()
        if changed == "the array":
            wrongs["input-written"] = f"{name} was written to: it is an input"
        elif changed is not None:
            wrongs["out-of-bounds-write"] = f"memory around {name} was written to"
    return wrongs


def _types(arrays: dict[str, Array], implementation: Implementation) -> dict[str, str]:
    """Whether every result has the type of the arrays given."""
    storage = implementation.conventions.storage
    wanted = np.dtype(STORAGES[storage])
    others = {n: a.dtype.name for n, a in arrays.items() if a.dtype != wanted}
    # NumPy has no bfloat16: it comes in whatever holds it.
    if not others or storage == "bfloat16":
        return {}
    told = ", ".join(f"{name} {dtype}" for name, dtype in others.items())
    return {"wrong-dtype": f"{told}; wanted {wanted.name}, the type of what was given"}


def _sizes(case: Case) -> list[int]:
    """Bytes of the arrays that an implementation may ask memory for."""
    T, B, I, H = case.T, case.B, case.I, case.H  # noqa: E741
    numbers: set[int] = set()
    for width in (H, 3 * H, 4 * H, I):
        numbers |= {B * width, T * B * width, (T + 1) * B * width, width, width * H, width * I}
    sizes: Any = {n * size for n in numbers for size in (2, 4, 8)}
    return sorted(sizes)
