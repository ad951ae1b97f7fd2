"""RNN, GRU and LSTM of ONNX by their specification's equations: one sequence, one step at a time.

Shares nothing with minirnn. Written on numbers of three kinds: float64 gives the values, complex128
their derivatives (complex step), and `Rounded` a bound on what a computation in a narrower format
may get wrong, by running error analysis (Higham, Accuracy and Stability of Numerical Algorithms,
2nd ed., 3.3). Source: https://onnx.ai/onnx/operators/onnx__LSTM.html and its two siblings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
DEFAULTS = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}
ULPS = 4.0  # what a library's tanh, exp or sigmoid may be off, in units of the last place


class Rounded:
    """Numbers and a bound on the error that they may carry after rounding with unit `u`."""

    __array_ufunc__ = None

    def __init__(self, value: Any, error: Any, u: float) -> None:
        self.value, self.error, self.u = np.asarray(value), np.asarray(error), u

    def _with(self, value: Any, error: Any) -> Rounded:
        return Rounded(value, error + self.u * np.abs(value), self.u)

    def _other(self, other: Any) -> Rounded:
        return other if isinstance(other, Rounded) else Rounded(other, np.zeros(()), self.u)

    def __add__(self, other: Any) -> Rounded:
        b = self._other(other)
        return self._with(self.value + b.value, self.error + b.error)

    def __sub__(self, other: Any) -> Rounded:
        b = self._other(other)
        return self._with(self.value - b.value, self.error + b.error)

    def __rsub__(self, other: Any) -> Rounded:
        return self._other(other) - self

    def __mul__(self, other: Any) -> Rounded:
        b = self._other(other)
        error = np.abs(self.value) * b.error + np.abs(b.value) * self.error + self.error * b.error
        return self._with(self.value * b.value, error)

    __radd__, __rmul__ = __add__, __mul__

    def __rmatmul__(self, matrix: Any) -> Rounded:
        """matrix @ self, in any order of addition: n u sum |a||b| and what was wrong before."""
        size = np.abs(matrix)
        error = size @ self.error + self.value.size * self.u * (size @ np.abs(self.value))
        return Rounded(matrix @ self.value, error, self.u)

    def through(self, f: Callable[[Any], Any], slope: float, size: float = 0.0) -> Rounded:
        """f of the numbers, for an f whose slope is nowhere steeper.

        size: of what is subtracted to compute f, where its formula cancels near 0.
        """
        value = f(self.value)
        scale = np.abs(value) + np.abs(self.value) * slope + size
        error = slope * self.error + ULPS * self.u * scale
        return Rounded(value, error, self.u)


def real(x: Any) -> Any:
    """What decides on which side of a kink x lies."""
    return np.real(x)


def function(name: str, alpha: float | None, beta: float | None) -> tuple[Any, float]:
    """An activation, and the steepest slope it has."""
    a = {"LeakyRelu": 0.01, "ThresholdedRelu": 1.0, "HardSigmoid": 0.2, "Elu": 1.0}.get(name)
    a, b = a if alpha is None else alpha, 0.5 if beta is None else beta
    table: dict[str, tuple[Any, float]] = {
        "Tanh": (np.tanh, 1.0),
        "Sigmoid": (lambda x: 1 / (1 + np.exp(-x)), 0.25),
        "Relu": (lambda x: np.where(real(x) > 0, x, 0), 1.0),
        "Affine": (lambda x: a * x + b, abs(a or 0)),
        "LeakyRelu": (lambda x: np.where(real(x) >= 0, x, a * x), max(1.0, abs(a or 0))),
        "ThresholdedRelu": (lambda x: np.where(real(x) >= a, x, 0), 1.0),
        "ScaledTanh": (lambda x: a * np.tanh(b * x), abs((a or 0) * b)),
        "HardSigmoid": (lambda x: clipped(a * x + b, 0.0, 1.0), abs(a or 0)),
        "Elu": (lambda x: np.where(real(x) >= 0, x, a * (np.exp(x) - 1)), max(1.0, abs(a or 0))),
        "Softsign": (lambda x: x / (1 + np.where(real(x) >= 0, x, -x)), 1.0),
        "Softplus": (lambda x: np.log(1 + np.exp(x)), 1.0),
    }
    return table[name]


def clipped(x: Any, low: float, high: float) -> Any:
    return np.where(real(x) < low, low, np.where(real(x) > high, high, x))


def apply(x: Any, f: Callable[[Any], Any], slope: float, size: float = 0.0) -> Any:
    return x.through(f, slope, size) if isinstance(x, Rounded) else f(x)


@dataclass
class Call:
    """A recurrent node and its inputs, in layout 0."""

    op: str
    X: Any  # (T, B, I)
    W: Any
    R: Any
    B: Any = None
    sequence_lens: Any = None
    initial_h: Any = None
    initial_c: Any = None
    P: Any = None
    attributes: dict[str, Any] = field(default_factory=dict)
    textbook: bool = False  # bounds for tanh and Elu by formulas that cancel near 0: onnxruntime's
    # What onnxruntime does: the last states of an empty sequence are 0, and not the initial ones;
    # an LSTM's c is not clipped on its way into h.
    keep_empty: bool = True
    clip_cell: bool = True

    @property
    def hidden_size(self) -> int:
        return int(self.R.shape[2])


def specified(call: Call, unit: float | None = None) -> tuple[Any, ...]:
    """Y (T, D, B, H), Y_h and, of an LSTM, Y_c; with `unit`, bounds on their rounding errors."""
    T, batch = call.X.shape[:2]
    D, H = len(call.W), call.hidden_size
    dtype = np.result_type(*arrays(call).values())
    Y = np.zeros((T, D, batch, H), dtype)
    finals = [np.zeros((D, batch, H), dtype) for _ in range(1 + (call.op == "LSTM"))]
    direction = call.attributes.get("direction", "forward")
    for d in range(D):
        reverse = direction == "reverse" or d == 1
        for b in range(batch):
            length = T if call.sequence_lens is None else int(call.sequence_lens[b])
            steps = range(length)[::-1] if reverse else range(length)
            state = [start(call.initial_h, d, b, H, unit), start(call.initial_c, d, b, H, unit)]
            if length == 0 and not call.keep_empty:
                state = [start(None, d, b, H, unit)] * 2
            for t in steps:
                state = step(call, d, number(call.X[t, b], unit), *state)
                Y[t, d, b] = told(state[0])
            for final, last in zip(finals, state, strict=False):
                final[d, b] = told(last)
    return Y, *finals


def start(states: Any, d: int, b: int, H: int, unit: float | None) -> Any:
    return number(np.zeros(H) if states is None else states[d, b], unit)


def number(x: Any, unit: float | None) -> Any:
    return x if unit is None else Rounded(x, np.zeros(np.shape(x)), unit)


def told(x: Any) -> Any:
    return x.error if isinstance(x, Rounded) else x


def arrays(call: Call) -> dict[str, Any]:
    """The floating-point inputs that are there."""
    names = ("X", "W", "R", "B", "initial_h", "initial_c", "P")
    return {n: getattr(call, n) for n in names if getattr(call, n) is not None}


def functions(call: Call, d: int) -> list[Callable[[Any], Any]]:
    """f, g, h of direction d, each with the clip before it."""
    at, D = call.attributes, len(call.W)
    names = at.get("activations") or DEFAULTS[call.op] * D
    needs_alpha = ("Affine", "LeakyRelu", "ThresholdedRelu", "ScaledTanh", "HardSigmoid", "Elu")
    needs_beta = ("Affine", "ScaledTanh", "HardSigmoid")
    alphas, betas = iter(at.get("activation_alpha", ())), iter(at.get("activation_beta", ()))
    made = []
    for name in names:
        alpha = next(alphas, None) if name in needs_alpha else None
        beta = next(betas, None) if name in needs_beta else None
        # exp(x) - 1, and 1 - 2 / (exp(2x) + 1) for tanh, cancel near 0, to what rounding left.
        cancels = call.textbook and name in ("Tanh", "ScaledTanh", "Elu")
        made.append((*function(name, alpha, beta), abs(alpha or 1.0) if cancels else 0.0))

    def with_clip(f: Any, slope: float, size: float, bound: float | None) -> Any:
        if bound is None:
            return lambda x: apply(x, f, slope, size)
        return lambda x: apply(apply(x, lambda v: clipped(v, -bound, bound), 1.0), f, slope, size)

    count = len(DEFAULTS[call.op])
    bounds = [at.get("clip")] * count
    if call.op == "LSTM" and not call.clip_cell:
        bounds[-1] = None
    own = made[d * count : (d + 1) * count]
    return [with_clip(*each, bound) for each, bound in zip(own, bounds, strict=True)]


def step(call: Call, d: int, x: Any, h: Any, c: Any) -> list[Any]:
    """One step of one sequence: the equations as the specification has them."""
    H, G, at = call.hidden_size, GATES[call.op], call.attributes
    zeros = np.zeros(H)

    def rows(array: Any, k: int) -> Any:
        return array[d, k * H : (k + 1) * H]

    def Wb(k: int) -> Any:
        return zeros if call.B is None else rows(call.B, k)

    def Rb(k: int) -> Any:
        return zeros if call.B is None else rows(call.B, G + k)

    def product(k: int) -> Any:
        return rows(call.W, k) @ x + rows(call.R, k) @ h + Wb(k) + Rb(k)

    if call.op == "RNN":
        (f,) = functions(call, d)
        return [f(product(0)), c]
    if call.op == "GRU":
        f, g = functions(call, d)
        z, r = f(product(0)), f(product(1))
        if at.get("linear_before_reset", 0):
            n = g(rows(call.W, 2) @ x + r * (rows(call.R, 2) @ h + Rb(2)) + Wb(2))
        else:
            n = g(rows(call.W, 2) @ x + rows(call.R, 2) @ (r * h) + Rb(2) + Wb(2))
        return [(1.0 - z) * n + z * h, c]
    f, g, last = functions(call, d)
    P = [zeros] * 3 if call.P is None else [rows(call.P, k) for k in range(3)]
    i = f(product(0) + P[0] * c)
    forget = 1.0 - i if at.get("input_forget", 0) else f(product(2) + P[2] * c)
    new = forget * c + i * g(product(3))
    o = f(product(1) + P[1] * new)
    return [o * last(new), new]


def float32_bounds(call: Call) -> tuple[Any, ...]:
    """How far each output may be off in float32, when the inputs are exact in float32."""
    return specified(call, float(np.finfo(np.float32).eps) / 2)
