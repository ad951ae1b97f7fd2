"""What helps where the data are at fault."""

from __future__ import annotations

from minirnn.diagnosis.finding import Advice, Finding, Remedy
from minirnn.diagnosis.recipe import Recipe
from minirnn.diagnosis.remedies.advice import CLIPPING, DROPOUT, LONGER, RANDOM_STATE
from minirnn.diagnosis.remedies.common import scale
from minirnn.diagnosis.remedies.offer import Offer


def _range(recipe: Recipe, finding: Finding) -> list[Remedy]:
    if not recipe.is_series:
        return []
    edit: dict[str, object] = {"data.transform": "change"}
    if recipe.data.scale == "none":
        edit["data.scale"] = "standard"
    change = Remedy(
        edit,
        "Feed each window relative to its last value, and predict the change from it: changes "
        "stay in the range they had, however far the level moves.",
        "The held-out error comes down to what it is in training.",
    )
    unscaled = Remedy(
        {"data.transform": "change", "data.scale": "none"},
        "The same without scaling, where the changes are of ordinary size already, or all equal.",
        change.expected,
    )
    return [change, unscaled]


def _missing(recipe: Recipe, finding: Finding) -> list[Remedy]:
    mark = finding.evidence.get("mark")
    named: dict[str, object] = {} if mark is None else {"data.missing_value": mark}
    fill = Remedy(
        {**named, "data.missing": "interpolate"},
        "Fill each gap by a straight line between its neighbours, in time.",
        "Every window has an answer.",
    )
    if recipe.is_series:
        return [fill]
    leave_out = Remedy(
        {**named, "data.missing": "drop"},
        "Leave out the sequences that lack a value: an answer that is not known teaches nothing.",
        "Every sequence that is left has an answer.",
    )
    targets = bool(finding.evidence.get("targets_missing"))
    return [leave_out] if targets else [fill, leave_out]


OFFERS: dict[str, Offer] = {
    "missing-values": _missing,
    "unscaled-input": scale,
    "outside-training-range": _range,
}

WOULD_NOT_HELP: dict[str, tuple[Advice, ...]] = {
    "missing-values": (
        Advice(
            "put zeros where values are missing",
            "A zero is a measurement like any other to the network: among values around 340 it is "
            "a crash that never happened.",
        ),
        Advice(
            "drop the missing steps",
            "The steps that are left would no longer be equally far apart, and nothing tells "
            "the network. (Whole sequences may be left out.)",
        ),
    ),
    "unscaled-input": (CLIPPING, RANDOM_STATE, DROPOUT),
    "outside-training-range": (
        LONGER,
        DROPOUT,
        Advice(
            "fit the scaler on the whole series",
            "That shows the future to the network during training: the error falls on paper only, "
            "and the next year is outside again.",
        ),
    ),
}
