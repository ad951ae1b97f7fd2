"""Initialisers: each fills a parameter in place, and says where it comes from.

A matrix is (rows, columns) = (out, in). The matrices of a gated layer are blocks of rows, one per
gate; each gate is a map of its own from x or h, which is what the sources are about. `blocks` is
the number of gates, and every initialiser that looks at sizes treats each block by itself. Keras
instead takes the blocks together, as `blocks=1` does. `apply` passes the cell's number of gates.

`rng` is None, a seed or a numpy Generator. Values are drawn in float64 and rounded to the
parameter's dtype, and always on the CPU, so that float32 and float64 models, on the CPU and on the
GPU, start at the same point.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minirnn.device import device_of, to_device
from minirnn.errors import ArgumentError, DTypeError, ShapeError
from minirnn.gpu import cupy_array
from minirnn.kernels.contract import FLOATS, Array
from minirnn.nn.arguments import finite, generator, positive_int
from minirnn.nn.linear import Linear
from minirnn.nn.module import Module
from minirnn.nn.recurrent import Recurrent
from minirnn.tensor import Tensor

__all__ = [
    "apply",
    "chrono",
    "constant",
    "forget_bias",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "identity",
    "normal",
    "orthogonal",
    "uniform",
    "zeros",
]


def constant(parameter: Tensor | Array, value: float) -> None:
    """Fill with `value`."""
    _array(parameter)[...] = finite("value", value)


def zeros(parameter: Tensor | Array) -> None:
    """Fill with zeros."""
    _array(parameter)[...] = 0.0


def uniform(parameter: Tensor | Array, low: float, high: float, *, rng: Any = None) -> None:
    """Fill uniformly between `low` and `high`."""
    low, high = finite("low", low), finite("high", high)
    if not low < high:
        raise ArgumentError("high", repr(high), f"a number above low = {low}")
    array = _array(parameter)
    _write(array, generator(rng).uniform(low, high, array.shape))


def normal(parameter: Tensor | Array, mean: float, std: float, *, rng: Any = None) -> None:
    """Fill from the normal distribution of that mean and standard deviation."""
    array = _array(parameter)
    std = _positive("std", std)
    _write(array, generator(rng).normal(finite("mean", mean), std, array.shape))


def glorot_uniform(
    parameter: Tensor | Array, *, gain: float = 1.0, blocks: int = 1, rng: Any = None
) -> None:
    """Fill with U(-a, a), a = gain sqrt(6 / (in + out)).

    Keeps variances through a layer, forward and backward alike, near the origin of tanh (Glorot
    and Bengio 2010, AISTATS, eq. 16). `out` is the rows of one block.
    """
    array, rows, columns = _blocked(parameter, blocks)
    bound = _positive("gain", gain) * math.sqrt(6.0 / (rows + columns))
    _write(array, generator(rng).uniform(-bound, bound, array.shape))


def glorot_normal(
    parameter: Tensor | Array, *, gain: float = 1.0, blocks: int = 1, rng: Any = None
) -> None:
    """Fill from N(0, s^2), s = gain sqrt(2 / (in + out)) (Glorot and Bengio 2010, eq. 12)."""
    array, rows, columns = _blocked(parameter, blocks)
    std = _positive("gain", gain) * math.sqrt(2.0 / (rows + columns))
    _write(array, generator(rng).normal(0.0, std, array.shape))


def he_uniform(
    parameter: Tensor | Array, *, gain: float = math.sqrt(2.0), blocks: int = 1, rng: Any = None
) -> None:
    """Fill with U(-a, a), a = gain sqrt(3 / in): the variance of `he_normal`."""
    array, _, columns = _blocked(parameter, blocks)
    bound = _positive("gain", gain) * math.sqrt(3.0 / columns)
    _write(array, generator(rng).uniform(-bound, bound, array.shape))


def he_normal(
    parameter: Tensor | Array, *, gain: float = math.sqrt(2.0), blocks: int = 1, rng: Any = None
) -> None:
    """Fill from N(0, s^2), s = gain / sqrt(in).

    With gain sqrt(2) keeps second moments through relu (He et al. 2015, ICCV, eq. 10).
    """
    array, _, columns = _blocked(parameter, blocks)
    std = _positive("gain", gain) / math.sqrt(columns)
    _write(array, generator(rng).normal(0.0, std, array.shape))


def orthogonal(
    parameter: Tensor | Array, *, gain: float = 1.0, blocks: int = 1, rng: Any = None
) -> None:
    """Fill each block with `gain` times a random orthogonal matrix (Saxe et al. 2014, ICLR).

    A block that is not square has orthonormal rows or columns, whichever are fewer. The matrix is
    uniform among all such: the Q of a Gaussian matrix's QR, with the signs that make R's diagonal
    positive (Mezzadri 2007, Notices of the AMS 54).
    """
    array, rows, columns = _blocked(parameter, blocks)
    gain = _positive("gain", gain)
    random = generator(rng)
    for start in range(0, array.shape[0], rows):
        tall = random.normal(size=(max(rows, columns), min(rows, columns)))
        q, r = np.linalg.qr(tall)
        q = q * np.where(np.diagonal(r) < 0.0, -1.0, 1.0)
        _write(array[start : start + rows], gain * (q if rows >= columns else q.T))


def identity(parameter: Tensor | Array, *, gain: float = 1.0, blocks: int = 1) -> None:
    """Fill each block with `gain` times the identity.

    For weight_hh of an RNN with relu: the IRNN of Le, Jaitly and Hinton (2015, arXiv 1504.00941),
    with zero biases. A block that is not square gets ones on its main diagonal.
    """
    array, rows, columns = _blocked(parameter, blocks)
    gain = _positive("gain", gain)
    for start in range(0, array.shape[0], rows):
        _write(array[start : start + rows], gain * np.eye(rows, columns))


def forget_bias(layer: Recurrent, value: float = 1.0) -> None:
    """Set the bias of the forget gate, in every layer and direction, to `value`.

    A gate that starts open, sigmoid(1) = 0.73 instead of 0.5, lets gradients through from the
    start (Gers et al. 2000, Neural Computation 12; Jozefowicz et al. 2015, ICML). Both
    biases of the gate add up: bias_ih gets the value and bias_hh gets zero.

    Raises: ArgumentError for a layer without biases or without a slot "forget" fed by x and h.
    """
    value = finite("value", value)
    for which in _levels(layer):
        _set_gate_bias(layer, which, "forget", value)


def chrono(layer: Recurrent, T_max: float, *, rng: Any = None) -> None:
    """Give the units memories between 1 and T_max - 1 steps long: the chrono initialisation.

    LSTM: the forget gate's bias is log u with u ~ U(1, T_max - 1), one u per unit, and the input
    gate's is -log u. Forgetting by a factor sigmoid(log u) = u / (1 + u) per step is a memory of
    about u steps (Tallec and Ollivier 2018, ICLR, section 3). GRU: the source's gate opens for the
    new candidate, with bias -log u; the update gate here, as in PyTorch, keeps the old state, so
    its bias is +log u. All layers and directions; bias_hh of these gates gets zero.

    T_max is the longest dependency expected, in steps, above 2.

    Raises: ArgumentError for another cell, a layer without biases, or such a T_max.
    """
    longest = finite("T_max", T_max)
    if longest <= 2.0:
        raise ArgumentError("T_max", repr(T_max), "a number of steps above 2")
    levels = _levels(layer)
    if layer.cell.name not in ("lstm", "gru"):
        raise ArgumentError("layer", f"a layer of {layer.cell.name!r} cells", "LSTM or GRU")
    random = generator(rng)
    for which in levels:
        memory = np.log(random.uniform(1.0, longest - 1.0, layer.hidden_size))
        if layer.cell.name == "lstm":
            _set_gate_bias(layer, which, "forget", memory)
            _set_gate_bias(layer, which, "input", -memory)
        else:
            _set_gate_bias(layer, which, "update", memory)


def apply(
    module: Module,
    *,
    kernel: str | None = None,
    recurrent: str | None = None,
    bias: str | None = None,
    forget_bias: float | None = None,
    rng: Any = None,
) -> None:
    """Initialise a layer or a whole model; what is None stays as it is.

    kernel       for every weight_ih and every Linear's weight: "glorot_uniform", "glorot_normal",
                 "he_uniform", "he_normal", "orthogonal", "identity", "zeros", or, whatever the
                 sizes, "uniform" from -0.05 to 0.05 and "normal" of standard deviation 0.05, which
                 are the defaults of Keras's RandomUniform and RandomNormal
    recurrent    for every weight_hh, likewise; each gate's block by itself
    bias         for every bias: "zeros"
    forget_bias  of every LSTM layer, see `forget_bias`; other cells have no such gate

    Raises: ArgumentError that names the argument.
    """
    fill_kernel = _matrix_initialiser("kernel", kernel)
    fill_recurrent = _matrix_initialiser("recurrent", recurrent)
    if not isinstance(module, Module):
        raise ArgumentError("module", f"a {type(module).__name__}", "a minirnn Module")
    if bias is not None and not (isinstance(bias, str) and bias == "zeros"):
        raise ArgumentError("bias", repr(bias), "None or 'zeros'")
    if forget_bias is not None:
        finite("forget_bias", forget_bias)
    random = generator(rng)
    for part in module.modules():
        if isinstance(part, Linear):
            if fill_kernel:
                fill_kernel(part.weight, 1, random)
            if bias and part.bias is not None:
                zeros(part.bias)
        elif isinstance(part, Recurrent):
            for layer, reverse in _levels(part):
                weights = part.weights(layer, reverse=reverse)
                if fill_kernel:
                    fill_kernel(weights.weight_ih, len(part.cell.input_slots), random)
                if fill_recurrent:
                    fill_recurrent(weights.weight_hh, len(part.cell.hidden_slots), random)
                if bias and part.bias:
                    zeros(weights.bias_ih)
                    zeros(weights.bias_hh)
            if forget_bias is not None and part.cell.name == "lstm":
                _forget_bias(part, forget_bias)


_forget_bias = forget_bias  # `apply` has an argument of that name
_Fill = Callable[[Any, int, np.random.Generator], None]
_MATRIX: dict[str, _Fill] = {
    "glorot_uniform": lambda p, blocks, rng: glorot_uniform(p, blocks=blocks, rng=rng),
    "glorot_normal": lambda p, blocks, rng: glorot_normal(p, blocks=blocks, rng=rng),
    "he_uniform": lambda p, blocks, rng: he_uniform(p, blocks=blocks, rng=rng),
    "he_normal": lambda p, blocks, rng: he_normal(p, blocks=blocks, rng=rng),
    "orthogonal": lambda p, blocks, rng: orthogonal(p, blocks=blocks, rng=rng),
    "identity": lambda p, blocks, rng: identity(p, blocks=blocks),
    "uniform": lambda p, blocks, rng: uniform(p, -0.05, 0.05, rng=rng),
    "normal": lambda p, blocks, rng: normal(p, 0.0, 0.05, rng=rng),
    "zeros": lambda p, blocks, rng: zeros(p),
}


def _matrix_initialiser(argument: str, name: str | None) -> _Fill | None:
    if name is None:
        return None
    if not isinstance(name, str) or name not in _MATRIX:
        raise ArgumentError(argument, repr(name), f"None or one of {', '.join(_MATRIX)}")
    return _MATRIX[name]


def _array(parameter: Tensor | Array) -> Array:
    array = parameter.data if isinstance(parameter, Tensor) else parameter
    if not isinstance(array, np.ndarray) and not cupy_array(array):
        raise ArgumentError("parameter", type(array).__name__, "a Tensor or an array")
    if array.dtype not in FLOATS:
        raise DTypeError("parameter", array.dtype.name, "float32 or float64")
    return array


def _write(target: Array, values: Any) -> None:
    """Put a number or float64 values, which are on the CPU, into `target`, wherever that is."""
    if isinstance(values, np.ndarray):
        values = to_device(values.astype(target.dtype), device_of(target))
    target[...] = values


def _blocked(parameter: Tensor | Array, blocks: int) -> tuple[Array, int, int]:
    """The array, and the (rows, columns) of one block."""
    array = _array(parameter)
    blocks = positive_int("blocks", blocks)
    if array.ndim != 2 or array.size == 0 or array.shape[0] % blocks:
        wanted = f"(rows, columns), rows a multiple of blocks = {blocks}"
        raise ShapeError("parameter", f"shape {array.shape}", wanted)
    return array, array.shape[0] // blocks, array.shape[1]


def _positive(name: str, value: Any) -> float:
    number = finite(name, value)
    if number <= 0.0:
        raise ArgumentError(name, repr(value), "a number above 0")
    return number


def _levels(layer: Recurrent) -> list[tuple[int, bool]]:
    if not isinstance(layer, Recurrent):
        raise ArgumentError("layer", type(layer).__name__, "a recurrent layer")
    directions = (False, True)[: layer.num_directions]
    return [(index, reverse) for index in range(layer.num_layers) for reverse in directions]


def _set_gate_bias(layer: Recurrent, which: tuple[int, bool], slot: str, value: Any) -> None:
    cell, H = layer.cell, layer.hidden_size
    if cell.slots.get(slot) != "xh":
        raise ArgumentError("layer", f"a layer of {cell.name!r} cells", f"a cell with {slot!r}")
    weights = layer.weights(which[0], reverse=which[1])
    if weights.bias_ih is None or weights.bias_hh is None:
        raise ArgumentError("layer", "a layer with bias=False", "a layer with biases")
    for bias, slots, content in (
        (weights.bias_ih, cell.input_slots, value),
        (weights.bias_hh, cell.hidden_slots, 0.0),
    ):
        start = slots.index(slot) * H
        _write(bias.data[start : start + H], content)
