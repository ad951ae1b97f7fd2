"""Loops and repetition in a sequence, such as a free run: of numbers (T, I), or of symbols (T,)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minirnn.errors import ArgumentError, ShapeError
from minirnn.inspect.arguments import whole
from minirnn.inspect.host import on_host
from minirnn.real import is_real

Array = Any

REPEATS = 3  # times that a loop has to go round before it is called one


class Loop(NamedTuple):
    """The end of a sequence that goes round: x_t = x_{t - period} for all t ≥ start + period."""

    period: int
    start: int
    length: int

    @property
    def frozen(self) -> bool:
        """Whether it stands still: a loop of one step."""
        return self.period == 1


def find_loop(sequence: Array, *, tolerance: float = 0.0, repeats: int = REPEATS) -> Loop | None:
    """The loop in which a sequence ends: the smallest period p with x_t = x_{t-p}, or None.

    sequence   (T,) symbols or numbers, or (T, I) numbers
    tolerance  for numbers: the largest |x_t - x_{t-p}| that counts as equal, as a share of the
               range of its feature over the whole sequence
    repeats    the loop must have gone round as often, so that it holds for repeats * p steps up to
               the end (Welleck et al. 2019 count repeated n-grams instead: `repetition_rate`)

    Raises: ShapeError or ArgumentError.
    """
    rows = _rows(sequence)
    repeats = whole("repeats", repeats, 2)
    if not is_real(tolerance) or not 0.0 <= tolerance < 1.0:
        raise ArgumentError("tolerance", repr(tolerance), "0 or more and less than 1")
    T = len(rows)
    allowed: Any = 0.0
    if tolerance and T:
        if rows.dtype.kind != "f":
            raise ArgumentError("tolerance", tolerance, "0 for symbols, which are equal or not")
        allowed = tolerance * np.ptp(rows, axis=0)
    for period in range(1, T // repeats + 1):
        if tolerance:
            same = (np.abs(rows[period:] - rows[:-period]) <= allowed).all(axis=1)
        else:
            same = (rows[period:] == rows[:-period]).all(axis=1)
        broken = np.flatnonzero(~same)
        start = int(broken[-1]) + 1 if len(broken) else 0
        if T - start >= repeats * period:
            return Loop(period, start, T - start)
    return None


def repetition_rate(sequence: Array, n: int = 4) -> float:
    """1 - (distinct n-grams) / (n-grams): 0 where none comes twice, near 1 in a loop.

    sequence: (T,) symbols or numbers, or (T, I). Compare it with the data's own rate: text repeats,
    and a periodic series repeats rightly. NaN for fewer than n steps.

    Source: Welleck et al. 2019, "Neural text generation with unlikelihood training", section 6
    (seq-rep-n).

    Raises: ShapeError or ArgumentError.
    """
    rows = _rows(sequence)
    n = whole("n", n, 1)
    total = len(rows) - n + 1
    if total < 1:
        return float("nan")
    symbols = np.unique(rows, axis=0, return_inverse=True)[1].reshape(-1)
    grams = np.lib.stride_tricks.sliding_window_view(symbols, n)
    return 1.0 - len(np.unique(grams, axis=0)) / total


def _rows(sequence: Array) -> np.ndarray[Any, Any]:
    array = on_host(sequence) if hasattr(sequence, "dtype") else np.asarray(sequence)
    if array.dtype.kind not in "fiub":
        # Characters, say: only whether they are equal matters.
        try:
            array = np.unique(array, return_inverse=True)[1].reshape(array.shape)
        except TypeError as error:
            wanted = "symbols of one kind, or numbers"
            raise ArgumentError("sequence", f"what has no order ({error})", wanted) from None
    if array.ndim not in (1, 2):
        raise ShapeError("sequence", f"shape {array.shape}", "(T,) or (T, I)")
    return array[:, None] if array.ndim == 1 else array
