"""outside-training-range: asked about values it was never trained on, the network goes wrong there.

Formula    a held-out row is outside when its target, or an input of it, lies beyond the least or
           largest value trained on, as fed. error ratio = RMSE over the outside rows / RMSE over
           the training part (for a series both first divided by persistence's, so that a series
           that becomes wilder is no illness). followed = slope of the answers on the targets, by
           least squares, over the outside rows; shortfall = mean of how far the answers stay
           behind the targets, towards the range trained on
Threshold  at least 5% of the rows outside. An illness where the network explains at least half of
           its training targets, so that it is there that it goes wrong, and the error ratio is
           above 2; a note else
Source     the CO2 series, measured: ratio 2.4 to 8 standardised, 0.9 to 1.1 as changes
Cost       one forward pass over the held-out part
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from minirnn.diagnosis.evidence import Answers, Evidence, HeldOut
from minirnn.diagnosis.finding import Finding
from minirnn.diagnosis.wording import number, quantity, share

SYMPTOM = "outside-training-range"
LEAST_SHARE = 0.05
RATIO = 2.0


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
    held = evidence.held_out
    if held is None or not (held.answers.finite and held.trained_answers.finite):
        return None
    outside = rows_outside(held)
    part = float(outside.mean()) if len(outside) else 0.0
    if part < LEAST_SHARE:
        return None
    beyond = Answers(held.answers.given[outside], held.answers.wanted[outside])
    ratio = error_ratio(held, outside)
    inside = held.trained_answers
    ill = ratio > RATIO and inside.skill >= 0.5
    low, high = float(inside.wanted.min()), float(inside.wanted.max())
    short = shortfall(beyond, low, high)
    follows = followed(beyond)
    unit = held.unit
    trained = f"{number(low)} to {quantity(high, unit)}"
    asked = (
        f"{number(float(held.answers.wanted.min()))} to "
        f"{quantity(float(held.answers.wanted.max()), unit)}"
    )
    return Finding(
        symptom=SYMPTOM,
        severity="illness" if ill else "note",
        where=f"the held-out part, {share(part)} of its rows",
        evidence={
            "share_outside": part,
            "error_ratio": ratio,
            "threshold": RATIO,
            "rmse_outside": beyond.error,
            "rmse_training": inside.error,
            "followed": follows,
            "shortfall": short,
            "trained_on": [low, high],
            "asked_for": [
                float(held.answers.wanted.min()),
                float(held.answers.wanted.max()),
            ],
            "unit": unit,
        },
        cause=(
            f"The network was trained on {trained} and is asked for {asked}. Its gates are "
            "bounded: past what they have seen they run into the ends of their range."
            if ill
            else f"{share(part)} of the held-out rows lie beyond the values trained on."
        ),
        explanation=(
            f"The network learned values from {trained}. The held-out part goes from {asked}, and "
            f"there it does not follow: it is off by {quantity(beyond.error, unit)}, against "
            f"{quantity(inside.error, unit)} where it was trained"
            + (
                f", and stays {quantity(short, unit)} behind on average"
                if short > 0.25 * beyond.error
                else ""
            )
            + f". When the target moves by 1, the answer moves by {number(follows)}."
            if ill
            else f"{share(part)} of the held-out rows lie beyond what the network was trained on, "
            "and it does not go wrong on these alone."
        ),
    )


def rows_outside(held: HeldOut) -> NDArray[np.bool_]:
    """(N,) whether a held-out row, its target or an input, lies beyond the range trained on."""
    beyond = _beyond(held.y, held.trained_y, axes=tuple(range(held.y.ndim - 1)))
    outside = beyond.reshape(len(beyond), -1).any(axis=1)
    inputs = _beyond(held.x, held.trained_x, axes=(0, 1))
    return np.asarray(outside | inputs.any(axis=(1, 2)))


def _beyond(new: NDArray[Any], trained: NDArray[Any], axes: tuple[int, ...]) -> NDArray[np.bool_]:
    return np.asarray((new < trained.min(axis=axes)) | (new > trained.max(axis=axes)))


def error_ratio(held: HeldOut, outside: NDArray[np.bool_]) -> float:
    """RMSE over the outside rows over that of training, each relative to persistence's if known."""
    beyond = Answers(held.answers.given[outside], held.answers.wanted[outside]).error
    trained = held.trained_answers.error
    if held.naive is not None and held.trained_naive is not None:
        naive = Answers(held.naive.given[outside], held.naive.wanted[outside]).error
        if naive > 0 and held.trained_naive.error > 0:
            beyond, trained = beyond / naive, trained / held.trained_naive.error
    return beyond / trained if trained > 0 else (np.inf if beyond > 0 else 1.0)


def followed(beyond: Answers) -> float:
    """Slope of the answers on the targets: 1 where they follow, 0 where they are flat."""
    given = beyond.given - beyond.given.mean(axis=0)
    wanted = beyond.wanted - beyond.wanted.mean(axis=0)
    total = float(np.sum(wanted**2))
    return float(np.sum(given * wanted)) / total if total else float("nan")


def shortfall(beyond: Answers, low: float, high: float) -> float:
    """How far the answers stay behind targets above `high`, or below `low`, on average."""
    above, below = beyond.wanted > high, beyond.wanted < low
    behind = np.where(above, beyond.wanted - beyond.given, beyond.given - beyond.wanted)
    chosen = behind[above | below]
    return float(chosen.mean()) if chosen.size else 0.0
