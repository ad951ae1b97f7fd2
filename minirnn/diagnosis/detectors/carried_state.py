"""carried-state: a sequence begins with the state that another, unrelated one ended with.

Formula    over the calls that begin with the state the call before ended with:
           moved / again = share of sequences, seen before, that follow another one than the first
           time, in the same row; jump = |first step - last step before| over the step within a
           sequence, in the mean
Threshold  moved >= 0.5 of at least 8 again; or jump > 5 where neighbours in time are alike
           (roughness < 0.4), from 8 carried calls on. An illness where the network fails, else a
           warning, and a note where it explains practically all (R2 of 0.9999, held out too).
           Chunks of one long series, handed on in order, come behind the same chunk in every epoch,
           and begin where that one ended.
           Of a recipe with `model.initial_state = "carried"`: at once where it shuffles, for no
           sequence then follows the one it continues; else where the jump from a sequence to that
           in its row of the next batch is above 5: among strangers without a level of their own it
           is 1, as in order, and nothing is said
           A state that is carried with its graph, past a backward pass, is another thing, and found
           at once: the next one runs into the batch before, or raises an error
Source     PyTorch's tutorials detach it ("repackage_hidden"); thresholds are the project's own:
           moved 0.9 to 1.0 with a shuffling loader, 0 in order; jump 0.9 to 1.3 in order
Cost       one comparison of states and a digest of up to 16 sequences a call
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.evidence.loop import LayerFed, LoopSeen
from minirnn.diagnosis.finding import Finding, Severity
from minirnn.diagnosis.wording import counted, number, share

SYMPTOM = "carried-state"
LEAST_CALLS = 8
LEAST_AGAIN, MOVED = 8, 0.5
JUMP, ALIKE = 5.0, 0.4
LEAST_ATTACHED = 1
ALL = 0.9999  # an R2, held out too, that leaves nothing to mend; where it does harm, 0.998 at most


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
    if evidence.recipe is not None:
        return _of_recipe(evidence)
    loop = evidence.loop
    for layer in loop.layers if loop is not None else ():
        assert loop is not None
        unrelated = layer is loop.layers[0] and layer.carried >= LEAST_CALLS and _unrelated(loop)
        if layer.attached >= LEAST_ATTACHED or unrelated:
            return _finding(evidence, loop, layer, unrelated or "")
    return None


def _unrelated(loop: LoopSeen) -> str:
    """Why the sequences do not continue each other, or ""."""
    rows = loop.order.batch
    if rows.again >= LEAST_AGAIN and rows.moved >= MOVED * rows.again:
        return (
            f"of {counted(rows.again, 'sequence')} seen again, {rows.moved} came behind another "
            "than before"
        )
    if loop.order.jump > JUMP and loop.order.time.roughness < ALIKE:
        return (
            f"where one begins, the values jump {number(loop.order.jump)} times as far as from "
            "step to step"
        )
    return ""


def _finding(evidence: Evidence, loop: LoopSeen, layer: LayerFed, unrelated: str) -> Finding:
    attached = layer.attached >= LEAST_ATTACHED
    rows = loop.order.batch
    sentences = []
    if attached:
        sentences.append(
            "It is carried with its graph, so that backward runs on into the batches before, "
            "which PyTorch has let go of (an error) or, with retain_graph, keeps for ever."
        )
    if unrelated:
        sentences.append(
            "Each sequence begins with what is left of another one, which tells it nothing: the "
            "network sees noise where it should see a beginning."
        )
    return Finding(
        symptom=SYMPTOM,
        severity="illness" if not unrelated else _severity(evidence, evidence.fails),
        where=f"{layer.name}, {loop.at(f'layer {layer.name}', 'in the training loop')}",
        evidence={
            "kind": "unrelated sequences" if unrelated else "with its graph",
            "calls": layer.calls,
            "carried": layer.carried,
            "with_graph": layer.attached,
            "sequences_seen_again": rows.again,
            "behind_another": rows.moved,
            "jump": loop.order.jump,
        },
        cause=(
            f"{share(layer.carried / layer.calls)} of the calls begin with the state that the call "
            "before ended with" + (f", and {unrelated}." if unrelated else ".")
        ),
        explanation=" ".join(sentences),
    )


def _of_recipe(evidence: Evidence) -> Finding | None:
    recipe, data = evidence.recipe, evidence.data
    assert recipe is not None
    if recipe.model.initial_state != "carried" or data is None:
        return None
    x, batch = data.host.training.x, recipe.training.batch_size
    if len(x) <= batch:  # one batch an epoch, and each epoch begins anew
        return None
    jump = _jump(x, batch)
    if recipe.training.shuffle:
        unrelated = "these are shuffled, so that what was carried is another sequence's"
    elif jump > JUMP:
        unrelated = (
            f"where a sequence begins, the values jump {number(jump)} times as far from the one "
            "before in its row as from step to step"
        )
    else:
        return None
    return Finding(
        symptom=SYMPTOM,
        severity=_severity(evidence, evidence.misses),
        where='model.initial_state = "carried"',
        evidence={
            "kind": "unrelated sequences",
            "shuffled": recipe.training.shuffle,
            "jump": jump,
        },
        cause=f"Each batch begins with the state the one before ended with, and {unrelated}.",
        explanation=(
            "Each sequence begins with what is left of another one, which tells it nothing: the "
            "network sees noise where it should see a beginning. Held-out sequences begin with "
            "zeros, which it has hardly met."
        ),
    )


def _severity(evidence: Evidence, ill: bool) -> Severity:
    """Of a state that is not its own: how much harm is left to do."""
    unseen = evidence.unseen
    done = evidence.skill >= ALL and (unseen is None or unseen.typical_skill >= ALL)
    return "illness" if ill else "note" if done else "warning"


def _jump(x: NDArray[Any], batch: int) -> float:
    """|first step - last step of the same row a batch before|, over the step within a sequence."""
    rows = x.astype(np.float64)
    between = np.abs(rows[batch:, 0] - rows[:-batch, -1]).mean()
    within = np.abs(np.diff(rows, axis=1)).mean() if x.shape[1] > 1 else 0.0
    return float(between / within) if within > 0 else float("nan")
