"""shape-broadcast: every answer is compared with every target.

Formula    prediction and target broadcast to a shape with more numbers than either has: (N, 1)
           against (N,) makes (N, N)
Threshold  one loss call of a training step. A scalar against many, which is often meant, grows
           beyond neither and is not counted. An illness: the best answer to all targets at once is
           their mean, whatever the input
Source     the project's measurements: predictions of spread 0.00016 and a loss of 1.10, which
           reshaped targets bring to 1.05 and 6e-4
Cost       none: shapes are compared when the loss is called
"""

from __future__ import annotations

from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.finding import Finding

SYMPTOM = "shape-broadcast"


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
    loop = evidence.loop
    if loop is None or loop.loss is None or not loop.loss.grown:
        return None
    loss = loop.loss
    return Finding(
        symptom=SYMPTOM,
        severity="illness",
        where=f"the loss, {loop.at('loss', loop.at('backward', 'in the training loop'))}",
        evidence={
            "prediction": list(loss.prediction),
            "target": list(loss.target),
            "compared": list(loss.compared),
            "calls": loss.calls,
            "calls_broadcast": loss.grown,
        },
        cause=f"A target of shape {loss.target} is compared with answers of shape "
        f"{loss.prediction}: both are stretched to {loss.compared}.",
        explanation=(
            "Every answer is compared with the targets of all other sequences too, so the best "
            "the network can do is to answer their mean, whatever it is shown."
        ),
    )
