"""Cut a series in two, and cut windows from it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from minirnn.errors import ArgumentError, DataError, DTypeError, ShapeError
from minirnn.real import is_real


def check_numbers(values: Any, argument: str) -> NDArray[np.float64]:
    """Return numbers of any shape as float64; integers and float32 widen exactly.

    Raises: DTypeError unless they are real; ShapeError for rows of different lengths.
    """
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ShapeError(argument, f"a {type(values).__name__} ({error})", "an array") from None
    if array.dtype.kind not in "iuf" or array.dtype.itemsize > 8:
        raise DTypeError(argument, array.dtype.name, "integers, float32 or float64")
    return array.astype(np.float64)


def check_row(values: Any, argument: str) -> NDArray[np.float64]:
    """Return a row of numbers `(n,)` as float64; NaN and infinities may be among them.

    Raises: ShapeError unless it has one dimension; DTypeError unless it is of real numbers.
    """
    array = check_numbers(values, argument)
    if array.ndim != 1:
        raise ShapeError(argument, f"shape {array.shape}", "one dimension (n,)")
    return array


def check_series(values: Any, argument: str = "series") -> NDArray[np.float64]:
    """Return a series `(n,)` as float64; integers and float32 widen exactly.

    Raises: ShapeError unless it has one dimension; DTypeError unless it is of real numbers;
    DataError where it is infinite (NaN is allowed: a value may be missing).
    """
    array = check_row(values, argument)
    infinite = np.flatnonzero(np.isinf(array))
    if infinite.size:
        raise DataError(argument, f"{array[infinite[0]]} at index {infinite[0]}", "finite values")
    return array


def check_count(argument: str, value: Any, least: int = 1) -> int:
    """Return `value` as an int of at least `least`; raises ArgumentError."""
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < least:
        raise ArgumentError(argument, repr(value), f"a whole number of at least {least}")
    return int(value)


def split_index(n: int, validation: float) -> int:
    """Where the held-out part of a series of `n` values begins: its last share is held out.

    `validation` is that share, 0 <= validation < 1; 0 holds nothing out.

    Raises: ArgumentError for another share.
    """
    if not is_real(validation) or not 0 <= validation < 1:
        raise ArgumentError("validation", repr(validation), "a share, 0 <= validation < 1")
    return check_count("n", n, 0) - round(n * float(validation))


def windows(
    series: Any, window: int, horizon: int = 1
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cut a series into overlapping windows and the value that follows each.

    Returns `x (N, window, 1)` and `y (N, 1)`, float64 copies: `x[k]` is `series[k : k+window]` and
    `y[k]` is `series[k + window + horizon - 1]`, the value `horizon` steps after the window's
    last; N = len(series) - window - horizon + 1.

    Raises: ShapeError, DTypeError, ArgumentError; DataError when the series is shorter than
    window + horizon.
    """
    values = check_series(series)
    window = check_count("window", window)
    horizon = check_count("horizon", horizon)
    if len(values) < window + horizon:
        raise DataError(
            "series",
            f"{len(values)} values",
            f"at least {window + horizon}: a window of {window} and a target {horizon} after it",
        )
    count = len(values) - window - horizon + 1
    x = np.lib.stride_tricks.sliding_window_view(values, window)[:count]
    y = values[window + horizon - 1 :]
    return x[..., None].copy(), y[:, None].copy()
