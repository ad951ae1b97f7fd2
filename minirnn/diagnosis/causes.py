"""What brings what: from separate findings to an illness with its consequences."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from minirnn.diagnosis.finding import SEVERITIES, Finding

# What follows where the network is never told what to learn.
LEARNS_NOTHING = (
    "slow-learning",
    "dead-units",
    "vanishing-gradient",
    "state-collapse",
    "underfitting",
    "stalled-loss",
    "constant-output",
    "frozen-generation",
    "output-loop",
)
# What follows from steps or sums that are far too large.
THROWN_ABOUT = ("exploding-gradient", "non-finite", "saturated-gates")
# Each symptom, and what it can bring of itself. Listed in order of cause: none brings an earlier.
BRINGS: dict[str, tuple[str, ...]] = {
    "missing-values": ("non-finite",),
    "leakage": ("overfitting", "outside-training-range"),
    "outliers": ("no-signal", "unscaled-input", "oscillating-loss", *THROWN_ABOUT, *LEARNS_NOTHING),
    "low-data-diversity": ("overfitting", "outside-training-range", *LEARNS_NOTHING),
    "batch-time-swap": ("no-signal", "reads-padding", "carried-state", *LEARNS_NOTHING),
    "no-recurrence": ("no-signal", *LEARNS_NOTHING),
    "shape-broadcast": LEARNS_NOTHING,
    # Through a hundred equal steps a gradient dies or leaps.
    "reads-padding": ("exploding-gradient", "saturated-gates", *LEARNS_NOTHING),
    "carried-state": LEARNS_NOTHING,
    "no-signal": ("overfitting", *LEARNS_NOTHING),
    "accumulated-gradients": ("oscillating-loss", *THROWN_ABOUT, *LEARNS_NOTHING),
    "unscaled-input": ("oscillating-loss", *THROWN_ABOUT, *LEARNS_NOTHING),
    "over-regularised": LEARNS_NOTHING,
    "oscillating-loss": ("overfitting", *THROWN_ABOUT, *LEARNS_NOTHING),
    # Adam remembers a large gradient for a thousand steps, and makes tiny ones meanwhile.
    "exploding-gradient": ("non-finite", "saturated-gates", *LEARNS_NOTHING),
    "non-finite": ("saturated-gates", *LEARNS_NOTHING),
    # A start that symmetry holds, a rate that was taken away, steps that are never made.
    "stalled-loss": tuple(each for each in LEARNS_NOTHING if each != "stalled-loss"),
    "slow-learning": (
        "state-collapse",
        "underfitting",
        "constant-output",
        "frozen-generation",
        "output-loop",
    ),
    "saturated-gates": ("vanishing-gradient", "state-collapse", "underfitting"),
    "dead-units": ("vanishing-gradient", "state-collapse", "underfitting"),
    "vanishing-gradient": ("state-collapse", "underfitting", "constant-output"),
    "state-collapse": ("underfitting", "constant-output"),
    "underfitting": ("constant-output", "frozen-generation", "output-loop"),
    "constant-output": ("frozen-generation", "output-loop"),
    "overfitting": (),
    "outside-training-range": ("frozen-generation",),
    "frozen-generation": (),
    "output-loop": (),
}


# Where the inputs are all alike (`state_collapse`), these are no reason: however far the gradient
# reaches, however long the steps and open the gates, there is next to nothing to tell apart.
NO_EXCUSE = ("saturated-gates", "vanishing-gradient", "slow-learning")


def follows_from(symptom: str) -> set[str]:
    """Every symptom that can follow from one, at any remove."""
    reached: set[str] = set()
    waiting = list(BRINGS.get(symptom, ()))
    while waiting:
        each = waiting.pop()
        if each not in reached:
            reached.add(each)
            waiting += BRINGS.get(each, ())
    return reached


def says_no_more(finding: Finding) -> bool:
    """Whether a finding says no more than that nothing was learned."""
    if finding.symptom == "underfitting":
        return finding.evidence.get("learned") is False
    return finding.symptom == "stalled-loss" and finding.evidence.get("kind") == "level"


def _inputs_are_to_blame(harmful: list[Finding]) -> bool:
    """Whether states are alike for the inputs are, and no other cause of it was found."""
    return any(finding.evidence.get("inputs_alike") for finding in harmful) and not any(
        "state-collapse" in follows_from(finding.symptom)
        for finding in harmful
        if finding.symptom not in NO_EXCUSE
    )


def _without_idle_targets(found: list[Finding], rank: dict[str, int]) -> list[Finding]:
    """Targets of odd size that a loop compares are a note where a cause before them is found.

    Whether they would have been reached without it is not known.
    """

    def before(finding: Finding) -> bool:
        return any(f.harmful and rank[f.symptom] < rank[finding.symptom] for f in found)

    return [
        replace(f, severity="note") if f.evidence.get("of_a_loop") and before(f) else f
        for f in found
    ]


def in_order_of_cause(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings, roots first, each root followed by its consequences; notes at the end.

    Every harmful finding gets as `consequences` the harmful findings that follow from it. A note
    is neither root nor consequence: it does no harm. A loss that stalls for no reason of its own is
    a note where any other harm is there: it says that nothing was learned, and the others say why.
    So are a gradient that dies, gates at their ends and small steps where the inputs themselves are
    alike.
    """
    found = list(findings)
    if any(finding.harmful and not says_no_more(finding) for finding in found):
        found = [replace(f, severity="note") if says_no_more(f) else f for f in found]
    elif any(finding.harmful and finding.symptom == "stalled-loss" for finding in found):
        # Both say that nothing was learned: once is enough.
        found = [replace(f, severity="note") if f.symptom == "underfitting" else f for f in found]
    if _inputs_are_to_blame([finding for finding in found if finding.harmful]):
        found = [replace(f, severity="note") if f.symptom in NO_EXCUSE else f for f in found]
    rank = {symptom: index for index, symptom in enumerate(BRINGS)}
    found = _without_idle_targets(found, rank)
    harmful = sorted(
        (finding for finding in found if finding.harmful),
        key=lambda f: rank.get(f.symptom, len(rank)),
    )
    present = [finding.symptom for finding in harmful]
    linked = [
        replace(
            finding,
            consequences=tuple(s for s in present if s in follows_from(finding.symptom)),
        )
        for finding in harmful
    ]
    explained = {symptom for finding in linked for symptom in finding.consequences}
    roots = [finding for finding in linked if finding.symptom not in explained]
    roots.sort(key=lambda finding: -SEVERITIES.index(finding.severity))
    ordered: list[Finding] = []
    for root in roots:
        ordered.append(root)
        ordered += [f for f in linked if f.symptom in root.consequences and f not in ordered]
    notes = [finding for finding in found if not finding.harmful]
    return (*ordered, *notes)
