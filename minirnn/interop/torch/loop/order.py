"""Which axis of a layer's input is time, and what follows what: read off the data themselves.

A slice along an axis that is not time (a sequence) comes back whole in a later epoch, in other
company where the loader shuffles; a step of a batch does not. Neighbours in time are alike in a
smooth series; neighbours in a batch are strangers. Only a corner of each batch is looked at.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from minirnn.diagnosis.evidence.loop import AxisOrder, Order

CORNER = 16  # slices along either axis that are looked at
MOST_KNOWN = 20_000  # slices remembered
OFTEN, SELDOM = 32, 8  # roughness: of the first so many calls, then of every so manyth
LEAST_NUMBERS = 4  # of a slice whose coming again is no chance
LEAST_SLICES = 5  # along an axis, to speak of neighbours
FEATURES = 8  # that roughness is measured on
MOST_NUMBERS = 4096  # of a slice that its digest is taken of
MOST_CALLS = 1000  # looked at for slices that come again
DISCRETE = 8  # values in a corner, up to which data are symbols; whole numbers always are
LEAST_SYMBOLS = 24  # steps of symbols from which on equal sequences are no chance


class _Axis:
    """Slices along one axis that were seen, and how alike neighbours are."""

    def __init__(self) -> None:
        self.known: dict[bytes, bytes] = {}
        self.again = self.moved = 0
        self.near = self.far = 0.0

    def follow(self, before: bytes, slice_: bytes) -> None:
        """Count a slice that came behind another."""
        if slice_ in self.known:
            self.again += 1
            self.moved += self.known[slice_] != before
        elif len(self.known) < MOST_KNOWN:
            self.known[slice_] = before

    def seen(self) -> AxisOrder:
        rough = self.near / self.far if self.far > 0 else float("nan")
        return AxisOrder(self.again, self.moved, rough)


class OrderWatch:
    """Watches the inputs of one layer, call by call."""

    def __init__(self) -> None:
        self._time, self._batch = _Axis(), _Axis()
        self._last: tuple[Any, list[bytes]] | None = None
        self._jump = self._step = 0.0
        self._calls = 0
        self._weights: dict[int, Any] = {}

    def see(self, x: Any, *, carried: bool) -> None:
        """A call's input as an array (T, B, I), as the layer takes it; `carried` from the last."""
        if x.ndim != 3 or 0 in x.shape:
            return
        T, B = x.shape[:2]
        corner = np.asarray(x[:CORNER, :CORNER, :FEATURES], dtype=np.float64)
        known = corner[np.isfinite(corner)]
        whole = x.dtype.kind in "iu" or bool((known == np.round(known)).all())
        discrete = whole or len(np.unique(known)) <= DISCRETE
        by_chance = discrete and T < LEAST_SYMBOLS
        rows = [] if by_chance else self._digests(np.moveaxis(x[:, :CORNER], 1, 0))
        # Steps of few numbers are alike by chance, where a sensor counts in whole degrees, say.
        telling = T > 1 and B * x.shape[2] >= LEAST_NUMBERS and not discrete
        steps = self._digests(x[:CORNER]) if telling else []
        if carried and self._last is not None:
            tail, before = self._last
            for earlier, row in zip(before, rows, strict=False):
                self._follow(self._batch, earlier, row)
            n = min(len(tail), corner.shape[1])
            if T > 1 and not discrete and known.size == corner.size and np.isfinite(tail).all():
                self._jump += float(np.abs(corner[0, :n] - tail[:n]).mean())
                self._step += float(np.abs(np.diff(corner, axis=0)).mean())
        for earlier, step in itertools.pairwise(steps):
            self._follow(self._time, earlier, step)
        if not discrete and (self._calls < OFTEN or self._calls % SELDOM == 0):
            self._compare(self._time, x[:, :CORNER, :FEATURES])
            self._compare(self._batch, np.moveaxis(x[:CORNER, :, :FEATURES], 1, 0))
        self._calls += 1
        self._last = (np.array(x[-1, :CORNER, :FEATURES], dtype=np.float64), rows)

    def _follow(self, axis: _Axis, before: bytes | None, slice_: bytes | None) -> None:
        if before and slice_:
            axis.follow(before, slice_)

    def _digests(self, slices: Any) -> list[bytes]:
        """Two weighted sums of each slice; b"" for one in which nothing varies (padding, say), or
        whose sums are no numbers: all NaN are written with the same bits, and would be one slice.
        """
        if self._calls >= MOST_CALLS:
            return []
        slices = slices[:, :: max(1, slices[0].size // MOST_NUMBERS)]
        flat = np.asarray(slices, dtype=np.float64).reshape(len(slices), -1)
        width = flat.shape[1]
        if width not in self._weights:
            if len(self._weights) > 64:
                self._weights.clear()
            # A generator of our own: the user's random state is not touched.
            self._weights[width] = np.random.default_rng(width).uniform(0.5, 1.5, (width, 2))
        # Those of equal slices may differ by rounding in float64, which float32 does not see.
        with np.errstate(invalid="ignore", over="ignore"):
            rounded = (flat @ self._weights[width]).astype(np.float32)
        tells = (flat != flat[:, :1]).any(axis=1) & np.isfinite(rounded).all(axis=1)
        return [row.tobytes() if some else b"" for row, some in zip(rounded, tells, strict=True)]

    @staticmethod
    def _compare(axis: _Axis, slices: Any) -> None:
        """Slices along the first axis, some evenly spread ones: with the next, with each other."""
        count = len(slices)
        if count < LEAST_SLICES:
            return
        at = np.unique(np.linspace(0, count - 2, min(CORNER, count - 1)).round().astype(int))
        these, after = (np.asarray(slices[k], dtype=np.float64) for k in (at, at + 1))
        if not (np.isfinite(these).all() and np.isfinite(after).all()):
            return
        axis.near += float(np.abs(after - these).mean())
        pairs = np.abs(these[:, None] - these[None, :])
        axis.far += float(pairs.mean() * len(at) / (len(at) - 1))  # none with itself

    def seen(self) -> Order:
        """What was seen."""
        jump = self._jump / self._step if self._step > 0 else float("nan")
        return Order(self._time.seen(), self._batch.seen(), jump)
