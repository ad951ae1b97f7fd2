"""minirnn under a PyTorch model: inside what it computes, or only its speed; and conversions.

    accelerate(model)    every nn.RNN, nn.GRU and nn.LSTM inside runs by minirnn's kernels
    watch(model)         the same in a with block, recorded: gates, states, gradients of every step
    from_torch(module)   a PyTorch module as a minirnn layer or model
    to_torch(layer)      the way back

PyTorch is imported when one of them is first asked for.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING

from minirnn.errors import MissingExtraError

_HOMES = {
    "Swap": "swap",
    "Watch": "watching",
    "accelerate": "swap",
    "from_torch": "convert",
    "to_torch": "convert",
    "watch": "watching",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'minirnn.interop.torch' has no attribute {name!r}")
    if importlib.util.find_spec("torch") is None:
        raise MissingExtraError("torch", "torch", f"minirnn.interop.torch.{name}")
    value: object = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


if TYPE_CHECKING:
    from minirnn.interop.torch.convert import from_torch, to_torch
    from minirnn.interop.torch.swap import Swap, accelerate
    from minirnn.interop.torch.watching import Watch, watch

__all__ = ["Swap", "Watch", "accelerate", "from_torch", "to_torch", "watch"]
