"""What was measured, in words: errors and right answers, beside what needs no network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from minirnn.diagnosis.wording import counted, share
from minirnn.report.words import number, quantity

if TYPE_CHECKING:
    from minirnn.diagnosis import Diagnosis
    from minirnn.report.story import Wording

CHANGE = 0.02  # errors closer than this share of each other count as equal


class Course(NamedTuple):
    """A figure whose course through the attempts is told: `key` of the figures, and how to say it.

    baselines   keys of the figures of what needs no network, with its name; the first there is told
    error       whether it is an error, in the data's units; else a share of right answers
    """

    key: str
    what: str
    baselines: tuple[tuple[str, str], ...]
    error: bool = True


HELD_OUT = Course(
    "held_out_rmse",
    "Held out, the typical error (RMSE)",
    (("persistence_rmse", "the last value repeated"), ("mean_rmse", "always the mean")),
)


ACCURACY = Course(
    "held_out_accuracy",
    "Held out, the share of right answers",
    (("majority_accuracy", "always the commonest answer"),),
    error=False,
)
FREE_RUN = Course(
    "free_run_rmse",
    "Left to its own answers, its error",
    (("seasonal_rmse", "{continued}"),),
)


def error_sentence(figures: Mapping[str, Any]) -> str:
    """The held-out error beside what needs no network."""
    unit = str(figures.get("unit", ""))
    error = value_of(figures, "held_out_rmse")
    if error is None:
        return ""
    if not math.isfinite(error):
        return f"Its answers on the held-out part are no answers: their error is {number(error)}."
    said = f"On the held-out part its typical error (RMSE) is {quantity(error, unit)}"
    naive = value_of(figures, "persistence_rmse")
    if naive is not None:
        return f"{said}; repeating the window's last value, without any network, is off by " + (
            f"{quantity(naive, unit)}: {compared(error, naive)}."
        )
    mean = value_of(figures, "mean_rmse")
    if mean is not None:
        return f"{said}; always answering the mean is off by {quantity(mean, unit)}: " + (
            f"{compared(error, mean)}."
        )
    return f"{said}."


def accuracy_sentence(figures: Mapping[str, Any]) -> str:
    """The share of right answers, held out and trained on, beside the commonest answer's."""
    right = value_of(figures, "held_out_accuracy")
    if right is None:
        return ""
    trained = value_of(figures, "training_accuracy")
    said = f"Of the held-out answers {share(right)} are right"
    if trained is not None:
        said += f", of those it was trained on {share(trained)}"
    usual = value_of(figures, "majority_accuracy")
    if usual is not None:
        said += f"; always giving the commonest answer is right in {share(usual)}"
    return f"{said}."


def free_run_sentence(figures: Mapping[str, Any], wording: Wording) -> str:
    """The free run beside the seasonal baseline, and whether it still swings."""
    error = value_of(figures, "free_run_rmse")
    if error is None:
        return ""
    unit = str(figures.get("unit", ""))
    steps = counted(int(figures["free_run_steps"]), wording.step)
    parts = [f"Left to its own answers for {steps} it is off by {quantity(error, unit)}"]
    swing, true = value_of(figures, "free_run_swing"), value_of(figures, "true_swing")
    if swing is not None and true is not None and figures.get("season"):
        moves = "no longer moves" if swing < 0.01 * true else f"swings by {quantity(swing, unit)}"
        parts.append(
            f"; in the last {wording.season} it {moves}, where the record swings by "
            f"{quantity(true, unit)}"
        )
    naive = value_of(figures, "seasonal_rmse")
    if naive is not None:
        before = (
            f"The {wording.season} before, repeated with its trend,"
            if figures.get("season")
            else "The last value, continued with the trend,"
        )
        parts.append(f". {before} is off by {quantity(naive, unit)}: {compared(error, naive)}")
    return "".join(parts) + "."


def continued(figures: Mapping[str, Any], wording: Wording) -> str:
    """What a free run is held against; a series without a season has no last one."""
    if figures.get("season"):
        return f"the last {wording.season} with its trend"
    return "the last value with the trend"


def compared(error: float, naive: float) -> str:
    """An error against a baseline's, from the network's side."""
    if not math.isfinite(error):
        return "the network has no answer at all"
    if naive == 0:
        return "the baseline is perfect" if error > 0 else "both are perfect"
    ratio = error / naive
    if abs(ratio - 1) <= CHANGE:
        return "the network is as good, no better"
    if ratio < 1:
        return f"the network is closer, by {share(1 - ratio)}"
    if ratio < 2:
        return f"the network is further off, by {share(ratio - 1)}"
    return f"the network is {number(ratio, 2)} times as far off"


def course_sentence(diagnosis: Diagnosis, course: Course, wording: Wording) -> str:
    """How an error went from the first attempt to the one that stands, and what needs no network.

    Empty where it was not measured in the end.
    """
    unit = str(diagnosis.figures.get("unit", ""))
    last = value_of(diagnosis.figures, course.key)
    if last is None:
        return ""

    def told(value: float) -> str:
        return quantity(value, unit) if course.error else share(value)

    went = f"is {told(last)}"
    first = value_of(diagnosis.attempts[0].figures, course.key) if diagnosis.attempts else None
    if first is not None and len(diagnosis.attempts) > 1 and math.isfinite(first):
        before, after = told(first), told(last)
        went = f"went from {before} to {after}" if before != after else f"stayed at {after}"
    for baseline, name in course.baselines:
        naive = value_of(diagnosis.figures, baseline)
        if naive is not None:
            name = name.format(continued=continued(diagnosis.figures, wording))
            if not course.error:
                return f"{course.what} {went}; without a network, {name} reaches {told(naive)}."
            return (
                f"{course.what} {went}; without a network, {name} is off by "
                f"{told(naive)}: {compared(last, naive)}."
            )
    return f"{course.what} {went}."


def value_of(figures: Mapping[str, Any], key: str) -> float | None:
    """A figure as a number; None where there is none."""
    value = figures.get(key)
    return float(value) if isinstance(value, int | float) else None
