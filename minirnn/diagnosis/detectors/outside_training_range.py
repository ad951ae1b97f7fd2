"""outside-training-range: asked about values it was never trained on, the network goes wrong there.

Formula    a held-out row is outside when its target, or an input of it, lies beyond the least or
           largest value trained on, as fed; of independent sequences by more than a tenth of the
           range between them, for of some hundred alike the most extreme one may be held out. Over
           the outside rows:
           error ratio = RMSE / RMSE where it was trained (independent sequences: or on held-out
           rows inside, if that is more; a series: both in units of persistence's RMSE, so that a
           series which becomes wilder is no illness);
           behind = slope, by least squares, of (target - answer) on how far the row is (a series:
           on the window's last value, which tells no noise of the target; else on the target)
Threshold  at least 5% of the rows outside, and of independent sequences 5 rows. An illness where
           the network explains at least half of its training targets, so that it is there that it
           goes wrong, and either the error ratio is above 2, or (a series) behind is above 0.05
           and four times its own standard error; and, of a series, where it is worse than
           persistence there; of independent sequences, where it explains less than 0.9 of the
           targets of these rows. A note else.
           A training part that is much narrower than what is asked is `low-data-diversity`, the
           cause of this, where both are seen; one that is as wide and lies elsewhere, as when a
           level drifts, is this alone
Source     the CO2 series, measured over 10 seeds: behind 0.12 to 0.46, error ratio 1.4 to 8.0
           standardised; behind -0.01, error ratio 1.0 as changes
Cost       one forward pass over the training and held-out parts
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minirnn.device import array_namespace
from minirnn.diagnosis.evidence import Answers, Evidence, HeldOut
from minirnn.diagnosis.finding import Finding
from minirnn.diagnosis.wording import number, quantity, share
from minirnn.inspect.host import fetch

Array = Any  # of the network's device

SYMPTOM = "outside-training-range"
LEAST_SHARE, LEAST_ROWS = 0.05, 5
FOLLOWS = 0.9  # R2 of rows outside, of independent sequences, that is no failure
MARGIN = 0.1  # of the range trained on, that a row of independent sequences lies beyond it
RATIO = 2.0
BEHIND = 0.05
SURE = 4.0  # standard errors; more than the usual two, for neighbours in a series are alike
LEAST_INSIDE = 10  # held-out rows inside that make an error to compare with


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
    held = evidence.held_out
    if held is None or not (held.answers.finite and held.trained_answers.finite):
        return None
    outside = rows_outside(held)
    part = float(outside.mean()) if len(outside) else 0.0
    series = held.naive is not None
    if part < LEAST_SHARE or (not series and part * len(outside) < LEAST_ROWS):
        return None
    beyond, inside = _rows(held.answers, outside), held.trained_answers
    naive = None if held.naive is None else _rows(held.naive, outside)
    ratio, (behind, uncertain) = error_ratio(held, outside), falls_behind(beyond, naive)
    lags = behind > max(BEHIND, SURE * uncertain)
    wrong = ratio > RATIO
    if naive is not None:
        wrong = beyond.error > naive.error and (wrong or lags)
    elif wrong:
        wrong = not beyond.skill >= FOLLOWS
    learned = inside.skill >= 0.5
    low, high, *asked = fetch(
        *(end for each in (inside, held.answers) for end in (each.wanted.min(), each.wanted.max()))
    )
    trained_on = f"{number(low)} to {quantity(high, held.unit)}"
    asked_for = f"{number(asked[0])} to {quantity(asked[1], held.unit)}"
    cause = f"The network was trained on {trained_on} and is asked for {asked_for}."
    if wrong and learned:
        cause = (
            "What a network learns is a map within the range it was trained on; past it, its "
            "bounded gates run into their ends."
        )
        explanation = (
            f"The network learned from values of {trained_on}. The held-out part goes from "
            f"{asked_for}, and there it does not follow: it is off by "
            f"{quantity(beyond.error, held.unit)}, where in training it was off by "
            f"{quantity(inside.error, held.unit)}"
        )
        if naive is not None:
            again = quantity(naive.error, held.unit)
            explanation += f"; saying the last value again would be off by {again}"
        if lags:
            way = share(max(1.0 - behind, 0.0))
            explanation += f". Of every step further out its answers go {way} of the way"
        explanation += "."
    else:
        explanation = f"{share(part)} of the held-out rows lie beyond that. " + (
            "It goes on there as well as before."
            if learned
            else "It is no worse there than elsewhere: it has not learned the rest either."
        )
    return Finding(
        symptom=SYMPTOM,
        severity="illness" if wrong and learned else "note",
        where=f"the held-out part, {share(part)} of its rows",
        evidence={
            "share_outside": part,
            "error_ratio": ratio,
            "error_ratio_threshold": RATIO,
            "behind": behind,
            "behind_standard_error": uncertain,
            "behind_threshold": BEHIND,
            "rmse_outside": beyond.error,
            "rmse_training": inside.error,
            "naive_rmse_outside": None if naive is None else naive.error,
            "shortfall": shortfall(beyond, low, high),
            "trained_on": [low, high],
            "asked_for": asked,
            "unit": held.unit,
        },
        cause=cause,
        explanation=explanation,
    )


def rows_outside(held: HeldOut) -> Array:
    """(N,) whether a held-out row, its target or an input, lies beyond the range trained on."""
    margin = MARGIN if held.naive is None else 0.0
    beyond = _beyond(held.y, held.trained_y, tuple(range(held.y.ndim - 1)), margin)
    outside = beyond.reshape(len(beyond), -1).any(axis=1)
    inputs = _beyond(held.x, held.trained_x, (0, 1), margin)
    return outside | inputs.any(axis=(1, 2))


def _beyond(new: Array, trained: Array, axes: tuple[int, ...], margin: float) -> Array:
    least, most = trained.min(axis=axes), trained.max(axis=axes)
    by = margin * (most - least)
    return (new < least - by) | (new > most + by)


def error_ratio(held: HeldOut, outside: Array) -> float:
    """RMSE over the outside rows against RMSE where the network is at home."""
    beyond, home = _rows(held.answers, outside).error, held.trained_answers.error
    if held.naive is not None and held.trained_naive is not None:
        naive = _rows(held.naive, outside).error
        if naive > 0 and held.trained_naive.error > 0:
            beyond, home = beyond / naive, home / held.trained_naive.error
    elif (~outside).sum() >= LEAST_INSIDE:
        home = max(home, _rows(held.answers, ~outside).error)
    return beyond / home if home > 0 else (np.inf if beyond > 0 else 1.0)


def falls_behind(beyond: Answers, naive: Answers | None) -> tuple[float, float]:
    """Slope of (target - answer) on how far out a row is, and its standard error.

    0 where answers follow, 1 where they are flat.
    """
    far = beyond.wanted if naive is None else naive.given
    far = far - far.mean(axis=0)
    missed = beyond.wanted - beyond.given
    missed = missed - missed.mean(axis=0)
    xp = array_namespace(far)
    total, together = fetch(xp.sum(far**2), xp.sum(far * missed))
    if total == 0.0 or far.size < 3:
        return 0.0, np.inf
    slope = together / total
    rest = float(xp.sum((missed - slope * far) ** 2)) / (far.size - 2)
    return slope, float(np.sqrt(rest / total))


def _rows(answers: Answers, chosen: Array) -> Answers:
    return Answers(answers.given[chosen], answers.wanted[chosen])


def shortfall(beyond: Answers, low: float, high: float) -> float:
    """How far the answers stay behind targets above `high`, or below `low`, on average."""
    above, below = beyond.wanted > high, beyond.wanted < low
    short = beyond.wanted - beyond.given
    behind = array_namespace(short).where(above, short, beyond.given - beyond.wanted)
    chosen = behind[above | below]
    return float(chosen.mean()) if chosen.size else 0.0
