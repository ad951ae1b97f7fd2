"""over-regularised: what should keep a network from learning too much keeps it from learning.

Formula    of every regulariser its price, and of the network what came of it: how far its weights
           have shrunk, and how much noise its answers are trained with (see `regularisation`);
           shortfall = R2 of a regression - R2 of the network
Threshold  a penalty or a decay: price > 1 (AdamW's: > 0.5), and shrunk < 0.6. Dropout and noise on
           the inputs: price > 0.5, and noise > 0.5; of a series' network that leaves many times as
           much unexplained as a regression, noise that leaves as much by itself. An illness where
           the network explains less than half of its targets and 0.1 less than a regression, a
           warning where it explains 0.2 less than that, or leaves many times as much
           (`underfitting.shortfall`); a note where a regression finds nothing to explain either.
           A strong regulariser under which the network learns is none
Source     the project's measurements, lstm, gru and rnn of 14 to 28 units: networks that fail for
           an l2 or l1 have prices from 2.5 and are shrunk to 0.39 or less, under 1e-3 of either
           (prices to 1) all learn; without a regulariser they come to 0.95 to 1.6 of the usual
           size. AdamW: fails at a price of 2, learns at 0.2. Dropout before the head: fails from
           0.95 (noise 0.9 to 8), learns at 0.8 (0.35 to 0.45); between layers: 0.98 (0.6 to 1.9)
           and 0.8 (0.1). For a sum trained under
           multiplicative noise n, R2 of the clean answers is at most 1 - (n / (1 + n))^2
Cost       see `regularisation`
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from minirnn.diagnosis.detectors.underfitting import (
    ENOUGH,
    MANY_TIMES,
    known_without,
    shortfall,
)
from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.evidence.regularisation import Regularisation
from minirnn.diagnosis.finding import Finding, Severity
from minirnn.diagnosis.recipe import Recipe
from minirnn.diagnosis.wording import listed, number, share

SYMPTOM = "over-regularised"
PRICE, PRICE_OF_DECAY, PRICE_OF_NOISE = 1.0, 0.5, 0.5
SHRUNK, NOISE = 0.6, 0.5
SHORT, SHORT_OF_HALF = 0.2, 0.1


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
    seen, recipe = evidence.regularisation, evidence.recipe
    if seen is None or recipe is None or not math.isfinite(seen.shrunk):
        return None
    severity = _severity(evidence)
    strong = _too_strong(seen, recipe, _harmful_noise(evidence))
    if severity is None or not strong:
        return None
    dependence = evidence.dependence
    keys = list(strong)
    told = listed([f"{key} = {recipe.get(key)}" for key in keys])
    by_noise = keys[0] in seen.noises
    cause = (
        "Its answers are trained under noise as large as what they should say, so it says little."
        if by_noise
        else "Weights large enough to answer with cost more than answering well would gain."
    )
    what = (
        f"In training the answers are moved, in square, by {number(seen.noise)} times what they "
        "vary between inputs"
        if by_noise
        else f"The weights are {share(seen.shrunk)} of the size that they usually have"
    )
    predictable = dependence.best if dependence is not None and dependence.telling else None
    return Finding(
        symptom=SYMPTOM,
        severity=severity,
        where=f"the recipe, {told}",
        evidence={
            "keys": keys,
            "price": strong[keys[0]],
            "prices": {**seen.on_weights, **seen.noises},
            "shrunk": seen.shrunk,
            "noise": seen.noise,
            "skill": evidence.skill,
            "predictable_by_regression": None if dependence is None else dependence.best,
        },
        cause=cause,
        explanation=(
            f"{what}: that is the work of {told}. The network explains "
            f"{share(max(0.0, evidence.skill))} of what its targets vary, of the data it was "
            "trained on"
            + (
                "."
                if predictable is None
                else f"; a plain regression explains {share(predictable)} of data it was not "
                "fitted to."
            )
        ),
    )


def _severity(evidence: Evidence) -> Severity | None:
    """How bad it is that the network explains so little; None where it is not bad."""
    dependence, skill = evidence.dependence, evidence.skill
    if dependence is not None and not dependence.telling:
        return "note" if evidence.fails else None
    best = 1.0 if dependence is None else dependence.best
    # Written so that a NaN, from a network that broke, falls short.
    if evidence.fails and not skill >= best - SHORT_OF_HALF:
        return "illness"
    if dependence is not None and skill < best - SHORT:
        return "warning"
    return "warning" if shortfall(evidence) == "warning" else None


def _harmful_noise(evidence: Evidence) -> float:
    """From which noise on it does harm: what n leaves unexplained is (n / (1 + n))^2."""
    known = known_without(evidence) if ENOUGH <= evidence.last_skill < 1.0 else None
    if known is None or shortfall(evidence) != "warning":
        return NOISE
    # 0.8 is explained, and short > 0.1: the root is below 1.
    left = math.sqrt(max(0.0, MANY_TIMES * (1.0 - known.r2)))
    return min(NOISE, left / (1.0 - left))


def _too_strong(seen: Regularisation, recipe: Recipe, harmful: float) -> dict[str, float]:
    """The regularisers that are, with their prices in units of what is too much, dearest first."""
    decays = recipe.training.optimizer == "adamw"
    found: dict[str, float] = {}
    if seen.shrunk < SHRUNK:
        for key, price in seen.on_weights.items():
            most = PRICE_OF_DECAY if decays and key == "training.weight_decay" else PRICE
            found |= _above(key, price / most)
    if seen.noise > harmful:
        for key, price in seen.noises.items():
            found |= _above(key, price / PRICE_OF_NOISE)
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _above(key: str, price: float) -> Mapping[str, float]:
    return {key: price} if price > 1.0 else {}
