"""reads-padding: the answer is read after the end of the sequence, from its padding.

Formula    a sequence's padding is the run of equal steps at its end, all sequences with the same
           value; read = share of the gradient of padded sequences that enters at a step of their
           padding
Threshold  read > 0.5, where at least a fifth of the sequences are padded by 2 steps or more, to at
           least 3 different lengths, and the layer was told no lengths. An illness where the
           network fails; a note where it answers well all the same, for a quiet end can be part of
           a signal, and a short one does little harm
Source     the article "loss does not decrease", whose `out[:, -1]` reads padding; thresholds are a
           judgement of ours
Cost       one pass over the inputs and the gradient of the batch looked at
"""

from __future__ import annotations

import numpy as np

from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.finding import Finding
from minirnn.diagnosis.wording import number, share

SYMPTOM = "reads-padding"
READ = 0.5
PADDED_SHARE, PADDED_BY = 0.2, 2
LEAST_LENGTHS = 3


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
    loop = evidence.loop
    if loop is None or loop.padding is None or not loop.layers:
        return None
    padding, layer = loop.padding, loop.layers[0]
    T = len(padding.shares)
    padded = padding.ends <= T - PADDED_BY
    if (
        layer.packed
        or padded.mean() < PADDED_SHARE
        or len(np.unique(padding.ends[padded])) < LEAST_LENGTHS
    ):
        return None
    steps = np.arange(T)[:, None] >= padding.ends[None, :]
    entering = padding.shares[:, padded]
    total = float(entering.sum())
    read = float(entering[steps[:, padded]].sum()) / total if total > 0 else 0.0
    if not read > READ:
        return None
    behind = T - padding.ends[padded]
    return Finding(
        symptom=SYMPTOM,
        severity="illness" if evidence.fails else "note",
        where=f"{layer.name}, {loop.at(f'layer {layer.name}', 'in the training loop')}",
        evidence={
            "read_from_padding": read,
            "padded_sequences": float(padded.mean()),
            "padding_value": padding.value,
            "steps_of_padding": float(behind.mean()),
            "most_steps_of_padding": int(behind.max()),
            "steps": T,
        },
        cause=(
            f"{share(float(padded.mean()))} of the sequences end in padding (the value "
            f"{number(padding.value)}), and {share(read)} of what is read of them is read there."
        ),
        explanation=(
            f"The answer is taken at step {T - 1}, {number(float(behind.mean()))} steps of "
            f"padding after the sequence ended (up to {int(behind.max())}). By then the state "
            "tells more of the padding than of the sequence."
        ),
    )
