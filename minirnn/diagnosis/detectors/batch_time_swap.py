"""batch-time-swap: the recurrence runs from sequence to sequence instead of from step to step.

Three signs, any of which is enough:
Reshuffled  slices along what the layer takes for time come back whole in later calls, behind others
            than the first time. Formula: moved / again, slices compared bit for bit.
            Threshold: 0.5 of at least 8. Steps of a batch do not come back; sequences that a loader
            shuffles do
One row     gradient enters the layer's outputs through the last row of its batch alone, at more
            than one step. Threshold: 0.999 of it, with at least 4 rows. `output[:, -1]` of a layer
            that takes time first is the last *sequence* at all steps; no loss ignores all
            sequences but one
Smooth      along the layer's time neighbours are strangers (roughness > 0.8), and along its batch
            they are alike (roughness < 0.4): see `AxisOrder`. And the steps vary in number from
            call to call, while the sequences never do, as with the rest of an epoch: alone, either
            could be chance. Not where states are carried: there chunks may end early
Of a recipe, whose data.x is read as (N, T, I), two signs on the arrays as they are given:
Other past  R2(batch) > 0.3 and R2(batch) - R2(time) > 0.15: by a ridge regression on the last 8
            slices, the answer at (n, t) is told by those behind it along the batch, and not along
            what is read as time (answers at every step only)
Smooth      as above, without the count of calls, where R2(time) is not the higher one
Severity   an illness where the network fails; a warning where it does not
Source     the rest: article "loss does not decrease", which feeds (100, 10, 1) to a time-first
           layer; thresholds are the project's own: 0.98 to 1.02 along shuffled axes, 0.02 to 0.35
           along the time of smooth series
           R2 of the two axes of data as they should be: 0.4 to 1.0 along time, below 0.1 along the
           batch; of sliding windows of one series, which have both pasts, equal
Cost       a recipe: two regressions, 0.1 s; else a digest of up to 16 slices of each call
"""

from __future__ import annotations

from minirnn.diagnosis.data import given_sequences
from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.evidence.layout import directions, roughness
from minirnn.diagnosis.evidence.loop import LayerFed, LoopSeen
from minirnn.diagnosis.finding import Finding
from minirnn.diagnosis.wording import number, share

SYMPTOM = "batch-time-swap"
LEAST_AGAIN, MOVED = 8, 0.5
LEAST_ROWS, ONE_ROW = 4, 0.999
STRANGERS, ALIKE = 0.8, 0.4
TOLD, BETTER = 0.3, 0.15


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
    if evidence.recipe is not None:
        return _of_recipe(evidence)
    loop = evidence.loop
    if loop is None or not loop.layers:
        return None
    layer = loop.layers[0]
    if layer.packed or set(layer.steps) <= {1}:
        return None
    signs = [*_reshuffled(loop), *_one_row(loop, layer), *_smooth(loop, layer)]
    if not signs:
        return None
    T, B = (max(sizes, key=lambda n: sizes[n]) for sizes in (layer.steps, layer.sequences))
    layout = "(B, T, I)" if layer.batch_first else "(T, B, I)"
    return Finding(
        symptom=SYMPTOM,
        severity="illness" if evidence.fails else "warning",
        where=f"{layer.name}, {loop.at(f'layer {layer.name}', 'in the training loop')}",
        evidence={
            "batch_first": layer.batch_first,
            "unbatched": layer.unbatched > 0,
            "steps_as_read": T,
            "sequences_as_read": B,
            "steps_seen_again": loop.order.time.again,
            "behind_another": loop.order.time.moved,
            "roughness_along_time": loop.order.time.roughness,
            "roughness_along_batch": loop.order.batch.roughness,
            "gradient_through_last_row": loop.single_sequence,
        },
        cause=(
            f"{layer.name} reads its input as {layout} and takes {T} steps of "
            f"{'one sequence' if B == 1 else f'{B} sequences'}; " + "; ".join(signs) + "."
        ),
        explanation=(
            f"What {layer.name} takes for time is the batch: its state runs from one sequence into "
            "the next, which has nothing to do with it, and each sequence's own steps are "
            + ("never walked along." if B == 1 else "treated as strangers.")
        ),
    )


def _reshuffled(loop: LoopSeen) -> list[str]:
    along = loop.order.time
    if along.again < LEAST_AGAIN or along.moved < MOVED * along.again:
        return []
    return [
        f"of {along.again} of these steps that came again, {along.moved} came behind another step "
        "than before, as shuffled sequences do"
    ]


def _one_row(loop: LoopSeen, layer: LayerFed) -> list[str]:
    part = loop.single_sequence
    if part is None or part < ONE_ROW or max(layer.sequences) < LEAST_ROWS:
        return []
    return [f"{share(part)} of the gradient comes through the last of these sequences alone"]


def _smooth(loop: LoopSeen, layer: LayerFed) -> list[str]:
    time, batch = loop.order.time.roughness, loop.order.batch.roughness
    varies = len(layer.steps) > 1 and len(layer.sequences) == 1
    if not (time > STRANGERS and batch < ALIKE and varies) or layer.carried:
        return []
    return [
        f"neighbours along its time are strangers (roughness {number(time)}), those along its "
        f"batch alike ({number(batch)})"
    ]


def _of_recipe(evidence: Evidence) -> Finding | None:
    recipe = evidence.recipe
    assert recipe is not None
    if recipe.data.x is None:
        return None
    given, _ = given_sequences(recipe)
    N, T = given.x.shape[:2]
    if T == 1 or not given.per_step or given.lengths is not None:
        return None
    time, batch = roughness(given.x, 1), roughness(given.x, 0)
    told = directions(given.x, given.y)
    signs = []
    if told is not None and told.along_batch > max(TOLD, told.along_time + BETTER):
        signs.append(
            f"a regression tells {share(told.along_batch)} of the answers from what stands behind "
            f"them along the batch, and {share(max(told.along_time, 0.0))} from what is read as "
            "their past"
        )
    otherwise = told is not None and told.along_time >= told.along_batch
    if time > STRANGERS and batch < ALIKE and not otherwise:
        signs.append(
            f"neighbours along its time are strangers (roughness {number(time)}), those along its "
            f"batch alike ({number(batch)})"
        )
    if not signs:
        return None
    return Finding(
        symptom=SYMPTOM,
        severity="illness" if evidence.misses else "warning",
        where="the data: the first two axes of x and y",
        evidence={
            "steps_as_read": T,
            "sequences_as_read": N,
            "told_along_time": None if told is None else told.along_time,
            "told_along_batch": None if told is None else told.along_batch,
            "roughness_along_time": time,
            "roughness_along_batch": batch,
        },
        cause=(f"data.x is read as {N} sequences of {T} steps; " + "; ".join(signs) + "."),
        explanation=(
            "What the network takes for time is the batch: its state runs from one sequence into "
            "the next, which has nothing to do with it, and each sequence's own steps are treated "
            "as strangers."
        ),
    )
