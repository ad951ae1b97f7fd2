"""low-data-diversity: the training part shows little of what is asked for later.

Formula    spread of a feature or target = its robust width (from the 5% to the 95% quantile, but
           for glitches: what is extreme among the values of both parts, and less than a fifth of
           its own) over the training part, over that of the held-out part; of two values, such as
           a character's, from the least to the largest: on which side of 5% one stands is chance.
           unknown = share of held-out rows whose class makes up less than 2% of the training rows.
           One target: all targets trained on are one and the same
           Harm: R2 on what was held out, against R2 on what was trained on
Threshold  one target: of a training part of 20 rows at least an illness, and of 200 of a watched
           loop's; else a note, since a sample may miss what is rare. Nothing can be learned from
           it, so that no other finding says that nothing was.
           Spread < 0.4, or unknown > 0.2; and the network explains at least half of what it was
           trained on, but of what was held out 0.15 less, or less than half, or 0.05 less and ten
           times as much left unexplained, or goes wrong beyond the range as
           `outside-training-range` judges: an illness. A note where it does not go wrong there.
           Parts that are narrow alike say nothing: a small range that is asked for again is enough.
           Against `outside-training-range`: there the training part is as wide as the held-out one,
           or wider, and lies elsewhere, as when a level drifts; here it is much narrower, so that
           no map could be learned from it. Where both are seen, this one is the cause
Source     the articles "stuck on a value", whose training values run from 0.4 to 0.6, and
           "identical outputs", which blames scarce data; thresholds are the project's own:
           parts dealt out at random from some hundred sequences 0.85 to 1.2, the halves of a
           periodic series 0.9 to 1.1, one regime of several 0.05 to 0.35. Of one feature shown at
           a thirtieth of its width: R2 0.91 to 0.94 of what was held out where 0.999 was explained
           in training, 70 to 200 times as much unexplained; 0.97 to 0.99 where all of it was shown
Cost       some quantiles of both parts
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minirnn.diagnosis.data import PreparedData
from minirnn.diagnosis.detectors import outside_training_range
from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.evidence.naive import target_rows
from minirnn.diagnosis.finding import Finding
from minirnn.diagnosis.wording import listed, number, share
from minirnn.inspect import steps
from minirnn.inspect.extremes import extreme
from minirnn.training.sequences import Sequences

Floats = NDArray[np.float64]

SYMPTOM = "low-data-diversity"
NARROW = 0.4
UNKNOWN = 0.2
RARE = 0.02  # of the training rows, below which a class is not known
KNOWN_WELL, ASKED_WELL = 0.5, 0.5
FALL, CLEAR_FALL, TIMES = 0.15, 0.05, 10.0
LEAST_ROWS, LEAST_ROWS_OF_A_LOOP = 20, 200
OUTER = (0.05, 0.95)
GLITCHES = 0.2  # of a part's values; more are no glitches


@dataclass(frozen=True)
class Width:
    """Of one feature or target: from where to where it runs, in either part."""

    name: str
    trained: tuple[float, float]
    asked: tuple[float, float]

    @property
    def spread(self) -> float:
        """The training part's width over the held-out part's; inf where that does not vary."""
        wide = self.asked[1] - self.asked[0]
        return (self.trained[1] - self.trained[0]) / wide if wide > 0 else float("inf")


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
    if evidence.only_target is not None:
        return _one_target(evidence, evidence.only_target)
    data, unseen = evidence.data, evidence.unseen
    if data is None or data.validation is None or unseen is None:
        return None
    data = data.host
    assert data.validation is not None
    narrow = [width for width in widths(data) if width.spread < NARROW]
    unknown, classes = unknown_classes(data.training, data.validation)
    if not narrow and unknown <= UNKNOWN:
        return None
    # Of inputs that happen to be narrow in a few rows nothing follows: they must matter.
    known, asked = evidence.skill, unseen.typical_skill
    beyond = outside_training_range.detect(evidence)
    harm = known >= KNOWN_WELL and (
        not asked >= max(ASKED_WELL, known - FALL)
        or (asked < known - CLEAR_FALL and 1.0 - asked > TIMES * (1.0 - known))
        or (beyond is not None and beyond.harmful)
    )
    worst = min(narrow, key=lambda width: width.spread, default=None)
    return Finding(
        symptom=SYMPTOM,
        severity="illness" if harm else "note",
        where="the training part",
        evidence={
            "spread": None if worst is None else worst.spread,
            "threshold": NARROW,
            "narrow": [width.name for width in narrow],
            "trained_on": None if worst is None else list(worst.trained),
            "asked_for": None if worst is None else list(worst.asked),
            "unknown_classes": classes,
            "rows_of_unknown_classes": unknown,
            "unknown_threshold": UNKNOWN,
            "training_skill": known,
            "held_out_skill": asked,
        },
        cause=_cause(worst, unknown, classes),
        explanation=(
            f"The network explains {share(max(known, 0.0))} of what it was trained on and "
            f"{share(max(asked, 0.0))} of what was held out. "
            + (
                "What it was shown is too much alike: from so little of the range, no map of the "
                "rest can be learned."
                if harm
                else "It copes with what it has hardly been shown."
            )
        ),
    )


def _one_target(evidence: Evidence, target: Any) -> Finding | None:
    """Targets that are all the same: of a recipe's training part, or of what was looked at."""
    data = evidence.data
    labels = evidence.targets.dtype.kind in "iu"
    rows = int(evidence.last_targets.shape[0]) if data is None else len(data.training)
    least = LEAST_ROWS if data is not None else LEAST_ROWS_OF_A_LOOP
    if rows < LEAST_ROWS:
        return None
    later = None if data is None else data.host.validation
    alike = later is None or bool((target_rows(later) == target).all())
    seen = data is not None or evidence.loop is not None
    recipe = evidence.recipe
    a_line = alike and recipe is not None and recipe.data.transform == "change"
    told = listed([number(float(each)) for each in np.atleast_1d(target)])
    return Finding(
        symptom=SYMPTOM,
        severity="illness" if seen and rows >= least and not a_line else "note",
        where="the targets",
        evidence={
            "kind": "one target",
            "target": target.tolist(),
            "rows": rows,
            "held_out_alike": alike,
        },
        cause=(
            f"All {rows} targets {'trained on' if seen else 'shown'} are "
            + (f"of class {told}." if labels else f"the same: {told}.")
        ),
        explanation=(
            "There is nothing to learn from them: whoever always answers that is right, whatever "
            "the inputs hold. A low loss, or an accuracy of 100%, says nothing here. "
            + (
                "Look where the targets come from, and for data in which they differ."
                if alike
                else "What was held out has other targets, which the network has never met."
            )
        ),
    )


