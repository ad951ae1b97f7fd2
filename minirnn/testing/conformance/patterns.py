"""What failures come from: causes found in single cases, put together; and, where none was found,
what the failing cases have in common that the passing ones have not.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from minirnn.testing.conformance.cases import Case
from minirnn.testing.conformance.report import Failure, Result
from minirnn.testing.mismatch import Compared, mismatch
from minirnn.testing.reference import ReferenceRun

# Cases that are looked at: most of what fails, fails of the same cause.
ENOUGH, MOST = 4, 10
SECONDS_A_CASE = 2.0
# Of the cases that have something in common, so many fail.
SHARE = 0.7


@dataclass(frozen=True)
class Pending:
    """A failure whose cause is to be looked for, and what is needed for that."""

    result: Result
    index: int
    compared: list[Compared]
    failed: list[Compared]
    run: ReferenceRun

    @property
    def failure(self) -> Failure:
        """The failure, in the result that it belongs to."""
        return self.result.failures[self.index]


def search(pending: list[Pending], seconds: float) -> str:
    """Look for causes with `minirnn.testing.causes.search`, and give those found to the failures.

    A small case often leaves several causes open. Of these the one is taken that most other cases
    leave open too. Returns the cause of most of them in words, empty if there is none.
    """
    until = time.monotonic() + seconds
    found: list[tuple[Pending, tuple[str, ...], str]] = []
    votes: Counter[str] = Counter()
    alone: Counter[str] = Counter()
    for one in sorted(pending, key=_telling)[:MOST]:
        left = until - time.monotonic()
        if left <= 0 or (alone and alone.most_common(1)[0][1] >= ENOUGH):
            break
        with np.errstate(all="ignore"):  # of runs that differ by NaN and infinities
            error = mismatch(one.compared, one.failed, one.run, min(left, SECONDS_A_CASE))
        votes.update(error.causes)
        alone.update(error.causes[:1] if len(error.causes) == 1 else ())
        found.append((one, error.causes, error.told))
        one.failure.message = str(error)
    if any(not causes and _plainly_wrong_forward(one) for one, causes, _ in found):
        found = [(one, () if _backward_alone(one) else c, words) for one, c, words in found]
        votes = Counter(cause for _, causes, _ in found for cause in causes)
    told: dict[str, str] = {}
    for one, causes, words in found:
        if causes:
            cause = max(causes, key=lambda c: votes[c])
            one.failure.cause = cause
            if len(causes) == 1:
                told.setdefault(cause, words)
    # Found in a smaller part of the cases that were looked at, it is not what they have in common.
    cause, count = votes.most_common(1)[0] if votes else ("", 0)
    if 2 * count < len(found):
        return ""
    return f"{cause}: {told[cause]}" if cause in told else cause


def _telling(one: Pending) -> tuple[bool, bool, int]:
    """Cases that tell most first: several steps, sequences and units, but small.

    Before them those where forward is wrong.
    """
    case = one.result.case
    tells = case.T >= 3 and case.B >= 2 and case.H >= 3 and case.I >= 2
    return _backward_alone(one), not tells, case.T * case.B * case.H * (case.I + case.H)


def _backward_alone(one: Pending) -> bool:
    return all(c.name.startswith("grad") for c in one.failed)


def _plainly_wrong_forward(one: Pending) -> bool:
    """Whether forward is wrong in a case with nothing special about it.

    What makes it so may show elsewhere in gradients alone, and look like a fault of these: a state
    taken twice, where it is zero. While it is not known, no cause of theirs is believed.
    """
    case = one.result.case
    return case.values == "normal" and case.handling == "once" and not _backward_alone(one)


def patterns(results: list[Result], pending: list[Pending]) -> str:
    """Give failures without a cause what their cases have in common; in words, or empty."""
    unexplained = [one for one in pending if one.failure.cause is None]
    if not unexplained:
        return ""
    for one in unexplained:
        one.failure.cause = _of_values(one)
    rest = [one for one in unexplained if one.failure.cause is None]
    failing = [one.result.case for one in rest]
    passing = [r.case for r in results if r.outcome == "passed"]
    best = (0.0, "", "")
    for cause, words, applies in _common(failing):
        if all(map(applies, failing)):
            others = sum(map(applies, passing))
            share = len(failing) / (len(failing) + others)
            # It says nothing if there is hardly a case without it.
            without = sum(not applies(case) for case in passing)
            if share >= SHARE and without >= 3 and share > best[0]:
                best = (share, cause, words)
    _, cause, words = best
    for one in rest:
        one.failure.cause = cause or None
    return f"{cause}: {words}" if cause else ""


def _of_values(one: Pending) -> str | None:
    """What a case of special values shows by itself."""
    case = one.result.case
    if case.values == "NaN in one sequence":
        if any(np.isnan(c.wanted[c.at]) for c in one.failed):
            return "nan-lost"
        return "batch-mixed" if one.failure.not_finite else None
    if case.values in ("saturating", "overflowing") and one.failure.not_finite:
        return "overflow"
    return None


Common = tuple[str, str, Callable[[Case], bool]]


def _common(failing: list[Case]) -> Iterator[Common]:
    """What cases may have in common: cause, in words, and whether a case has it."""
    yield "length-zero", "only where a length is 0", lambda c: 0 in (c.lengths or ())
    yield "lengths", "only where a sequence ends before T", _ragged
    yield "reverse", "only in the reverse direction", lambda c: c.reverse
    large = ("saturating", "overflowing", "open gates", "shut gates")
    yield "saturation", "only where gates saturate", lambda c: c.values in large
    yield "initial-state", "only where an initial state is given", lambda c: c.state
    yield "batch-mixed", "only where there are several sequences", lambda c: c.B > 1
    yield "recurrence", "only where there are several steps", lambda c: c.T > 1
    if not failing:
        return
    for letter in "HIB":
        sizes = [getattr(case, letter) for case in failing]
        for n in (4, 8, 16, 32, 64):

            def edge(case: Case, letter: str = letter, n: int = n) -> bool:
                return bool(getattr(case, letter) > n and getattr(case, letter) % n != 0)

            yield "size-dependent", f"only where {letter} is above {n} and no multiple of it", edge
        smallest = min(sizes)
        if smallest > 6:

            def large_enough(case: Case, letter: str = letter, n: int = smallest) -> bool:
                return bool(getattr(case, letter) >= n)

            yield "size-dependent", f"only where {letter} is {smallest} or more", large_enough


def _ragged(case: Case) -> bool:
    return case.lengths is not None and min(case.lengths) < case.T
