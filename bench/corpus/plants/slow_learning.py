"""slow-learning: steps that are too small, or too few, to get anywhere.

Faulty: a rate a hundredth or less of the one that learns, for adaptive optimisers and for SGD; one
epoch of large batches; an SGD whose gradient is clipped to a ten-thousandth. Healthy: a low rate
with the epochs it needs; a run that has arrived and therefore stands still, its rate at zero.
"""

from __future__ import annotations

import numpy as np

from bench.corpus.plants import learnable
from bench.corpus.plants.learnable import any_of, told
from bench.corpus.sample import Sample

SYMPTOM = "slow-learning"
# A network that is still where it began explains nothing, and gives nearly the same to everything.
BRINGS = frozenset({"underfitting", "stalled-loss", "constant-output", "state-collapse"})


def faulty(rng: np.random.Generator) -> Sample:
    """Steps too small or too few."""
    problem = any_of(rng)
    recipe = learnable.recipe(rng, problem)
    training = recipe["training"]
    training["epochs"] = int(rng.integers(12, 20))
    kind = int(rng.integers(4))
    if kind == 0:
        optimizer, rate = str(rng.choice(["adam", "adamw", "rmsprop"])), rng.choice([1e-6, 1e-5])
        training |= {"optimizer": optimizer, "learning_rate": float(rate)}
        what = f"{optimizer} at {rate:g}"
    elif kind == 1:
        rate = float(rng.choice([1e-5, 1e-4, 3e-4]))
        training |= {"optimizer": "sgd", "learning_rate": rate, "batch_size": 32}
        what = f"sgd at {rate:g}"
    elif kind == 2:
        training |= {"epochs": 1, "batch_size": 64, "learning_rate": 1e-3}
        what = "one epoch of batches of 64"
    else:
        bound = float(rng.choice([1e-4, 1e-3]))
        training |= {"optimizer": "sgd", "learning_rate": 0.1, "clip_norm": bound, "batch_size": 32}
        what = f"sgd at 0.1, gradients clipped to {bound:g}"
    return Sample(SYMPTOM, told(what, recipe, problem.what), recipe, also=BRINGS)


def healthy(rng: np.random.Generator) -> Sample:
    """Small steps that arrive, or none that are needed any more."""
    kind = int(rng.integers(3))
    problem = any_of(rng, learnable.LAST if kind == 0 else learnable.TASKS)
    recipe = learnable.recipe(rng, problem)
    training = recipe["training"]
    if kind == 0:
        training |= {"learning_rate": 1e-3, "epochs": 60, "batch_size": 16}
        what = "adam at 1e-3, 60 epochs"
    elif kind == 1:
        training |= {"epochs": 40, "scheduler": "cosine", "batch_size": 16}
        what = "a cosine down to zero over 40 epochs"
    else:
        training |= {"epochs": 36, "scheduler": {"name": "step", "every": 12, "factor": 0.03}}
        what = "a rate cut to a thirtieth twice, after it had learned"
    return Sample(None, told(what, recipe, problem.what), recipe)
