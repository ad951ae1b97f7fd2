"""What a network answers as training sees it: with the statistics of its batch."""

from __future__ import annotations

import numpy as np

from minirnn.device import array_namespace
from minirnn.diagnosis.evidence.evidence import Answers, answers_to
from minirnn.diagnosis.evidence.left_alone import left_alone
from minirnn.diagnosis.recipe import Recipe
from minirnn.nn import SequenceModel
from minirnn.tensor import no_grad
from minirnn.training.losses import align, resolve_loss, run_model
from minirnn.training.predict import mode
from minirnn.training.sequences import Sequences


def answers_in_training(model: SequenceModel, recipe: Recipe, part: Sequences) -> Answers | None:
    """The answers to some training sequences, by their rows, in batches as training makes them.

    None without batch norm: nothing else answers better in training than after it.
    """
    if recipe.model.norm != "batch":
        return None
    loss = resolve_loss(recipe.training.loss)
    order = np.random.default_rng(recipe.training.seed).permutation(len(part))
    size = min(recipe.training.batch_size, len(part))
    made = []
    with no_grad(), np.errstate(all="ignore"), left_alone(model), mode(model, training=True):
        for start in range(0, len(order) - size + 1, size):
            batch = part.take(order[start : start + size])
            outputs, targets = align(run_model(model, batch), batch)
            made.append(answers_to(outputs.data, targets, None, loss))
    known = [each for each in made if each is not None]
    if not known:
        return None
    xp = array_namespace(known[0].given)
    return Answers(
        xp.concatenate([each.given for each in known]),
        xp.concatenate([each.wanted for each in known]),
    )
