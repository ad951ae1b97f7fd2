"""The operators that stand around recurrent nodes: arithmetic, activations, products, reductions.

An operator is a function of its node and its inputs (None where one is absent) that returns one
value or a tuple. Floating-point values are Tensors and go through `minirnn.functional`, with their
gradients; integers and booleans are NumPy arrays.
"""

from __future__ import annotations

import operator
from functools import reduce
from typing import Any

import numpy as np

from minirnn import functional
from minirnn.device import FLOATS, to_device
from minirnn.errors import DTypeError
from minirnn.interop.onnx.node import Node, Operator, Value, element_type, registrar
from minirnn.tensor import Tensor

OPERATORS: dict[str, Operator] = {}
register = registrar(OPERATORS)


def _truncated_quotient(a: Any, b: Any) -> Any:
    """Integer division that rounds toward zero, as in C."""
    return np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))


def _power(a: Tensor, b: Any) -> Tensor:
    exponents = b.numpy() if isinstance(b, Tensor) else b
    if exponents.size != 1:
        raise DTypeError("exponent of Pow", f"an array of shape {exponents.shape}", "one number")
    return functional.pow(a, float(exponents.item()))


# name -> on Tensors, on NumPy arrays
_BINARY: dict[str, tuple[Operator, Operator]] = {
    "Add": (functional.add, np.add),
    "Sub": (functional.sub, np.subtract),
    "Mul": (functional.mul, np.multiply),
    "Div": (functional.div, _truncated_quotient),
    "Pow": (_power, np.power),
    "Equal": (lambda a, b: functional.equal(a, b).numpy(), np.equal),
    "Greater": (lambda a, b: functional.greater(a, b).numpy(), np.greater),
    "GreaterOrEqual": (lambda a, b: functional.greater_equal(a, b).numpy(), np.greater_equal),
    "Less": (lambda a, b: functional.less(a, b).numpy(), np.less),
    "LessOrEqual": (lambda a, b: functional.less_equal(a, b).numpy(), np.less_equal),
}
_LOGICAL: dict[str, Operator] = {
    "And": np.logical_and,
    "Or": np.logical_or,
    "Xor": np.logical_xor,
}
_UNARY: dict[str, tuple[Operator, Operator | None]] = {
    "Sigmoid": (functional.sigmoid, None),
    "Tanh": (functional.tanh, None),
    "Relu": (functional.relu, lambda a: np.maximum(a, 0)),
    "Exp": (functional.exp, None),
    "Log": (functional.log, None),
    "Sqrt": (functional.sqrt, None),
    "Neg": (functional.neg, np.negative),
    "Abs": (functional.abs, np.abs),
}


def _binary(on_tensors: Operator, on_arrays: Operator) -> Operator:
    def run(node: Node, a: Value, b: Value) -> Value:
        if isinstance(a, Tensor) or (isinstance(b, Tensor) and node.op != "Pow"):
            result: Value = on_tensors(a, b)
            return result
        if isinstance(b, Tensor):
            b = b.numpy()
        result = np.asarray(on_arrays(a, b))
        return result.astype(a.dtype) if node.op in ("Pow", "Div") else result

    return run


def _unary(on_tensors: Operator, on_arrays: Operator | None) -> Operator:
    def run(node: Node, x: Value) -> Value:
        if isinstance(x, Tensor) or on_arrays is None:
            result: Value = on_tensors(x)
            return result
        return np.asarray(on_arrays(x))

    return run


for _name, (_tensors, _arrays) in _BINARY.items():
    OPERATORS[_name] = _binary(_tensors, _arrays)
for _name, _function in _LOGICAL.items():
    OPERATORS[_name] = lambda node, a, b, _f=_function: np.asarray(_f(a, b))
for _name, (_tensors, _maybe) in _UNARY.items():
    OPERATORS[_name] = _unary(_tensors, _maybe)
OPERATORS["Not"] = lambda node, x: np.logical_not(x)


@register("Sum", "Max", "Min")
def _variadic(node: Node, *values: Value) -> Value:
    kinds: dict[str, tuple[Operator, Operator]] = {
        "Sum": (operator.add, np.add),
        "Max": (functional.maximum, np.maximum),
        "Min": (functional.minimum, np.minimum),
    }
    tensors = any(isinstance(value, Tensor) for value in values)
    return reduce(kinds[node.op][0 if tensors else 1], values)


@register("Mod")
def _modulo(node: Node, a: Value, b: Value) -> Value:
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        raise node.refuse("floating-point numbers", "integers")
    return np.asarray(np.fmod(a, b) if node.get("fmod", 0) else np.mod(a, b))


@register("LeakyRelu")
def _leaky_relu(node: Node, x: Tensor) -> Tensor:
    return functional.where(functional.less(x, 0.0), functional.mul(x, node.get("alpha", 0.01)), x)


@register("HardSigmoid")
def _hard_sigmoid(node: Node, x: Tensor) -> Tensor:
    return functional.clip(x * node.get("alpha", 0.2) + node.get("beta", 0.5), 0.0, 1.0)


