"""Build what a recipe declares: the model, its optimiser, and a training run."""

from __future__ import annotations

from typing import Any, Literal, TextIO, cast

import numpy as np

from minirnn import init
from minirnn.diagnosis.data import PreparedData
from minirnn.diagnosis.recipe import Recipe
from minirnn.diagnosis.recipe.schedule import make_scheduler
from minirnn.errors import RecipeError
from minirnn.nn import SequenceModel
from minirnn.nn.between import Norm
from minirnn.nn.initial_states import Start
from minirnn.optim import SGD, Adam, AdamW, Optimizer, RMSprop
from minirnn.training.augment import GaussianNoise
from minirnn.training.callbacks import Callback, EarlyStopping
from minirnn.training.fit import fit
from minirnn.training.history import History
from minirnn.training.penalties import Penalty
from minirnn.training.scheduling import Scheduling

OPTIMIZERS: dict[str, Any] = {"adam": Adam, "adamw": AdamW, "sgd": SGD, "rmsprop": RMSprop}
REGRESSION = ("mse", "l1", "huber")


def build_model(recipe: Recipe, data: PreparedData) -> SequenceModel:
    """The recipe's network for these data, on their device, initialised with `training.seed`.

    The same seed gives the same weights, bit for bit, on every device.

    Raises: RecipeError, when model and data contradict each other.
    """
    device, data = data.device, data.host
    options, train = recipe.model, data.training
    if train.per_step != (options.readout == "all"):
        answers = "one answer a step" if train.per_step else "one answer a sequence"
        fits = "all" if train.per_step else "last"
        raise RecipeError("model.readout", repr(options.readout), f"{fits!r}: data.y has {answers}")
    # One generator for everything, and on the CPU: the same seed gives the same network.
    rng = np.random.default_rng(recipe.training.seed)
    model = SequenceModel(
        options.cell,
        input_size=train.x.shape[2],
        hidden_size=options.hidden_size,
        output_size=output_size(data),
        readout=cast(Literal["last", "all"], options.readout),
        num_layers=options.num_layers,
        bidirectional=options.bidirectional,
        dropout=options.dropout,
        head_dropout=options.head_dropout,
        norm=cast(Norm, options.norm),
        initial_state=cast(Start, options.initial_state),
        activation=options.activation,
        rng=rng,
    )
    initialise(model, recipe, data, rng)
    return model.to(device)


def output_size(data: PreparedData) -> int:
    """O: features of a target, or one output a class."""
    train, held_out = data.training, data.validation
    if data.text is not None:
        return data.text.kinds
    if not train.is_labels:
        return int(train.y.shape[-1])
    largest = max(int(part.y.max()) for part in (train, held_out) if part is not None)
    return largest + 1


def initialise(
    model: SequenceModel, recipe: Recipe, data: PreparedData, rng: np.random.Generator
) -> None:
    """Fill every parameter as `[model] init` says.

    Raises: RecipeError, where the data do not allow it.
    """
    options = recipe.model.init
    chrono = options.bias == "chrono"
    init.apply(
        model,
        kernel=options.kernel,
        recurrent=options.recurrent,
        bias="zeros",
        forget_bias=None if chrono else options.forget_bias,
        rng=rng,
    )
    T = data.training.x.shape[1]
    if chrono:
        if T <= 2:
            raise RecipeError(
                "model.init.bias", "'chrono'", f"'zeros' for sequences of {T} step(s)"
            )
        init.chrono(model.recurrent, T, rng=rng)
    if options.head_bias == "target_mean":
        assert model.head.bias is not None
        target = data.training.y
        # NaN among the targets is the doctor's to find, and no reason to fail here.
        rows = target[~np.isnan(target).any(axis=-1)]
        model.head.bias.data[...] = rows.mean(axis=0) if len(rows) else 0.0


def build_optimizer(recipe: Recipe, model: SequenceModel) -> Optimizer:
    """The recipe's optimiser, over all parameters of the model."""
    options = recipe.training
    optimizer: Optimizer = OPTIMIZERS[options.optimizer](
        model.parameters(), options.learning_rate, weight_decay=options.weight_decay
    )
    return optimizer


def train(
    recipe: Recipe,
    model: SequenceModel,
    data: PreparedData,
    *,
    progress: bool | TextIO | None = None,
    callbacks: tuple[Callback, ...] = (),
) -> History:
    """Train the model as the recipe says."""
    options = recipe.training
    optimizer = build_optimizer(recipe, model)
    own: list[Callback] = []
    scheduler = make_scheduler(options.scheduler, optimizer, options.epochs)
    if scheduler is not None:
        own.append(Scheduling(scheduler))
    if options.early_stopping:
        own.append(EarlyStopping(options.early_stopping))
    penalty = Penalty(options.l1, options.l2)
    noise = recipe.data.augment.noise
    return fit(
        model,
        data.training,
        data.validation,
        loss=options.loss,
        optimizer=optimizer,
        epochs=options.epochs,
        metrics=options.metrics,
        callbacks=(*own, *callbacks),
        batch_size=options.batch_size,
        shuffle=options.shuffle,
        clip_norm=options.clip_norm,
        clip_value=options.clip_value,
        penalty=None if penalty.off else penalty,
        augment=GaussianNoise(noise) if noise else None,
        truncate=options.truncate,
        scheduled_sampling=options.scheduled_sampling,
        seed=options.seed,
        progress=progress,
    )
