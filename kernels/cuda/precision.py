"""How exactly the GPU multiplies: a choice of the whole process, never made by accident.

The operands of every product of the recurrent kernels are rounded to the chosen format; sums,
gates, states and gradients are float32 whatever the choice. float64 arrays are always multiplied
exactly.
"""

from __future__ import annotations

import threading
from typing import Any, Literal, get_args

import numpy as np

from minirnn.errors import ArgumentError, DeviceError
from minirnn.kernels.cuda.device import Gpu

__all__ = ["MatmulPrecision", "get_matmul_precision", "set_matmul_precision"]

MatmulPrecision = Literal["float32", "tf32", "bfloat16", "float16"]
NAMES: tuple[str, ...] = get_args(MatmulPrecision)

TENSOR_CORES = 80  # the compute capability from which they have all of these formats

_lock = threading.Lock()
_chosen: MatmulPrecision = "float32"


def set_matmul_precision(precision: MatmulPrecision) -> None:
    """Choose the format of the operands in the products of the recurrent kernels on the GPU.

    "float32"   exact operands, on the ordinary multiply-add units: the default
    "tf32"      10 bits of mantissa, on the tensor cores
    "bfloat16"  7 bits of mantissa, float32's range
    "float16"   10 bits of mantissa; gradients, which would fall below float16's range, are
                multiplied as tf32, which has the same mantissa and float32's range

    A forward pass uses what is chosen when it runs, and its backward the same. The CPU's kernels
    and float64 arrays are not touched by it.

    Raises: ArgumentError for another name.
    """
    global _chosen
    if not isinstance(precision, str) or precision not in NAMES:
        raise ArgumentError("precision", repr(precision), f"one of {', '.join(map(repr, NAMES))}")
    with _lock:
        _chosen = precision


def get_matmul_precision() -> MatmulPrecision:
    """The format chosen by `set_matmul_precision`; "float32" unless it was called."""
    return _chosen


def precision_of(dtype: np.dtype[Any], gpu: Gpu) -> str:
    """What the products of arrays of that dtype are to be computed in: "float64", or the choice.

    Raises: DeviceError for a GPU whose tensor cores do not have the chosen format.
    """
    if dtype == np.float64:
        return "float64"
    chosen = get_matmul_precision()
    if chosen != "float32" and int(gpu.target.removeprefix("sm_")) < TENSOR_CORES:
        raise DeviceError(
            "device", f"'cuda' of compute capability {gpu.target.removeprefix('sm_')[:-1]}."
            f"{gpu.target[-1]}", f"8.0 or newer for {chosen!r} products",
            "set_matmul_precision('float32') runs on any",
        )  # fmt: skip
    return chosen
