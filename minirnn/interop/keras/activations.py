"""Keras's activations: inside cells, as the cell's vocabulary has them; elsewhere as functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from reprlib import repr as short
from typing import Any, NamedTuple

from minirnn import functional
from minirnn.device import array_namespace
from minirnn.interop.keras.source import Layer
from minirnn.tensor import Tensor


class Activation(NamedTuple):
    """A Keras activation: its name, and the number that it takes (a slope, an alpha), if any."""

    name: str
    number: float | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """The activation of x, of any shape."""
        return _FUNCTIONS[self.name](x, self.number)


SELU = (1.0507009873554805, 1.6732632423543772)  # scale, alpha: Klambauer et al. (2017)


def _elu(x: Tensor, alpha: float | None) -> Tensor:
    # The exponential is of the negative part alone: the other branch may overflow.
    below = functional.exp(functional.minimum(x, 0.0)) - 1.0
    scaled = (1.0 if alpha is None else alpha) * below
    return functional.where(functional.greater(x, 0.0), x, scaled)


def _leaky_relu(x: Tensor, slope: float | None) -> Tensor:
    scaled = (0.2 if slope is None else slope) * x
    return functional.where(functional.greater(x, 0.0), x, scaled)


def _softplus(x: Tensor, _: Any) -> Tensor:
    zeros = array_namespace(x.data).zeros_like(x.data)
    return functional.logsumexp(functional.stack([x, zeros], axis=-1), axis=-1)


# Of each the argument is (x, number). Sources: keras.activations of Keras 3.
_FUNCTIONS: dict[str, Callable[[Tensor, float | None], Tensor]] = {
    "linear": lambda x, _: x,
    "relu": lambda x, _: functional.relu(x),
    "relu6": lambda x, _: functional.clip(x, 0.0, 6.0),
    "leaky_relu": _leaky_relu,
    "sigmoid": lambda x, _: functional.sigmoid(x),
    "hard_sigmoid": lambda x, _: functional.clip(x / 6.0 + 0.5, 0.0, 1.0),
    "tanh": lambda x, _: functional.tanh(x),
    "hard_tanh": lambda x, _: functional.clip(x, -1.0, 1.0),
    "softmax": lambda x, _: functional.softmax(x, axis=-1),
    "log_softmax": lambda x, _: functional.log_softmax(x, axis=-1),
    "elu": _elu,
    "selu": lambda x, _: SELU[0] * _elu(x, SELU[1]),
    "softplus": _softplus,
    "softsign": lambda x, _: x / (functional.abs(x) + 1.0),
    "silu": lambda x, _: x * functional.sigmoid(x),
    "hard_silu": lambda x, _: x * functional.clip(x / 6.0 + 0.5, 0.0, 1.0),
    "exponential": lambda x, _: functional.exp(x),
    "mish": lambda x, _: x * functional.tanh(_softplus(x, None)),
    "log_sigmoid": lambda x, _: -_softplus(-x, None),
}
_ALIASES = {"swish": "silu", "hard_swish": "hard_silu"}

# In a cell, by the names of minirnn.interop.activations; a number from Keras goes to alpha.
_IN_CELLS: dict[str, tuple[Any, ...]] = {
    "linear": ("identity",),
    "tanh": ("tanh",),
    "sigmoid": ("sigmoid",),
    "relu": ("relu",),
    "relu6": ("clip", 0.0, 6.0),
    "hard_tanh": ("clip", -1.0, 1.0),
    "hard_sigmoid": ("hardsigmoid", 1.0 / 6.0, 0.5),  # Keras 3's, and PyTorch's: not ONNX's 0.2
    "leaky_relu": ("leakyrelu", 0.2),
    "elu": ("elu", 1.0),
    "softplus": ("softplus",),
    "softsign": ("softsign",),
    "silu": ("silu",),
}

# Keras layers that stand for an activation, and the key of their number.
LAYERS = {"LeakyReLU": ("leaky_relu", "negative_slope"), "ELU": ("elu", "alpha")}


def activation_of(layer: Layer, key: str = "activation") -> Activation:
    """The activation that a layer's configuration holds as `key`.

    Raises: ArgumentError that names one which is not known here.
    """
    given = layer.option(key, "linear")
    found = _parse(given)
    if found is None or found.name not in _FUNCTIONS:
        told = given if isinstance(given, str) else _name_of(given)
        layer.refuse(f"{key} {short(told)}", f"one of {', '.join(_FUNCTIONS)}")
    return found


def in_cell(layer: Layer, key: str) -> tuple[Any, ...]:
    """The activation of a recurrent cell, as `minirnn.interop.cells` takes it.

    Raises: ArgumentError that names one which a cell cannot have.
    """
    found = activation_of(layer, key)
    if found.name not in _IN_CELLS:
        layer.refuse(f"{key} {found.name!r}", f"in a cell one of {', '.join(_IN_CELLS)}")
    name, *numbers = _IN_CELLS[found.name]
    return (name, *numbers) if found.number is None else (name, found.number)


def _parse(given: Any) -> Activation | None:
    if given is None:
        return Activation("linear")
    if isinstance(given, str):
        return Activation(_ALIASES.get(given, given))
    if not isinstance(given, Mapping) or given.get("module") not in (
        "keras.layers", "keras.activations", "builtins",
    ):  # fmt: skip
        return None
    kind, config = given.get("class_name"), given.get("config")
    if kind == "function" and isinstance(config, str) and given.get("registered_name") in (
        None, "function", config,
    ):  # fmt: skip
        return Activation(_ALIASES.get(config, config))
    if not isinstance(config, Mapping):
        return None
    return layer_activation(str(kind), config)


def layer_activation(kind: str, config: Mapping[str, Any]) -> Activation | None:
    """The activation that a layer LeakyReLU, ELU, ReLU or Softmax stands for, if it is plain."""
    if kind in LAYERS:
        name, key = LAYERS[kind]
        number = config.get(key)
        if isinstance(number, int | float) and math.isfinite(number):
            return Activation(name, float(number))
    if kind == "Softmax" and config.get("axis", -1) == -1:
        return Activation("softmax")
    if kind == "ReLU":
        highest, slope = config.get("max_value"), config.get("negative_slope", 0.0)
        if config.get("threshold", 0.0) == 0.0 and slope == 0.0 and highest in (None, 6.0):
            return Activation("relu" if highest is None else "relu6")
    return None


def _name_of(given: Any) -> str:
    if isinstance(given, Mapping):
        config = given.get("config")
        return str(config if isinstance(config, str) else given.get("class_name"))
    return type(given).__name__
