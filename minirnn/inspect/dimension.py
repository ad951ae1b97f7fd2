"""In how many directions a set of states varies: effective rank and participation ratio.

Both take a matrix of N states of H units (any leading axes, joined), or a trace, of which they take
the hidden states of all valid steps. Both are computed where the states lie, in float64.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minirnn.device import array_namespace
from minirnn.inspect import steps
from minirnn.inspect.arguments import numbers
from minirnn.inspect.host import fetch
from minirnn.inspect.values import TraceValues

Array = Any


def effective_rank(states: Array | TraceValues) -> float:
    """exp of the entropy of the normalised singular values: between 1 and min(N, H).

    erank(A) = exp(-sum p_i ln p_i), p_i = s_i / sum s, s the singular values of A, which is not
    centred (Roy & Vetterli 2007, "The effective rank: a measure of effective dimensionality",
    EUSIPCO, definition 1). 0 for a matrix of zeros, or an empty one; NaN if a value is not finite.
    """
    matrix = _matrix(states)
    xp = array_namespace(matrix)
    largest = _largest(matrix)
    if not math.isfinite(largest):
        return math.nan
    if largest == 0.0:
        return 0.0
    singular = xp.linalg.svd(matrix / largest, compute_uv=False)
    p = singular / singular.sum()
    p = p[p > 0.0]  # the limit of p ln p is 0
    return float(xp.exp(-(p * xp.log(p)).sum()))


def participation_ratio(states: Array | TraceValues) -> float:
    """(sum l)^2 / sum l^2 over the eigenvalues l of the covariance: between 1 and min(N - 1, H).

    Gao, Trautmann, Yu, Santhanam, Ryu, Shenoy & Ganguli 2017, "A theory of multineuronal
    dimensionality, dynamics and measurement", equation 1. 0 where the states do not vary by more
    than the rounding of their mean, as when all are one state, or there are fewer than two; NaN if
    a value is not finite.
    """
    matrix = _matrix(states)
    xp = array_namespace(matrix)
    largest = _largest(matrix)
    if not math.isfinite(largest):
        return math.nan
    if len(matrix) < 2 or largest == 0.0:
        return 0.0
    matrix = matrix / largest
    centred = matrix - matrix.mean(axis=0)
    spread = float(xp.abs(centred).max())
    if spread <= 4.0 * np.finfo(np.float64).eps:
        return 0.0
    centred /= spread
    # The trace of the covariance is the sum of its eigenvalues, its squared Frobenius norm the sum
    # of their squares; the smaller of the two products has the same ones.
    N, H = centred.shape
    covariance = centred.T @ centred if H <= N else centred @ centred.T
    trace, squares = fetch(xp.trace(covariance), (covariance**2).sum())
    return trace**2 / squares


def _largest(matrix: Array) -> float:
    """The largest magnitude: 0 of an empty matrix, NaN where a value is."""
    return float(array_namespace(matrix).abs(matrix).max()) if matrix.size else 0.0


def _matrix(states: Array | TraceValues) -> Array:
    if isinstance(states, TraceValues):
        states = steps.rows(states.hidden, states.lengths)
    states = numbers("states", states, "states (N, H), or a Trace")
    array = array_namespace(states).asarray(states, dtype=np.float64)
    if not array.size:
        return array.reshape(0, 1)
    return array.reshape(-1, array.shape[-1]) if array.ndim else array.reshape(1, 1)
