"""A conformance kit: run anyone's RNN, GRU or LSTM, forward and backward, through graded cases.

    def forward(x, state, weights):        # weights: w_ih, w_hh, and as many biases as there are
        ...
        return output, (h, c), saved

    def backward(doutput, dstate, saved):
        ...
        return dx, (dh, dc), dw_ih, dw_hh, db_ih, db_hh

    report = minirnn.testing.check_cell(forward, cell="lstm", backward=backward)
    print(report)
    report.assert_passed()

docs/conformance.md tells the cases, the causes, and the tolerances.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from minirnn.errors import ArgumentError
from minirnn.kernels.contract import Array
from minirnn.testing.conformance.cases import (
    GRADES,
    Case,
    Problem,
    cases,
    not_applicable,
    problem_of,
)
from minirnn.testing.conformance.conventions import Conventions, gate_order_of
from minirnn.testing.conformance.handling import Observed, observe
from minirnn.testing.conformance.implementation import (
    BadResultError,
    Implementation,
    inputs_of,
    takes,
)
from minirnn.testing.conformance.patterns import Pending, patterns, search
from minirnn.testing.conformance.report import Failure, Report, Result
from minirnn.testing.conformance.storage import tolerances
from minirnn.testing.mismatch import Compared, excess, mismatch
from minirnn.testing.reference import ReferenceRun, built_in, reference

if TYPE_CHECKING:
    from minirnn.kernels.cells.cell import Cell

__all__ = ["check_cell"]


def check_cell(
    implementation: Any,
    *,
    cell: Cell | str | None = None,
    backward: Callable[..., Any] | bool | None = None,
    gate_order: str | Sequence[str] | None = None,
    level: str = "quick",
    grades: Sequence[int] | None = None,
    stop: bool = False,
    seconds: float = 10.0,
    **conventions: Any,
) -> Report:
    """Run an implementation of a recurrent layer through graded cases, beside the reference.

    Parameters
    ----------
    implementation  `forward(x, state, weights) -> output, state[, saved]`, a function on NumPy
                    arrays; or an adapter (`minirnn.testing.adapters`) with `forward`, `backward`
                    and `conventions`, which what is given here overrides
    cell            "rnn", "gru", "lstm" or a built-in cell (`minirnn.cells.gru(reset="before")`)
    backward        `backward(doutput, dstate, saved)` -> the gradients of x, state, and each of the
                    weights, as a tuple in that order or a dict by name ("x", "state", "weight_ih",
                    "weight_hh", "bias_ih", "bias_hh"). None: the implementation's own, if it has
                    one. True: it has to have one. False: forward alone is checked
    gate_order      of the blocks of weights and biases: "pytorch", "keras", "onnx", letters
                    ("ifgo", "iofc", "zrn"), or names. PyTorch's by default
    level           "quick" (some 60 cases, seconds) or "full" (some 110, larger ones)
    grades          those to run, of 1 to 6; all by default
    stop            leave out the grades above the lowest one that has a failure
    seconds         how long causes may be looked for, in all

    biases          2 (`bias_ih`, `bias_hh`), 1, or 0 of them
    layout          "time_major": x (T, B, I), output (T, B, H); "batch_major": (B, T, …)
    weights         "rows": weight_ih (G*H, I); "columns": (I, G*H), for `x @ w`
    update_gate     GRU: "keeps", h = (1-z) n + z h; "replaces", h = z n + (1-z) h
    states          their order where a state is taken or given: ("h", "c") or ("c", "h")
    storage         "float32", "float64", "float16" or "bfloat16", which decides the arrays and the
                    tolerance. bfloat16 numbers travel in float32 arrays, which hold them exactly
    precision       of float32 arrays' products with narrower operands: "tf32", "bfloat16",
                    "float16" (`minirnn.testing.tolerances`)
    lengths         "any": forward takes `lengths=`, (B,) int64 or None; "positive": none of 0;
                    "none". By default "any" if the function has a parameter of that name
    padding         "anything": what stands in x past a sequence's end is never read; "finite": it
                    may be, but has no influence unless it is NaN or infinite
    padded_output   "zeros", or "anything" past a sequence's end
    reverse         True if forward takes `reverse=`, time running from the last step to the first;
                    by default if the function has a parameter of that name
    initial_state   False if none is taken: `state` is then None, and so its gradient does not exist
    last_state      False if forward gives the output alone; `dstate` is then None
    no_steps        False if it takes no x of T = 0
    strided         False if arrays have to be contiguous
    same_bits       False if the same call may give other bits (sums in no fixed order)
    nan             "kept", or "may be lost": a NaN in x need not show in the output
    gradients       names of those that backward gives, where not all

    Arrays given lie between guards of NaN. The implementation must not write to them.

    Returns a :class:`Report`; nothing that the implementation does wrong raises, exceptions
    included.

    Raises: ArgumentError for arguments that make no sense.
    """
    own = getattr(implementation, "conventions", None) or {}
    given = {**own, **conventions}
    cell = cell if cell is not None else given.pop("cell", None)
    given.pop("cell", None)
    if "conventions" not in dir(implementation) and (
        isinstance(implementation, type) or hasattr(implementation, "state_dict")
    ):
        name = getattr(implementation, "__name__", type(implementation).__name__)
        hint = f"A layer of a framework needs one, such as adapters.torch_module({name})"
        raise ArgumentError("implementation", name, "a function, or an adapter", hint)
    if cell is None:
        raise ArgumentError("cell", None, '"rnn", "gru", "lstm" or a built-in cell')
    if level not in ("quick", "full"):
        raise ArgumentError("level", repr(level), '"quick" or "full"')
    if grades is not None and not set(grades) <= set(GRADES):
        raise ArgumentError("grades", repr(grades), f"some of {', '.join(map(str, GRADES))}")
    cell = built_in(cell)
    own_order = given.pop("gate_order", None)
    forward = getattr(implementation, "forward", implementation)
    differentiate = _backward(implementation, backward)
    given.setdefault("lengths", "any" if takes(forward, "lengths") else "none")
    given.setdefault("reverse", takes(forward, "reverse"))
    given.setdefault("states", tuple(cell.states))
    known = {field.name for field in fields(Conventions)}
    for name in given.keys() - known:
        wanted = ", ".join(sorted(known - {"cell"}))
        raise ArgumentError(name, "an argument that does not exist", f"one of {wanted}")
    made = Conventions(
        cell, gate_order_of(cell, own_order if gate_order is None else gate_order), **given
    )
    _check_reference(cell)
    checked = Implementation(forward, differentiate, made)
    pending: list[Pending] = []
    results: list[Result] = []
    for case in cases(level):
        if grades is not None and case.grade not in grades:
            continue
        if stop and any(r.outcome == "failed" and r.case.grade < case.grade for r in results):
            results.append(Result(case, "not applicable", reason="a case of a lower grade failed"))
        else:
            results.append(_run(case, checked, pending))
    explanation = search(pending, seconds) or patterns(results, pending)
    return Report(_name(cell), _told(made), differentiate is not None, results, explanation)


def _backward(implementation: Any, backward: Any) -> Callable[..., Any] | None:
    """The function that gives the gradients, or None."""
    if callable(backward):
        return backward  # type: ignore[no-any-return]
    if backward is False:
        return None
    own = getattr(implementation, "backward", None)
    if backward is True and own is None:
        came = f"True, and a {type(implementation).__name__} without a backward"
        raise ArgumentError("backward", came, "a function, or an adapter that has one")
    if backward not in (None, True):
        raise ArgumentError("backward", repr(backward), "a function, True, False or None")
    return own


def _check_reference(cell: Cell) -> None:
    """Raises: ArgumentError for a cell that the reference does not have."""
    H, slots = 1, (len(cell.input_slots), len(cell.hidden_slots))
    weights = [np.zeros((slots[0] * H, 1)), np.zeros((slots[1] * H, H)), None, None]
    reference(cell, np.zeros((1, 1, 1)), None, weights)


def _run(case: Case, implementation: Implementation, pending: list[Pending]) -> Result:
    """One case: passed, failed, or not applicable."""
    reason = not_applicable(case, implementation.conventions)
    if reason is not None:
        return Result(case, "not applicable", reason=reason)
    result = Result(case, "passed")
    try:
        with np.errstate(all="ignore"):  # the values of grade 5 overflow on purpose
            for observed in observe(case, implementation):
                result.failures += [Failure(t, cause=c) for c, t in observed.wrongs.items()]
                if _differs(result, observed, implementation, pending):
                    break
    except BadResultError as bad:
        result.failures.append(Failure(str(bad), bad.array, cause=bad.cause))
    if result.failures:
        result.outcome = "failed"
    return result


def _differs(
    result: Result, observed: Observed, implementation: Implementation, pending: list[Pending]
) -> bool:
    """Whether anything differs from the reference; if so, the failure is added to the result."""
    case, conventions = result.case, implementation.conventions
    compared, run = _compared(case, observed, conventions)
    failed = sorted((c for c in compared if c.excess > 1.0), key=lambda c: -c.excess)
    if not failed:
        return False
    cause = None
    if observed.blame is not None and _right_without_handling(case, implementation):
        cause = observed.blame
    elif _read_out_of_bounds(case, failed, implementation):
        cause = "out-of-bounds-read"
    error = mismatch(compared, failed, run, 0.0)
    failure = Failure(
        str(error),
        error.array,
        error.gate,
        error.step,
        error.sequence,
        error.direction,
        error.excess,
        cause,
        tuple(c.name for c in failed),
        not_finite=any(
            bool(np.isfinite(c.wanted[c.at]) and not np.isfinite(c.found[c.at])) for c in failed
        ),
    )
    result.failures.append(failure)
    if cause is None:
        pending.append(Pending(result, len(result.failures) - 1, compared, failed, run))
    return True


def _read_out_of_bounds(case: Case, failed: list[Compared], implementation: Implementation) -> bool:
    """Whether NaN in the results comes from the guards around the arrays given."""
    if case.values == "NaN in one sequence" or case.padding == "NaN":
        return False
    if not any((np.isnan(c.found) & ~np.isnan(c.wanted)).any() for c in failed):
        return False
    inputs = inputs_of(
        problem_of(case, implementation.conventions), implementation.conventions, guard=0.0
    )
    forward = implementation.forward(inputs, reverse=case.reverse)
    arrays = forward.arrays | implementation.backward(inputs, forward.saved)
    return not any(np.isnan(array).any() for array in arrays.values())


def _right_without_handling(case: Case, implementation: Implementation) -> bool:
    """Whether the same problem, run plainly, gives what the reference gives, and this one not."""
    if case.handling == "repeated":
        return True  # another run may happen to be right or wrong: it proves nothing

    def right(case: Case) -> bool:
        for observed in observe(case, implementation):
            compared, _ = _compared(case, observed, implementation.conventions)
            if any(c.excess > 1.0 for c in compared):
                return False
        return True

    # Three times, and the other way once more: it might be chance.
    plain = replace(case, handling="once")
    return all(right(plain) for _ in range(3)) and not right(case)


def _compared(
    case: Case, observed: Observed, conventions: Conventions
) -> tuple[list[Compared], ReferenceRun]:
    """Every array beside the reference's."""
    problem = observed.problem
    poisoned = case.values == "NaN in one sequence"
    run = _reference(case, problem)
    known = run.arrays()
    all_allowed = tolerances(run, conventions.storage, conventions.precision)
    compared = []
    for name, found in observed.arrays.items():
        wanted, seen = known[name], np.ones(known[name].shape, bool)
        if poisoned:
            wanted, seen = _beside_nan(case, name, wanted, conventions)
        if name == "output" and case.lengths is not None and conventions.padded_output != "zeros":
            seen = seen & (np.arange(case.T)[:, None, None] < np.array(case.lengths)[:, None])
        allowed = all_allowed[name]
        ratio = np.where(seen, excess(found, wanted, allowed), 0.0)
        worst = float(ratio.max(initial=0.0))
        at = tuple(int(i) for i in np.unravel_index(ratio.argmax(), ratio.shape)) if worst else ()
        compared.append(Compared(name, found, wanted, allowed, worst, at))
    return compared, run


