"""unscaled-input: inputs so large (or so small) that the gates see little but their size.

Targets of such a size are the same fault at the other end: see `unscaled_targets`,
and of a user's loop `targets_out_of_reach`.

Formula    size = largest root mean square of a feature, as fed, over all valid steps.
           pinned = share of the first layers' units and gates that W_ih x alone holds on one side
           beyond +-2.2 at every step (sigmoid(2.2) = 0.9: saturated there, whatever else comes)
Threshold  size > 10, or < 0.01. An illness where pinned >= 0.25, or where small inputs go with a
           network that fails; a warning where large inputs go with a failing network that is not
           pinned, or with one that falls short of what a regression explains; a note where the
           network copes
Source     UMLAUT (Schoop et al. 2021, CHI) and DeepDiagnosis (Wardat et al. 2022, ICSE) report
           inputs outside [-1, 1], which standardised data leave too; what large inputs do to a gate
           is measured here instead. With initial weights of at most 0.4, as usual, an input of 10
           begins to saturate gates, one of 300 saturates all
Cost       one product of a sample of the inputs (at most 2000 steps) with W_ih
"""

from __future__ import annotations

from minirnn.device import array_namespace
from minirnn.diagnosis.detectors.loop_faults import targets_out_of_reach
from minirnn.diagnosis.detectors.unscaled_targets import of_targets
from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.finding import Finding, Severity
from minirnn.diagnosis.wording import number, share
from minirnn.inspect import steps
from minirnn.inspect.host import fetch
from minirnn.inspect.trace import Trace

SYMPTOM = "unscaled-input"
LARGE, SMALL = 10.0, 0.01
PINNED_BEYOND = 2.2  # ln 9: sigmoid(2.2) = 0.9
PINNED_SHARE = 0.25
MOST_ROWS = 2000


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None: of the inputs, or of the targets where the inputs do no harm."""
    found = of_inputs(evidence)
    if found is not None and found.harmful:
        return found
    return of_targets(evidence) or targets_out_of_reach(evidence, SYMPTOM) or found


def of_inputs(evidence: Evidence) -> Finding | None:
    """The finding about the inputs, or None; that about targets needs a training that is over."""
    rows = evidence.rows
    if rows.size == 0 or not evidence.rows_finite:
        return None
    xp = array_namespace(rows)
    sizes = xp.sqrt(xp.mean(rows**2, axis=0))
    feature = int(sizes.argmax())
    size = float(sizes[feature])
    # Features that are all 0 are no small inputs; they are none.
    if not (size > LARGE or 0.0 < size < SMALL):
        return None
    first = [(pinned_share(each), each) for each in evidence.traces if each.layer == 0]
    pinned, trace = max(first, key=lambda pair: pair[0]) if first else (0.0, None)
    column = rows[:, feature]
    mean, deviation, least, most = fetch(column.mean(), column.std(), column.min(), column.max())
    figures: dict[str, object] = {
        "size": size,
        "mean": mean,
        "standard_deviation": deviation,
        "smallest": least,
        "largest": most,
        "feature": feature,
        "pinned": pinned,
        "layer": None if trace is None else trace.layer,
        "direction": None if trace is None else trace.direction,
    }
    where = "the inputs" if rows.shape[1] == 1 else f"input feature {feature}"
    if size < SMALL:
        return _small(evidence, where, figures)
    severity: Severity = "note"
    if evidence.falls_short:
        severity = "illness" if evidence.fails and pinned >= PINNED_SHARE else "warning"
    range_text = f"{number(least)} to {number(most)}"
    return Finding(
        symptom=SYMPTOM,
        severity=severity,
        where=where,
        evidence=figures,
        cause=(
            "A gate decides between 0 and 1 on sums from -2.2 to 2.2, and these inputs are larger."
        ),
        explanation=(
            f"The network is fed values from {range_text} as they are. Multiplied with its weights "
            f"they drive {share(pinned)} of the first layer's gates to the end of their range at "
            "every step, so that these gates no longer see by how much one input differs from "
            f"another (their standard deviation is {number(deviation)} only)."
            if severity == "illness"
            else f"The network is fed values from {range_text} as they are. That is far from the "
            "size its gates are made for"
            + (
                ", and it has not learned."
                if evidence.fails
                else ", and it has learned less than there is to know."
                if evidence.falls_short
                else ", but it copes."
            )
        ),
    )


def _small(evidence: Evidence, where: str, figures: dict[str, object]) -> Finding:
    size = number(float(str(figures["size"])))
    return Finding(
        symptom=SYMPTOM,
        severity="illness" if evidence.fails else "note",
        where=where,
        evidence=figures,
        cause="A gate is made for sums of about 1.",
        explanation=(
            f"The inputs are so small (about {size}) that the gates hardly move with them: what "
            "they do is set by their biases, and the weights would have to grow very large first."
        ),
    )


def pinned_share(trace: Trace) -> float:
    """Share of units and gates that W_ih x holds beyond 2.2 on one side at every valid step."""
    rows = steps.rows(trace.inputs, trace.lengths).astype("float64")
    rows = rows[:: max(1, len(rows) // MOST_ROWS)]
    if not len(rows):
        return 0.0
    drive = rows @ trace.weights.weight_ih.astype("float64").T  # (n, slots * H)
    pinned = (drive > PINNED_BEYOND).all(axis=0) | (drive < -PINNED_BEYOND).all(axis=0)
    return float(pinned.mean())
