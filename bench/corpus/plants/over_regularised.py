"""over-regularised: a penalty, a decay, dropout or noise so strong that nothing is learned."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.corpus.plants import learnable
from bench.corpus.sample import Sample

SYMPTOM = "over-regularised"
Tables = dict[str, dict[str, Any]]
# With weights near zero, or answers that must be small against their noise, states and answers of
# different inputs come together, little of the targets is explained, and what gradient there is
# passes through weights of no size.
BROUGHT = frozenset(
    {"state-collapse", "constant-output", "underfitting", "stalled-loss", "vanishing-gradient"}
)
KINDS = ("l2", "l2 by kind", "l1", "decay", "adamw", "head dropout", "dropout", "noise")


def faulty(rng: np.random.Generator) -> Sample:
    """One regulariser, some tens of times as strong as the task bears.

    How strong that is was measured: at a tenth of it most of these networks learn half of their
    task or more, without it all of them learn nearly all.
    """
    kind = KINDS[int(rng.integers(len(KINDS)))]
    u = float(rng.uniform())
    strength = {
        "l2": 0.5 * 4**u,
        "l2 by kind": 1.0 * 4**u,
        "l1": 0.3 * 3**u,
        "decay": 1.0 * 4**u,
        "adamw": 20.0 * 3**u,
        "head dropout": 0.985 + 0.01 * u,
        "dropout": 0.99 + 0.008 * u,
        "noise": 6.0 * 2**u,
    }[kind]
    return _sample(rng, kind, strength, SYMPTOM)


def healthy(rng: np.random.Generator) -> Sample:
    """The same regularisers at strengths that are usual, or a little above."""
    kind = KINDS[int(rng.integers(len(KINDS)))]
    u = float(rng.uniform())
    strength = {
        "l2": 1e-5 * 200**u,
        "l2 by kind": 1e-5 * 500**u,
        "l1": 1e-5 * 50**u,
        "decay": 1e-5 * 200**u,
        "adamw": 0.01 * 30**u,
        "head dropout": 0.1 + 0.4 * u,
        "dropout": 0.1 + 0.4 * u,
        "noise": 0.02 + 0.2 * u,
    }[kind]
    return _sample(rng, kind, strength, None)


def _sample(rng: np.random.Generator, kind: str, strength: float, symptom: str | None) -> Sample:
    # What little comes through between layers is enough, now and then, to tell classes apart or to
    # go on with a wave: of six networks at 0.99 three explained 0.86 to 0.98 of it. Of sums, of
    # which every part has to come through, ten explained 0.6 at most.
    sums = (learnable.recent_sum, learnable.recent_mix)
    tasks = sums if kind == "dropout" and symptom else learnable.TASKS
    problem = learnable.any_of(rng, tasks)
    strength = float(f"{strength:.4g}")
    layers = 2 if kind == "dropout" or rng.random() < 0.2 else 1
    tables: Tables = {"data": {}, "training": {}, "model": {"num_layers": layers}}
    if not problem.per_step and rng.random() < 0.2:
        tables["model"]["bidirectional"] = True
    if kind == "l2 by kind":
        # On the matrices alone, as Keras's kernel_ and recurrent_regularizer.
        tables["training"]["l2"] = {"kernel": strength, "recurrent": strength}
    elif kind in ("l1", "l2"):
        tables["training"][kind] = strength
    elif kind in ("decay", "adamw"):
        tables["training"] |= {"weight_decay": strength}
        tables["training"] |= {"optimizer": "adamw"} if kind == "adamw" else {}
    elif kind == "noise":
        tables["data"]["augment"] = {"noise": strength}
    else:
        tables["model"][kind.replace(" ", "_")] = strength
    recipe = learnable.recipe(rng, problem, **tables)
    what = f"{kind} {strength:g}, {layers} layer(s)"
    also = BROUGHT if symptom else frozenset()
    return Sample(symptom, learnable.told(what, recipe, problem.what), recipe, also=also)
