"""Scheduled sampling: training inputs that the model made itself, as in a free run.

A model that is trained on true inputs alone has never seen its own mistakes, which a free run feeds
it from the second step on. With scheduled sampling each input after a sequence's first is replaced,
with some probability, by what the model answered to the steps before it, replaced ones included.

Source: Bengio, Vinyals, Jaitly and Shazeer 2015, "Scheduled sampling for sequence prediction with
recurrent neural networks" (arXiv 1506.03099), section 2.4, with its linear schedule. No gradient
goes through the choice, as there.

B sequences, T steps, I inputs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from minirnn import functional
from minirnn.device import Array, array_namespace, beside
from minirnn.errors import ArgumentError
from minirnn.nn import Module, SequenceModel
from minirnn.real import is_real
from minirnn.tensor import no_grad
from minirnn.training.generation import draw, one_hot
from minirnn.training.losses import Loss, is_batch_first
from minirnn.training.predict import mode
from minirnn.training.sequences import Sequences


class ScheduledSampling:
    """Replaces inputs of training batches, with a probability that rises from epoch to epoch.

    most    the probability in the last epoch; it rises to it from 0 in the first, in equal steps
    epochs  how many there will be (where there is one alone, `most` holds in it)

    What the model answers is fed as it is, or, of class labels, as the one-hot vector of a class
    drawn from its probabilities. It is asked in evaluation mode, but begins with the states that
    the training step will begin with: those carried, drawn or learned. A model that answers after
    the last step only (`readout="last"`, trained on windows of a series) is asked at every step
    what it would answer there, after as many steps of its window.
    """

    def __init__(self, most: float, epochs: int, seed: int) -> None:
        """The same seed gives the same choices, wherever a run is resumed."""
        self.most, self.epochs, self.seed = most, epochs, seed

    def probability(self, epoch: int) -> float:
        """With which an input is replaced in that epoch, counted from 1."""
        return self.most * (epoch - 1) / (self.epochs - 1) if self.epochs > 1 else self.most

    def __call__(self, model: Module, batch: Sequences, epoch: int, number: int) -> Sequences:
        """A batch of that epoch with some inputs replaced; the one given stays as it is."""
        rng = np.random.default_rng((self.seed, epoch, number, 1))
        return with_own_answers(model, batch, self.probability(epoch), rng)


def with_own_answers(
    model: Module, batch: Sequences, probability: float, rng: np.random.Generator
) -> Sequences:
    """A batch whose inputs after the first step are the model's own, each with a probability."""
    B, T = batch.x.shape[:2]
    # Drawn on the CPU, so that a seed gives the same on both devices.
    chosen = rng.random((T, B)) < probability
    chosen[0] = False
    if batch.lengths is not None:
        chosen &= np.arange(T)[:, None] < batch.lengths
    steps = np.flatnonzero(chosen.any(axis=1))
    if not len(steps):
        return batch
    xp = array_namespace(batch.x)
    x = xp.ascontiguousarray(batch.x.swapaxes(0, 1))
    x = x.copy() if x.base is not None else x
    batch_first = is_batch_first(model)
    state = _start(model, batch)
    read = 0
    with mode(model, training=False), no_grad():
        for t in steps.tolist():
            fed = x[read:t]
            output, state = model(
                fed.swapaxes(0, 1).copy() if batch_first else fed, state, return_state=True
            )
            answer = output.data
            if answer.ndim == 3:
                answer = answer[:, -1] if batch_first else answer[-1]
            if batch.is_labels:
                answer = one_hot(draw(answer, 1.0, rng), answer)
            x[t] = xp.where(beside(chosen[t], x)[:, None], answer, x[t])
            read = t
    return replace(batch, x=xp.ascontiguousarray(x.swapaxes(0, 1)))


def _start(model: Module, batch: Sequences) -> Any:
    """The states that the training step on this batch will begin with; None is zeros."""
    if not isinstance(model, SequenceModel) or model.initial_state == "zeros":
        return None
    with no_grad():
        return model.initial.ahead(len(batch), batch.x)