@register("Clip")
def _clip(node: Node, x: Value, low: Value | None = None, high: Value | None = None) -> Value:
    least, most = (None if bound is None else bound.item() for bound in (low, high))
    if node.opset < 11:
        least, most = node.get("min"), node.get("max")
    if least is None and most is None:
        return x
    return functional.clip(x, least, most) if isinstance(x, Tensor) else np.clip(x, least, most)


@register("Softmax", "LogSoftmax")
def _softmax(node: Node, x: Tensor) -> Tensor:
    function = functional.softmax if node.op == "Softmax" else functional.log_softmax
    if node.opset >= 13:
        return function(x, axis=node.get("axis", -1))
    # Before, everything from `axis` on was one axis.
    axis = node.get("axis", 1) % max(x.ndim, 1)
    leading = int(np.prod(x.shape[:axis]))
    return functional.reshape(function(functional.reshape(x, (leading, -1)), axis=1), x.shape)


@register("MatMul")
def _matmul(node: Node, a: Value, b: Value) -> Value:
    return functional.matmul(a, b) if isinstance(a, Tensor) else np.matmul(a, b)


@register("Gemm")
def _gemm(node: Node, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    """alpha A' B' + beta C; A' is A or its transpose."""
    a = functional.transpose(a) if node.get("transA", 0) else a
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    if node.get("transB", 0) and alpha == beta == 1.0 and (c is None or c.shape == b.shape[:1]):
        return functional.linear(a, b, c)
    y = functional.matmul(a, functional.transpose(b) if node.get("transB", 0) else b)
    y = y if alpha == 1.0 else y * alpha
    return y if c is None else y + (c if beta == 1.0 else c * beta)


@register("Dropout")
def _dropout(
    node: Node, x: Tensor, ratio: Value | None = None, training: Value | None = None
) -> tuple[Value, ...]:
    """The identity: a model is exported for inference, and dropout is for training."""
    if training is not None and bool(training.item()):
        raise node.refuse("training_mode true", "a model exported for inference")
    return x, np.ones(x.shape, np.bool_)


@register("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd")
def _reduce(node: Node, x: Value, given: Value | None = None) -> Value:
    axes = node.axes(given, 13 if node.op == "ReduceSum" else 18)
    if not axes and node.get("noop_with_empty_axes", 0):
        return x
    axis = tuple(axes) if axes else None
    keep = bool(node.get("keepdims", 1))
    name = node.op.removeprefix("Reduce").lower()
    if not isinstance(x, Tensor):
        array: Value = np.asarray(getattr(np, name)(x, axis=axis, keepdims=keep), x.dtype)
        return array
    if name == "prod":
        raise node.refuse("floating-point numbers", "integers")
    tensor: Value = getattr(functional, name)(x, axis=axis, keepdims=keep)
    return tensor


@register("LayerNormalization")
def _layer_normalization(
    node: Node, x: Tensor, scale: Tensor, bias: Tensor | None = None
) -> tuple[Tensor, ...]:
    """Returns the result, the mean and the reciprocal of the deviation."""
    axes = tuple(range(node.get("axis", -1) % x.ndim, x.ndim))
    mean = functional.mean(x, axes, keepdims=True)
    centred = x - mean
    variance = functional.mean(centred * centred, axes, keepdims=True)
    reciprocal = 1.0 / functional.sqrt(variance + node.get("epsilon", 1e-5))
    y = centred * reciprocal * scale
    return y if bias is None else y + bias, mean, reciprocal


@register("ArgMax")
def _argmax(node: Node, x: Value) -> Value:
    array = x.numpy() if isinstance(x, Tensor) else x
    if node.get("select_last_index", 0):
        raise node.refuse("select_last_index", "the first index of equal values")
    axis = node.get("axis", 0)
    return np.asarray(np.argmax(array, axis=axis, keepdims=bool(node.get("keepdims", 1))))


@register("Cast")
def _cast(node: Node, x: Value) -> Value:
    dtype = element_type(node.get("to", 0), f"to of {node.name!r}")
    return _cast_to(x, dtype)


def _cast_to(x: Value, dtype: np.dtype[Any]) -> Value:
    if isinstance(x, Tensor):
        return functional.astype(x, dtype) if dtype in FLOATS else x.numpy().astype(dtype)
    return x.astype(dtype)


@register("CastLike")
def _cast_like(node: Node, x: Value, like: Value) -> Value:
    if isinstance(x, Tensor):
        return (
            functional.astype(x, like.dtype)
            if like.dtype in FLOATS
            else x.numpy().astype(like.dtype)
        )
    return x.astype(like.dtype)


@register("Where")
def _where(node: Node, condition: Value, a: Value, b: Value) -> Value:
    mask = condition.numpy() if isinstance(condition, Tensor) else condition
    if isinstance(a, Tensor):
        return functional.where(to_device(mask, a.device), a, b)
    return np.where(mask, a, b)
