"""The two ways out of a device: whole arrays, and a handful of numbers.

All that is measured is measured where the arrays lie. What leaves a device is what is printed,
drawn or written to a file, and it leaves here: whole arrays through `on_host`, numbers through
`fetch`. (The truth value, `float()` or `int()` of a single element is a transfer too, of that one
element.) Every transfer waits for the device, so numbers that are wanted together go together.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minirnn.device import array_namespace, device_of

Array = Any


def on_host(array: Array) -> np.ndarray[Any, Any]:
    """The array in the host's memory, which for a NumPy array is itself.

    For what is drawn, printed or written to a file.
    """
    if device_of(array) == "cpu":
        return np.asarray(array)
    copy: np.ndarray[Any, Any] = array.get()
    return copy


def fetch(*numbers: Array) -> list[float]:
    """Single elements, or short vectors one after the other, as Python floats.

    From a device they come in one small float64 array, in one transfer.
    """
    if not numbers:
        return []
    xp = array_namespace(numbers[0])
    if xp is np:
        return [float(value) for number in numbers for value in np.ravel(number)]
    together = xp.concatenate([xp.asarray(number, dtype=xp.float64).ravel() for number in numbers])
    return [float(value) for value in together.get()]
