"""underfitting: training worked, and what came of it explains less than a regression does.

Formula    short = R2 of a regression on data it was not fitted to (see `dependence`) - R2 of the
           network on its own training data; fall = 1 - loss of the last eighth of the steps / that
           of the eighth before the one before
Threshold  short > 0.2, where the network explains between 0.1 and 0.8 of its targets: it did learn
           (where it did not, something keeps it from learning, which has other names). An illness
           where it explains less than half, else a warning. "too small" where fall < 0.1: with
           more time it would explain no more; "unfinished" where the loss was still falling
Source     Goodfellow, Bengio and Courville, Deep Learning (2016), section 5.2; the loss relative to
           a baseline, since accuracy thresholds do not serve regression. The project's
           measurements: see `bench/corpus/plants/underfitting.py`
Cost       none beyond the regression
"""

from __future__ import annotations

import numpy as np

from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.finding import Finding
from minirnn.diagnosis.wording import counted, share

SYMPTOM = "underfitting"
SHORT, LEARNED, ENOUGH, FALL = 0.2, 0.1, 0.8, 0.1
LEAST_STEPS = 40


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
    dependence, skill, loop = evidence.dependence, evidence.skill, evidence.loop
    if dependence is None or not dependence.telling or loop is None:
        return None
    if len(loop.losses) < LEAST_STEPS or not np.isfinite(loop.losses).all():
        return None
    short = dependence.best - skill
    if not (LEARNED <= skill < ENOUGH and short > SHORT):
        return None
    blocks = loop.blocks(8)
    fall = 1.0 - float(blocks[-1] / blocks[-3]) if blocks[-3] > 0 else 0.0
    unfinished = fall >= FALL
    units = None if evidence.recipe is None else evidence.recipe.model.hidden_size
    explanation = (
        f"The network explains {share(skill)} of what its targets vary, on the very data it was "
        f"trained on; a plain regression explains {share(dependence.best)} of data it was not "
        "fitted to. "
    )
    if unfinished:
        explanation += f"After {counted(loop.iterations, 'step')} its loss was still falling."
    else:
        explanation += (
            f"Its loss has come to rest after {counted(loop.iterations, 'step')}"
            + ("" if units is None else f": {counted(units, 'unit')} cannot hold more")
            + "."
        )
    return Finding(
        symptom=SYMPTOM,
        severity="illness" if evidence.fails else "warning",
        where="the network's answers to its training data",
        evidence={
            "kind": "unfinished" if unfinished else "too small",
            "short": short,
            "threshold": SHORT,
            "skill": skill,
            "predictable_by_regression": dependence.best,
            "fall": fall,
            "units": units,
            "steps": loop.iterations,
        },
        cause=(
            "Training ended before the network had learned what there is to learn."
            if unfinished
            else "The network has too few units, or passes too little, for what the task asks."
        ),
        explanation=explanation,
    )
