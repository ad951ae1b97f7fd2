"""Every function with inputs that keep away from its kinks: what gradcheck and PyTorch both run.

A case is (name, function of tensors, arrays). The same lambda serves both libraries where their
names agree; `fn` is then `minirnn.functional` or `torch`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from devices import to_device

from minirnn import functional as fn
from minirnn.device import check_device
from minirnn.errors import DeviceError


class Case(NamedTuple):
    name: str
    function: Callable[..., Any]
    inputs: tuple[np.ndarray, ...]


def cuda_is_there() -> bool:
    try:
        return check_device("cuda") == "cuda"
    except DeviceError:
        return False


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng((seed, *shape)).standard_normal(shape)


def positive(*shape: int, seed: int = 0) -> np.ndarray:
    return 0.2 + np.abs(normal(*shape, seed=seed))


def apart(*shape: int) -> np.ndarray:
    """No two elements nearer than 0.1, and none nearer to 0 than 0.05."""
    count = int(np.prod(shape))
    order = np.random.default_rng(count).permutation(count)
    return (0.1 * (order - count // 2) + 0.05).reshape(shape)


# fmt: off
SHAPES = [
    ((), ()), ((3,), (3,)), ((2, 3), (3,)), ((2, 1), (1, 3)), ((4, 1, 3), (2, 1)), ((), (2, 2)),
    ((1,), (3,)), ((0, 3), (1, 3)),
]
MATRICES = [
    ((3,), (3,)), ((3,), (3, 2)), ((2, 3), (3,)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)), ((5, 2, 3), (5, 3, 4)), ((5, 1, 2, 3), (4, 3, 2)), ((3,), (5, 3, 2)),
    ((5, 2, 3), (3,)), ((1, 2, 3), (5, 3, 4)), ((2, 0), (0, 3)), ((0, 2, 3), (3, 4)),
]
# fmt: on
AXES = [None, 0, -1, (0, 2)]


def cases(device: str = "cpu") -> list[Case]:
    """All cases, with inputs, and what the functions hold besides, on a device."""
    found: list[Case] = []

    def on(array: Any) -> Any:
        return to_device(array, device)

    def case(name: str, function: Callable[..., Any], *inputs: np.ndarray) -> None:
        found.append(Case(name, function, tuple(map(on, inputs))))

    for s, t in SHAPES:
        a, b = normal(*s), normal(*t, seed=1)
        case(f"add {s} {t}", lambda x, y: x + y, a, b)
        case(f"sub {s} {t}", lambda x, y: x - y, a, b)
        case(f"mul {s} {t}", lambda x, y: x * y, a, b)
        case(f"div {s} {t}", lambda x, y: x / y, a, np.sign(b) * positive(*t))
        case(f"maximum {s} {t}", fn.maximum, np.round(a), np.round(b) + 0.5)
        case(f"minimum {s} {t}", fn.minimum, np.round(a), np.round(b) + 0.5)
        chosen = on(np.asarray(normal(*t, seed=2)) > 0)
        case(f"where {s} {t}", lambda x, y, c=chosen: fn.where(c, x, y), a, b)
    case("where (2, 1) by a larger condition",
         lambda x, y: fn.where(on(normal(4, 2, 3) > 0), x, y), normal(2, 1), normal(3))  # fmt: skip
    for s, t in MATRICES:
        case(f"matmul {s} {t}", lambda x, y: x @ y, normal(*s), normal(*t, seed=1))
    case("matmul of transposes", lambda x, y: x.T @ y.T, normal(3, 2), normal(4, 3))
    for s in [(3,), (2, 3), (4, 2, 3), (0, 3)]:
        case(f"linear {s}", fn.linear, normal(*s), normal(5, 3), normal(5))
    case("linear without bias", fn.linear, normal(2, 3), normal(5, 3))

    case("constants on both sides", lambda x: 2 - (3.0 * x + 1) / 4 + 1 / x, positive(3))
    for exponent in (0, 1, 2, 3, -1, 0.5, -1.5):
        case(f"pow {exponent}", lambda x, p=exponent: x**p, positive(2, 3))
    case("pow of negative numbers", lambda x: x**3, normal(4))
    case("pow at 0", lambda x: x**2 + x**0 + x**1, np.zeros(2))
    case("neg", lambda x: -x, normal(2, 3))
    case("abs", abs, apart(2, 3))
    case("exp", fn.exp, normal(2, 3))
    case("log", fn.log, positive(2, 3))
    case("sqrt", fn.sqrt, positive(2, 3))
    case("clip", lambda x: fn.clip(x, -0.12, 0.17), apart(3, 4))
    case("clip below", lambda x: fn.clip(x, 0.0, None), apart(3, 4))
    case("clip above", lambda x: fn.clip(x, None, 0.0), apart(3, 4))
    case("astype", lambda x: x.astype(np.float64), normal(3))

    for axis in AXES:
        for keepdims in (False, True):
            where = f"{axis} {keepdims}"
            x = normal(2, 3, 4)
            case(f"sum {where}", lambda x, a=axis, k=keepdims: x.sum(a, k), x)
            case(f"mean {where}", lambda x, a=axis, k=keepdims: x.mean(a, k), x)
            case(f"max {where}", lambda x, a=axis, k=keepdims: x.max(a, k), apart(2, 3, 4))
            case(f"min {where}", lambda x, a=axis, k=keepdims: x.min(a, k), apart(2, 3, 4))
            case(f"var {where}", lambda x, a=axis, k=keepdims: x.var(a, k), x)
            case(f"logsumexp {where}", lambda x, a=axis, k=keepdims: fn.logsumexp(x, a, k), x)
    case("var, unbiased", lambda x: x.var(1, correction=1), normal(2, 5))
    case("sum over no axis", lambda x: x.sum(()), normal(2, 3))
    case("sum of a scalar", lambda x: x.sum() + x.mean(), normal())
    case("sum of nothing", lambda x: x.sum(0), normal(0, 3))

    case("reshape", lambda x: x.reshape(3, -1) * on(normal(3, 2)), normal(2, 3))
    case("reshape of a transpose", lambda x: x.T.reshape(6) * on(normal(6)), normal(2, 3))
    case("transpose", lambda x: x.transpose(2, 0, 1), normal(2, 3, 4))
    case("swapaxes", lambda x: x.swapaxes(0, -1), normal(2, 3, 4))
    case("squeeze", fn.squeeze, normal(1, 3, 1))
    case("squeeze one", lambda x: x.squeeze(-1), normal(1, 3, 1))
    case("expand_dims", lambda x: fn.expand_dims(x, (0, -1)), normal(2, 3))
    case("broadcast_to", lambda x: fn.broadcast_to(x, (4, 2, 3)), normal(2, 1))
    case("flip", fn.flip, normal(2, 3))
    case("flip one", lambda x: fn.flip(x, 1), normal(2, 3))
    case("concatenate", lambda *x: fn.concatenate(x, 1), normal(2, 3), normal(2, 0), normal(2, 1))
    case("concatenate twice the same", lambda x: fn.concatenate([x, x * x, x], -1), normal(2, 3))
    for axis in (0, 1, -1):
        case(f"stack {axis}", lambda *x, a=axis: fn.stack(x, a), normal(2, 3), normal(2, 3, seed=1))
    case("stack of scalars", lambda *x: fn.stack(x), normal(), normal(seed=1))
    case("split", lambda x: fn.split(x, [1, 0, 2], 1), normal(2, 3))
    case("split, one part used", lambda x: fn.split(x, 3, -1)[1], normal(2, 3))
    case("unbind", lambda x: fn.unbind(x, 1), normal(2, 3))
    case("unbind, one part used", lambda x: fn.unbind(x)[1], normal(2, 3))
    case("getitem basic", lambda x: x[1:, None, ..., 0], normal(3, 2, 2))
    case("getitem repeated", lambda x: x[on(np.array([0, 2, 2, -1]))], normal(3, 2))
    case("getitem by a list", lambda x: x[1:, [0, 1, 0]], normal(3, 2))
    case("getitem masked", lambda x: x[on(normal(3, 2) > 0)], normal(3, 2))
    case("embedding", lambda w: fn.embedding(w, [[0, 2], [2, 2]]), normal(3, 4))

    case("sigmoid", fn.sigmoid, 3 * normal(2, 3))
    case("tanh", fn.tanh, normal(2, 3))
    case("relu", fn.relu, apart(2, 3))
    for axis in (0, -1):
        case(f"softmax {axis}", lambda x, a=axis: fn.softmax(x, a), normal(2, 3))
        case(f"log_softmax {axis}", lambda x, a=axis: fn.log_softmax(x, a), normal(2, 3))
    case("softmax far out", fn.softmax, 20 + normal(2, 3))
    case("dropout", lambda x: fn.dropout(x, 0.4, np.random.default_rng(1)), normal(4, 3))

    other = "cuda" if device == "cpu" and cuda_is_there() else "cpu"
    case("to_device", lambda x: fn.to_device(x * x, other).to(device) * x, normal(2, 3))

    labels = on(np.array([[0, 3, 1], [2, 2, 0]]))
    for reduction in ("mean", "sum", "none"):
        how: Any = {"reduction": reduction}
        p, t = apart(2, 3), np.full((2, 3), 0.11)
        case(f"mse {reduction}", lambda p, t, k=how: fn.mse_loss(p, t, **k), p, t)
        case(f"l1 {reduction}", lambda p, t, k=how: fn.l1_loss(p, t, **k), p, t)
        case(f"huber {reduction}", lambda p, t, k=how: fn.huber_loss(p, t, delta=0.17, **k), p, t)
        case(f"bce {reduction}",
             lambda z, y, k=how: fn.binary_cross_entropy_with_logits(z, fn.sigmoid(y), **k),
             normal(2, 3), normal(2, 3, seed=1))  # fmt: skip
        case(f"cross_entropy {reduction}",
             lambda z, k=how: fn.cross_entropy(z, labels, **k), normal(2, 3, 4))  # fmt: skip
    return found
