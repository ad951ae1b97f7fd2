"""Figures in words, as the findings write them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from minirnn.device import array_namespace
from minirnn.inspect.host import fetch

MOST_NAMED = 16  # units whose numbers a finding lists
RMSE, RIGHT = "RMSE", "right answers"
# Of figures: what was held out, the same in training, what it is, and what needs no network; of the
# latter the first there is told.
MEASURED = (
    (
        "held_out_rmse",
        "training_rmse",
        RMSE,
        (("persistence_rmse", "the last value"), ("mean_rmse", "the mean")),
    ),
    ("held_out_r2", "training_r2", "R2", ()),
    (
        "held_out_accuracy",
        "training_accuracy",
        RIGHT,
        (("majority_accuracy", "the commonest answer"),),
    ),
)


def share(part: float) -> str:
    """A share as percent: 0.974 -> "97%"; what is not all is never written as 100%."""
    percent = 100.0 * part
    if 99.5 <= percent < 100.0:
        return "over 99%"
    return "under 1%" if 0.0 < percent < 0.5 else f"{percent:.0f}%"


def number(value: float) -> str:
    """Three digits: 0.0213, 3.1, 1,090, 4e-21; whole numbers below a million are not rounded."""
    if not math.isfinite(value):
        return str(value)
    if 999.5 <= abs(value) < 1e6:  # 999.6 is 1,000 to three digits, not 1e+03
        return f"{value:,.0f}"
    return f"{value:.3g}"


def quantity(value: float, unit: str = "") -> str:
    """A number with its unit: "1.62 ppm"."""
    return f"{number(value)} {unit}".rstrip()


def listed(names: Sequence[str]) -> str:
    """["a", "b", "c"] -> "a, b and c"."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def measured(figures: Mapping[str, object]) -> list[str]:
    """What a run's figures say of its answers, held out and trained on; empty where nothing does.

    "held out: RMSE 0.45 ppm, in training 0.4; always the last value: 0.6"
    """
    unit = str(figures.get("unit", ""))
    told = []
    for held, trained, what, naive in MEASURED:
        error = _figure(figures, held)
        if error is None:
            continue
        line = f"held out: {what} {_said(what, error, unit)}"
        known = _figure(figures, trained)
        if known is not None:
            line += f", in training {_said(what, known, unit)}"
        for key, name in naive:
            without = _figure(figures, key)
            if without is not None:
                line += f"; always {name}: {_said(what, without, unit)}"
                break
        told.append(line)
    return told


def _said(what: str, value: float, unit: str) -> str:
    if what == RIGHT:
        return share(value)
    return quantity(value, unit) if what == RMSE else number(value)


def _figure(figures: Mapping[str, object], key: str) -> float | None:
    value = figures.get(key)
    return float(value) if isinstance(value, int | float) else None


def unit_numbers(mask: Any) -> list[int]:
    """The first units that a mask (H,) of any device is true of, counted from 0."""
    which = array_namespace(mask).flatnonzero(mask)[:MOST_NAMED]
    return [int(unit) for unit in fetch(which)]


def counted(count: int, noun: str) -> str:
    """1 step, 2 steps."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
