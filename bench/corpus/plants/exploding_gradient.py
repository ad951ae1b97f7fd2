"""exploding-gradient: relu states that grow from step to step, and the gradient with them.

Faulty: an LSTM of relu, or a relu RNN, with the large matrices of He's initialisation, or a relu
RNN of the identity whose every input is kept and summed, over 30 to 60 steps, with no bound on the
gradient; of those draws that leave the first loss far above a constant answer's. Healthy: tanh
with the same matrices; relu with orthogonal ones; a relu GRU; a relu network whose first gradient
is large and clipped, or large in the first steps alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import minirnn as mr
from bench.corpus.plants import learnable
from bench.corpus.plants.learnable import Problem, told
from bench.corpus.sample import Sample
from minirnn.diagnosis.build import build_model
from minirnn.diagnosis.data import prepare
from minirnn.training.predict import predict

SYMPTOM = "exploding-gradient"
# Sums that leave the range of numbers; after them, Adam's steps are tiny for as long as it
# remembers that gradient, and relu units that were thrown below zero stay there.
BRINGS = frozenset(
    {
        "non-finite",
        "slow-learning",
        "dead-units",
        "saturated-gates",
        "state-collapse",
        "constant-output",
        "vanishing-gradient",
        "stalled-loss",
        "underfitting",
    }
)
DRAWS = 60


def faulty(rng: np.random.Generator) -> Sample:
    """A network that explodes, by its first answers."""
    kind = str(rng.choice(["lstm", "rnn", "identity"]))
    optimizer = str(rng.choice(["adam", "sgd"]))
    problem = _long_sum(rng, 30, 60)
    recipe = learnable.recipe(rng, problem)
    recipe["model"] |= {
        "cell": "lstm" if kind == "lstm" else "rnn",
        "activation": "relu",
        "init": {
            "kernel": "he_normal",
            "recurrent": "identity" if kind == "identity" else "he_normal",
        },
        "bidirectional": kind == "lstm" and bool(rng.random() < 0.25),
    }
    recipe["training"] |= {
        "optimizer": optimizer,
        "learning_rate": 3e-3 if optimizer == "adam" else 1e-2,
        "epochs": 10,
        "batch_size": 32,
    }
    # Without momentum and scale, the first step is enough; Adam can come back from some way off.
    above = 3e3 if optimizer == "adam" else 1e2
    if kind == "identity":
        recipe["training"] |= {"optimizer": "sgd", "learning_rate": 1e-2}
        above = 30.0
    _drawn(recipe, rng, least=above)
    init = recipe["model"]["init"]["recurrent"]
    what = f"relu, {init}, {recipe['training']['optimizer']}, no clipping"
    return Sample(SYMPTOM, told(what, recipe, problem.what), recipe, also=BRINGS)


def healthy(rng: np.random.Generator) -> Sample:
    """Networks that look like it, and learn."""
    kind = int(rng.integers(5))
    problem = _long_sum(rng, 24, 44)
    recipe = learnable.recipe(rng, problem)
    model, training = recipe["model"], recipe["training"]
    training |= {"learning_rate": 5e-3, "epochs": 30, "batch_size": 16}
    if kind == 0:
        model |= {"cell": "rnn", "init": {"kernel": "he_normal", "recurrent": "he_normal"}}
        # A tanh RNN of these matrices is chaotic at first: it needs small steps out of it.
        training |= {"learning_rate": 2e-3, "clip_norm": 1.0}
        what = "tanh with He's matrices"
    elif kind == 1:
        model |= {"cell": "rnn", "activation": "relu"}
        training |= {"learning_rate": 2e-3}
        what = "relu, orthogonal"
    elif kind == 2:
        model |= {"cell": "gru", "activation": "relu"}
        training |= {"learning_rate": 3e-3}
        what = "a relu GRU"
    elif kind == 3:
        model |= {"cell": "rnn", "activation": "relu"}
        model["init"] = {"kernel": "he_normal", "recurrent": "identity"}
        # Steps that are all of one length take twice as long: after 30 epochs R2 was 0.66 in one of
        # them, with the loss still falling, and after 60 it was 0.90.
        training |= {"clip_norm": 1.0, "learning_rate": 3e-3, "epochs": 60}
        _drawn(recipe, rng, least=10.0)
        what = "relu, identity, a large gradient that is clipped"
    else:
        model |= {"cell": "rnn", "activation": "relu"}
        model["init"] = {"kernel": "he_normal", "recurrent": "he_normal"}
        training |= {"learning_rate": 3e-3}
        _drawn(recipe, rng, least=2.0, most=8.0)
        what = "relu with He's matrices, a gradient that is large in the first steps"
    return Sample(None, told(what, recipe, problem.what), recipe)


def _long_sum(rng: np.random.Generator, least: int, most: int) -> Problem:
    """The sum of the last two or three values of a long sequence."""
    n, T, k = int(rng.integers(300, 450)), int(rng.integers(least, most)), int(rng.integers(2, 4))
    x = rng.normal(size=(n, T, int(rng.integers(1, 3))))
    y = x[:, -k:, 0].sum(axis=1, keepdims=True) / np.sqrt(k)
    return Problem(x, y, f"sum of the last {k} of {T} steps")


def _drawn(
    recipe: dict[str, Any], rng: np.random.Generator, least: float, most: float = np.inf
) -> None:
    """Draw the weights until the first loss is some times that of the best constant answer."""
    for _ in range(DRAWS):
        recipe["training"]["seed"] = learnable.seed(rng)
        declared = mr.Recipe.from_dict(recipe)
        data = prepare(declared)
        part = data.training
        with np.errstate(all="ignore"):
            given = predict(build_model(declared, data), part.x).astype(np.float64)
            ratio = float(((given - part.y) ** 2).mean() / part.y.var())
        if least <= ratio < most:
            return
    raise RuntimeError("no draw of the weights explodes as it should")
