"""oscillating-loss: a rate at which every step jumps over what it looks for.

Faulty: a rate 30 to 300 times the one that learns, for adaptive optimisers and for SGD, with and
without a scheduler that comes too late. Healthy: a course that is loud and arrives: batches of four
or eight, targets with noise in them, SGD near the largest rate that still learns.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.corpus.plants import learnable
from bench.corpus.plants.learnable import Problem, any_of, told
from bench.corpus.sample import Sample

SYMPTOM = "oscillating-loss"
# Gates thrown to their ends, states that merge there and a gradient that dies or leaps there are
# what the steps have done; a loss that leaves the range of numbers is where it ends. What swings
# answers the batches of its last steps better than what it has not seen.
BRINGS = frozenset(
    {
        "saturated-gates",
        "state-collapse",
        "vanishing-gradient",
        "exploding-gradient",
        "dead-units",
        "non-finite",
        "constant-output",
        "stalled-loss",
        "underfitting",
        "overfitting",
    }
)


def faulty(rng: np.random.Generator) -> Sample:
    """Too large a rate."""
    problem = any_of(rng)
    optimizer = str(rng.choice(["adam", "adamw", "rmsprop", "sgd"]))
    recipe = learnable.recipe(rng, problem, training=_epochs(rng))
    if optimizer == "sgd":
        # A loss whose slope is bounded by its kind needs more to be thrown about.
        # At more than some units a squared error leaves the range of numbers before it swings.
        rate = float(rng.choice([2.0, 3.0, 4.0]))
        rate *= 1.0 if problem.loss == "mse" else 50.0
    else:
        rate = float(rng.choice([2.0, 3.0, 5.0]))
    recipe["training"] |= {"optimizer": optimizer, "learning_rate": rate}
    scheduled = _late_scheduler(rng, recipe["training"])
    what = f"{optimizer} at a rate of {rate:g}{scheduled}"
    return Sample(SYMPTOM, told(what, recipe, problem.what), recipe, also=BRINGS)


def _epochs(rng: np.random.Generator) -> dict[str, Any]:
    return {"epochs": int(rng.integers(12, 20))}


def _late_scheduler(rng: np.random.Generator, training: dict[str, Any]) -> str:
    """One that lowers the rate, but not to where anything is learned."""
    drawn = rng.random()
    if drawn < 0.2:
        training["scheduler"] = {"name": "plateau", "factor": 0.7, "patience": 3}
        return ", lowered on plateaus by 0.7"
    if drawn < 0.35:
        training["scheduler"] = {"name": "step", "every": 10, "factor": 0.5}
        return ", halved every 10 epochs"
    return ""


def healthy(rng: np.random.Generator) -> Sample:
    """A loud course that arrives."""
    kind = int(rng.integers(3))
    if kind == 0:
        problem = any_of(rng)
        recipe = learnable.recipe(rng, problem)
        recipe["training"] |= {"batch_size": int(rng.choice([4, 8])), "epochs": 12}
        what = f"batches of {recipe['training']['batch_size']}"
    elif kind == 1:
        problem = _noisy(rng, any_of(rng, learnable.NUMBERS, 700))
        recipe = learnable.recipe(rng, problem)
        recipe["training"] |= {"batch_size": 8, "epochs": 12}
        what = "noisy targets, batches of 8"
    else:
        problem = any_of(rng, (learnable.recent_sum, learnable.wave_ahead))
        recipe = learnable.recipe(rng, problem)
        rate = float(rng.choice([0.05, 0.1] if recipe["model"]["cell"] == "rnn" else [0.1, 0.3]))
        recipe["training"] |= {"optimizer": "sgd", "learning_rate": rate, "epochs": 30}
        recipe["training"]["batch_size"] = 8
        what = f"sgd at {rate:g}, batches of 8"
    return Sample(None, told(what, recipe, problem.what), recipe)


def _noisy(rng: np.random.Generator, problem: Problem) -> Problem:
    """Noise of a fifth to two fifths of the targets' own size."""
    part = float(rng.uniform(0.2, 0.4))
    y = problem.y + part * problem.y.std() * rng.normal(size=problem.y.shape)
    return problem.spoilt(y=y, what=f"{problem.what}, noise of {part:.2f}")