def check_probability(most: Any) -> float:
    """Raises: ArgumentError, for what is none."""
    if not is_real(most) or not 0.0 <= most <= 1.0:
        raise ArgumentError("scheduled_sampling", repr(most), "a probability, from 0 to 1")
    return float(most)


def check_scheduled_sampling(model: Module, data: Sequences, loss: Loss, most: float) -> None:
    """See that the answer of a model at a step can be its next input, where that is asked for.

    Raises: ArgumentError, for another model, and for data whose targets are not the next inputs, as
    far as they tell.
    """
    if not most:
        return
    wanted = "0, for this model"
    if not isinstance(model, SequenceModel) or model.recurrent.bidirectional:
        came = f"{most:g} with a {type(model).__name__}"
        if isinstance(model, SequenceModel):
            came = f"{most:g} with a bidirectional model"
        raise ArgumentError(
            "scheduled_sampling", came, "0, or a SequenceModel of one direction",
            "Its answer at a step must not depend on the inputs after it",
        )  # fmt: skip
    inputs, outputs = data.x.shape[-1], model.head.out_features
    if inputs != outputs:
        raise ArgumentError(
            "scheduled_sampling", f"{most:g} with {inputs} inputs and {outputs} outputs", wanted,
            "An answer cannot take the place of an input",
        )  # fmt: skip
    if loss is functional.binary_cross_entropy_with_logits:
        raise ArgumentError(
            "scheduled_sampling", f"{most:g} with the loss 'bce'", wanted,
            "Several probabilities are no input that the data could hold",
        )  # fmt: skip
    if not _foretells(data):
        raise ArgumentError(
            "scheduled_sampling", f"{most:g} for targets that are not the next inputs", wanted,
            "What the model answers would be fed to it as something else",
        )  # fmt: skip


def _steps(data: Sequences) -> Array:
    """The inputs (R, I) at all steps that count."""
    x = data.x.reshape(-1, data.x.shape[-1])
    if data.lengths is None:
        return x
    inside = np.arange(data.x.shape[1]) < data.lengths[:, None]
    return x[beside(inside.reshape(-1), x)]


def _one_hot(data: Sequences) -> bool:
    """Whether every input is the one-hot vector of a class, which is what an answer becomes."""
    x = _steps(data)
    return bool((((x == 0.0) | (x == 1.0)).all(axis=1) & (x.sum(axis=1) == 1.0)).all())


def _of_one_kind(data: Sequences) -> bool:
    """Whether at least half of the targets lie where the inputs do, feature by feature."""
    x, y = _steps(data), data.y
    xp = array_namespace(x)
    known = x[xp.isfinite(x).all(axis=1)]
    if not len(known):
        return True
    low, high = known.min(axis=0), known.max(axis=0)
    beyond = (y < low - (high - low)) | (y > high + (high - low))
    return bool((beyond.mean(axis=0) <= 0.5).all())


def _foretells(data: Sequences) -> bool:
    """Whether the targets may be the inputs of the next steps; what stands there, where it does.

    What follows a sequence's last step stands nowhere. But numbers that follow one another are of
    one kind: where most of the targets lie beyond all inputs, by more than these reach from the
    least to the largest, they are something else.
    """
    if not data.is_labels and data.y.shape[-1] != data.x.shape[-1]:
        return False
    if not data.per_step:
        return _one_hot(data) if data.is_labels else _of_one_kind(data)
    following, target = data.x[:, 1:], data.y[:, :-1]
    xp = array_namespace(data.x)
    same = (
        (following == (target[..., None] == xp.arange(data.x.shape[-1]))).all(axis=-1)
        if data.is_labels
        else xp.isclose(following, target, rtol=1e-4, atol=1e-5).all(axis=-1)
    )
    if data.lengths is not None:
        past = np.arange(1, data.x.shape[1]) >= data.lengths[:, None]
        same = same | beside(past, same)
    return bool(same.all())
