"""What is measured of a run: a value to be shown, and a score that the verdicts are made from.

A score is 1 where the network does what it was made for, and 0 where it does no better than what
needs no network (a constant, a run that stands still), or broke: how much worse than nothing
something is does not matter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minirnn.diagnosis.evidence.free_run import FreeRun
from minirnn.diagnosis.finding import Attempt
from minirnn.inspect.loops import repetition_rate
from minirnn.inspect.saturation import gate_saturation

Figures = Mapping[str, float]
GRAMS = 8  # characters in a row that may come again


@dataclass(frozen=True)
class Measure:
    """One figure of a run as what counts.

    name     in a table: "R2"
    figure   which of `figures_of`
    score    from all figures
    enough   the score with which a network does what it was made for
    """

    name: str
    figure: str
    score: Callable[[Figures], float]
    enough: float = 0.5

    def scored(self, figures: Figures) -> float:
        """The score, from 0 to 1."""
        score = self.score(figures)
        return max(0.0, min(1.0, score)) if math.isfinite(score) else 0.0

    def shown(self, figures: Figures) -> float:
        """The value to be shown; NaN where there is none."""
        return figures.get(self.figure, math.nan)


def figures_of(attempt: Attempt) -> dict[str, float]:
    """Everything that a measure may ask for, as far as a run has it.

    r2, trained_r2       R2 of the answers to what was held out, and to what was trained on
    accuracy, majority   shares of right answers held out: the network's, and of the commonest class
    spread               standard deviation of the answers over that of the targets
    error, persistence   RMSE held out, of a series, in its own units: of the answers, and of
                         repeating the last value
    loss_left            the last training loss over the first
    saturated            share of hidden states beyond 0.9 of their range
    half_life            of the gradient of the last layer's hidden state, in steps back in time
    swing                of a free run: the range of its last quarter over the median range of
                         stretches of the data as long
    repeated, own        of a free run of characters: its repetition rate (8-grams), and the largest
                         of stretches of the data as long
    """
    figures: dict[str, float] = {}
    told = attempt.figures
    for name, key in _TOLD.items():
        if isinstance(told.get(key), int | float):
            figures[name] = float(str(told[key]))
    run = attempt.run
    if run is None:
        return _finite(figures)
    evidence = run.evidence
    if evidence.unseen is not None:
        figures["r2"] = evidence.unseen.typical_skill
    if evidence.answers is not None:
        figures["spread"] = evidence.answers.typical_spread
        figures["trained_r2"] = evidence.answers.typical_skill
    losses = np.asarray(run.history.loss, dtype=float)
    if len(losses) > 1 and losses[0]:
        figures["loss_left"] = float(losses[-1] / losses[0])
    if run.traces:
        last = run.traces[-1]
        hidden = np.abs(last.hidden[last.valid])
        figures["saturated"] = float((hidden > 0.9).mean()) if hidden.size else math.nan
        if last.has_gradients:
            figures["half_life"] = float(last.half_life("hidden"))
        forget = gate_saturation(last).get("forget")
        if forget is not None:
            figures["forget_open"] = float(forget.right.mean())
    if evidence.free_run is not None:
        figures |= _of_free_run(evidence.free_run)
    return _finite(figures)


def _of_free_run(run: FreeRun) -> dict[str, float]:
    given = run.given
    if run.of_tokens:
        stretches = _stretches(run.known, len(given))
        own = max((repetition_rate(each, GRAMS) for each in stretches), default=math.nan)
        return {"repeated": repetition_rate(given, GRAMS), "own": own}
    last = given[-max(len(given) // 4, 1) :]
    ranges = [float(np.ptp(each)) for each in _stretches(run.known, len(last))]
    usual = float(np.median(ranges)) if ranges else math.nan
    return {"swing": float(np.ptp(last)) / usual} if usual else {}


def _stretches(known: NDArray[Any], length: int) -> list[NDArray[Any]]:
    """Stretches of the data, one after the other."""
    ends = range(length, len(known) + 1, length)
    return [known[end - length : end] for end in ends]


_TOLD = {
    "accuracy": "held_out_accuracy",
    "majority": "majority_accuracy",
    "trained_r2": "training_r2",
    "error": "held_out_rmse",
    "persistence": "persistence_rmse",
}


def _finite(figures: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in figures.items() if math.isfinite(value)}


def _gain(figures: Figures) -> float:
    """Of two classes: 0 for what the commonest one scores, or a coin."""
    usual = max(figures.get("majority", math.nan), 0.5)
    return (figures.get("accuracy", math.nan) - usual) / (1.0 - usual) if usual < 1 else math.nan


def _swings(figures: Figures) -> float:
    """0 for a run that stands still, 1 for one that swings as far as the series; less beyond."""
    swing = figures.get("swing", math.nan)
    return min(swing, 2.0 - swing)


def _fresh(figures: Figures) -> float:
    """1 for a text that repeats itself no more than the data do, 0 for one phrase for ever."""
    own = figures.get("own", math.nan)
    more = max(figures.get("repeated", math.nan) - own, 0.0)
    return 1.0 - more / (1.0 - own) if own < 1 else math.nan


def _over_persistence(figures: Figures) -> float:
    """1 for no error, 0 for as much as repeating the last value makes."""
    return 1.0 - (figures.get("error", math.nan) / figures.get("persistence", math.nan)) ** 2


R2 = Measure("R2", "r2", lambda figures: figures.get("r2", math.nan))
ACCURACY = Measure("accuracy", "accuracy", _gain)
SPREAD = Measure("spread", "spread", lambda figures: min(figures.get("spread", math.nan), 1.0), 0.3)
SWING = Measure("swing", "swing", _swings)
REPEATED = Measure("repeated", "repeated", _fresh)
SKILL = Measure("error", "error", _over_persistence)
