"""The states of a recurrent layer at its door: (L*D, B, H) outside, one (B, H) per level inside.

A *level* is one layer in one direction; they are counted layer by layer, forward before reverse,
as PyTorch counts them. L layers, D directions, B sequences, H units.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from minirnn.errors import ArgumentError, ShapeError
from minirnn.tensor import Tensor, as_tensor, constant

States = tuple[Tensor, ...]  # one Tensor per state of the cell


@lru_cache(maxsize=8)
def zero_states(count: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> States:
    """`count` states of zeros: one array, since nobody writes into initial states."""
    zeros = np.zeros(shape, dtype)
    zeros.flags.writeable = False
    return (constant(zeros),) * count


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
    tensor = as_tensor(value, dtype, argument)
    if tensor.shape != shape:
        raise ShapeError(argument, f"shape {tensor.shape}", f"{shape}, which is (L*D, B, H)")
    return tensor
