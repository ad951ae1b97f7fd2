"""leakage: what was held out was known in training, so that its score tells nothing.

Four kinds, read off the data:
Repeats    held-out sequences whose inputs stand in the training part too, bit for bit.
           Threshold: a tenth of them more than meet by chance (see `repeated_by_chance`), and 3
           standard errors more. A warning; an illness where the error on those that are new
           is more than 1.5 times that on the repeated ones. Inputs of symbols (at most 8 values, or
           whole numbers) may meet for other reasons: of these only where the error differs so.
           Measured: of rare events in 15 steps 28% to 51% meet, and 41% to 46% by chance; of 12
           bits, where half of the sequences were copied, 50% to 58%, and 14% to 21%
Overlap    held-out windows of a longer recording, whose last half stands in a training window and
           goes on there: the future of what is asked was shown. Threshold: a tenth of them. A
           warning
Target     a feature, among others, that is the target itself at the step that is asked about: y =
           a x + b with |correlation| > 0.99999, or one value for each class. A warning
Scaled     a series whose mean is 0 and standard deviation 1 (to 1e-4), or whose least and largest
           value are 0 and 1, once each, over training and held-out part together and not over the
           training part: the scaler had seen the future. A warning where the training part is off
           by more than a twentieth of the scale; else a note, as for independent sequences, whose
           share of a scale is small
Source     Kaufman et al. 2012 (ACM Transactions on Knowledge Discovery from Data 6), "Leakage in
           data mining"; the article "loss does not decrease" on scaling before the split. The
           thresholds are judgements of ours: by chance, none of these happens once in a million
Cost       a digest of each sequence, and of each half window of the training part
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from minirnn.diagnosis.data import PreparedData
from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.evidence.sharing import (
    read_off,
    repeated,
    repeated_by_chance,
    scaled_together,
    shown_ahead,
    symbols,
)
from minirnn.diagnosis.finding import Finding, Severity
from minirnn.diagnosis.wording import counted, number, share

SYMPTOM = "leakage"
SHARE = 0.1
SURE = 3.0  # standard errors
LEAST_CHANCE = 0.01  # that is worth a word
WORSE = 1.5
OFF_SCALE = 0.05


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
    recipe, data = evidence.recipe, evidence.data
    if recipe is None or data is None or data.validation is None:
        return None
    data = data.host
    if data.series is not None:
        return _scaled(evidence, data) if recipe.data.scale == "none" else None
    return _repeats(evidence, data) or _overlap(data) or _target(data)


def _repeats(evidence: Evidence, data: PreparedData) -> Finding | None:
    assert data.validation is not None
    again = repeated(data.training, data.validation)
    part = float(again.mean())
    if part < SHARE:
        return None
    chance = repeated_by_chance(data.training, data.validation)
    # Both shares are counts of as many sequences, and each is off by a standard error of its own.
    error = float(np.sqrt(2.0 * chance * (1.0 - chance) / len(again)))
    if part < chance + max(SHARE, SURE * error):
        return None
    ratio = _error_of_new(evidence, again)
    differs = ratio is not None and ratio > WORSE
    if symbols(data.training.x) and not differs:
        return None
    told = (
        ""
        if ratio is None
        else f" On those that are new its error is {number(ratio)} times that on the repeated ones."
    )
    return _finding(
        "illness" if differs else "warning",
        f"the held-out part, {share(part)} of its sequences",
        {
            "kind": "repeats",
            "share": part,
            "share_by_chance": chance,
            "error_of_new_over_repeated": ratio,
        },
        f"{counted(int(again.sum()), 'sequence')} of the {len(again)} held out stand in the "
        "training part too"
        + (f", where some {share(chance)} would by chance" if chance >= LEAST_CHANCE else "")
        + ": the data hold copies, and were dealt out at random.",
        "What was learned by heart is asked for again, and counts as if it had been understood: "
        "the held-out score is better than what new data will give." + told,
    )


def _error_of_new(evidence: Evidence, again: NDArray[np.bool_]) -> float | None:
    """RMSE on new held-out sequences over that on repeated ones; None where either are few."""
    unseen, data = evidence.unseen, evidence.data
    if unseen is None or data is None or len(unseen.given) != len(again):
        return None
    if min(again.sum(), (~again).sum()) < 5 or not unseen.finite:
        return None
    xp_squares = ((unseen.given - unseen.wanted) ** 2).sum(axis=1)
    squares = np.array([float(value) for value in xp_squares])
    known = float(squares[again].mean())
    return float(np.sqrt(squares[~again].mean() / known)) if known > 0 else None


def _overlap(data: PreparedData) -> Finding | None:
    assert data.validation is not None
    if symbols(data.training.x):
        return None
    ahead = shown_ahead(data.training, data.validation)
    part = float(ahead.mean())
    if part < SHARE:
        return None
    return _finding(
        "warning",
        f"the held-out part, {share(part)} of its windows",
        {"kind": "overlap", "share": part},
        f"{counted(int(ahead.sum()), 'held-out window')} of {len(ahead)} overlap windows of the "
        "training part that go on where they end: windows of one recording were dealt out at "
        "random.",
        "What comes after these windows, which is what is asked, was among the inputs of the "
        "training part. On a recording that it has not seen the network will do worse.",
    )


def _target(data: PreparedData) -> Finding | None:
    feature = read_off(data.training)
    if feature is None:
        return None
    return _finding(
        "warning",
        f"input feature {feature}",
        {"kind": "target", "feature": feature},
        f"Input feature {feature} is the target, but for scale and offset, at the very step that "
        "is asked about.",
        "The answer stands among the inputs, and the network has only to copy it. If it is not "
        "known when the question comes, the score is worth nothing; if it is, no network is "
        "needed.",
    )


def _scaled(evidence: Evidence, data: PreparedData) -> Finding | None:
    series = data.series
    assert series is not None
    told = scaled_together(series.values, series.cut)
    if told is None:
        return None
    off = max(abs(told.offset), abs(told.scale - 1.0))
    return _finding(
        "warning" if off > OFF_SCALE else "note",
        f"the series {data.name!r}",
        {"kind": "scaled", "scaler": told.kind, "offset": told.offset, "scale": told.scale},
        f"The series is scaled ({told.kind}) over training and held-out part together: over the "
        f"training part alone its {'mean' if told.kind == 'standard' else 'least value'} is "
        f"{number(told.offset)} and its "
        f"{'standard deviation' if told.kind == 'standard' else 'range'} {number(told.scale)}.",
        "The scale was taken from values that were not to be known yet, so the training part "
        "tells how far the rest will go. Scale by the training part alone, as data.scale does.",
    )


def _finding(
    severity: Severity, where: str, evidence: dict[str, object], cause: str, explanation: str
) -> Finding:
    return Finding(
        symptom=SYMPTOM,
        severity=severity,
        where=where,
        evidence=evidence,
        cause=cause,
        explanation=explanation,
    )
