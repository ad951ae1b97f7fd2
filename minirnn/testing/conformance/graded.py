"""The conformance kit's cases one by one, for a test of one's own: numbers, and what to expect."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from minirnn.errors import ArgumentError
from minirnn.kernels.contract import Array, Weights
from minirnn.testing.conformance.cases import Case, Problem, cases, not_applicable, problem_of
from minirnn.testing.conformance.conventions import Conventions, gate_order_of
from minirnn.testing.mismatch import assert_matches_reference
from minirnn.testing.reference import ReferenceRun, built_in, reference

if TYPE_CHECKING:
    from minirnn.kernels.cells.cell import Cell

__all__ = ["GradedCase", "graded_cases"]


class GradedCase:
    """One problem, drawn when it is first looked at, in minirnn's conventions and time-major.

    cell      what it is a problem for
    x         (T, B, I)
    state     initial states, one (B, H) each
    weights   weight_ih (G*H, I), weight_hh (G*H, H), bias_ih and bias_hh (G*H,)
    lengths   (B,) or None
    reverse   whether time runs down
    doutput   (T, B, H), gradient of a loss with respect to the output; `dstate`, of the last states
    expected  the reference's run
    """

    def __init__(self, case: Case, conventions: Conventions) -> None:
        self.case = case
        self.conventions = conventions

    def __repr__(self) -> str:
        return f"<grade {self.case.grade}, {self.case}>"

    @cached_property
    def problem(self) -> Problem:
        """All the arrays."""
        return problem_of(self.case, self.conventions)

    @property
    def cell(self) -> Cell:
        """What it is a problem for."""
        return self.conventions.cell

    @property
    def x(self) -> Array:
        """The input (T, B, I)."""
        return self.problem.x

    @property
    def state(self) -> tuple[Array, ...]:
        """The initial states, (B, H) each."""
        return self.problem.state

    @property
    def weights(self) -> Weights:
        """The parameters."""
        return self.problem.weights

    @property
    def lengths(self) -> Array | None:
        """How many steps of each sequence count, (B,); None for all."""
        return self.problem.lengths

    @property
    def reverse(self) -> bool:
        """Whether time runs down."""
        return self.case.reverse

    @property
    def doutput(self) -> Array:
        """The loss's gradient with respect to the output, (T, B, H)."""
        return self.problem.doutput

    @property
    def dstate(self) -> tuple[Array, ...]:
        """The loss's gradient with respect to the last states, (B, H) each."""
        return self.problem.dstate

    @cached_property
    def expected(self) -> ReferenceRun:
        """The reference's run."""
        with np.errstate(all="ignore"):  # some values overflow on purpose
            return reference(
                self.cell,
                self.x,
                self.state,
                self.weights,
                lengths=self.lengths,
                reverse=self.reverse,
                doutput=self.doutput,
                dstate=self.dstate,
            )

    def check(self, actual: Mapping[str, Any], **options: Any) -> None:
        """Compare arrays by name with the reference's; see `assert_matches_reference`.

        Raises: as that does.
        """
        __tracebackhide__ = True
        assert_matches_reference(actual, self.expected, **options)


def graded_cases(
    cell: Cell | str = "lstm",
    *,
    level: str = "quick",
    grades: Iterable[int] | None = None,
    dtype: str = "float32",
    lengths: bool = False,
    reverse: bool = False,
) -> list[GradedCase]:
    """The cases of the conformance kit that need nothing but arrays: grades 1 to 5.

    level    "quick" or "full"
    grades   which of them; None for all. (Grade 6 is about memory, and one case of grade 5 about
             NaN that may not spread: `check_cell` runs them)
    dtype    "float32" or "float64", of the arrays
    lengths  with those that have lengths, `reverse` with those in which time runs down

    Raises: ArgumentError for another level, grade or dtype, or a cell that is not built in.
    """
    if level not in ("quick", "full"):
        raise ArgumentError("level", repr(level), "'quick' or 'full'")
    if dtype not in ("float32", "float64"):
        raise ArgumentError("dtype", repr(dtype), "'float32' or 'float64'")
    chosen = range(1, 6) if grades is None else list(grades)
    if not set(chosen) <= set(range(1, 6)):
        raise ArgumentError("grades", repr(grades), "some of 1 to 5")
    made = built_in(cell)
    conventions = Conventions(
        made,
        gate_order_of(made, None),
        states=tuple(made.states),
        storage=dtype,
        lengths="any" if lengths else "none",
        reverse=reverse,
    )
    return [
        GradedCase(case, conventions)
        for case in cases(level)
        if case.grade in chosen
        and case.values != "NaN in one sequence"
        and not_applicable(case, conventions) is None
    ]
