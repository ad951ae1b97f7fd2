"""outliers: a few extreme values that take the scale, or the loss, for themselves.

Formula    a value is extreme when it lies more than 10 robust standard deviations (1.4826 MAD) from
           the median of its feature or target, as fed, and at most 5% of them do.
           Inputs: pressed = robust standard deviation / standard deviation, of a feature that holds
           extreme values: what they leave of the scale to the others.
           Targets: pull = share of the squared error of the training rows that belongs to rows with
           an extreme target, where the loss is mse; with huber and l1 no row pulls harder than
           others
           Signal: foretold = R2 over all rows, extreme ones with the others, the lower one of those
           trained on and held out; recurring = share of a series' extreme values after which
           another comes at one and the same distance, give or take a step (of 5 at least)
Threshold  pressed < 0.3, or pull > 0.5; and the network explains less than 0.8 of the rows whose
           target is not extreme, of those trained on or held out: an illness. A note where it does
           well all the same: then the tail is a part of what it learned, or does no harm. A note,
           too, where the extreme values are the signal: where it foretells them (foretold >= 0.8),
           and a regression finds no more in the other rows than it does, or they recur (>= 0.9).
           Measured: foretold 0.98 and more, recurring 1.0, of pulses every 12 to 30 steps; of
           glitches foretold below 0.01, and recurring at most 0.75 in 9,000 draws
Source     Iglewicz and Hoaglin 1993 (How to Detect and Handle Outliers) call a robust z of 3.5 an
           outlier, in normal data; data with long tails reach that daily, and 10 is where these
           networks begin to suffer (measured). Huber 1964 (Annals of Mathematical Statistics 35)
           for the loss that bounds the pull
Cost       two medians a feature, over the training part
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minirnn.device import array_namespace
from minirnn.diagnosis.evidence import Answers, Evidence
from minirnn.diagnosis.finding import Finding
from minirnn.diagnosis.wording import counted, listed, number, share
from minirnn.inspect import steps
from minirnn.inspect.dependence import measure_dependence
from minirnn.inspect.extremes import extreme, extreme_rows
from minirnn.inspect.host import fetch
from minirnn.inspect.regression import as_columns

SYMPTOM = "outliers"
PRESSED = 0.3
PULL = 0.5
LEAST_MARKS = 3
COMMON = 0.1  # of the held-out values
WELL = 0.8  # R2 of the ordinary rows, from which on the network copes
UNHEARD = 0.2  # R2 that a regression explains of them and the network does not
RECURS, LEAST_EVENTS = 0.9, 5

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Tail:
    """The extreme values of a feature or target: where, how many, from where to where they go."""

    name: str
    count: int
    part: float
    pressed: float
    furthest: float
    ordinary: tuple[float, float]


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
    data = evidence.data
    if data is None or not evidence.rows_finite:
        return None
    part = data.host.training
    x = np.asarray(steps.rows(part.x.swapaxes(0, 1), _ends(part)), dtype=np.float64)
    held = data.host.validation
    later = None if held is None else steps.rows(held.x.swapaxes(0, 1), _ends(held))
    inputs = _tails(x, later, "input feature" if x.shape[1] > 1 else "the inputs")
    targets: list[Tail] = []
    if not part.is_labels:
        y = np.asarray(part.y, dtype=np.float64).reshape(-1, part.y.shape[-1])
        later = None if held is None else held.y.reshape(-1, held.y.shape[-1])
        targets = _tails(y, later, "target" if y.shape[1] > 1 else "the targets")
    if not inputs and not targets:
        return None
    pull, rows = _pull(evidence)
    pressed = min((tail.pressed for tail in inputs), default=1.0)
    skill = _ordinary_skill(evidence)
    dominated = bool(targets) and pull > PULL
    felt = (pressed < PRESSED or dominated) and not skill >= WELL
    signal = _signal(evidence, skill) if felt else ""
    harm = felt and not signal
    kinds = [word for word, found in (("inputs", inputs), ("targets", targets)) if found]
    tails = [*inputs, *targets]
    worst = min(tails, key=lambda tail: tail.pressed)
    return Finding(
        symptom=SYMPTOM,
        severity="illness" if harm else "note",
        where=listed([tail.name for tail in tails]),
        evidence={
            "in_inputs": bool(inputs),
            "in_targets": bool(targets),
            "extreme_values": {tail.name: tail.count for tail in tails},
            "share": max(tail.part for tail in tails),
            "furthest": worst.furthest,
            "ordinary": list(worst.ordinary),
            "pressed": pressed,
            "pressed_threshold": PRESSED,
            "pull": pull,
            "pull_threshold": PULL,
            "rows_with_extreme_target": rows,
            "ordinary_skill": skill,
            "signal": signal,
        },
        cause=(
            f"{counted(sum(tail.count for tail in tails), 'value')} of the {listed(kinds)} are "
            f"extreme: up to {number(worst.furthest)}, as fed, where 98% lie between "
            f"{number(worst.ordinary[0])} and {number(worst.ordinary[1])}."
        ),
        explanation=_explained(harm, pressed, dominated, pull, rows, skill, signal),
    )


def _explained(
    harm: bool,
    pressed: float,
    dominated: bool,
    pull: float,
    rows: float,
    skill: float,
    signal: str,
) -> str:
    if signal:
        return (
            f"They are no glitches, but what there is to tell: {signal}. Nothing was found in what "
            "lies between them that the network misses."
        )
    told = []
    if pressed < PRESSED:
        told.append(
            "The extreme values take the scale for themselves: all others vary by "
            f"{share(pressed)} of the standard deviation"
        )
    if dominated:
        told.append(
            f"{share(rows)} of the rows make {share(pull)} of the squared error, so that the "
            "gradient follows them and hardly hears the others"
        )
    told.append(
        f"the network explains {share(max(skill, 0.0))} of the ordinary rows"
        + (" only" if harm else ", so they do no harm")
    )
    text = "; ".join(told) + "."
    return text[0].upper() + text[1:]


def _signal(evidence: Evidence, ordinary: float) -> str:
    """How the extreme values show that they are what the task is about; "" where they do not."""
    seen = [each for each in (_trained(evidence), evidence.unseen) if each is not None]
    foretold = min((each.skill for each in seen), default=float("nan"))
    told = ""
    if foretold >= WELL and bool(extreme_rows(seen[0].wanted).any()):
        told = f"the network explains {share(foretold)} of all rows, these and the others"
    elif evidence.data is not None and evidence.data.host.series is not None:
        series = evidence.data.host.series
        often = recurring(series.values[: series.cut])
        if often >= RECURS:
            told = f"{share(often)} of them come again after as many steps"
    return "" if told and _unheard(evidence, ordinary) else told


def _unheard(evidence: Evidence, skill: float) -> bool:
    """Whether a regression explains of the ordinary rows what the network does not."""
    targets = evidence.last_targets
    rows = np.flatnonzero(fetch(~extreme_rows(as_columns(targets))))
    lengths = None if evidence.lengths is None else evidence.lengths[rows]
    there = array_namespace(targets).asarray(rows)
    known = measure_dependence(evidence.inputs[:, there], targets[there], lengths)
    return known is not None and known.telling and known.best - max(skill, 0.0) > UNHEARD


def recurring(values: Floats) -> float:
    """The largest share of a series' extreme values that another follows, so and so many steps on.

    `values (n,)`. Of each run of extreme values the first counts, and a step more or less does not;
    distances up to n / 3 are asked about. 0 where there are fewer than five.
    """
    far = extreme(values[:, None])[:, 0]
    begin = np.flatnonzero(far & ~np.concatenate([[False], far[:-1]]))
    if len(begin) < LEAST_EVENTS:
        return 0.0
    n, most = len(values), 0.0
    near = np.zeros(n + 1, dtype=bool)
    for step in (-1, 0, 1):
        near[np.clip(begin + step, 0, n)] = True
    for distance in range(2, n // 3 + 1):
        later = begin + distance
        later = later[later < n]
        if len(later) < LEAST_EVENTS - 1:
            break
        most = max(most, float(near[later].mean()))
    return most


def _ends(part: Any) -> Any:
    N, T = part.x.shape[:2]
    return np.full(N, T) if part.lengths is None else part.lengths


def _tails(values: Floats, later: Any, name: str) -> list[Tail]:
    """Of each column of (n, C) that has some, but for what is not finite.

    Of `later`, held-out values of the same columns, no more may lie as far out: what is common
    there is no exception, and was only seldom shown.
    """
    tails = []
    if not len(values) or not np.isfinite(values).all():
        return []
    far = extreme(values)
    for column in np.flatnonzero(far.any(axis=0)).tolist():
        of, which = values[:, column], far[:, column]
        rest = of[~which]
        median = float(np.median(of))
        low, high = (float(q) for q in np.quantile(rest, (0.01, 0.99)))
        robust = 1.4826 * float(np.median(np.abs(of - median)))
        if np.ptp(of[which]) == 0 and which.sum() >= LEAST_MARKS:
            continue  # one number again and again is a mark: see `missing-values`
        nearest = float(np.abs(of[which] - median).min())
        if later is not None and np.mean(np.abs(later[:, column] - median) >= nearest) > COMMON:
            continue
        furthest = of[np.abs(of - median).argmax()]
        label = f"{name} {column}" if values.shape[1] > 1 else name
        tails.append(
            Tail(
                label,
                int(which.sum()),
                float(which.mean()),
                robust / float(of.std()),
                float(furthest),
                (low, high),
            )
        )
    return tails


def _pull(evidence: Evidence) -> tuple[float, float]:
    """The share of the squared error of rows with an extreme target, and their share of rows."""
    recipe, answers = evidence.recipe, _trained(evidence)
    if recipe is None or recipe.training.loss != "mse" or answers is None or not answers.finite:
        return 0.0, 0.0
    rows = extreme_rows(answers.wanted)
    squares = ((answers.given - answers.wanted) ** 2).sum(axis=1)
    total = float(squares.sum())
    return (float(squares[rows].sum()) / total if total > 0 else 0.0), float(rows.mean())


def _trained(evidence: Evidence) -> Answers | None:
    """The answers to all that was trained on, where there are such; else to the sample."""
    return evidence.answers if evidence.held_out is None else evidence.held_out.trained_answers


def _ordinary_skill(evidence: Evidence) -> float:
    """R2 of rows whose target is not extreme: the lower one of those trained on and held out."""
    seen = [each for each in (_trained(evidence), evidence.unseen) if each is not None]
    return min((each.ordinary.skill for each in seen), default=float("nan"))
