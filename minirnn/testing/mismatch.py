"""Compare arrays by name with the reference's, and tell the worst difference and its cause."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from minirnn.errors import ArgumentError, DTypeError, MinirnnError, ShapeError
from minirnn.kernels.contract import Array
from minirnn.testing.reference import ReferenceRun, as_array

__all__ = ["Compared", "Place", "ReferenceMismatch", "assert_matches_reference", "excess"]


class Place(NamedTuple):
    """Where in an array: what its index stands for. None where it stands for no such thing."""

    gate: str | None = None
    step: int | None = None
    sequence: int | None = None
    unit: int | None = None
    row: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        if self.row is not None:
            column = "" if self.column is None else f", column {self.column}"
            return f"row {self.row} ({self.gate}, unit {self.unit}){column}"
        last = ("unit", self.unit) if self.column is None else ("feature", self.column)
        words = (("step", self.step), ("sequence", self.sequence), last)
        return ", ".join(f"{word} {number}" for word, number in words if number is not None)


class Compared(NamedTuple):
    """One array beside the reference's."""

    name: str
    found: Array
    wanted: Array
    allowed: float
    excess: float  # the largest |found - wanted| / allowed; above 1 is a failure
    at: tuple[int, ...]


class ReferenceMismatch(MinirnnError, AssertionError):  # noqa: N818 - what it is, not a fault
    """Arrays that differ from the reference by more than rounding explains.

    array      name of the array with the largest excess
    gate, step, sequence, unit   where in it; None where the array has no such axis
    direction  "forward" or "reverse"; None when every step was compared by itself
    excess     how many times the allowed difference
    cause      what was done wrong, as an id ("gates-permuted", "bias-dropped", …): a run that is
               wrong in this way has all the values that were found. None if there is no such run
               among those that were tried, or if the data cannot tell two apart
    causes     the ids that the data cannot tell apart; the cause alone where there is one
    told       the cause in words; empty without one
    failed     names of all the arrays that differ, worst first
    notes      what else was observed, in words
    """

    def __init__(
        self,
        message: str,
        array: str = "",
        place: Place = Place(),  # noqa: B008
        direction: str | None = None,
        excess: float = 0.0,
        causes: tuple[str, ...] = (),
        told: str = "",
        failed: tuple[str, ...] = (),
        notes: tuple[str, ...] = (),
    ) -> None:
        self.array = array
        self.gate, self.step, self.sequence, self.unit = place[:4]
        self.place = place
        self.direction = direction
        self.excess = excess
        self.causes = causes
        self.cause = causes[0] if len(causes) == 1 else None
        self.told = told
        self.failed = failed
        self.notes = notes
        # Exceptions pickle by their args.
        super().__init__(message, array, place, direction, excess, causes, told, failed, notes)

    def __str__(self) -> str:
        return str(self.args[0])


def assert_matches_reference(
    actual: Mapping[str, Any],
    expected: ReferenceRun,
    *,
    tolerance: float | None = None,
    precision: str | None = None,
    seconds: float = 20.0,
) -> None:
    """Compare arrays by name with the reference's; the error tells the worst of them, and why.

    Without a `tolerance`, each array is held to the bound that `minirnn.testing.tolerances` derives
    for its dtype; with one, to `tolerance` times the reference array's largest value. For float32
    arrays whose products had narrower operands, name the `precision`, "tf32", "bfloat16" or
    "float16": the bound is then derived for that. Arrays may be of either device.

    When they differ, runs that are wrong on purpose (`minirnn.testing.causes`) are computed for at
    most `seconds`, and the one whose values were found is the cause. 0 looks for none.

    Raises: ReferenceMismatch, an AssertionError; ArgumentError for a name that the reference does
    not have, another precision, or one beside a tolerance; ShapeError or DTypeError for an array
    that cannot be compared.
    """
    __tracebackhide__ = True  # pytest shows the line of the test, not this one
    if tolerance is not None and precision is not None:
        raise ArgumentError("precision", f"{precision!r} beside a tolerance", "one of the two")
    if tolerance is not None and not 0.0 <= tolerance < np.inf:
        raise ArgumentError("tolerance", repr(tolerance), "a number of 0 or more, or None")
    if not actual:
        raise ArgumentError("actual", "no array", "at least one to compare")
    compared = [
        compare(name, given, expected, tolerance, precision) for name, given in actual.items()
    ]
    failed = sorted((c for c in compared if c.excess > 1.0), key=lambda c: -c.excess)
    if failed:
        raise mismatch(compared, failed, expected, seconds)


