"""Recurrent kernels: arrays in, arrays out. Imported as `minirnn.kernels`; see README.md.

`contract` says what every kernel set offers; `cells` holds the equations; `reference` is the
float64 specification, written by hand; `cpu` runs the cells on the processor,
`cuda` on an NVIDIA GPU.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from minirnn.errors import DeviceError

if __name__ != "minirnn.kernels":
    # A second copy would have its own classes and caches, and `isinstance` would lie.
    raise ImportError("these kernels are imported as 'minirnn.kernels', not as 'kernels'")

__all__ = ["kernel_set"]

_KERNEL_SETS = ("reference", "cpu", "cuda")

_PARTS = ("cells", "contract", "cpu", "cuda", "reference")


def __getattr__(name: str) -> ModuleType:
    # Imported when first used: `cpu` alone is enough for most.
    if name in _PARTS:
        return importlib.import_module(f"minirnn.kernels.{name}")
    raise AttributeError(f"module 'minirnn.kernels' has no attribute {name!r}")


def kernel_set(name: str) -> ModuleType:
    """The kernel set of that name: a module with `forward` and `backward` as in `contract`.

    Those that layers run on also have `Stream`; the reference has none.

    Raises: DeviceError if there is no such set.
    """
    if name not in _KERNEL_SETS:
        raise DeviceError("kernel set", repr(name), f"one of {', '.join(_KERNEL_SETS)}")
    return importlib.import_module(f"minirnn.kernels.{name}")
