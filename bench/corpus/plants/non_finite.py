"""non-finite: an infinity or a NaN where a number should be.

Faulty: an infinite value among the inputs or the targets; targets whose squares leave the range of
float32; steps of SGD so large that the first few leave it. Healthy: numbers as large, brought to a
common size; gradients as large, clipped; a loss that is huge at first and comes down.
"""

from __future__ import annotations

import numpy as np

from bench.corpus.plants import learnable
from bench.corpus.plants.learnable import any_of, told
from bench.corpus.sample import Sample

SYMPTOM = "non-finite"
# What is lost pins gates, answers nothing, and learns nothing.
BRINGS = frozenset(
    {
        "saturated-gates",
        "vanishing-gradient",
        "state-collapse",
        "dead-units",
        "constant-output",
        "underfitting",
        "stalled-loss",
        "exploding-gradient",
    }
)


def faulty(rng: np.random.Generator) -> Sample:
    """Infinities in the data, or made by the first steps."""
    kind = int(rng.integers(4))
    problem = any_of(rng, learnable.NUMBERS if kind else learnable.TASKS)
    recipe = learnable.recipe(rng, problem, training={"epochs": 12})
    data, curable = recipe["data"], True
    sign = float(rng.choice([-1.0, 1.0]))
    if kind == 0:
        many = int(rng.integers(1, 6))
        for _ in range(many):
            data["x"][tuple(int(rng.integers(n)) for n in data["x"].shape)] = sign * np.inf
        what, curable = f"{many} infinite inputs", False
    elif kind == 1:
        many = int(rng.integers(1, 4))
        for _ in range(many):
            data["y"][tuple(int(rng.integers(n)) for n in data["y"].shape)] = sign * np.inf
        what, curable = f"{many} infinite targets", False
    elif kind == 2:
        size = float(rng.choice([1e21, 1e24, 1e30]))
        data["y"] = data["y"] * np.float32(size)
        what = f"targets of size {size:g}"
    else:
        rate = float(10.0 ** rng.uniform(7, 10))
        recipe["training"] |= {"optimizer": "sgd", "learning_rate": float(f"{rate:.2g}")}
        what = f"sgd at a rate of {rate:.2g}"
    return Sample(SYMPTOM, told(what, recipe, problem.what), recipe, also=BRINGS, curable=curable)


def healthy(rng: np.random.Generator) -> Sample:
    """Huge, and finite."""
    kind = int(rng.integers(3))
    problem = any_of(rng, learnable.NUMBERS)
    recipe = learnable.recipe(rng, problem)
    data, training = recipe["data"], recipe["training"]
    size = np.float32(10.0 ** rng.uniform(6, 15))
    if kind == 0:
        data["x"], data["y"] = data["x"] * size, data["y"] * size
        data["scale"] = str(rng.choice(["standard", "robust"]))
        what = f"numbers of size {size:.1g}, {data['scale']}"
    elif kind == 1:
        training |= {"optimizer": "sgd", "learning_rate": 0.1, "clip_norm": 1.0, "epochs": 40}
        training["batch_size"] = 8
        what = "sgd at 0.1, clipped"
    else:
        data["y"] = data["y"] * np.float32(3.0)
        # At 0.2 one plain RNN in seven was thrown off what it had learned: R2 0.1, gates pinned.
        training |= {"loss": "huber", "optimizer": "sgd", "learning_rate": 0.05, "epochs": 40}
        training["batch_size"] = 8
        what = "targets of three units, huber, sgd at 0.05"
    return Sample(None, told(what, recipe, problem.what), recipe)
