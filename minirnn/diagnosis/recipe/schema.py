"""The tables of a recipe, key by key, with defaults and the rule each value must keep.

The comments of the design's schema stand here as rules.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import Field, dataclass, field, fields, is_dataclass
from typing import Any, TypeVar, cast

import numpy as np

from minirnn.diagnosis.recipe.rules import (
    Array,
    Choice,
    FilePath,
    Flag,
    Indexes,
    Names,
    NumberOrTable,
    Real,
    Rule,
    Share,
    Text,
    Whole,
)
from minirnn.diagnosis.recipe.schedule import SchedulerRule

Value = TypeVar("Value")

# Built-in sets of independent sequences, each with its loss and readout; the others are series.
TASKS = {
    "adding": ("mse", "last"),
    "copying": ("cross_entropy", "all"),
    "temporal_order": ("cross_entropy", "last"),
    "reber": ("bce", "all"),
}
REGRESSION = ("mse", "l1", "huber")  # losses of numbers, any of which a target of numbers takes
TEXT = "text"  # the built-in text: a series of characters
CHARACTERS = 10_000  # taken of a text that does not say how many

INITIALISERS = (
    "glorot_uniform",
    "glorot_normal",
    "he_uniform",
    "he_normal",
    "orthogonal",
    "identity",
    "uniform",
    "normal",
    "zeros",
)


# Of a penalty: one number, or one for each kind of parameter.
STRENGTHS = NumberOrTable(Real(0.0), ("kernel", "recurrent", "bias"))


def option(default: Value, rule: Rule) -> Value:
    """A dataclass field that carries its rule."""
    return field(default=default, metadata={"rule": rule})


@dataclass(frozen=True)
class AugmentOptions:
    """`[data] augment`: what is done to the training inputs anew in each epoch.

    `noise` is the standard deviation of what is added to them, in units of the inputs as they are
    fed: after scaling.
    """

    noise: float = option(0.0, Real(0.0))


@dataclass(frozen=True)
class DataOptions:
    """`[data]`: one source (`builtin`, `csv`, `text`, or `x` and `y`) and how it is prepared.

    `text` is a file whose characters are modelled one by one; `builtin = "text"` brings one. Of
    either, `characters` takes so many from the beginning (left out, 10,000): each is a one-hot
    vector, and the target is the character that follows a window, or with `readout = "all"` the one
    that follows each step.

    `window`, `horizon` and `transform` are for series only. `scale` scales each feature, and the
    targets of a regression with them; it is fitted on the training part. `missing` values are kept
    unless they are to be interpolated; left out, a built-in series comes with its gaps filled.
    `length` and `samples` are the steps and the number of sequences of a built-in task (see
    `minirnn.datasets` for what its length counts).

    `missing_value` is a number that stands for a missing value, such as -999, in a csv, x or y.
    For independent sequences only: `time_first` says that x, and y of one answer a step, were given
    with the steps before the sequences; `drop` leaves features of x out, by index; `deduplicate`
    keeps one of sequences with equal inputs; `clip` moves inputs beyond that size, as they are
    fed, to it (0 moves none); `missing = "drop"` leaves sequences with a missing
    value out; and `split` holds out sequences drawn at random, or the last ones.
    """

    builtin: str | None = option(
        None,
        Choice(
            ("co2", "sunspots", "sine", "text", *TASKS),
        ),
    )
    csv: str | None = option(None, FilePath())
    column: str | None = option(None, Text())
    text: str | None = option(None, FilePath())
    characters: int | None = option(None, Whole(2))
    # Arrays do not compare to one truth value: `__eq__` compares them.
    x: Any = field(default=None, compare=False, metadata={"rule": Array()})
    y: Any = field(default=None, compare=False, metadata={"rule": Array()})
    lengths: Any = field(default=None, compare=False, metadata={"rule": Array()})
    window: int = option(48, Whole(1))
    horizon: int = option(1, Whole(1))
    transform: str = option("none", Choice(("none", "change")))
    scale: str = option("none", Choice(("none", "standard", "minmax", "robust")))
    missing: str | None = option(None, Choice(("keep", "interpolate", "drop")))
    missing_value: float | None = option(None, Real(-math.inf))
    time_first: bool = option(False, Flag())
    drop: tuple[int, ...] = option((), Indexes())
    deduplicate: bool = option(False, Flag())
    clip: float = option(0.0, Real(0.0))
    split: str = option("random", Choice(("random", "last")))
    validation: float = option(0.2, Real(0.0, 1.0))
    seed: int = option(0, Whole(0))
    length: int = option(50, Whole(2))
    samples: int = option(1000, Whole(2))
    augment: AugmentOptions = field(default_factory=AugmentOptions)

    def __eq__(self, other: object) -> bool:
        """Whether all values are equal, arrays in shape, type and every number."""
        if not isinstance(other, DataOptions):
            return NotImplemented
        return all(
            _equal(getattr(self, item.name), getattr(other, item.name)) for item in fields(self)
        )


@dataclass(frozen=True)
class InitOptions:
    """`[model] init`: how each kind of parameter begins.

    `bias = "chrono"` draws forget and input biases for memories up to the sequence's length, and
    then `forget_bias` is not used. `head_bias = "target_mean"` starts the head at the mean of the
    training targets, so that the first epochs are not spent on finding it. "uniform" (from -0.05
    to 0.05) and "normal" (standard deviation 0.05) look at no sizes, as Keras's RandomUniform and
    RandomNormal.
    """

    kernel: str = option("glorot_uniform", Choice(INITIALISERS))
    recurrent: str = option("orthogonal", Choice(INITIALISERS))
    bias: str = option("zeros", Choice(("zeros", "chrono")))
    forget_bias: float = option(1.0, Real(-100.0, 100.0))
    head_bias: str = option("zeros", Choice(("zeros", "target_mean")))


@dataclass(frozen=True)
class ModelOptions:
    """`[model]`: recurrent layers and a linear head.

    `norm` stands between layers and before the head; `initial_state` is as `SequenceModel` tells:
    "random" in training alone, and "carried" from batch to batch, whatever these hold, so that
    `training.shuffle` had better be false.
    """

    cell: str = option("lstm", Choice(("lstm", "gru", "rnn")))
    hidden_size: int = option(32, Whole(1))
    num_layers: int = option(1, Whole(1))
    bidirectional: bool = option(False, Flag())
    activation: str = option("tanh", Choice(("tanh", "relu", "sigmoid")))
    dropout: float = option(0.0, Real(0.0, 1.0))
    head_dropout: float = option(0.0, Real(0.0, 1.0))
    readout: str = option("last", Choice(("last", "all")))
    norm: str = option("none", Choice(("none", "layer", "batch")))
    initial_state: str = option("zeros", Choice(("zeros", "learned", "random", "carried")))
    init: InitOptions = field(default_factory=InitOptions)


@dataclass(frozen=True)
class TrainingOptions:
    """`[training]`: loss, optimiser, and everything done to a gradient.

    `truncate` is how many steps the gradient reaches back, 0 all of them. `scheduled_sampling` is
    the probability with which, at the end, an input is the network's own answer (see
    `minirnn.training.scheduled_sampling`). `l1` and `l2` penalise all weights and biases, or as a
    table those of each kind: `kernel`, `recurrent`, `bias` (see `minirnn.training.Penalty`).
    """

    loss: str = option("mse", Choice(("mse", "l1", "huber", "bce", "cross_entropy")))
    metrics: tuple[str, ...] = option(
        (), Names(Choice(("rmse", "mse", "mae", "l1", "r2", "accuracy")))
    )
    optimizer: str = option("adam", Choice(("adam", "adamw", "sgd", "rmsprop")))
    learning_rate: float = option(1e-3, Real(0.0, above=True))
    epochs: int = option(20, Whole(1))
    batch_size: int = option(32, Whole(1))
    shuffle: bool = option(True, Flag())
    seed: int = option(0, Whole(0))
    clip_norm: float = option(0.0, Real(0.0))
    clip_value: float = option(0.0, Real(0.0))
    weight_decay: float = option(0.0, Real(0.0))
    l1: Any = field(default=0.0, metadata={"rule": STRENGTHS})
    l2: Any = field(default=0.0, metadata={"rule": STRENGTHS})
    scheduler: Any = field(default="none", metadata={"rule": SchedulerRule()})
    early_stopping: int = option(0, Whole(0))
    truncate: int = option(0, Whole(0))
    scheduled_sampling: float = option(0.0, Share())


@dataclass(frozen=True)
class GenerationOptions:
    """`[generation]`: a free run after training, each answer fed back as the next input.

    `context` is how many of the last values each answer is made from; left out, the window. Of a
    text, `sample` says whether the likeliest character is fed back, or one that is drawn at
    `temperature` (with `training.seed`).
    """

    steps: int = option(200, Whole(1))
    context: int | None = option(None, Whole(1))
    sample: str = option("greedy", Choice(("greedy", "temperature")))
    temperature: float = option(1.0, Real(0.0, above=True))


TABLES: dict[str, type[Any]] = {
    "data": DataOptions,
    "model": ModelOptions,
    "training": TrainingOptions,
    "generation": GenerationOptions,
}


def _equal(one: Any, other: Any) -> bool:
    """Whether two values of a recipe are equal; NaN is equal to NaN in an array."""
    if one is other:
        return True
    if not isinstance(one, np.ndarray) and not isinstance(other, np.ndarray):
        return bool(one == other)
    if not (isinstance(one, np.ndarray) and isinstance(other, np.ndarray)):
        return False
    return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


def rule_of(item: Field[Any]) -> Rule | None:
    """The rule a field carries, or None when it is a table of its own."""
    return cast("Rule | None", item.metadata.get("rule"))


def table_of(item: Field[Any]) -> type[Any]:
    """The dataclass of a field that is a table of its own."""
    return cast("type[Any]", item.default_factory)


def keys(table: type[Any], prefix: str) -> Iterator[str]:
    """Every dotted key below a table, such as "model.init.bias"."""
    for item in fields(table):
        if rule_of(item) is None:
            yield from keys(table_of(item), f"{prefix}{item.name}.")
        else:
            yield f"{prefix}{item.name}"


KEYS: tuple[str, ...] = tuple(
    key for name, table in TABLES.items() for key in keys(table, f"{name}.")
)


def as_table(options: Any) -> dict[str, Any]:
    """A table of options as a nested dict, lists where the recipe keeps tuples, None left out."""
    table: dict[str, Any] = {}
    for item in fields(options):
        value = getattr(options, item.name)
        if is_dataclass(value):
            value = as_table(value)
        elif isinstance(value, tuple):
            value = list(value)
        if value is not None:
            table[item.name] = value
    return table
