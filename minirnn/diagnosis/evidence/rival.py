"""What a plain regression makes of the rows that were held out, beside what the network does.

Fitted to the sequences that the probe fed (at most 240 of the training part), on the steps that the
target depends on (see `minirnn.inspect.measure_dependence`), and asked about the very rows that the
network answered: what these rows have of chance falls on both.

Cost       one ridge regression, tens of milliseconds
"""

from __future__ import annotations

import numpy as np

from minirnn.device import array_namespace
from minirnn.diagnosis.evidence.evidence import Answers, Evidence
from minirnn.diagnosis.evidence.look import MOST_UNSEEN, sample
from minirnn.inspect.host import fetch
from minirnn.inspect.regression import (
    aligned_at_end,
    most_telling,
    most_telling_features,
    ridge,
    step_features,
)

SQUARABLE = 1e50  # numbers whose products of two have sums of squares in float64


def rival_answers(evidence: Evidence) -> Answers | None:
    """A regression's answers to what was held out, rows as in `evidence.unseen`.

    None where nothing was held out, there is one answer a step, or the target is not known to
    depend on the inputs in a way that a regression sees.
    """
    data, trained, unseen = evidence.data, evidence.answers, evidence.unseen
    if data is None or data.validation is None or trained is None or unseen is None:
        return None
    dependence = evidence.dependence
    if dependence is None or dependence.lag is None:
        return None
    held = sample(data.validation, MOST_UNSEEN)
    count = evidence.inputs.shape[1]
    if len(held) != len(unseen.wanted) or count != len(trained.wanted):
        return None  # one row a step
    xp = array_namespace(evidence.inputs)
    with np.errstate(all="ignore"):
        x = xp.concatenate(
            [
                aligned_at_end(evidence.inputs, evidence.lengths),
                aligned_at_end(held.x.swapaxes(0, 1), held.lengths),
            ]
        )
        if not fetch(abs(x).max())[0] < SQUARABLE:  # written so that a NaN is none either
            return None
        features = step_features(x)[:, : dependence.lag].reshape(len(x), -1)
        fitted, asked, wanted = features[:count], features[count:], trained.wanted
        if features.shape[1] > most_telling(count):
            chosen = most_telling_features(fitted, wanted)
            fitted, asked = fitted[:, chosen], asked[:, chosen]
        return Answers(ridge(fitted, wanted, asked), unseen.wanted)
