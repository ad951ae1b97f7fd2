"""minirnn beside other people's networks: PyTorch, Keras, ONNX, and weights in safetensors files.

    torch        `watch` and `accelerate` a model in place; `from_torch`, `to_torch`
    keras        `from_keras`: layers, models and `.keras` files
    onnx         `from_onnx`, `to_onnx`, `MinirnnBackend`
    safetensors  a model's weights with what they mean

Each is imported when it is first used, and imports its framework only then.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

_MODULES = ("keras", "onnx", "safetensors", "torch")


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'minirnn.interop' has no attribute {name!r}")
    return importlib.import_module(f"minirnn.interop.{name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})


if TYPE_CHECKING:
    from minirnn.interop import keras, onnx, safetensors, torch

__all__ = ["keras", "onnx", "safetensors", "torch"]
