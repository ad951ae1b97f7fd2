"""The repair loop: apply a remedy, train again, and believe only what is seen then."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from minirnn.diagnosis.finding import Attempt, Diagnosis, Finding, Remedy, edit_text
from minirnn.diagnosis.recipe import Recipe
from minirnn.diagnosis.treatment.budget import Budget
from minirnn.diagnosis.treatment.judge import judge, second_best
from minirnn.errors import MinirnnError

Choice = Callable[[Attempt, list[Recipe]], tuple[Finding, Remedy] | None]
INTERRUPTED = "interrupted by the keyboard"
NOTHING_LEFT = "no remedy is left to try"


@dataclass(frozen=True)
class Repaired:
    """Every attempt, in the order in which they were made or taken up again, and why it ended."""

    attempts: tuple[Attempt, ...]
    ended: str = ""
    interrupted: bool = False

    @property
    def standing(self) -> Attempt:
        """The attempt that stands in the end: the last that was kept."""
        return standing(self.attempts)

    @property
    def diagnosis(self) -> Diagnosis:
        """Of the network as it is in the end, with all attempts."""
        return replace(
            self.standing.diagnosis,
            attempts=self.attempts,
            ended=self.ended,
            interrupted=self.interrupted,
        )


def repair(
    first: Attempt,
    attempt: Callable[[Recipe], Attempt],
    budget: Budget,
    tell: Callable[[Attempt], None],
    choose: Choice | None = None,
) -> Repaired:
    """Go on from a first attempt until it is healthy, or nothing is left to try.

    `choose` says what to try next: the best remedy that is left, or for a control any other.
    An interrupt at any moment ends it with what is known then.
    """
    attempts, tried = [first], [first.recipe]
    ended, interrupted = "", False
    try:
        while not standing(attempts).diagnosis.healthy:
            ended = attempts[-1].cut or budget.over(len(attempts))
            ended = ended or _next(attempts, tried, attempt, tell, choose or next_remedy)
            if ended:
                break
    except KeyboardInterrupt:
        ended, interrupted = INTERRUPTED, True
    return Repaired(tuple(attempts), ended, interrupted or attempts[-1].cut == INTERRUPTED)


def _next(
    attempts: list[Attempt],
    tried: list[Recipe],
    attempt: Callable[[Recipe], Attempt],
    tell: Callable[[Attempt], None],
    choose: Choice,
) -> str:
    """Try what comes next; why there is nothing, where there is not.

    Each change of `attempts` is one statement: wherever an interrupt falls, they are whole.
    """
    at = max(index for index, each in enumerate(attempts) if each.kept)
    current = attempts[at]
    found = choose(current, tried)
    if found is None:
        again = second_best(current, attempts[at + 1 :])
        if again is None:
            return NOTHING_LEFT
        attempts[:] = [*(each for each in attempts if each.recipe is not again.recipe), again]
        return ""
    finding, remedy = found
    tried.append(current.recipe.edit(remedy.edit))
    try:
        made = attempt(tried[-1])
    except MinirnnError as error:
        # What a remedy asks for may not fit the data: changes that are all equal have no scale.
        told = f"{current.verdict}; {edit_text(remedy.edit)} cannot be applied: {error}"
        attempts[at] = replace(current, verdict=told)
        return ""
    made = replace(made, edit=dict(remedy.edit), remedy=remedy, aimed_at=finding.symptom)
    kept, verdict = judge(current, made)
    attempts.append(replace(made, kept=kept, verdict=verdict))
    tell(attempts[-1])
    return ""


def standing(attempts: Iterable[Attempt]) -> Attempt:
    """The last that was kept; the first always is."""
    return [each for each in attempts if each.kept][-1]


def next_remedy(current: Attempt, tried: list[Recipe]) -> tuple[Finding, Remedy] | None:
    """The first remedy that makes a recipe not trained yet: the root's first, then the others'."""
    for finding in current.diagnosis.findings:
        for remedy in finding.remedies if finding.harmful else ():
            if current.recipe.edit(remedy.edit) not in tried:
                return finding, remedy
    return None
