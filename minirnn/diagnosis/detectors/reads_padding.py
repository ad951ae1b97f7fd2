"""reads-padding: the answer is read after the end of the sequence, from its padding.

Formula    a sequence's padding is the run of equal steps at its end, all sequences with the same
           value, and longer than the runs of it that they begin with (see `padding_ends`: ends that
           are 0 as often as beginnings are rain, or rare events);
           read = share of the gradient of padded sequences that enters at a step of their
           padding. Of a recipe: all of it, where `model.readout` is "last" and there are no
           `data.lengths`; kept = share of the gradient through time (of the hidden states, of the
           last-step probe) that falls on steps of padding
Threshold  read > 0.5, where at least a fifth of the sequences are padded by 2 steps or more, to at
           least 3 different lengths, and the layer was told no lengths. An illness where the
           network explains less than 0.8 of what it is trained on or of what is held out; a note
           where it answers well all the same, for a quiet end can be part of a signal, and a short
           one does little harm
Source     the article "loss does not decrease", whose `out[:, -1]` reads padding; thresholds are a
           judgement of ours
Cost       one pass over the inputs and the gradient of the batch looked at
"""

from __future__ import annotations

import numpy as np

from minirnn.device import array_namespace
from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.evidence.layout import padding_ends
from minirnn.diagnosis.finding import Finding
from minirnn.diagnosis.wording import number, share

SYMPTOM = "reads-padding"
READ = 0.5
PADDED_SHARE, PADDED_BY = 0.2, 2
LEAST_LENGTHS = 3
COPES = 0.8  # R2


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
    if evidence.recipe is not None:
        return _of_recipe(evidence)
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
        severity="note" if _copes(evidence) else "illness",
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


def _of_recipe(evidence: Evidence) -> Finding | None:
    recipe, data = evidence.recipe, evidence.data
    assert recipe is not None
    if data is None or data.series is not None or recipe.model.readout != "last":
        return None
    part = data.host.training
    if part.lengths is not None:
        return None
    ends = padding_ends(part.x)
    if ends is None:
        return None
    T = part.x.shape[1]
    padded = ends < T
    if padded.mean() < PADDED_SHARE or len(np.unique(ends[padded])) < LEAST_LENGTHS:
        return None
    behind = T - ends[padded]
    value = part.x[padded][0, -1]
    kept, copes = _gradient_on_padding(evidence), _copes(evidence)
    return Finding(
        symptom=SYMPTOM,
        severity="note" if copes else "illness",
        where="the data: sequences that end in equal steps, without data.lengths",
        evidence={
            "read_from_padding": 1.0,
            "gradient_on_padding": kept,
            "padded_sequences": float(padded.mean()),
            "padding_value": value.tolist(),
            "steps_of_padding": float(behind.mean()),
            "most_steps_of_padding": int(behind.max()),
            "steps": T,
        },
        cause=(
            f"{share(float(padded.mean()))} of the sequences end in equal steps, as padding does, "
            "and hardly any begins so; the network is told no lengths: it walks on through them "
            "and answers at the end."
        ),
        explanation=(
            f"The answer is taken at step {T - 1}, {number(float(behind.mean()))} steps after the "
            f"last that differs (up to {int(behind.max())})"
            + (
                ""
                if kept is None
                else f"; {share(kept)} of the gradient that travels back falls on these equal steps"
            )
            + ". "
            + (
                "The network answers well all the same: they may be padding, or a quiet end that "
                "belongs to the signal."
                if copes
                else "If they are padding, the state tells more of it than of the sequence."
            )
        ),
    )


def _copes(evidence: Evidence) -> bool:
    asked = evidence.skill if evidence.unseen is None else evidence.unseen.typical_skill
    return evidence.skill >= COPES and asked >= COPES


def _gradient_on_padding(evidence: Evidence) -> float | None:
    """The share of ||dL/dh_t||, over the padded sequences looked at, that falls on their padding.

    Of the last layer's forward direction; None without a trace.
    """
    forward = [trace for trace in evidence.traces if not trace.reverse]
    host = None if evidence.data is None else evidence.data.host.training
    if not forward or host is None:
        return None
    xp = array_namespace(evidence.inputs)
    equal = xp.cumprod((evidence.inputs == evidence.inputs[-1:]).all(axis=2)[::-1], axis=0)[::-1]
    norms = xp.sqrt((forward[-1].grad_hidden.astype(np.float64) ** 2).sum(axis=2))
    padded = equal.sum(axis=0) >= PADDED_BY
    norms, equal = norms[:, padded], equal[:, padded]
    total = float(norms.sum())
    return float((norms * equal).sum()) / total if total > 0 else None
