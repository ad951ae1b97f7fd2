"""ONNX: recurrent networks in and out, and a backend for the tests of ONNX.

    from_onnx(model)         a network from a file or a ModelProto, to run, train, record, diagnose
    to_onnx(module, path)    a layer or model of minirnn as a ModelProto, and as a file
    MinirnnBackend           what ONNX's own backend tests run against (`onnx.backend.base.Backend`)
    OnnxModel                the module that `from_onnx` returns

They need the package `onnx`: pip install onnx, which the extra "onnx" brings.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from minirnn.errors import MissingExtraError

_HOMES = {
    "MinirnnBackend": "backend",
    "OnnxModel": "model",
    "from_onnx": "model",
    "to_onnx": "write",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'minirnn.interop.onnx' has no attribute {name!r}")
    try:
        importlib.import_module("onnx")
    except ModuleNotFoundError:
        raise MissingExtraError("onnx", "onnx", f"minirnn.interop.onnx.{name}") from None
    return getattr(importlib.import_module(f"minirnn.interop.onnx.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


if TYPE_CHECKING:
    from minirnn.interop.onnx.backend import MinirnnBackend
    from minirnn.interop.onnx.model import OnnxModel, from_onnx
    from minirnn.interop.onnx.write import to_onnx

__all__ = ["MinirnnBackend", "OnnxModel", "from_onnx", "to_onnx"]
