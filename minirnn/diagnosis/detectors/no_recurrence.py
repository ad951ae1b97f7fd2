"""no-recurrence: the recurrent layer is fed one step at a time, and remembers nothing.

Formula    calls with T = 1 whose state is not handed on, over all training calls of a layer
Threshold  all of them, at least 3. An illness where the network fails; a warning where it does not:
           then a layer without recurrence would do
Source     the project's measurements: with a context of 1 step a free run freezes 6 times out of
           6, with 32 steps it goes on 3 times out of 3
Cost       none
"""

from __future__ import annotations

from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.finding import Finding
from minirnn.diagnosis.wording import counted

SYMPTOM = "no-recurrence"
LEAST = 3


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
    loop = evidence.loop
    for layer in loop.layers if loop is not None else ():
        if layer.calls < LEAST or set(layer.steps) != {1} or layer.given:
            continue
        assert loop is not None
        features = evidence.inputs.shape[2]
        return Finding(
            symptom=SYMPTOM,
            severity="illness" if evidence.fails else "warning",
            where=f"{layer.name}, {loop.at(f'layer {layer.name}', 'in the training loop')}",
            evidence={"steps": 1, "calls": layer.calls, "features": features},
            cause=f"All {counted(layer.calls, 'call')} fed sequences of length 1, each from a "
            "state of zeros.",
            explanation=(
                f"{layer.name} takes one step from nothing and stops: its recurrent weights "
                "are multiplied with zeros, and nothing is ever remembered. "
                + (
                    f"If the {features} features of that step are a window of a series, they "
                    "should be its time steps."
                    if features > 1
                    else "Feed it a window of steps."
                )
            ),
        )
    return None
