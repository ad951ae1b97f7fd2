"""missing-values: NaN, or a number that stands for it, among what the network is fed or asked for.

Formula    share of values that are NaN, as fed, in inputs and targets, both parts.
           A mark = one number, the least or the largest of a feature, that comes at least 3 times
           and lies further from all others than 3 times their range; 0, or a whole number of at
           least 9 in size. Equal steps at a sequence's end are padding, and not counted
           Out of place = a number that is nearer than that, and comes where its neighbours say
           another, and stands in a regression's way: see `evidence.out_of_place`
           Of a user's loop, NaN in what its model was given and its loss compared, batch by batch
           from the first loss on that was no number
Threshold  one NaN is enough for an illness: it passes every product, so each window that holds it
           answers NaN, and so does the loss of its batch. A mark is an illness where the network
           explains less than 0.9 of what it is trained on or of what is held out. Where it copes
           it is a note, but for a number of nines alone, which is no measurement whatever comes of
           it: a warning. What a recipe filled before feeding is a note, a
           warning from 20% of the values up: then the filling is most of what is learned
Source     IEEE 754: every sum and product with a NaN is one. -999 and its kin are what file formats
           without an empty cell use. 20%, and 3 ranges: judgements of ours. Measured over 23 marks
           of nines in 6% or 10% of the inputs: each network left more unexplained of what was held
           out than one fed zeros in their place, 1.1 to 15 times as much (median 2.5), and so did
           each of the six that cope
Cost       one pass over the data
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minirnn.device import array_namespace
from minirnn.diagnosis.data import PreparedData, given_sequences
from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.evidence.layout import padding_ends
from minirnn.diagnosis.evidence.loop import LoopSeen, Unsound
from minirnn.diagnosis.evidence.out_of_place import (
    Gain,
    gain_of_a_series,
    gain_of_sequences,
    misplaced,
)
from minirnn.diagnosis.finding import Finding, Severity
from minirnn.diagnosis.recipe import Recipe
from minirnn.diagnosis.wording import counted, listed, number, share

SYMPTOM = "missing-values"
MUCH = 0.2
LEAST_MARKS, APART = 3, 3.0  # times the range of the other values
SMALLEST_MARK = 9.0
COPES = 0.9  # R2
LEAST_OTHERS = 10  # different values


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
    loop = evidence.loop
    if evidence.recipe is None and loop is not None and loop.unsound is not None:
        # What a layer was fed last may be NaN for its weights are; the loop's own data tell.
        return _fed_by_loop(evidence, loop, loop.unsound) if loop.unsound.with_nan else None
    fed = evidence.data.absent if evidence.data is not None else 0
    isnan = array_namespace(evidence.rows).isnan
    here = int(isnan(evidence.rows).sum())
    if evidence.targets.dtype.kind == "f":
        here += int(isnan(evidence.targets).sum())
    if fed or here:
        return _fed(evidence, here)
    marked = _marked(evidence) or _out_of_place(evidence)
    if marked is not None:
        return marked
    if evidence.data is not None and evidence.data.missing:
        return _filled(evidence)
    return None


def _fed(evidence: Evidence, here: int) -> Finding:
    sequences = array_namespace(evidence.inputs).isnan(evidence.inputs).any(axis=(0, 2))
    touched = float(sequences.mean())
    figures: dict[str, object] = {"share_of_sequences_touched": touched, "values_missing": here}
    where = "inputs and targets"
    if evidence.data is not None:
        data = evidence.data.host
        figures |= {"values_missing": data.missing or data.absent, "gaps": data.gaps}
        where = f"the series {data.name!r}" if data.series is not None else where
        if data.series is not None:
            absent = np.flatnonzero(np.isnan(data.series.values))
            figures["first_indexes"] = absent[:5].tolist()
        else:
            parts = [part for part in (data.training, data.validation) if part is not None]
            lacking = sum(
                int(np.isnan(part.y).sum())
                for part in parts
                if part.y.dtype.kind == "f" and not part.per_step
            )
            figures["targets_missing"] = lacking
    count = int(str(figures["values_missing"]))
    return Finding(
        symptom=SYMPTOM,
        severity="illness",
        where=where,
        evidence=figures,
        cause="Missing values are fed to the network as they are.",
        explanation=(
            f"{counted(count, 'value')} {'is' if count == 1 else 'are'} missing. A missing value "
            "turns everything it is added to or multiplied with into a missing value: "
            f"{share(touched)} of the sequences looked at hold one, and the network can give no "
            "answer to these, nor learn from any batch that holds one."
        ),
    )


def _fed_by_loop(evidence: Evidence, loop: LoopSeen, seen: Unsound) -> Finding:
    """Of a user's loop, by the first batch that held a NaN or an infinity."""
    parts = {"the inputs": seen.nan_inputs, "the targets": seen.nan_targets}
    here = [name for name, count in parts.items() if count] or list(parts)
    count = seen.nan_inputs + seen.nan_targets
    place = loop.at("loss" if here == ["the targets"] else "call", "in the training loop")
    return Finding(
        symptom=SYMPTOM,
        severity="illness",
        where=f"{listed(here)} of the training batches, {place}",
        evidence={
            "values_missing": count,
            "inputs_missing": seen.nan_inputs,
            "targets_missing": seen.nan_targets,
            "first_backward_pass": seen.first,
            "batches_looked_at": seen.batches,
            "batches_touched": seen.with_nan,
        },
        cause="Missing values are fed to the network as they are."
        if seen.nan_inputs
        else "Missing values are among what the network is asked for.",
        explanation=(
            f"The batch of backward pass {seen.first} held {counted(count, 'missing value')} in "
            f"{listed(here)}; so did {seen.with_nan} of the {seen.batches} looked at since the "
            "first loss that was no number. A missing value turns everything it is added to or "
            "multiplied with into a missing value: the loss of its batch, all gradients, and with "
            "the next step every weight."
        ),
    )