def _cause(worst: Width | None, unknown: float, classes: list[int]) -> str:
    told = []
    if worst is not None:
        told.append(
            f"In training {worst.name} runs from {number(worst.trained[0])} to "
            f"{number(worst.trained[1])} (but for a tenth of the values), in what was held out "
            f"from {number(worst.asked[0])} to {number(worst.asked[1])}"
        )
    if unknown > UNKNOWN:
        named = listed([str(label) for label in classes])
        told.append(
            f"{share(unknown)} of the held-out rows are of class {named}, which hardly any "
            "training row is"
        )
    return "; ".join(told) + "."


def widths(data: PreparedData) -> list[Width]:
    """Of each feature, and of each target of a regression, as fed; of what varies at all."""
    train, held = data.training, data.validation
    assert held is not None
    pairs: list[tuple[str, Floats, Floats]] = []
    first, later = _rows(train), _rows(held)
    single = first.shape[1] == 1
    for feature in range(first.shape[1]):
        name = "the input" if single else f"input feature {feature}"
        pairs.append((name, first[:, feature], later[:, feature]))
    if not train.is_labels:
        for target in range(train.y.shape[-1]):
            name = "the target" if train.y.shape[-1] == 1 else f"target {target}"
            pairs.append((name, train.y[..., target].ravel(), held.y[..., target].ravel()))
    found = []
    for name, one, other in pairs:
        one, other = one[np.isfinite(one)], other[np.isfinite(other)]
        if min(one.size, other.size) < LEAST_ROWS:
            continue
        found.append(Width(name, *_outer(one, other)))
    return found


def _rows(part: Sequences) -> Floats:
    N, T = part.x.shape[:2]
    ends = np.full(N, T) if part.lengths is None else part.lengths
    rows: Any = steps.rows(part.x.swapaxes(0, 1), ends)
    return np.asarray(rows, dtype=np.float64)


def _outer(one: Floats, other: Floats) -> tuple[tuple[float, float], tuple[float, float]]:
    """From where to where the values of either part run, but for their outer tenth."""
    both = np.concatenate([one, other])
    least, most = both.min(), both.max()
    if ((both == least) | (both == most)).all():
        return (float(one.min()), float(one.max())), (float(other.min()), float(other.max()))
    far = extreme(both)
    return _quantiles(one, far[: len(one)]), _quantiles(other, far[len(one) :])


def _quantiles(values: Floats, far: NDArray[np.bool_]) -> tuple[float, float]:
    if far.mean() < GLITCHES:
        values = values[~far]
    low, high = np.quantile(values, OUTER)
    return float(low), float(high)


def unknown_classes(training: Sequences, held_out: Sequences) -> tuple[float, list[int]]:
    """The share of held-out rows of classes that are hardly trained on, and which these are."""
    if not training.is_labels or held_out.y.size < LEAST_ROWS:
        return 0.0, []
    most = int(max(training.y.max(), held_out.y.max())) + 1
    trained = np.bincount(training.y.ravel(), minlength=most) / training.y.size
    asked = np.bincount(held_out.y.ravel(), minlength=most) / held_out.y.size
    rare = (trained < RARE) & (asked > trained)
    return float(asked[rare].sum()), np.flatnonzero(rare & (asked > 0)).tolist()
