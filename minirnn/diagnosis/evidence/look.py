"""Gather the evidence: run a network on a sample, forward and back, and put aside what is seen."""

from __future__ import annotations

from typing import Any

import numpy as np

from minirnn.device import array_namespace
from minirnn.diagnosis.data import PreparedData
from minirnn.diagnosis.evidence.as_trained import answers_in_training
from minirnn.diagnosis.evidence.evidence import Answers, Evidence, HeldOut, answers_to
from minirnn.diagnosis.evidence.free_run import make_free_run
from minirnn.diagnosis.evidence.loop import LoopSeen
from minirnn.diagnosis.evidence.regularisation import measure_regularisation
from minirnn.diagnosis.recipe import Recipe
from minirnn.inspect import steps
from minirnn.inspect.probe import Probe, gradient_probe
from minirnn.nn import Module, SequenceModel
from minirnn.training.history import History
from minirnn.training.losses import resolve_loss
from minirnn.training.predict import predict
from minirnn.training.sequences import Sequences

Array = Any  # of the model's device
MOST_UNSEEN = 1000  # held-out sequences that are answered
SAMPLE = 240  # sequences that a probe sees: enough for shares to 1%, some tens of megabytes


def sample(data: Sequences, most: int = SAMPLE) -> Sequences:
    """Evenly spread sequences, in order: of a series, from its beginning to its end."""
    rows = np.linspace(0, len(data) - 1, min(most, len(data))).round().astype(int)
    return data.take(np.unique(rows))


def time_major(data: Sequences) -> tuple[Array, Array]:
    """Inputs (T, B, I), and targets with time first where there is one answer a step."""
    xp = array_namespace(data.x)
    x = xp.ascontiguousarray(data.x.swapaxes(0, 1))
    return x, xp.ascontiguousarray(data.y.swapaxes(0, 1)) if data.per_step else data.y


def probe_of(model: SequenceModel, recipe: Recipe, data: PreparedData) -> Probe:
    """The last-step probe of a model on a sample of the training data."""
    part = sample(data.training)
    x, y = time_major(part)
    with np.errstate(all="ignore"):
        return gradient_probe(
            model, x, y, loss=resolve_loss(recipe.training.loss), lengths=part.lengths
        )


def look(
    model: SequenceModel,
    recipe: Recipe,
    data: PreparedData,
    history: History,
    untrained: Probe | None = None,
    loop: LoopSeen | None = None,
) -> Evidence:
    """Everything the detectors may see of a trained model."""
    part = sample(data.training)
    x, y = time_major(part)
    outputs = predict(model, part.x, part.lengths)
    if part.per_step:
        outputs = outputs.swapaxes(0, 1)
    return Evidence(
        inputs=x,
        targets=y,
        lengths=part.lengths,
        probe=probe_of(model, recipe, data),
        answers=answers_to(outputs, y, part.lengths, resolve_loss(recipe.training.loss)),
        parameters=arrays_of(model),
        untrained=untrained,
        history=history,
        recipe=recipe,
        data=data,
        loop=loop,
        held_out=_held_out(model, recipe, data),
        unseen=_unseen(model, recipe, data),
        free_run=make_free_run(model, recipe, data),
        regularisation=measure_regularisation(model, recipe, data, part),
        in_training=answers_in_training(model, recipe, part),
    )


def arrays_of(model: Module) -> dict[str, Array]:
    """The parameters of a model by name."""
    return {name: parameter.data for name, parameter in model.named_parameters()}


def _unseen(model: SequenceModel, recipe: Recipe, data: PreparedData) -> Answers | None:
    """The answers to the held-out part, as fed and asked."""
    if data.validation is None:
        return None
    part = sample(data.validation, MOST_UNSEEN)
    outputs = predict(model, part.x, part.lengths)
    _, y = time_major(part)
    if part.per_step:
        outputs = outputs.swapaxes(0, 1)
    return answers_to(outputs, y, part.lengths, resolve_loss(recipe.training.loss))


def _held_out(model: SequenceModel, recipe: Recipe, data: PreparedData) -> HeldOut | None:
    """Of a task with one answer a sequence, in numbers; None of others or with nothing held out."""
    train, held = data.training, data.validation
    if held is None or held.per_step or held.is_labels:
        return None
    if data.series is not None:
        return HeldOut(
            held.x,
            held.y,
            train.x,
            train.y,
            answers=series_answers(model, data, "validation"),
            trained_answers=series_answers(model, data, "training"),
            naive=series_answers(None, data, "validation"),
            trained_naive=series_answers(None, data, "training"),
            unit=data.unit,
        )
    return HeldOut(
        held.x,
        held.y,
        train.x,
        train.y,
        answers=answers_in_units(model, recipe, data, held),
        trained_answers=answers_in_units(model, recipe, data, train),
    )


def answers_in_units(
    model: SequenceModel, recipe: Recipe, data: PreparedData, part: Sequences
) -> Answers:
    """Answers to sequences in the data's own units, one a sequence or one a valid step (N, O).

    What a "bce" is taught are probabilities.
    """
    outputs = predict(model, part.x, part.lengths)
    if recipe.training.loss == "bce":
        with np.errstate(over="ignore"):
            outputs = 1.0 / (1.0 + array_namespace(outputs).exp(-outputs))
    given, wanted = data.original(outputs), data.original(part.y)
    if part.per_step:
        given, wanted = valid_rows(given, part), valid_rows(wanted, part)
    return Answers(given, wanted)


def valid_rows(array: Array, part: Sequences) -> Array:
    """(R, F): the rows of an array (N, T, F) at all steps of a part that count."""
    ends = np.full(len(part), part.x.shape[1]) if part.lengths is None else part.lengths
    return steps.rows(array.swapaxes(0, 1), ends)


def series_answers(model: SequenceModel | None, data: PreparedData, part: Any) -> Answers:
    """A model's answers to a part of a series in its units; without a model, persistence's."""
    series = data.series
    assert series is not None
    given = series.contexts(part)[:, -1] if model is None else series.predictions(model, part)
    return Answers(given[:, None], series.targets(part)[:, None])
