"""Recurrent layers of other frameworks as `check_cell` calls them.

    adapters.torch_module(torch.nn.LSTM)          built and called as torch.nn's are
    adapters.torch_function(f, cell="lstm")       on tensors, differentiated by autograd
    adapters.jax_function(f, cell="gru")          on JAX's arrays, differentiated by vjp
    adapters.keras_layer(keras.layers.GRU)        Keras 3, on PyTorch or JAX
    adapters.onnx_operator("LSTM")                the operator in onnxruntime, or who else runs it
    adapters.cupy_function(forward, backward)     on CuPy's arrays: CUDA kernels

A function on NumPy's arrays needs none: `check_cell` takes it as it is. What they return has
`forward`, `backward` (None where nothing is differentiated) and `conventions`, which `check_cell`
takes for its own arguments; write a class with these three for what is not here.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

_HOMES = {
    "Adapter": "minirnn.testing.adapters.adapter",
    "cupy_function": "minirnn.testing.adapters.on_gpu",
    "jax_function": "minirnn.testing.adapters.jax",
    "keras_layer": "minirnn.testing.adapters.keras",
    "onnx_operator": "minirnn.testing.adapters.onnx",
    "torch_function": "minirnn.testing.adapters.torch",
    "torch_module": "minirnn.testing.adapters.torch",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'minirnn.testing.adapters' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


# For type checkers, the same names once more.
if TYPE_CHECKING:
    from minirnn.testing.adapters.adapter import Adapter
    from minirnn.testing.adapters.jax import jax_function
    from minirnn.testing.adapters.keras import keras_layer
    from minirnn.testing.adapters.on_gpu import cupy_function
    from minirnn.testing.adapters.onnx import onnx_operator
    from minirnn.testing.adapters.torch import torch_function, torch_module

__all__ = [
    "Adapter",
    "cupy_function",
    "jax_function",
    "keras_layer",
    "onnx_operator",
    "torch_function",
    "torch_module",
]
