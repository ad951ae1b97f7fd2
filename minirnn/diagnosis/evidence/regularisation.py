"""What a recipe's regularisers cost: those on the weights by their price, those that are noise.

Measured against what a network needs that answers well, so that it can be told whether it could
afford to: weights of the size that networks begin with, and answers that rise above the noise.

Formula    price of a penalty (`l1`, `l2`, and `weight_decay` d of an optimiser that adds it to the
           gradient, which is d/2 |w|^2) = what it adds to the loss for weights of the usual size
           (Glorot and orthogonal), over the loss of the best constant answer: over all that
           learning can gain
           price of AdamW's decay d = d times the root mean square of usual weights: a step takes
           d w rate away, and Adam gives back at most about the rate
           price of dropout p on H units = 2 p / ((1 - p) H), the variance that it puts into a sum
           over them, relative to the sum's own; of noise of standard deviation s = s^2 over the
           inputs' variance
           shrunk = |weights now| / |weights of the usual size|
           noise = mean squared difference between the answers as training sees them and those
           without dropout and noise / variance of the latter between inputs
Cost       a network made anew, and 8 forward passes of the probe's sample where there is dropout or
           noise; nothing where the recipe has no regulariser
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minirnn.device import array_namespace
from minirnn.diagnosis.build import build_model
from minirnn.diagnosis.data import PreparedData
from minirnn.diagnosis.evidence.left_alone import left_alone
from minirnn.diagnosis.evidence.naive import constant_loss
from minirnn.diagnosis.recipe import Recipe
from minirnn.inspect.host import fetch
from minirnn.nn import SequenceModel
from minirnn.tensor import no_grad
from minirnn.training.augment import GaussianNoise
from minirnn.training.losses import align, run_model
from minirnn.training.penalties import Penalty, penalised
from minirnn.training.predict import mode
from minirnn.training.sequences import Sequences

ON_WEIGHTS = ("training.l1", "training.l2", "training.weight_decay")
NOISES = ("model.dropout", "model.head_dropout", "data.augment.noise")
DRAWS = 8
USUAL: dict[str, object] = {
    "model.init.kernel": "glorot_uniform",
    "model.init.recurrent": "orthogonal",
    "model.init.bias": "zeros",
}


@dataclass(frozen=True)
class Regularisation:
    """What was measured: prices by recipe key, of those on the weights and of those that are noise.

    shrunk  |weights now| / |usual weights|, matrices alone
    noise   mean squared difference that dropout and noise make to the answers, over the variance
            of these between inputs; NaN where nothing draws, or the answers do not differ
    """

    on_weights: Mapping[str, float]
    noises: Mapping[str, float]
    shrunk: float
    noise: float


def measure_regularisation(
    model: SequenceModel, recipe: Recipe, data: PreparedData, part: Sequences
) -> Regularisation | None:
    """Measure a trained model's, on some of its training sequences; None without regularisers.

    The model's modes and random generators are put back as they were.
    """
    weights_asked = [key for key in ON_WEIGHTS if _asked(recipe.get(key))]
    noises = {key: _noise_price(key, recipe, part) for key in NOISES if recipe.get(key)}
    if not weights_asked and not noises:
        return None
    usual = build_model(recipe.edit(USUAL), data.host)
    naive = constant_loss(recipe.training.loss, data.host.training) or np.nan
    prices = {key: _weight_price(key, recipe, usual, naive) for key in weights_asked}
    return Regularisation(
        prices,
        noises,
        _size(model) / _size(usual),
        _noise(model, recipe, part) if noises else np.nan,
    )


def _asked(strength: Any) -> bool:
    return any(strength.values()) if isinstance(strength, Mapping) else bool(strength)


def _weight_price(key: str, recipe: Recipe, usual: SequenceModel, naive: float) -> float:
    options = recipe.training
    if key == "training.weight_decay" and options.optimizer == "adamw":
        count = sum(weight.size for kind, weight in penalised(usual) if kind != "bias")
        return options.weight_decay * _size(usual) / float(np.sqrt(count))
    penalty = {
        "training.l1": lambda: Penalty(l1=options.l1),
        "training.l2": lambda: Penalty(l2=options.l2),
        "training.weight_decay": lambda: Penalty(l2=options.weight_decay / 2),
    }[key]()
    with no_grad():
        return float(penalty(usual).item()) / naive


def _noise_price(key: str, recipe: Recipe, part: Sequences) -> float:
    if key == "data.augment.noise":
        xp = array_namespace(part.x)
        rows = part.x[xp.isfinite(part.x).all(axis=(1, 2))]
        variance = float(rows.var(dtype=np.float64)) if len(rows) else np.nan
        # A product, which overflows to infinity; a power would raise.
        noise = recipe.data.augment.noise
        return noise * noise / variance if variance else np.inf
    p = float(recipe.get(key))
    units = recipe.model.hidden_size * (2 if recipe.model.bidirectional else 1)
    return 2.0 * p / ((1.0 - p) * units)


def _size(model: SequenceModel) -> float:
    """The norm of all matrices that a penalty is of."""
    weights = [weight.data for kind, weight in penalised(model) if kind != "bias"]
    xp = array_namespace(weights[0])
    return float(np.sqrt(sum(fetch(*[xp.sum(xp.square(w, dtype=np.float64)) for w in weights]))))


def _noise(model: SequenceModel, recipe: Recipe, part: Sequences) -> float:
    augment = GaussianNoise(recipe.data.augment.noise)
    xp = array_namespace(part.x)

    def answers(sequences: Sequences) -> Any:
        return xp.asarray(align(run_model(model, sequences), sequences)[0].data, dtype=np.float64)

    with no_grad(), np.errstate(all="ignore"):
        with left_alone(model), mode(model, training=True):
            drawn = [answers(augment(part, np.random.default_rng(k))) for k in range(DRAWS)]
        with mode(model, training=False):
            clean = answers(part)
        moved = sum(((each - clean) ** 2).mean(axis=0).sum() for each in drawn) / DRAWS
        between, added = fetch(clean.var(axis=0).sum(), moved)
    return added / between if between else np.nan
