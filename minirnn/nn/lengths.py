"""The lengths of the sequences of a batch, at a layer's door."""

from __future__ import annotations

from typing import Any

import numpy as np

from minirnn.device import to_device
from minirnn.errors import ShapeError
from minirnn.exchange import share
from minirnn.gpu import cupy_array
from minirnn.kernels.contract import Array, check_lengths
from minirnn.tensor import Tensor


def checked_lengths(lengths: Any, T: int, B: int) -> Array:
    """Lengths (B,) as int64 on the CPU, from an array or Tensor of either device, or a list.

    Raises: ShapeError, DTypeError or ArgumentError that names `lengths`.
    """
    if isinstance(lengths, Tensor):
        lengths = lengths.data
    # On the CPU whatever the device, as PyTorch has them too: they decide what is launched, so they
    # have to be known here, and most often are.
    shared = lengths if cupy_array(lengths) else share(lengths, "lengths")
    try:
        array = np.asarray(lengths) if shared is None else to_device(shared, "cpu")
    except ValueError:
        raise ShapeError("lengths", "rows of several sizes", f"({B},), one per sequence") from None
    check_lengths(array, T, B)
    return array.astype(np.int64)
