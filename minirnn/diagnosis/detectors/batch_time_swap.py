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
Severity   an illness where the network fails; a warning where it does not
Source     the rest: article "loss does not decrease", which feeds (100, 10, 1) to a time-first
           layer; thresholds are the project's own: 0.98 to 1.02 along shuffled axes, 0.02 to 0.35
           along the time of smooth series
Cost       a digest of up to 16 slices of each call
"""

from __future__ import annotations

from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.finding import Finding
from minirnn.diagnosis.loop import LayerFed, LoopSeen
from minirnn.diagnosis.wording import number, share

SYMPTOM = "batch-time-swap"
LEAST_AGAIN, MOVED = 8, 0.5
LEAST_ROWS, ONE_ROW = 4, 0.999
STRANGERS, ALIKE = 0.8, 0.4


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
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
