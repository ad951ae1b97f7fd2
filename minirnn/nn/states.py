"""The states of a recurrent layer at its door: (L*D, B, H) outside, one (B, H) per level inside.

A *level* is one layer in one direction; they are counted layer by layer, forward before reverse,
as PyTorch counts them. L layers, D directions, B sequences, H units.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from minirnn.device import Array, array_namespace
from minirnn.errors import ArgumentError, ShapeError
from minirnn.tensor import Tensor, as_tensor, constant

States = tuple[Tensor, ...]  # one Tensor per state of the cell


def zero_states(count: int, shape: tuple[int, ...], dtype: np.dtype[Any], like: Array) -> States:
    """`count` states of zeros, where `like` is: one array, as nobody writes into initial states."""
    if isinstance(like, np.ndarray):
        return _zero_states_on_cpu(count, shape, dtype)
    # Not kept for the next call, which may run on another stream or GPU.
    return (constant(array_namespace(like).zeros(shape, dtype)),) * count


@lru_cache(maxsize=8)
def _zero_states_on_cpu(count: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> States:
    zeros = np.zeros(shape, dtype)
    zeros.flags.writeable = False
    return (constant(zeros),) * count


def given_states(
    state: Any,
    names: tuple[str, ...],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    like: Array,
    output_size: int | None = None,
) -> States:
    """Check what the caller gave: a (L*D, B, H) array, or a tuple of them for several states.

    `shape` is (L*D, B, H), or for a single step (B, H).
    `output_size` is that of the first state, h, if it is not H.

    Raises: ArgumentError, ShapeError, DTypeError or DeviceError (it is not where `like` is) that
    names `state`.
    """
    if len(names) == 1:
        if isinstance(state, tuple):
            raise ArgumentError("state", f"a tuple of {len(state)}", f"one array {shape}")
        return (_checked(state, "state", shape, dtype, like),)
    shapes = [(*shape[:-1], output_size or shape[-1]), *[shape] * (len(names) - 1)]
    kinds = f"{shape}" if shapes[0] == shape else f"{shapes[0]} and {shape}"
    wanted = f"a tuple ({', '.join(names)}) of arrays {kinds}"
    if not isinstance(state, tuple | list):
        raise ArgumentError("state", f"one {type(state).__name__}", wanted)
    if len(state) != len(names):
        raise ArgumentError("state", f"a {type(state).__name__} of {len(state)}", wanted)
    return tuple(
        _checked(member, f"state {name!r}", size, dtype, like)
        for name, member, size in zip(names, state, shapes, strict=True)
    )


def _checked(
    value: Any, argument: str, shape: tuple[int, ...], dtype: np.dtype[Any], like: Array
) -> Tensor:
    tensor = as_tensor(value, dtype, argument, like)
    if tensor.shape != shape:
        meaning = "(L*D, B, H)" if len(shape) == 3 else "(B, H)"
        raise ShapeError(argument, f"shape {tensor.shape}", f"{shape}, which is {meaning}")
    return tensor
