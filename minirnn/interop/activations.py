"""Activations by ONNX's names, with alpha and beta, as expressions of a cell's vocabulary.

Names are compared without case and underscores: "HardSigmoid" is "hard_sigmoid".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from minirnn.errors import ArgumentError
from minirnn.kernels.cells import vocabulary
from minirnn.kernels.cells.vocabulary import Expression, clip, relu, select, sigmoid, tanh


class Activation(NamedTuple):
    """An activation: its name, and alpha and beta where it has them (else None)."""

    name: str
    alpha: float | None = None
    beta: float | None = None

    def __str__(self) -> str:
        """What `parsed` reads back, to the last bit."""
        numbers = [repr(v) for v in (self.alpha, self.beta) if v is not None]
        return f"{self.name}({', '.join(numbers)})" if numbers else self.name


def parsed(text: str) -> Activation:
    """The activation that `str` wrote, as the options of a variant cell hold it."""
    name, _, numbers = text.rstrip(")").partition("(")
    return activation((name, *map(float, filter(None, numbers.split(", ")))))


@dataclass(frozen=True)
class _Kind:
    """How an activation is written, and what alpha and beta are where none is given.

    `from_output`: its derivative can be written with its own output, so that a cell has to keep
    nothing else; otherwise the argument has to be kept.
    """

    write: Callable[[Expression, float, float], Expression]
    alpha: float | None = None
    beta: float | None = None
    from_output: bool = True
    needs: tuple[str, ...] = ()  # operations that the vocabulary must have


def _elu(x: Expression, alpha: float, beta: float) -> Expression:
    # exp(x) - 1 = 2 t / (1 - t) with t = tanh(x/2), where nothing cancels for x < 0.
    t = tanh(0.5 * _negative_part(x))
    return select(x > 0.0, x, (2.0 * alpha) * _call("divide", t, 1.0 - t))


def _negative_part(x: Expression) -> Expression:
    return -relu(-x)


def _softplus(x: Expression, alpha: float, beta: float) -> Expression:
    # max(x, 0) + log(1 + e), e = exp(-|x|). 1 + e is rounded; the last term is the first order of
    # what that loses, so that small results keep their digits.
    e = _call("exp", -_magnitude(x))
    total = 1.0 + e
    return relu(x) + (_call("log", total) - _call("divide", (total - 1.0) - e, total))


def _magnitude(x: Expression) -> Expression:
    return select(x > 0.0, x, -x)


def _call(name: str, *arguments: Any) -> Expression:
    result: Expression = getattr(vocabulary, name)(*arguments)
    return result


_KINDS: dict[str, _Kind] = {
    "tanh": _Kind(lambda x, a, b: tanh(x)),
    "sigmoid": _Kind(lambda x, a, b: sigmoid(x)),
    "relu": _Kind(lambda x, a, b: relu(x)),
    "identity": _Kind(lambda x, a, b: x),
    "affine": _Kind(lambda x, a, b: a * x + b, math.nan, math.nan),
    "hardsigmoid": _Kind(lambda x, a, b: clip(a * x + b, 0.0, 1.0), 0.2, 0.5),
    "clip": _Kind(lambda x, a, b: clip(x, a, b), math.nan, math.nan),
    "leakyrelu": _Kind(lambda x, a, b: select(x >= 0.0, x, a * x), 0.01, from_output=False),
    "thresholdedrelu": _Kind(lambda x, a, b: select(x >= a, x, 0.0), 1.0, from_output=False),
    "scaledtanh": _Kind(lambda x, a, b: a * tanh(b * x), math.nan, math.nan, from_output=False),
    "silu": _Kind(lambda x, a, b: x * sigmoid(x), from_output=False),
    "elu": _Kind(_elu, 1.0, from_output=False, needs=("divide",)),
    "softsign": _Kind(
        lambda x, a, b: _call("divide", x, 1.0 + _magnitude(x)),
        from_output=False,
        needs=("divide",),
    ),
    "softplus": _Kind(_softplus, from_output=False, needs=("exp", "log", "divide")),
}
_ALIASES = {"linear": "identity", "swish": "silu"}


def activation(value: Any, argument: str = "activation") -> Activation:
    """The activation that `value` describes: a name, (name, alpha, beta) or an `Activation`.

    alpha and beta may be None or left out where ONNX has a default: LeakyRelu alpha 0.01,
    ThresholdedRelu 1, Elu 1, HardSigmoid alpha 0.2 and beta 0.5. Beside ONNX's eleven there are
    "identity" (also "linear"), "silu" (also "swish") and "clip", between alpha and beta.

    Raises: ArgumentError that names `argument`: no such activation, a number that is missing or not
    finite, or an activation that the vocabulary of cells cannot write.
    """
    if isinstance(value, str):
        value = (value,)
    if not (isinstance(value, tuple | list) and 1 <= len(value) <= 3 and isinstance(value[0], str)):
        raise ArgumentError(argument, repr(value), "a name, or (name, alpha, beta)")
    key = _key(value[0])
    kind = _KINDS.get(key)
    if kind is None:
        raise ArgumentError(argument, repr(value[0]), f"one of {', '.join(_KINDS)}")
    missing = [name for name in kind.needs if not hasattr(vocabulary, name)]
    if missing:
        wanted = "an activation made of what cells are written in"
        hint = f"It needs {', '.join(missing)}, which minirnn.cells lacks"
        raise ArgumentError(argument, repr(value[0]), wanted, hint)
    given = (*value[1:], None, None)
    numbers = [
        _number(argument, key, name, at, default)
        for name, at, default in zip(
            ("alpha", "beta"), given, (kind.alpha, kind.beta), strict=False
        )
    ]
    if key == "affine" and numbers == [1.0, 0.0]:
        return Activation("identity")
    return Activation(key, *numbers)


def _number(argument: str, key: str, name: str, given: Any, default: float | None) -> float | None:
    if default is None:
        return None  # the activation has no such number
    if given is None and not math.isnan(default):
        return default
    try:
        number = float(given)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ArgumentError(argument, f"{key} with {name} {given!r}", f"a finite {name}")
    return number


def write(chosen: Activation, x: Expression) -> Expression:
    """The activation of x as an expression."""
    a, b = (0.0 if v is None else v for v in chosen[1:])
    return _KINDS[chosen.name].write(x, a, b)


def from_output(chosen: Activation) -> bool:
    """Whether the derivative can be written with the output alone."""
    return _KINDS[chosen.name].from_output


def takes(name: str, argument: str = "activation") -> tuple[bool, bool]:
    """Whether the activation of that name has an alpha, and whether it has a beta.

    Raises: ArgumentError that names `argument`.
    """
    kind = _KINDS.get(_key(name))
    if kind is None:
        raise ArgumentError(argument, repr(name), f"one of {', '.join(_KINDS)}")
    return kind.alpha is not None, kind.beta is not None


def _key(name: str) -> str:
    key = name.lower().replace("_", "")
    return _ALIASES.get(key, key)
