"""missing-values: NaN among the values that the network is fed or asked for.

Formula    share of values that are NaN, as fed, in inputs and targets, both parts
Threshold  one is enough for an illness: a NaN passes every product, so each window that holds it
           answers NaN, and so does the loss of its batch. What a recipe filled before feeding is a
           note, a warning from 20% of the values up: then the filling is most of what is learned
Source     IEEE 754: every sum and product with a NaN is one. 20%: a judgement of ours
Cost       one pass over the data
"""

from __future__ import annotations

import numpy as np

from minirnn.device import array_namespace
from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.finding import Finding
from minirnn.diagnosis.wording import counted, share

SYMPTOM = "missing-values"
MUCH = 0.2


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
    fed = evidence.data.absent if evidence.data is not None else 0
    isnan = array_namespace(evidence.rows).isnan
    here = int(isnan(evidence.rows).sum())
    if evidence.targets.dtype.kind == "f":
        here += int(isnan(evidence.targets).sum())
    if fed or here:
        return _fed(evidence, here)
    if evidence.data is not None and evidence.data.missing:
        return _filled(evidence)
    return None


def _fed(evidence: Evidence, here: int) -> Finding:
    sequences = array_namespace(evidence.inputs).isnan(evidence.inputs).any(axis=(0, 2))
    touched = float(sequences.mean())
    figures: dict[str, object] = {"share_of_sequences_touched": touched, "values_missing": here}
    where = "inputs and targets"
    if evidence.data is not None:
        data = evidence.data.host
        figures |= {"values_missing": data.missing or data.absent, "gaps": data.gaps}
        where = f"the series {data.name!r}" if data.series is not None else where
        if data.series is not None:
            absent = np.flatnonzero(np.isnan(data.series.values))
            figures["first_indexes"] = absent[:5].tolist()
    count = int(str(figures["values_missing"]))
    return Finding(
        symptom=SYMPTOM,
        severity="illness",
        where=where,
        evidence=figures,
        cause="Values are missing, and the recipe feeds them as they are.",
        explanation=(
            f"{counted(count, 'value')} are missing. A missing value turns everything it is added "
            f"to or multiplied with into a missing value: {share(touched)} of the sequences looked "
            "at hold one, and the network can give no answer to these, nor learn from any batch "
            "that holds one."
        ),
    )


def _filled(evidence: Evidence) -> Finding:
    data = evidence.data
    assert data is not None
    whole = data.series.values.size if data.series is not None else data.training.x.size
    part = data.missing / whole
    return Finding(
        symptom=SYMPTOM,
        severity="warning" if part >= MUCH else "note",
        where=f"the series {data.name!r}" if data.series is not None else "inputs",
        evidence={"values_missing": data.missing, "gaps": data.gaps, "share": part},
        cause="Values are missing, and were filled by straight lines between their neighbours.",
        explanation=(
            f"{counted(data.missing, 'value')} ({share(part)}) in {counted(data.gaps, 'gap')} were "
            "missing and are filled by straight lines. The network learns these lines like "
            "measurements" + (", and here they are much of what it sees." if part >= MUCH else ".")
        ),
    )
