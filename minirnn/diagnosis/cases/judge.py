"""The verdicts: on what is blamed, and on what is advised. Made from measurements alone."""

from __future__ import annotations

from minirnn.diagnosis.cases.case import Case, OfCause, OfFix
from minirnn.diagnosis.cases.measures import Measure
from minirnn.diagnosis.cases.seen import Seen

# Two trainings from the same weights and in the same order that differ in a detail end within some
# hundredths of one another; the fixes that do something move the score by several tenths.
MARGIN = 0.1


def of_cause(case: Case, sick: Seen) -> OfCause:
    """Whether the network with what is blamed fails, and whether for the reason that is given.

    true            it fails, and at the root stands what the article's explanation comes to
    a consequence   what is blamed is there, but something else brings it
    another cause   it fails, and what is blamed is not there
    false           nothing harmful is found
    cannot run      an error says why
    """
    if sick.error:
        return "cannot run"
    if not sick.named:
        return "false"
    if sick.named[0] in case.blames:
        return "true"
    return "a consequence" if case.blames & set(sick.named) else "another cause"


def of_fix(measure: Measure, before: Seen, after: Seen) -> OfFix:
    """What a fix did, by its score and by what is found in the network after it.

    cures           nothing harmful is left and the score is enough, and before one was not so
    helps           the score rose by more than `MARGIN`
    makes it worse  it fell by more than that
    does nothing    neither
    cannot run      an error says why
    """
    if after.error:
        return "cannot run"
    if before.error:  # whatever runs is better than what does not
        return "cures" if well(measure, after) else "helps"
    gain = after.score - before.score
    if gain < -MARGIN:
        return "makes it worse"
    if well(measure, after) and not well(measure, before):
        return "cures"
    return "helps" if gain > MARGIN else "does nothing"


def well(measure: Measure, seen: Seen) -> bool:
    """Whether a network is healthy and does what it was made for."""
    return not seen.error and not seen.named and seen.score >= measure.enough