def compare(
    name: str, given: Any, expected: ReferenceRun, tolerance: float | None, precision: str | None
) -> Compared:
    """An array beside the reference's of that name.

    Raises: as `assert_matches_reference`, but for ReferenceMismatch.
    """
    known = expected.arrays()
    if name not in known:
        raise ArgumentError("actual", repr(name), f"one of {', '.join(known)}")
    found, wanted = as_array(given), known[name]
    if found.dtype.kind != "f":
        raise DTypeError(name, found.dtype.name, "a float array")
    if found.shape != wanted.shape:
        raise ShapeError(name, f"shape {found.shape}", f"{wanted.shape}")
    if tolerance is None:
        allowed = expected.tolerance(name, found.dtype, precision)
    else:
        allowed = tolerance * float(np.abs(wanted[np.isfinite(wanted)]).max(initial=0.0))
    if not np.isfinite(allowed):
        came = f"{name}, whose rounding has no bound: x or a weight is infinite or too large"
        raise ArgumentError("expected", came, "a run of finite numbers, or a tolerance")
    ratio = excess(found, wanted, allowed)
    if not ratio.size:
        return Compared(name, found, wanted, allowed, 0.0, ())
    at = tuple(int(i) for i in np.unravel_index(ratio.argmax(), ratio.shape))
    return Compared(name, found, wanted, allowed, float(ratio[at]), at)


def excess(found: Array, wanted: Array, allowed: float) -> Array:
    """|found - wanted| / allowed, elementwise; 0 where both are the same NaN or infinity."""
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.abs(found - wanted) / allowed
    same = (found == wanted) | (np.isnan(found) & np.isnan(wanted))
    return np.where(same, 0.0, np.where(np.isnan(ratio), np.inf, ratio))


def mismatch(
    compared: list[Compared], failed: list[Compared], expected: ReferenceRun, seconds: float
) -> ReferenceMismatch:
    """The error about arrays of which some, `failed`, differ; worst first."""
    from minirnn.testing.causes.search import find

    worst = failed[0]
    place = place_of(expected, worst.name, worst.at)
    call = expected.call
    direction = None if call is None else "reverse" if call.reverse else "forward"
    verdict = find(compared, expected, seconds)
    lines = [
        f"{worst.name} differs from the reference at {place}: "
        f"got {worst.found[worst.at]!s}, wanted {worst.wanted[worst.at]!s}, "
        f"{worst.excess:.3g} times the allowed difference of {worst.allowed:.3g}"
    ]
    if len(verdict.causes) == 1:
        lines.append(f"cause: {verdict.causes[0]}: {verdict.told}")
    elif verdict.causes:
        lines.append(f"cause: one of {', '.join(verdict.causes)}: {verdict.told}")
    lines += [f"seen: {note}" for note in verdict.notes]
    return ReferenceMismatch(
        "\n".join(lines),
        worst.name,
        place,
        direction,
        worst.excess,
        verdict.causes,
        verdict.told,
        tuple(c.name for c in failed),
        verdict.notes,
    )


def place_of(run: ReferenceRun, name: str, at: tuple[int, ...]) -> Place:
    """What an index of that array stands for."""
    family, _, member = name.partition(".")
    if name.startswith(("grad.weight", "grad.bias")):
        slots = run.cell.input_slots if name.endswith("ih") else run.cell.hidden_slots
        slot, unit = divmod(at[0], run.sizes.H)
        column = at[1] if len(at) > 1 else None
        return Place(gate=slots[slot], unit=unit, row=at[0], column=column)
    gate = member if family in ("gates", "grad_slots") else None
    if name == "grad.x":
        return Place(None, at[0], at[1], column=at[2])
    if len(at) == 3:
        return Place(gate, *at)
    return Place(gate, None, *at)
