"""Norms over steps that neither overflow nor underflow, and how fast they decay."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minirnn.device import array_namespace
from minirnn.inspect import steps
from minirnn.inspect.host import fetch

Array = Any


def norm(array: Array, axes: tuple[int, ...]) -> Array:
    """Euclidean norm over `axes`, in float64.

    Each slice is divided by its largest value first: the square of a gradient of 1e-170, which a
    long sequence has, would be zero.
    """
    xp = array_namespace(array)
    values = xp.asarray(array, dtype=np.float64)
    if values.size == 0:
        return xp.zeros(tuple(n for axis, n in enumerate(values.shape) if axis not in axes))
    largest = xp.abs(values).max(axis=axes, keepdims=True)
    # A slice of zeros stays zero; one with an infinity or a NaN becomes that.
    usable = xp.isfinite(largest) & (largest > 0)
    scale = xp.where(usable, largest, 1.0)
    squares = xp.where(usable, values / scale, 0.0) ** 2
    result = scale * xp.sqrt(squares.sum(axis=axes, keepdims=True))
    return xp.where(usable, result, largest).squeeze(axis=axes)


def by_distance(gradient: Array, lengths: Array, reverse: bool) -> Array:
    """(D,) norm of a gradient (T, B, H) by distance from each sequence's last step.

    Entry d is the root mean square, over the sequences with more than d steps, of the norm over
    units; D is the longest length. For sequences of one length it is `gradient_norms` read from
    the last step backwards, divided by sqrt(B).

    `lengths` (B,) is the host's, wherever the gradient lies.
    """
    xp = array_namespace(gradient)
    T, B = gradient.shape[:2]
    D = int(lengths.max()) if B else 0
    if D == 0:
        return xp.zeros(0)
    if (lengths == T).all():
        by_step = norm(gradient, (2,))
        return norm(by_step if reverse else by_step[::-1], (1,)) / np.sqrt(B)
    distance = steps.distance(T, lengths, reverse)
    at = np.nonzero(distance >= 0)
    t, b, d = (xp.asarray(indexes) for indexes in (*at, distance[at]))
    aligned = xp.zeros((D, B))
    aligned[d, b] = norm(gradient, (2,))[t, b]
    sequences = xp.asarray((lengths[None, :] > np.arange(D)[:, None]).sum(axis=1))
    return norm(aligned, (1,)) / xp.sqrt(sequences)


def half_life(norms: Array, tiny: float) -> float:
    """Steps in which a norm halves: ln 2 / slope, by least squares of -ln norm against distance.

    norms (D,) by distance from the last step, not negative; entries under `tiny` (zeros, and
    subnormal numbers, whose logarithm is noise) do not enter the fit. inf where the norm does not
    decay. 0 where a single step has a norm at all: it is gone within one step. NaN where nothing
    can be said: no norm anywhere, fewer than two steps, or a norm that is not finite.
    """
    xp = array_namespace(norms)
    if not xp.isfinite(norms).all():
        return math.nan
    at = xp.flatnonzero(norms >= tiny)
    if len(norms) < 2 or len(at) == 0:
        return math.nan
    if len(at) == 1:
        return 0.0
    from_mean = at - at.mean()
    fall, spread = fetch(from_mean @ xp.log(norms[at]), from_mean @ from_mean)
    slope = -fall / spread
    return math.log(2.0) / slope if slope > 0.0 else math.inf
