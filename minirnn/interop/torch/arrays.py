"""PyTorch's memory as arrays of ours, and back: nothing is copied on either device.

On the CPU a tensor and a NumPy array share memory. On the GPU CuPy takes it by DLPack; the kernels
then run on the GPU and the stream that PyTorch is using there, so neither waits for the other.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any

import numpy as np
import torch

from minirnn.gpu import gpu_library
from minirnn.kernels import cpu, cuda
from minirnn.kernels.contract import Array

__all__ = ["array_of", "kernels_for", "kernels_on", "tensor_of"]

_ON_CPU = nullcontext()


def array_of(tensor: Any) -> Array:
    """The tensor's memory as a NumPy or CuPy array, whatever its strides."""
    if tensor.is_cuda:
        return gpu_library("tensor").from_dlpack(tensor.detach())
    return tensor.detach().numpy()


def tensor_of(array: Array | None) -> Any:
    """The array's memory as a tensor; None stays None."""
    if array is None:
        return None
    return torch.from_numpy(array) if isinstance(array, np.ndarray) else torch.from_dlpack(array)


def kernels_for(tensor: Any) -> Any:
    """The kernel set for where the tensor lies."""
    return cuda if tensor.is_cuda else cpu


def kernels_on(tensor: Any) -> AbstractContextManager[object]:
    """Where the tensor is on a GPU: CuPy works on that GPU, in PyTorch's current stream there."""
    if not tensor.is_cuda:
        return _ON_CPU
    library = gpu_library("tensor")
    number = tensor.device.index
    stack = ExitStack()
    stack.enter_context(library.cuda.Device(number))
    pointer = torch.cuda.current_stream(number).cuda_stream
    streams = library.cuda
    stack.enter_context(streams.ExternalStream(pointer, number) if pointer else streams.Stream.null)
    return stack
