"""What helps where the data are at fault."""

from __future__ import annotations

from minirnn.diagnosis.finding import Advice, Finding, Remedy
from minirnn.diagnosis.recipe import Recipe
from minirnn.diagnosis.remedies.advice import CLIPPING, DROPOUT, LONGER, RANDOM_STATE
from minirnn.diagnosis.remedies.common import scale
from minirnn.diagnosis.remedies.offer import Advised, Offer
from minirnn.diagnosis.remedies.room import enough_held_out, wider
from minirnn.diagnosis.wording import share


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
        "Feed each window relative to its last value, and predict the change from it, without a "
        "scale: for changes that are of ordinary size already, or all equal.",
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


def _outliers(recipe: Recipe, finding: Finding) -> list[Remedy]:
    """Bound what a single value can do: in the scale, in the inputs, in the loss."""
    inputs, targets = (bool(finding.evidence.get(key)) for key in ("in_inputs", "in_targets"))
    numbers = recipe.training.loss in ("mse", "l1", "huber")
    scale: dict[str, object] = {"data.scale": "robust"}
    bound: dict[str, object] = {}
    reasons = ["Scale by median and quartiles, which a few extreme values do not move"]
    if inputs and not recipe.is_series:
        bound["data.clip"] = 5.0
        reasons.append("move inputs beyond 5 such units to 5")
    losses = ("huber", "l1") if targets and numbers else ("",)
    offers = []
    for loss in losses:
        edit, why = {**scale, **bound}, list(reasons)
        if loss:
            edit["training.loss"] = loss
            why.append("let no row pull harder than its neighbours by the square of its error")
        offers.append(
            Remedy(
                edit,
                ", and ".join(why) + ".",
                "The ordinary rows are learned; the extreme ones stay as far off as they were.",
            )
        )
    offers.append(
        Remedy(
            {**offers[0].edit, "training.clip_norm": 1.0},
            "The same, and a bound on each step's gradient.",
            offers[0].expected,
        )
    )
    return offers


def _keep_apart(recipe: Recipe, finding: Finding) -> list[Remedy]:
    """Against each kind of leakage its own edit."""
    kind = finding.evidence.get("kind")
    honest = "The held-out error is that of data the network has not met."
    if kind == "repeats":
        return [
            Remedy(
                {"data.deduplicate": True},
                "Keep one of each set of equal sequences, before they are dealt out.",
                honest,
            )
        ]
    if kind == "overlap":
        return [
            Remedy(
                {"data.split": "last"},
                "Hold out the last windows, in their order: no training window goes on where one "
                "of them ends.",
                honest,
            )
        ]
    if kind == "target":
        # Of the features as they are now, some may have been dropped before.
        left = int(str(finding.evidence["feature"]))
        for dropped in recipe.data.drop:
            left += dropped <= left
        return [
            Remedy(
                {"data.drop": (*recipe.data.drop, left)},
                "Leave the feature out that is the target.",
                "The network has to tell the target from what is known before.",
            )
        ]
    return [
        Remedy(
            {"data.scale": scale},
            "Scale again, by the training part alone: that undoes what the common scale told.",
            honest,
        )
        for scale in ("standard", "minmax")
    ]


def _show_more(recipe: Recipe, finding: Finding) -> list[Remedy]:
    """Train on what is asked for: deal out at random, or hold less of a series out."""
    if finding.evidence.get("held_out_alike"):
        return []  # however they are dealt out, they stay one and the same
    if not recipe.is_series:
        if recipe.data.split == "random":
            return []
        return [
            Remedy(
                {"data.split": "random"},
                "Deal the sequences out at random, so that both parts hold some of everything.",
                "The network is trained on what it is asked for.",
            )
        ]
    offers = []
    for part in (recipe.data.validation / 2, recipe.data.validation / 4):
        if not enough_held_out(recipe, part):
            continue
        scale = "none" if recipe.data.scale == "none" else "standard"
        offers.append(
            Remedy(
                {"data.validation": float(f"{part:.3g}"), "data.scale": scale},
                f"Hold only the last {share(part)} of the series out, so that the training part "
                "reaches into what is asked for; and collect more of it.",
                "The network is trained on what it is asked for.",
            )
        )
    return offers


