"""accumulated-gradients: gradients that a step has used are not cleared, and used again.

Formula    of the backward passes that come first after a step, the share that finds the gradients
           which this step applied, unchanged
Threshold  half of them, at least 3. Several backward passes before one step (accumulation on
           purpose) are not counted: there the first one finds nothing. An illness where the network
           fails; a warning where it learns all the same, as Adam often lets it
Source     PyTorch's documentation of `Optimizer.zero_grad`; DeepLocalize and AUTOTRAINER do not
           see it. What adds up is a momentum of 1, whose steps never forget
Cost       none: PyTorch counts the changes of a tensor
"""

from __future__ import annotations

import numpy as np

from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.finding import Finding
from minirnn.diagnosis.wording import counted, number, share

SYMPTOM = "accumulated-gradients"
LEAST = 3
SHARE = 0.5


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
    loop = evidence.loop
    if loop is None:
        return None
    seen = loop.optimisation
    if seen.stale < LEAST or seen.stale < SHARE * seen.first_backwards:
        return None
    norms = loop.gradient_norms[np.isfinite(loop.gradient_norms)]
    early = float(np.median(norms[:5])) if len(norms) else float("nan")
    largest = float(norms.max()) if len(norms) else float("nan")
    return Finding(
        symptom=SYMPTOM,
        severity="illness" if evidence.fails else "warning",
        where=f"the training loop, {loop.at('backward', 'at backward()')}",
        evidence={
            "backward_passes_after_a_step": seen.first_backwards,
            "onto_gradients_already_used": seen.stale,
            "steps": seen.steps,
            "gradient_norm_at_first": early,
            "gradient_norm_largest": largest,
        },
        cause="Nothing clears the gradients between one step and the next backward pass, which "
        "adds to them.",
        explanation=(
            f"In {share(seen.stale / seen.first_backwards)} of "
            f"{counted(seen.first_backwards, 'iteration')} the gradients of before were still "
            "there, and the optimiser used them once more: each step is the sum of all gradients "
            f"since training began. Their norm rose from {number(early)} to {number(largest)}."
        ),
    )
