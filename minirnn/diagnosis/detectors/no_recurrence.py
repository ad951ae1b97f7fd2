"""no-recurrence: the recurrent layer is fed one step at a time, and remembers nothing.

Formula    calls with T = 1 whose state is not handed on, over all training calls of a layer (a
           recipe: data of one step, or a window of 1). Of a series also
           left = (1 - R2 of as many past values as tell most) / (1 - R2 of the last value alone),
           by a ridge regression of the next value (see `minirnn.inspect.measure_dependence`)
Threshold  all calls, at least 3. An illness where the network fails, of a series where left < 0.6:
           a longer past would leave less than 0.6 of what one value leaves unexplained. A note
           where one step is enough: where the series' past tells no more, where the network
           answers well, or where something else than a network can tell the answers from that one
           step (see `minirnn.inspect.measure_predictability`). Of a watched loop that answers well
           a warning: what it is fed are mostly the steps of a window, in the wrong place
Source     the project's measurements: with a context of 1 step a free run freezes 6 times out of
           6, with 32 steps it goes on 3 times out of 3. left: white noise and AR(1) 0.95 to 1.05,
           a sine with noise 0.1 to 0.4
Cost       a series: the regressions, 0.1 s; else none
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.evidence.layout import roughness
from minirnn.diagnosis.finding import Finding
from minirnn.diagnosis.wording import counted, share
from minirnn.inspect.dependence import Dependence, measure_dependence

SYMPTOM = "no-recurrence"
LEAST = 3
LEFT = 0.6
LONGEST = 32  # values of a series' past that the regression is given
ENOUGH = 0.5  # of the targets told from one step
ALIKE, LEAST_FEATURES = 0.4, 4  # features that are the steps of a window: neighbours are alike


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
    if evidence.recipe is not None:
        return _of_recipe(evidence)
    loop = evidence.loop
    for layer in loop.layers if loop is not None else ():
        if layer.calls < LEAST or set(layer.steps) != {1} or layer.given:
            continue
        assert loop is not None
        features = evidence.inputs.shape[2]
        return Finding(
            symptom=SYMPTOM,
            severity="illness" if evidence.fails else "warning",
            where=f"{layer.name}, {loop.at(f'layer {layer.name}', 'in the training loop')}",
            evidence={"steps": 1, "calls": layer.calls, "features": features},
            cause=f"All {counted(layer.calls, 'call')} fed sequences of length 1, each from a "
            "state of zeros.",
            explanation=(
                f"{layer.name} takes one step from nothing and stops: its recurrent weights "
                "are multiplied with zeros, and nothing is ever remembered. "
                + (
                    f"If the {features} features of that step are a window of a series, they "
                    "should be its time steps."
                    if features > 1
                    else "Feed it a window of steps."
                )
            ),
        )
    return None


def _of_recipe(evidence: Evidence) -> Finding | None:
    if len(evidence.inputs) != 1:
        return None
    if evidence.data is not None and evidence.data.series is not None:
        return _of_series(evidence)
    features = evidence.inputs.shape[2]
    figures: dict[str, object] = {"steps": 1, "features": features}
    told = evidence.predictability
    enough = not evidence.misses or (told is not None and told.best >= ENOUGH)
    if told is not None:
        figures["told_by_one_step"] = told.best
    window = features >= LEAST_FEATURES and roughness(_as_steps(evidence), 1) < ALIKE
    figures["features_are_steps"] = window
    return Finding(
        symptom=SYMPTOM,
        severity="note" if enough else "illness",
        where="the data: x has one step",
        evidence=figures,
        cause="Each sequence has one step, and the network begins it from a state of zeros.",
        explanation=(
            "The recurrent layer takes one step from nothing and stops: its recurrent weights are "
            "multiplied with zeros, and nothing is ever remembered. "
            + (
                "One step is enough here, so a layer without recurrence would do."
                if enough
                else "And that step does not tell the answers: give x the steps before it, "
                "(N, T, I)."
            )
            + (
                f" The {features} features look like the steps of a window: neighbours are alike."
                if window
                else ""
            )
        ),
    )


def _as_steps(evidence: Evidence) -> NDArray[Any]:
    """(N, I, 1): the features of the only step, as if they were steps."""
    assert evidence.data is not None
    x: NDArray[Any] = evidence.data.host.training.x[:, 0, :, None]
    return x


def _of_series(evidence: Evidence) -> Finding | None:
    told = past_of_series(evidence)
    if told is None:
        return None
    one = told.skill[0]
    left = (1.0 - told.best) / (1.0 - one) if one < 1.0 else 1.0
    more = left < LEFT
    steps = told.lag or LONGEST
    return Finding(
        symptom=SYMPTOM,
        severity="illness" if more else "note",
        where="the windows: data.window = 1",
        evidence={
            "steps": 1,
            "told_by_one_step": one,
            "told_by_more": told.best,
            "left": left,
            "threshold": LEFT,
            "steps_that_tell": steps,
        },
        cause=(
            "Each window holds one value, and the network begins it from a state of zeros: "
            "whatever came before that value is not there."
        ),
        explanation=(
            f"From the last value alone a plain regression tells {share(max(one, 0.0))} of the "
            f"next one, from the last {counted(steps, 'value')} {share(max(told.best, 0.0))}. "
            + (
                "A window of one value cannot even tell whether the series is rising or falling."
                if more
                else "So one value is enough, and a layer without recurrence would do."
            )
        ),
    )


def past_of_series(evidence: Evidence) -> Dependence | None:
    """How far back the next value of a series looks, on what is trained on, in its own units."""
    assert evidence.data is not None
    series = evidence.data.host.series
    assert series is not None
    assert evidence.recipe is not None
    past, ahead = series.values[: series.cut], evidence.recipe.data.horizon
    steps = min(LONGEST, len(past) // 4)
    count = len(past) - steps - ahead + 1
    if steps < 2 or count < LEAST or not np.isfinite(past).all():
        return None
    windows = np.lib.stride_tricks.sliding_window_view(past, steps)[:count]
    return measure_dependence(windows.T[:, :, None].copy(), past[steps + ahead - 1 :][:, None])
