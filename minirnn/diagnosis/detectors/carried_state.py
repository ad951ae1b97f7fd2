"""carried-state: a sequence begins with the state that another, unrelated one ended with.

Formula    over the calls that begin with the state the call before ended with:
           moved / again = share of sequences, seen before, that follow another one than the first
           time, in the same row; jump = |first step - last step before| over the step within a
           sequence, in the mean
Threshold  moved >= 0.5 of at least 8 again; or jump > 5 where neighbours in time are alike
           (roughness < 0.4), from 8 carried calls on. An illness where the network fails, else a
           warning. Chunks of one long series, handed on in order, come behind the same chunk in
           every epoch, and begin where that one ended.
           A state that is carried with its graph, past a backward pass, is another thing, and found
           at once: the next one runs into the batch before, or raises an error
Source     PyTorch's tutorials detach it ("repackage_hidden"); thresholds are the project's own:
           moved 0.9 to 1.0 with a shuffling loader, 0 in order; jump 0.9 to 1.3 in order
Cost       one comparison of states and a digest of up to 16 sequences a call
"""

from __future__ import annotations

from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.finding import Finding
from minirnn.diagnosis.loop import LayerFed, LoopSeen
from minirnn.diagnosis.wording import counted, number, share

SYMPTOM = "carried-state"
LEAST_CALLS = 8
LEAST_AGAIN, MOVED = 8, 0.5
JUMP, ALIKE = 5.0, 0.4
LEAST_ATTACHED = 1


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
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
        severity="illness" if evidence.fails or not unrelated else "warning",
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
