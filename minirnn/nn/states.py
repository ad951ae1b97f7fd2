"""The states of a recurrent layer at its door: (L*D, B, H) outside, one (B, H) per level inside.

A *level* is one layer in one direction; they are counted layer by layer, forward before reverse,
as PyTorch counts them. L layers, D directions, B sequences, H units.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minirnn.device import array_namespace
from minirnn.errors import ArgumentError, DTypeError, ShapeError
from minirnn.kernels.contract import Array
from minirnn.tensor import Tensor, apply, as_tensor

States = tuple[Tensor, ...]  # one Tensor per state of the cell


def zero_states(count: int, shape: tuple[int, int], dtype: np.dtype[Any]) -> States:
    """`count` states of zeros; the kernels do not write into them."""
    return tuple([Tensor(np.zeros(shape, dtype)) for _ in range(count)])


def given_states(
    state: Any, names: tuple[str, ...], shape: tuple[int, int, int], dtype: np.dtype[Any]
) -> States:
    """Check what the caller gave: a (L*D, B, H) array, or a tuple of them for several states.

    Raises: ArgumentError, ShapeError or DTypeError that names `state`.
    """
    if len(names) == 1:
        if isinstance(state, tuple):
            raise ArgumentError("state", f"a tuple of {len(state)}", f"one array {shape}")
        return (_checked(state, "state", shape, dtype),)
    wanted = f"a tuple ({', '.join(names)}) of arrays {shape}"
    if not isinstance(state, tuple | list):
        raise ArgumentError("state", f"one {type(state).__name__}", wanted)
    if len(state) != len(names):
        raise ArgumentError("state", f"a {type(state).__name__} of {len(state)}", wanted)
    return tuple(
        _checked(member, f"state {name!r}", shape, dtype)
        for name, member in zip(names, state, strict=True)
    )


def _checked(
    value: Any, argument: str, shape: tuple[int, int, int], dtype: np.dtype[Any]
) -> Tensor:
    tensor = as_tensor(value, argument=argument)
    if tensor.shape != shape:
        raise ShapeError(argument, f"shape {tensor.shape}", f"{shape}, which is (L*D, B, H)")
    if tensor.dtype != dtype:
        hint = f"Convert it with .astype({dtype.name!r})"
        raise DTypeError(argument, tensor.dtype.name, f"{dtype.name}, as x", hint)
    return tensor


def split(state: Tensor) -> States:
    """(levels, B, H) to one (B, H) per level: views, and one operation on the tape."""
    data = state.data

    def backward(*gradients: Array | None) -> Sequence[Array | None]:
        whole = array_namespace(data).zeros(data.shape, data.dtype)
        for level, gradient in enumerate(gradients):
            if gradient is not None:
                whole[level] = gradient
        return (whole,)

    return apply("split_state", (state,), tuple(data), backward)


def join(levels: Sequence[Tensor]) -> Tensor:
    """One (B, H) per level to (levels, B, H): one operation on the tape; a view of a lone level."""

    def backward(gradient: Array | None) -> Sequence[Array | None]:
        return [None] * len(levels) if gradient is None else list(gradient)

    if len(levels) == 1:
        data = levels[0].data[None]
    else:
        arrays = [level.data for level in levels]
        data = array_namespace(arrays[0]).stack(arrays)
    (joined,) = apply("join_state", tuple(levels), (data,), backward)
    return joined