def _look_further(recipe: Recipe, finding: Finding) -> list[Remedy]:
    """Of a series, a longer past; of other data no edit gives inputs what they do not hold."""
    if not recipe.is_series:
        return []
    return [
        Remedy(
            {"data.window": window},
            "If the next value depends on anything, it may lie further back than the window.",
            "The held-out error falls below that of the mean; if not, the series is noise.",
        )
        for window in wider(recipe, [4 * recipe.data.window])
    ]


def _scale(recipe: Recipe, finding: Finding) -> list[Remedy]:
    """Inputs and targets to a common size; of targets told in words of their own."""
    offers = scale(recipe, finding)
    if finding.evidence.get("kind") != "targets":
        return offers
    reason = (
        "Move each target, and each input, to mean 0 and standard deviation 1, by the training "
        "part alone; answers and errors are told in the data's own units all the same."
    )
    expected = "Every target counts alike, and an ordinary step is an ordinary one for it."
    longer: dict[str, object] = {
        "data.scale": "standard",
        "training.epochs": 4 * recipe.training.epochs,
    }
    standard = [Remedy(dict(each.edit), reason, expected) for each in offers[:1]]
    patient = [Remedy(longer, "The same, with more time.", expected) for _ in standard]
    robust = [Remedy(dict(each.edit), each.reason, expected) for each in offers[1:2]]
    return [*standard, *patient, *robust]


OFFERS: dict[str, Offer] = {
    "leakage": _keep_apart,
    "low-data-diversity": _show_more,
    "outliers": _outliers,
    "no-signal": _look_further,
    "missing-values": _missing,
    "unscaled-input": _scale,
    "outside-training-range": _range,
}


def _against_no_scale(recipe: Recipe, finding: Finding) -> tuple[Advice, ...]:
    if finding.evidence.get("kind") != "targets":
        return (CLIPPING, RANDOM_STATE, DROPOUT)
    return (
        Advice(
            "use a higher or a lower learning rate",
            "One rate moves the head and all the rest: what suits targets of this size throws the "
            "gates about, or leaves them where they began.",
        ),
        DROPOUT,
    )


WOULD_NOT_HELP: dict[str, Advised] = {
    "low-data-diversity": (
        Advice(
            "train longer, or with more units",
            "It fits what it was shown even better; of the rest it knows as little.",
        ),
        Advice(
            "add dropout, or L2",
            "They make the map within the range smoother, and show nothing of what lies beyond.",
        ),
        Advice(
            "copy the sequences, or add noise to them",
            "Copies span what the originals span. Noise widens them by itself alone: it is the "
            "answers that go with other values which are not known.",
        ),
    ),
    "leakage": (
        Advice(
            "add dropout, or stop early, by the held-out loss",
            "That loss is the one that cannot be believed.",
        ),
        Advice(
            "use cross-validation",
            "Each fold leaks in the same way: copies and overlapping windows stand on both sides.",
        ),
    ),
    "outliers": (
        Advice(
            "drop the extreme rows",
            "Nobody would know that they are gone, nor what the network says when such a value "
            "comes again. Bound what they do, and keep them.",
        ),
        Advice(
            "standardise",
            "Mean and standard deviation are what the extreme values have taken for themselves.",
        ),
        LONGER,
    ),
    "no-signal": (
        Advice(
            "add L2, or dropout",
            "They keep the network from learning the noise by heart; there is still nothing else "
            "to learn.",
        ),
        Advice(
            "use a larger network, or train longer",
            "It then learns more by heart, and tells no more of what it has not seen.",
        ),
        Advice(
            "scale the inputs",
            "In whatever units, they have nothing in common with the targets.",
        ),
    ),
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
    "unscaled-input": _against_no_scale,
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
