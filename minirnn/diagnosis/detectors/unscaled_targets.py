"""Targets of another size than training is made for: found as `unscaled-input`, at the other end.

O targets, as fed to the loss of a recipe's regression that does not scale them.

Formula    size = root mean square of a target, without extreme ones; its standard deviation where
           the head begins at the mean; swing = its standard deviation
           unequal = largest of the outputs' swings / that of an output
Threshold  largest size > 10, or largest swing < 0.03; else unequal > 5 of an output which by itself
           falls short. Only where the network, or that output, explains less than 0.8, and 0.2 less
           than a regression or another judge does: an illness where less than half, else a warning.
           Not where the loss broke (`non-finite`)
Source     LeCun, Bottou, Orr and Mueller 1998, Efficient BackProp, section 4.3, of inputs and
           targets alike. Measured: 40 epochs of Adam and SGD at usual rates, three cells, a target
           times a factor: R2 of 0.92 or more from 0.3 to 10; of 0.03: -0.9 to 0.9, of 0.01: below
           0.8, of 30: 0.5 to 0.95, of 100: at most 0.7. Of two targets, the first explained: 0.98
           where the other is three times as large, 0.74 at ten times, 0.5 at thirty times
Cost       none, where sizes are usual; else one regression, shared, or one an output
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from minirnn.device import array_namespace
from minirnn.diagnosis.evidence import Answers, Evidence
from minirnn.diagnosis.evidence.attainable import last_rows
from minirnn.diagnosis.finding import Finding, Severity
from minirnn.diagnosis.wording import number, share
from minirnn.inspect.dependence import measure_dependence
from minirnn.inspect.host import fetch

REGRESSION = ("mse", "l1", "huber")
LARGE, SMALL, UNEQUAL = 10.0, 0.03, 5.0
ENOUGH, SHORT = 0.8, 0.2


@dataclass(frozen=True)
class Sizes:
    """Of each target (O,): its size and its swing, on the host."""

    size: np.ndarray[Any, Any]
    swing: np.ndarray[Any, Any]


def of_targets(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
    recipe, answers, loop = evidence.recipe, evidence.answers, evidence.loop
    if recipe is None or answers is None or loop is None or recipe.data.scale != "none":
        return None
    if recipe.training.loss not in REGRESSION or not len(answers.wanted):
        return None
    if not answers.finite or not np.isfinite(loop.losses).all():
        return None
    sizes = _sizes(answers, level_known=recipe.model.init.head_bias == "target_mean")
    largest, swing = float(sizes.size.max()), float(sizes.swing.max())
    if not 0.0 < swing < float("inf"):
        return None
    if largest > LARGE or swing < SMALL:
        known = _known(evidence)
        severity = _severity(evidence.last_skill, known)
        if severity is not None and known is not None:
            return _odd(sizes, known, severity, evidence.last_skill)
    return _unequal(evidence, answers, sizes)


def _sizes(answers: Answers, *, level_known: bool) -> Sizes:
    wanted = answers.ordinary.wanted
    xp = array_namespace(wanted)
    swing = fetch(wanted.std(axis=0))
    size = swing if level_known else fetch(xp.sqrt((wanted**2).mean(axis=0)))
    return Sizes(np.array(size), np.array(swing))


def _known(evidence: Evidence) -> float | None:
    """The R2 of what is no network; None where nothing tells the targets."""
    dependence = evidence.dependence
    if dependence is not None and dependence.telling:
        return dependence.best
    judges = evidence.predictability
    return judges.best if judges is not None and judges.signal else None


def _severity(skill: float, known: float | None) -> Severity | None:
    """How bad it is to explain so much, where so much is known; None where it is well."""
    if known is None or skill >= ENOUGH or not known - max(skill, 0.0) > SHORT:
        return None
    return "warning" if skill >= 0.5 else "illness"


def _odd(sizes: Sizes, known: float, severity: Severity, skill: float) -> Finding:
    largest, swing = float(sizes.size.max()), float(sizes.swing.max())
    at = int(sizes.size.argmax())
    large = largest > LARGE
    return Finding(
        symptom="unscaled-input",
        severity=severity,
        where="the targets" if len(sizes.size) == 1 or not large else f"target {at}",
        evidence={
            "kind": "targets",
            "size": largest,
            "swing": swing,
            "threshold": LARGE if large else SMALL,
            "skill": skill,
            "predictable_by_regression": known,
        },
        cause="A network begins with answers of up to about 1, and training's steps are made for "
        "that size.",
        explanation=(
            (
                f"The targets are of a size of {number(largest)}. Before the answers can follow "
                "the inputs, the weights of the head have to grow that large, and each step takes "
                "them a little of the way."
                if large
                else f"The targets differ by {number(swing)} only. A step that is small elsewhere "
                "is as large as all that is to be learned, and throws the answers past it."
            )
            + f" The network explains {share(max(skill, 0.0))} of them, where {share(known)} can "
            "be told from the inputs."
        ),
    )


def _unequal(evidence: Evidence, answers: Answers, sizes: Sizes) -> Finding | None:
    """An output so much smaller than another that the loss hardly hears its errors."""
    if evidence.targets.dtype.kind != "f" or len(sizes.swing) < 2:
        return None
    largest = float(sizes.swing.max())
    last = evidence.last_targets
    if len(answers.given) != len(last):  # one answer a step: those of the last ones
        if len(answers.given) != int(evidence.ends.sum()):
            return None
        rows = array_namespace(answers.given).asarray(
            last_rows(len(evidence.inputs), evidence.ends)
        )
        answers = Answers(answers.given[rows], answers.wanted[rows])
    worst: tuple[float, float, int] | None = None
    for o in range(len(sizes.swing)):
        own = float(sizes.swing[o])
        if not 0.0 < UNEQUAL * own < largest or not evidence.rows_finite:
            continue
        skill = Answers(answers.given[:, o : o + 1], answers.wanted[:, o : o + 1]).typical_skill
        if skill >= ENOUGH or (worst is not None and skill >= worst[0]):
            continue
        told = measure_dependence(evidence.inputs, last[:, o : o + 1], evidence.lengths)
        if told is not None and told.telling and _severity(skill, told.best) is not None:
            worst = (skill, told.best, o)
    if worst is None:
        return None
    skill, known, at = worst
    severity = _severity(skill, known)
    assert severity is not None
    ratio = largest / float(sizes.swing[at])
    return Finding(
        symptom="unscaled-input",
        severity=severity,
        where=f"target {at}",
        evidence={
            "kind": "targets",
            "unequal": ratio,
            "swing": float(sizes.swing[at]),
            "threshold": UNEQUAL,
            "skill": skill,
            "predictable_by_regression": known,
        },
        cause=(
            "The loss adds up the errors of all targets, and one of the others is "
            f"{number(ratio)} times as large as this."
        ),
        explanation=(
            f"An error of target {at} weighs next to nothing beside one of the large target, so "
            f"the steps go where that one asks. Of target {at} the network explains "
            f"{share(max(skill, 0.0))}, where a plain regression explains {share(known)}."
        ),
    )