def _reference(case: Case, problem: Problem) -> ReferenceRun:
    """The reference's run of a problem; NaN in a sequence taken for 0, and told separately."""
    x = problem.x
    if case.values == "NaN in one sequence":
        x = np.nan_to_num(x)
    return reference(
        problem.cell,
        x,
        problem.state,
        problem.weights,
        lengths=problem.lengths,
        reverse=case.reverse,
        doutput=problem.doutput,
        dstate=problem.dstate,
    )


def _beside_nan(
    case: Case, name: str, wanted: Array, conventions: Conventions
) -> tuple[Array, Array]:
    """What a NaN in one sequence leaves to be compared: NaN from its step on, and in the others
    nothing of it. Gradients that sum over sequences are NaN, and not compared.
    """
    step, sequence = case.T // 2, case.B // 2
    seen = np.ones(wanted.shape, bool)
    if name == "output":
        wanted = wanted.copy()
        wanted[step:, sequence] = np.nan
        seen[step:, sequence] = conventions.nan == "kept"
    elif name.startswith("state"):
        wanted = wanted.copy()
        wanted[sequence] = np.nan
        seen[sequence] = conventions.nan == "kept"
    elif name.startswith("grad.state"):
        seen[sequence] = False
    elif name == "grad.x":
        seen[:, sequence] = False
    else:
        seen[...] = False
    return wanted, seen


def _name(cell: Cell) -> str:
    """A cell and how it differs from its plain kind."""
    options = ", ".join(f"{k}={v}" for k, v in cell.options.items())
    return f"{cell.name} ({options})" if options else cell.name


def _told(conventions: Conventions) -> str:
    """The conventions that matter to a reader, in a line."""
    gates = " ".join(conventions.gate_order)
    parts = [f"gates {gates}", f"biases {conventions.biases}", conventions.layout]
    parts += [f"weights in {conventions.weights}", conventions.storage]
    if conventions.precision is not None:
        parts.append(f"products in {conventions.precision}")
    return ", ".join(parts)
