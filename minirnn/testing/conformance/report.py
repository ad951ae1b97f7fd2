"""What `check_cell` found: every case, what failed in it and where, and what it comes from."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from minirnn.errors import MinirnnError
from minirnn.testing.conformance.cases import GRADES, Case

# What the kit finds by itself; `testing.causes.mutants` has the causes that single cases show.
CAUSES = {
    "raised": "forward or backward raised an exception",
    "wrong-result": "too few or too many results, or what is no array",
    "wrong-shape": "an array of another shape",
    "wrong-dtype": "an array of another type than those given",
    "uninitialised-memory": "NaN, but only where memory held NaN before the call",
    "out-of-bounds-write": "memory around an input was written to",
    "out-of-bounds-read": "NaN from around an input is in the results",
    "input-written": "an input was written to",
    "state-carried-over": "a call begins with the last state of the call before",
    "buffer-reused": "results change when forward is called again",
    "carried-over": "something else is left over from call to call",
    "not-repeatable": "the same call gives other bits",
    "strides-ignored": "wrong only where arrays have strides",
    "nan-lost": "a NaN in x does not show in the results",
    "batch-mixed": "wrong only where there are several sequences, or NaN in another one",
    "overflow": "NaN or infinities where gates saturate",
    "saturation": "wrong only where gates saturate",
    "size-dependent": "wrong only at certain sizes",
    "length-zero": "wrong only where a length is 0",
    "lengths": "wrong only where a sequence ends before T",
    "reverse": "wrong only in the reverse direction",
    "initial-state": "wrong only where an initial state is given",
    "recurrence": "wrong only where there are several steps",
}
# Of these, what brings about anything else, the surest first.
MEMORY = (
    "uninitialised-memory", "out-of-bounds-write", "out-of-bounds-read", "input-written",
    "state-carried-over", "buffer-reused", "carried-over", "not-repeatable",
)  # fmt: skip
SHOWN = 12  # failing cases that a printed report tells in full


class ConformanceError(MinirnnError, AssertionError):
    """An implementation failed cases of `check_cell`. Attribute: `report`."""

    def __init__(self, message: str, report: Report | None = None) -> None:
        self.report = report
        super().__init__(message, report)

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass
class Failure:
    """One thing that is wrong in one case.

    array      the array that differs most, or that could not be taken; None if it is none
    gate, step, sequence   where in it the worst difference is; None where it has no such axis
    direction  "forward" or "reverse"
    excess     how many times the allowed difference; infinite where no difference is allowed
    cause      an id ("gates-permuted", "input-written", …), None if it is not known
    failed     every array that differs, worst first
    not_finite   whether a result is NaN or infinite where the reference's is not
    message    all of it, in words
    """

    message: str
    array: str | None = None
    gate: str | None = None
    step: int | None = None
    sequence: int | None = None
    direction: str | None = None
    excess: float = float("inf")
    cause: str | None = None
    failed: tuple[str, ...] = ()
    not_finite: bool = False

    def to_dict(self) -> dict[str, Any]:
        """For JSON, which has no infinity: an infinite excess is None."""
        excess = self.excess if math.isfinite(self.excess) else None
        return {**self.__dict__, "failed": list(self.failed), "excess": excess}


@dataclass
class Result:
    """A case and what came of it: "passed", "failed", or "not applicable" with the reason."""

    case: Case
    outcome: str
    failures: list[Failure] = field(default_factory=list)
    reason: str = ""

    @property
    def causes(self) -> list[str]:
        """The ids of what is wrong, without repetition."""
        return list(dict.fromkeys(f.cause for f in self.failures if f.cause is not None))


@dataclass
class Report:
    """The outcome of every case, in the order of the grades.

    `print(report)` tells it; `passed`, `assert_passed()` and `to_dict()` are for tests.
    """

    cell: str
    conventions: str
    backward: bool
    results: list[Result]
    explanation: str = ""

    @property
    def passed(self) -> bool:
        """Whether no case failed, and at least one was run."""
        outcomes = self.counts
        return outcomes["passed"] > 0 and outcomes["failed"] == 0

    @property
    def counts(self) -> Counter[str]:
        """How many cases "passed", "failed", are "not applicable"."""
        return Counter(result.outcome for result in self.results)

    @property
    def failed(self) -> list[Result]:
        """The cases that failed, lowest grade first."""
        return [result for result in self.results if result.outcome == "failed"]

    @property
    def causes(self) -> dict[str, int]:
        """In how many cases each cause was found, the most frequent first."""
        return dict(
            Counter(cause for result in self.failed for cause in result.causes).most_common()
        )

    @property
    def cause(self) -> str | None:
        """What most of it comes from; None if nothing failed or nothing was recognised.

        The cause found most often, but something wrong with memory before what it brings about.
        """
        causes = self.causes
        return next((c for c in MEMORY if c in causes), next(iter(causes), None))

    def assert_passed(self) -> None:
        """Raises: ConformanceError, an AssertionError, which tells the report."""
        __tracebackhide__ = True  # pytest shows the line of the test, not this one
        if not self.passed:
            raise ConformanceError(str(self), self)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: everything but the arrays."""
        return {
            "cell": self.cell,
            "conventions": self.conventions,
            "backward": self.backward,
            "passed": self.passed,
            "counts": dict(self.counts),
            "cause": self.cause,
            "causes": self.causes,
            "explanation": self.explanation,
            "cases": [
                {
                    "case": str(result.case),
                    "grade": result.case.grade,
                    "outcome": result.outcome,
                    "reason": result.reason,
                    "failures": [failure.to_dict() for failure in result.failures],
                }
                for result in self.results
            ],
        }

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterable[str]:
        verdict = "passed" if self.passed else "FAILED"
        counts = ", ".join(f"{n} {outcome}" for outcome, n in sorted(self.counts.items()))
        yield f"{self.cell}: {verdict} ({counts})"
        yield f"  {self.conventions}"
        if not self.backward:
            yield "  forward only: no backward was given, so no gradient was checked"
        for grade, title in GRADES.items():
            mine = [result for result in self.results if result.case.grade == grade]
            count = Counter(result.outcome for result in mine)
            ran = count["passed"] + count["failed"]
            if ran:
                yield f"  grade {grade}  {title:14} {count['passed']:3} of {ran} passed"
        reasons = Counter(r.reason for r in self.results if r.outcome == "not applicable")
        for reason, n in reasons.items():
            yield f"  not applicable: {_cases(n)}, since {reason}"
        if self.causes:
            yield "  causes: " + ", ".join(f"{c} ({_cases(n)})" for c, n in self.causes.items())
        if self.explanation:
            yield f"  {self.explanation}"
        for result in self.failed[:SHOWN]:
            yield f"  grade {result.case.grade}, {result.case}"
            for failure in result.failures:
                for line in failure.message.splitlines():
                    yield f"    {line}"
        if len(self.failed) > SHOWN:
            yield f"  and {_cases(len(self.failed) - SHOWN, 'more failing ')}, in report.failed"


def _cases(count: int, what: str = "") -> str:
    """1 case, 2 cases."""
    return f"{count} {what}case" if count == 1 else f"{count} {what}cases"