def _filled(evidence: Evidence) -> Finding:
    data, recipe = evidence.data, evidence.recipe
    assert data is not None
    if recipe is not None and recipe.data.missing == "drop":
        return _left_out(data)
    whole = data.series.values.size if data.series is not None else data.training.x.size
    part = data.missing / whole
    return Finding(
        symptom=SYMPTOM,
        severity="warning" if part >= MUCH else "note",
        where=f"the series {data.name!r}" if data.series is not None else "inputs",
        evidence={"values_missing": data.missing, "gaps": data.gaps, "share": part},
        cause="Missing values were filled by straight lines between their neighbours.",
        explanation=(
            f"{counted(data.missing, 'value')} ({share(part)}) in {counted(data.gaps, 'gap')} were "
            "missing. The network learns what fills them like measurements"
            + (", and here they are much of what it sees." if part >= MUCH else ".")
        ),
    )


def _left_out(data: PreparedData) -> Finding:
    return Finding(
        symptom=SYMPTOM,
        severity="note",
        where="inputs",
        evidence={"values_missing": data.missing, "gaps": data.gaps},
        cause="Sequences that hold a missing value were left out.",
        explanation=(
            f"{counted(data.missing, 'value')} were missing; these sequences are neither trained "
            "on nor held out. Should values be missing for a reason, those "
            "that are left may be of another kind."
        ),
    )


def _marked(evidence: Evidence) -> Finding | None:
    recipe, data = evidence.recipe, evidence.data
    if recipe is None or data is None or recipe.data.builtin is not None:
        return None
    for where, column in _columns(recipe, data):
        mark = mark_among(column)
        if mark is None:
            continue
        count = int((column == mark).sum())
        part = count / column.size
        rest = column[column != mark]
        least, most = number(float(rest.min())), number(float(rest.max()))
        severity: Severity = "illness"
        if _copes(evidence):
            severity = "warning" if of_nines(mark) else "note"
        return Finding(
            symptom=SYMPTOM,
            severity=severity,
            where=where,
            evidence={"mark": mark, "values_marked": count, "share": part},
            cause=(
                f"{counted(count, 'value')} ({share(part)}) are {number(mark)}; all others lie "
                f"between {least} and {most}."
            ),
            explanation=(
                f"{number(mark)} looks like a mark for a missing value. The network takes it for a "
                "measurement, by far the most extreme there is: it throws the state about wherever "
                "it stands, and whatever scaling is fitted to it presses all real values together."
            ),
        )
    return None


