"""stalled-loss: training goes on, and the loss does not, with nothing wrong in data or steps.

Faulty: every matrix begins at zero, so that no gradient passes the head, nor ever will; or a
scheduler that takes the rate away while the loss still falls. Healthy: a recurrent or an input
matrix of zeros with the other drawn at random; the same schedulers where they come late enough.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.corpus.plants import learnable
from bench.corpus.plants.learnable import any_of, told
from bench.corpus.sample import Sample

SYMPTOM = "stalled-loss"
# What has learned nothing answers with one number, from states that are all the same.
BRINGS = frozenset({"constant-output", "state-collapse", "underfitting"})


def faulty(rng: np.random.Generator) -> Sample:
    """A start from which nothing leads away, or a rate that is taken away."""
    problem = any_of(rng)
    recipe = learnable.recipe(rng, problem)
    if rng.random() < 0.5:
        recurrent = str(rng.choice(["zeros", "orthogonal", "glorot_uniform"]))
        recipe["model"]["init"] = {"kernel": "zeros", "recurrent": recurrent}
        what = f"kernels of zeros, recurrent {recurrent}"
    else:
        # A wave would be learned before the rate is gone.
        if "wave" in problem.what:
            problem = learnable.recent_sum(rng)
            recipe = learnable.recipe(rng, problem)
        scheduler, what = _hasty(rng)
        recipe["training"] |= {
            "scheduler": scheduler,
            "learning_rate": 1e-3,
            "batch_size": 64,
            "epochs": 20,
        }
    return Sample(SYMPTOM, told(what, recipe, problem.what), recipe, also=BRINGS)


def _hasty(rng: np.random.Generator) -> tuple[dict[str, Any], str]:
    kind = int(rng.integers(3))
    if kind == 0:
        factor = float(rng.choice([0.1, 0.2]))
        return {"name": "step", "every": 1, "factor": factor}, f"times {factor:g} after each epoch"
    if kind == 1:
        return {"name": "cosine", "epochs": 2}, "a cosine that is at zero after 2 epochs"
    return {"name": "step", "every": 2, "factor": 0.01}, "a hundredth of the rate after 2 epochs"


def healthy(rng: np.random.Generator) -> Sample:
    """Zeros in one place only, or a scheduler that waits."""
    problem = any_of(rng)
    recipe = learnable.recipe(rng, problem)
    if rng.random() < 0.5:
        recipe["model"]["init"] = {"recurrent": "zeros"}
        what = "a recurrent matrix of zeros"
    else:
        scheduler, what = _patient(rng, recipe["training"]["epochs"])
        recipe["training"]["scheduler"] = scheduler
    return Sample(None, told(what, recipe, problem.what), recipe)


def _patient(rng: np.random.Generator, epochs: int) -> tuple[dict[str, Any], str]:
    kind = int(rng.integers(3))
    if kind == 0:
        every = epochs // 2
        return {"name": "step", "every": every, "factor": 0.1}, "a tenth of the rate half way"
    if kind == 1:
        return {"name": "cosine", "epochs": epochs}, "a cosine over the whole training"
    return {"name": "plateau", "factor": 0.2, "patience": 2}, "a fifth of the rate on plateaus"
