"""Mistakes in a user's own training loop, in PyTorch; and those that a recipe can hold as well."""

from __future__ import annotations

from minirnn.diagnosis.cases import data, scripts
from minirnn.diagnosis.cases.case import Case, Fix, Tables
from minirnn.diagnosis.cases.identical_data import time_first
from minirnn.diagnosis.cases.identical_outputs import carried
from minirnn.diagnosis.cases.unclean_data import padded, scaled_in_time, scaled_too_early


def shuffled(seed: int) -> Tables:
    """Labels in another order than their sequences."""
    made = data.recent_sum(seed)
    made["y"] = data.rng_of(seed, "shuffled").permutation(made["y"])
    return {
        "data": made,
        "model": {"hidden_size": 24},
        "training": {"learning_rate": 1e-2, "epochs": 20},
    }


def in_order(seed: int) -> dict[str, object]:
    """The labels in their order."""
    return {"data.y": data.recent_sum(seed)["y"]}


def _case(
    id: str,
    says: str,
    truth: str,
    symptom: str,
    script: str,
    covers: str,
    fixes: tuple[Fix, ...] = (),
    curable: bool = True,
) -> Case:
    return Case(
        f"code.{id}",
        says,
        truth,
        script=script,
        expect=(symptom,),
        blames=frozenset({symptom}),
        cause=("true",),
        covers=(covers,),
        fixes=fixes,
        curable=curable,
    )


LOWER = Fix("rate", "Lower the rate", ("does nothing",), (("lr=1e-2", "lr=1e-3"),))
LONGER = Fix(
    "longer", "Train three times as long", ("does nothing",), (("range(14)", "range(42)"),)
)

CASES = (
    _case(
        "broadcast",
        "A target (N,) against an output (N, 1)",
        "They broadcast to (N, N): everything is compared with everything, and the mean is best.",
        "shape-broadcast",
        scripts.BROADCAST,
        "cause: broadcast targets",
        (LOWER, LONGER),
    ),
    _case(
        "zero-grad",
        "optimizer.zero_grad() is forgotten",
        "Every step adds all gradients before it.",
        "accumulated-gradients",
        scripts.FORGOTTEN,
        "cause: forgotten zero_grad",
        (
            Fix(
                "rate",
                "Lower the rate tenfold",
                ("does nothing", "helps"),
                (("lr=0.1", "lr=0.01"),),
            ),
        ),
    ),
    _case(
        "shuffled",
        "The labels were shuffled, the sequences not",
        "Nothing in the inputs tells them any more.",
        "no-signal",
        scripts.SHUFFLED,
        "cause: shuffled labels",
        (
            LONGER,
            Fix(
                "order",
                "Keep them in order",
                ("cures",),
                (("y = y[torch.randperm(640)]\n", ""),),
                ours=True,
            ),
        ),
        curable=False,
    ),
    _case(
        "swapped",
        "batch_first=True is forgotten",
        "The recurrence runs from sequence to sequence.",
        "batch-time-swap",
        scripts.SWAPPED,
        "cause: batch and time swapped",
        (LONGER,),
    ),
    _case(
        "padding",
        "out[:, -1] of padded sequences",
        "It is read from the padding.",
        "reads-padding",
        scripts.PADDED,
        "cause: reading padding",
        (LOWER,),
    ),
    _case(
        "carried",
        "The state is carried from batch to batch",
        "A sequence begins with what another left.",
        "carried-state",
        scripts.CARRIED,
        "cause: state carried",
    ),
    Case(
        "code.shuffled-recipe",
        "Shuffled labels, as a recipe",
        "The same.",
        recipe=shuffled,
        expect=("no-signal",),
        blames=frozenset({"no-signal"}),
        cause=("true",),
        covers=("cause: shuffled labels",),
        curable=False,
        fixes=(
            Fix("units", "Use more units", ("does nothing",), {"model.hidden_size": 64}),
            Fix("order", "Keep them in order", ("cures",), in_order, ours=True),
        ),
    ),
    Case(
        "code.scaler-recipe",
        "The scaler was fitted before the split, as a recipe",
        "What is held out was known to the scaler: its score tells less than it seems to.",
        recipe=scaled_too_early,
        expect=("leakage",),
        blames=frozenset({"leakage"}),
        cause=("true",),
        covers=("cause: scaler fitted before the split",),
        curable=False,
        fixes=(
            Fix(
                "train",
                "Fit it on the training part",
                ("cures", "does nothing"),
                instead=scaled_in_time,
                ours=True,
            ),
        ),
    ),
    Case(
        "code.swapped-recipe",
        "Arrays (T, N, I) read as (N, T, I), as a recipe",
        "The same.",
        recipe=time_first,
        expect=("batch-time-swap",),
        blames=frozenset({"batch-time-swap"}),
        cause=("true",),
        covers=("cause: batch and time swapped",),
    ),
    Case(
        "code.padding-recipe",
        "Padded sequences without their lengths, as a recipe",
        "The same.",
        recipe=padded,
        expect=("reads-padding",),
        blames=frozenset({"reads-padding"}),
        cause=("true",),
        covers=("cause: reading padding",),
        curable=False,
        fixes=(
            Fix(
                "lengths",
                "Tell the lengths",
                ("cures",),
                instead=lambda seed: padded(seed, known=True),
                ours=True,
            ),
        ),
    ),
    Case(
        "code.carried-recipe",
        "A state carried between sequences, as a recipe",
        "The same.",
        recipe=carried,
        expect=("carried-state",),
        blames=frozenset({"carried-state"}),
        cause=("true",),
        covers=("cause: state carried",),
        fixes=(
            Fix(
                "zeros", "Begin with zeros", ("cures",), {"model.initial_state": "zeros"}, ours=True
            ),
        ),
    ),
)
