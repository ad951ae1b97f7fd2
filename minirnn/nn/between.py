"""Normalisation inside recurrent models: between their layers, and before their head.

T time steps, B sequences, F features.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from minirnn.errors import ArgumentError
from minirnn.kernels.contract import Array
from minirnn.nn.module import Module
from minirnn.nn.normalization import BatchNorm, LayerNorm
from minirnn.tensor import Tensor

Norm = Literal["none", "layer", "batch"]
NORMS: tuple[Norm, ...] = ("none", "layer", "batch")
Normalizer = LayerNorm | BatchNorm


def checked_norm(value: Any) -> Norm:
    """Raises: ArgumentError that names `norm`."""
    if not isinstance(value, str) or value not in NORMS:
        raise ArgumentError("norm", repr(value), "'none', 'layer' or 'batch'")
    chosen: Norm = value
    return chosen


def normalizer(norm: Norm, features: int, dtype: Any, device: str) -> Normalizer:
    """A `LayerNorm` or `BatchNorm` of that many features."""
    kind = LayerNorm if norm == "layer" else BatchNorm
    return kind(features, dtype=dtype, device=device)


def normalised(module: Normalizer, x: Tensor, valid: Any) -> Tensor:
    """x (..., F), normalised; `valid (...)`, of the CPU, says which vectors count, None is all.

    A batch with fewer than two vectors has no variance: it is normalised by the running ones, so
    that an epoch may end with a batch of one sequence.
    """
    if isinstance(module, LayerNorm):
        return module(x)  # type: ignore[no-any-return]
    count = x.size // module.features if valid is None else int(valid.sum())
    if module.training and count < 2:
        return module.by_running(x)
    return module(x, valid)  # type: ignore[no-any-return]


def valid_steps(T: int, lengths: Array | None) -> Any:
    """(T, B): the steps within each sequence; None where all are."""
    return None if lengths is None else np.arange(T)[:, None] < lengths


def refuse_extras(module: Module, argument: str, wanted: str) -> None:
    """Refuse a model with what other libraries' recurrent models have no place for.

    Raises: ArgumentError that names `argument`, for normalisation between layers or before the
    head, and for initial states other than zeros.
    """
    extra = extras_of(module)
    if extra:
        raise ArgumentError(argument, f"a model with {extra}", wanted)


def extras_of(module: Module) -> str:
    """Such an extra in a model, in words; "" where there is none."""
    for each in module.modules():
        norm = getattr(each, "norm", "none")
        if norm in ("layer", "batch"):
            return f"norm={norm!r}"
        state = getattr(each, "initial_state", "zeros")
        if state in ("learned", "random", "carried"):
            return f"initial_state={state!r}"
    return ""
