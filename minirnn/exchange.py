"""Arrays of other libraries: taken without a copy, on the CPU and on the GPU.

On the GPU DLPack comes first, since it tells the producer which stream will read the memory, so
that no kernel runs before what it reads is there; `__cuda_array_interface__` serves libraries that
have nothing else (Numba).
Source: DLPack's Python specification; Numba's "CUDA Array Interface (Version 3)".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minirnn.errors import ArgumentError, DeviceError, DTypeError
from minirnn.gpu import gpu_library, memory_error

# DLDeviceType of dlpack.h: what the processor reads, and what CuPy takes.
_CPU, _CUDA, _CUDA_HOST, _CUDA_MANAGED = 1, 2, 3, 13
_SHAREABLE = "one whose memory can be shared"
_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_DTYPES = frozenset(("float32", "float64", "bool", *_INTEGERS))


def share(value: Any, argument: str) -> Any:
    """A NumPy or CuPy array over the memory of another library's array; None if it is none.

    Raises: ArgumentError (it requires a gradient there, or cannot be shared), DTypeError, or
    DeviceError (it lies neither on the CPU nor on an NVIDIA GPU); each names `argument`.
    """
    if isinstance(value, np.ndarray):
        return None  # a subclass: NumPy's own business
    dlpack = hasattr(value, "__dlpack__") and hasattr(value, "__dlpack_device__")
    if not dlpack and not _has_cuda_interface(value):
        return None
    name = f"a {type(value).__module__.partition('.')[0]} {type(value).__name__}"
    if getattr(value, "requires_grad", False) is True:
        hint = "Its gradients are that library's: hand over .detach()"
        raise ArgumentError(argument, f"{name} that requires a gradient", "one without", hint)
    dtype = str(getattr(value, "dtype", "")).rpartition(".")[2]
    if dtype and dtype.isidentifier() and dtype not in _DTYPES:
        wanted = "float32 or float64 (or integers, without gradient)"
        raise DTypeError(argument, f"{name} of {dtype}", wanted)
    try:
        where = int(value.__dlpack_device__()[0]) if dlpack else _CUDA
    except (BufferError, RuntimeError, TypeError, ValueError) as error:  # PyTorch's "meta" tensors
        raise ArgumentError(argument, f"{name} ({error})", _SHAREABLE) from error
    if where not in (_CPU, _CUDA, _CUDA_HOST, _CUDA_MANAGED):
        wanted = "an array on the CPU or on an NVIDIA GPU"
        raise DeviceError(argument, f"{name} on another device (DLPack's {where})", wanted)
    if where in (_CUDA, _CUDA_MANAGED):
        library = gpu_library(argument)
        take = library.from_dlpack if dlpack else library.asarray
    else:
        # `__array__` shares the memory too; and what comes by an older DLPack, NumPy cannot write.
        take = np.asarray if hasattr(value, "__array__") else np.from_dlpack
    try:
        return take(value)
    except MemoryError as error:
        raise memory_error(error) from None
    except (BufferError, RuntimeError, TypeError, ValueError, NotImplementedError) as error:
        raise ArgumentError(argument, f"{name} ({error})", _SHAREABLE) from error


def _has_cuda_interface(value: Any) -> bool:
    try:
        return hasattr(value, "__cuda_array_interface__")
    except RuntimeError:  # as PyTorch has it where the array requires a gradient
        return True
