"""Makes what is profiled from what the caller names: a cell, a layer, a model or a recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minirnn.device import to_device
from minirnn.diagnosis import Recipe
from minirnn.diagnosis.build import build_model
from minirnn.diagnosis.data import prepare
from minirnn.errors import ArgumentError
from minirnn.gpu import cupy_array
from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.contract import Array
from minirnn.nn import GRU, LSTM, RNN, Module, Recurrent, SequenceModel
from minirnn.nn.arguments import positive_int
from minirnn.nn.module import device_of_module
from minirnn.profiling.subject import Subject
from minirnn.tensor import Tensor
from minirnn.training.losses import resolve_loss

# Where a size is not given: T, B, I and H of a cell, T and B of a layer without inputs.
STEPS, BATCH, INPUT_SIZE, HIDDEN_SIZE = 100, 32, 32, 64
ARRAYS = "a NumPy or CuPy array, or a Tensor"
LAYERS: dict[str, Callable[..., Recurrent]] = {"rnn": RNN, "gru": GRU, "lstm": LSTM}


def subject_of(target: Any, feed: Mapping[str, Any], sizes: Mapping[str, Any]) -> Subject:
    """What `minirnn.profile` was asked for.

    feed   its arguments inputs, targets, loss and lengths, and `sizes` those from steps to
           recompute; None stands for what was not given

    Raises: RecipeError, DataError, ShapeError, DTypeError or ArgumentError naming the argument.
    """
    sizes = {name: value for name, value in sizes.items() if value is not None}
    if isinstance(target, Recipe):
        _refuse({**feed, **sizes}, "a recipe")
        return _of_recipe(target)
    if isinstance(target, Module):
        return _of_model(target, sizes, **feed)
    _refuse(feed, "a cell")
    layer = _layer(target, **sizes)
    return _of_model(layer, {name: sizes[name] for name in ("steps", "batch") if name in sizes})


def _refuse(given: Mapping[str, Any], beside: str) -> None:
    """Refuse arguments that would do nothing."""
    for name, value in given.items():
        if value is not None:
            came = f"{one(value)} {value.shape}" if hasattr(value, "shape") else repr(value)
            raise ArgumentError(name, came, f"nothing beside {beside}, which has its own")


def _layer(
    target: Any,
    *,
    input_size: int = INPUT_SIZE,
    hidden_size: int = HIDDEN_SIZE,
    steps: int = STEPS,
    batch: int = BATCH,
    **options: Any,
) -> Recurrent:
    """A recurrent layer of a cell; steps and batch are for others to use."""
    if isinstance(target, str) and target in LAYERS:
        return LAYERS[target](input_size, hidden_size, rng=0, **options)
    if isinstance(target, Cell):
        return Recurrent(target, input_size, hidden_size, rng=0, **options)
    names = ", ".join(map(repr, LAYERS))
    came = repr(target) if isinstance(target, str) else one(target)
    raise ArgumentError("target", came, f"{names}, a cell, a layer, a model or a Recipe")


def _of_model(
    model: Module,
    sizes: Mapping[str, Any],
    *,
    inputs: Any = None,
    targets: Any = None,
    loss: Any = None,
    lengths: Any = None,
) -> Subject:
    if inputs is not None:
        _refuse(sizes, "inputs")
        if not _is_array(inputs) and not isinstance(inputs, Tensor):
            raise ArgumentError("inputs", one(inputs), ARRAYS)
        if isinstance(inputs, Tensor):  # another, so that the caller's own keeps its gradient
            inputs = Tensor(inputs.data, inputs.requires_grad)
    else:
        inputs = _drawn(model, **sizes)
    if lengths is not None:
        lengths = np.asarray(lengths)
    if targets is None:
        if loss is not None:
            raise ArgumentError("targets", "none", "what the loss compares with")
        return Subject(_name(model), model, inputs, lengths)
    targets = targets.data if isinstance(targets, Tensor) else targets
    if not _is_array(targets):
        raise ArgumentError("targets", one(targets), ARRAYS)
    if loss is None:
        loss = "cross_entropy" if targets.dtype.kind in "iu" else "mse"
    return Subject(_name(model), model, inputs, lengths, targets, resolve_loss(loss))


def _drawn(model: Module, *, steps: int = STEPS, batch: int = BATCH, **others: Any) -> Array:
    """Random inputs for a recurrent layer, or a model that begins with one."""
    layer = model.recurrent if isinstance(model, SequenceModel) else model
    if not isinstance(layer, Recurrent):
        raise ArgumentError("inputs", "none", f"what this {type(model).__name__} is fed")
    _refuse(others, one(model))
    T, B = positive_int("steps", steps), positive_int("batch", batch)
    leading = (B, T) if layer.batch_first else (T, B)
    noise = np.random.default_rng(0).normal(size=(*leading, layer.input_size))
    return to_device(noise.astype(layer.dtype), device_of_module(model))


def _is_array(value: object) -> bool:
    return isinstance(value, np.ndarray) or cupy_array(value)


def _of_recipe(recipe: Recipe) -> Subject:
    """The recipe's network and its first batch, time first."""
    data = prepare(recipe)
    model = build_model(recipe, data)
    batch = data.training.take(slice(0, recipe.training.batch_size))
    x = np.ascontiguousarray(batch.x.swapaxes(0, 1))
    y = np.ascontiguousarray(batch.y.swapaxes(0, 1)) if batch.per_step else batch.y
    return Subject(_name(model), model, x, batch.lengths, y, resolve_loss(recipe.training.loss))


def one(thing: Any) -> str:
    """ "a GRU", "an LSTM": a thing by its class, as it is read aloud."""
    name = type(thing).__name__
    return f"{'an' if name in ('LSTM', 'RNN') or name[0] in 'AEIOaeio' else 'a'} {name}"


def _name(model: Module) -> str:
    """ "LSTM(32, 64)"; a model's name with its recurrent layer's."""
    if isinstance(model, SequenceModel):
        return f"SequenceModel of {_name(model.recurrent)}"
    return repr(model).splitlines()[0] if isinstance(model, Recurrent) else type(model).__name__
