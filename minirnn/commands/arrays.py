"""Arrays from `.npy` files: measured before they are read, never unpickled, never rounded unasked.

Source of the format: NumPy's `numpy.lib.format`, NEP 1.
"""

from __future__ import annotations

import math
import re
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

from minirnn.errors import DataError, DTypeError
from minirnn.files.whole import open_regular

Array = np.ndarray[Any, Any]

LARGEST = 2**34  # bytes of a file
LONGEST_HEADER = 10_000
MAGIC = b"\x93NUMPY"
MOST_AXES = 32
NUMBERS = re.compile(r"[<>|=]?(?:b1|[iu][1248]|f[248])")
# The header is a Python literal. Evaluating it would be safe, but not quick to fail, nor silent.
HEADER = re.compile(
    rb"""\{\s*(?:(?:
        'descr'\s*:\s*'(?P<descr>[^'\\]*)'
      | 'fortran_order'\s*:\s*(?P<order>True|False)
      | 'shape'\s*:\s*\((?P<shape>\s*|\d{1,19}\s*,\s*|(?:\d{1,19}\s*,\s*)+\d{1,19}\s*(?:,\s*)?)\)
    )\s*(?:,\s*|(?=\}))){3}\}\s*""",
    re.VERBOSE,
)
EXACT = {"float32": 2**24, "float64": 2**53}  # whole numbers up to there are all exact


def read_array(path: str, option: str) -> Array:
    """The array in a `.npy` file: numbers or truth values, in this machine's byte order.

    Raises: DataError that names `option`.
    """
    try:
        with open_regular(Path(path)) as (file, size):
            if size > LARGEST:
                raise ValueError(f"it has {size:,} bytes, more than {LARGEST:,}")
            shape, in_columns, dtype = _header(file)
            needed, there = math.prod(shape) * dtype.itemsize, size - file.tell()
            if needed != there:
                raise ValueError(f"{dtype} of shape {shape} is {needed:,} bytes: it has {there:,}")
            array = np.empty(shape[::-1] if in_columns else shape, dtype)
            if file.readinto(array.reshape(-1).view(np.uint8).data) != needed:
                raise ValueError("it became shorter while it was read")
    except (OSError, ValueError, TypeError, MemoryError) as error:
        wanted = "a .npy file of numbers, as numpy.save writes it"
        raise DataError(option, f"{path!r}: {error}", wanted) from error
    return (array.T if in_columns else array).astype(dtype.newbyteorder("="), copy=False)


def _header(file: BufferedReader) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether the first axis runs fastest, dtype. Raises: ValueError."""
    magic = file.read(8)
    if magic[:6] != MAGIC or magic[6:] not in (b"\x01\x00", b"\x02\x00"):
        raise ValueError("it does not begin as one of version 1.0 or 2.0")
    length = int.from_bytes(file.read(2 * magic[6]), "little")
    if length > LONGEST_HEADER:
        raise ValueError(f"its header would have {length:,} bytes, more than {LONGEST_HEADER:,}")
    told = HEADER.fullmatch(file.read(length))
    if told is None or None in told.groups():
        raise ValueError("its header does not tell of one plain dtype, an order and a shape")
    descr = told["descr"].decode("latin1")
    if NUMBERS.fullmatch(descr) is None:
        raise ValueError(f"it holds {descr!r}, not numbers of at most 64 bits")
    dtype = np.dtype(descr)
    shape = tuple(int(n) for n in told["shape"].split(b",") if n.strip())
    # An axis of 0 makes any product 0; NumPy refuses a shape by its other axes.
    if len(shape) > MOST_AXES or math.prod(max(n, 1) for n in shape) > LARGEST:
        raise ValueError(f"its shape is {shape}")
    return shape, told["order"] == b"True", dtype


def as_floats(array: Array, dtype: np.dtype[Any], option: str, *, cast: bool) -> Array:
    """The array in the model's dtype: if no value changes by it, or if told so.

    Raises: DTypeError that names `option`, with a value that would change.
    """
    if array.dtype == dtype:
        return array
    with np.errstate(over="ignore"):
        floats = array.astype(dtype)
    if cast:
        return floats
    if array.dtype.kind == "f":
        kept = (floats.astype(array.dtype) == array) | np.isnan(array)
    else:
        exact = EXACT[dtype.name]
        kept = (array >= -exact) & (array <= exact) if array.dtype != np.bool_ else array == array
    if not kept.all():
        value = array[~kept].flat[0].item()  # a plain number, as it is printed
        came = f"{array.dtype.name} with values that {dtype.name} does not hold, such as {value!r}"
        wanted = f"{dtype.name}, which the model computes in"
        raise DTypeError(option, came, wanted, "Add --cast to round it")
    return floats
