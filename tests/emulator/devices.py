"""Arrays on either device: `from devices import to_device, to_numpy`."""

from __future__ import annotations

from typing import Any

import numpy as np


def to_device(array: Any, device: str) -> Any:
    """The array, or what NumPy makes an array of, on the device "cpu" or "cuda"."""
    if device == "cpu":
        return to_numpy(array)
    import cupy

    return cupy.asarray(array)


def to_numpy(array: Any) -> Any:
    """The array, of whichever device, as a NumPy array."""
    if isinstance(array, np.ndarray | np.generic):
        return array
    if type(array).__module__.partition(".")[0] == "cupy":
        return array.get()
    return np.asarray(array)