def _out_of_place(evidence: Evidence) -> Finding | None:
    """A mark that only what stands around it gives away, such as 0 among values of 20."""
    recipe, data = evidence.recipe, evidence.data
    if recipe is None or data is None or recipe.data.builtin is not None or recipe.is_text:
        return None
    for where, rows, gain_of in _in_time(recipe, data):
        mark = misplaced(rows)
        gain = None if mark is None else gain_of(mark)
        if mark is None or gain is None or not gain.harm:
            continue
        known = rows[np.isfinite(rows)]
        count = int((known == mark).sum())
        rest = known[known != mark]
        least, most = number(float(rest.min())), number(float(rest.max()))
        return Finding(
            symptom=SYMPTOM,
            severity="note" if _copes(evidence) else "illness",
            where=where,
            evidence={
                "mark": mark,
                "values_marked": count,
                "share": count / known.size,
                "regression_as_given": gain.as_given,
                "regression_filled": gain.filled,
            },
            cause=(
                f"{counted(count, 'value')} ({share(count / known.size)}) are exactly "
                f"{number(mark)}, where the values before and after say another; all others lie "
                f"between {least} and {most}."
            ),
            explanation=(
                f"{number(mark)} looks like a mark for a missing value: a plain regression "
                f"explains {share(max(gain.as_given, 0.0))} with these values as they are, and "
                f"{share(gain.filled)} with them filled in from what stands around them. The "
                "network takes them for measurements, and is thrown off wherever one stands."
            ),
        )
    return None


def _in_time(
    recipe: Recipe, data: PreparedData
) -> Iterator[tuple[str, NDArray[np.float64], Callable[[float], Gain | None]]]:
    """The series, or each feature's sequences (N, T), NaN behind their ends; and who asks it."""
    series = data.host.series
    if series is not None:
        past = series.values[: series.cut]
        ask = partial(gain_of_a_series, past, window=series.window, horizon=series.horizon)
        yield f"the series {data.name!r}", past[None, :], ask
        return
    given, _ = given_sequences(recipe)
    N, T = given.x.shape[:2]
    ends = given.lengths if given.lengths is not None else padding_ends(given.x)
    counts = np.arange(T) < (np.full(N, T) if ends is None else ends)[:, None]
    y = given.y
    if given.per_step:
        last = np.full(N, T) if given.lengths is None else np.asarray(given.lengths)
        y = y[np.arange(N), np.maximum(last - 1, 0)]
    x = given.x.astype(np.float64)
    for feature in range(x.shape[2]):
        if feature not in recipe.data.drop:
            ask = partial(_gain, x, feature, y, given.lengths)
            yield f"input feature {feature}", np.where(counts, x[:, :, feature], np.nan), ask


def _gain(
    x: NDArray[np.float64], feature: int, y: NDArray[Any], lengths: Any, mark: float
) -> Gain | None:
    return gain_of_sequences(x, feature, mark, y, lengths)


def _copes(evidence: Evidence) -> bool:
    asked = evidence.skill if evidence.unseen is None else evidence.unseen.typical_skill
    return evidence.skill >= COPES and asked >= COPES


def _columns(recipe: Recipe, data: PreparedData) -> Iterator[tuple[str, NDArray[Any]]]:
    """What was given, value by value, of each feature and target, and where it is."""
    if data.host.series is not None:
        # In the series' own units: as given, but for what was filled.
        yield f"the series {data.name!r}", data.host.series.values
        return
    if recipe.is_text:  # no character is missing
        return
    given, _ = given_sequences(recipe)
    N, T = given.x.shape[:2]
    ends = given.lengths if given.lengths is not None else padding_ends(given.x)
    counts = np.arange(T) < (np.full(N, T) if ends is None else ends)[:, None]
    for feature in range(given.x.shape[2]):
        if feature not in recipe.data.drop:
            yield f"input feature {feature}", given.x[:, :, feature][counts]
    if not given.is_labels:
        for target in range(given.y.shape[-1]):
            yield f"target {target}", given.y[..., target].ravel()


def of_nines(mark: float) -> bool:
    """Whether a number is written with nines alone, at least two, as marks are."""
    digits = f"{abs(mark):.0f}"
    return len(digits) >= 2 and set(digits) == {"9"}


def mark_among(values: NDArray[Any]) -> float | None:
    """The number among these that stands for a missing value, or None."""
    known = values[np.isfinite(values)]
    if known.size < LEAST_OTHERS + LEAST_MARKS:
        return None
    for mark in (float(known.min()), float(known.max())):
        if mark != round(mark) or 0.0 < abs(mark) < SMALLEST_MARK:
            continue
        rest = known[known != mark]
        if known.size - rest.size < LEAST_MARKS or rest.size < LEAST_OTHERS:
            continue
        apart = float(np.abs(rest - mark).min())
        if apart > APART * float(np.ptp(rest)) and len(np.unique(rest)) >= LEAST_OTHERS:
            return mark
    return None
