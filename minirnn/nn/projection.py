"""An LSTM whose hidden state is projected (Sak, Senior & Beaufays 2014), on kernels without one.

    h_t = W_hr m_t,  m_t = o ∘ tanh(c_t)        m (B, H), h (B, P), W_hr (P, H), W_hh (4H, P)

The kernels feed back what the cell gives, which is m. That is the same network with the product of
both matrices for a recurrent weight:

    z_t = W_ih x_t + b + W_hh h_{t-1} = W_ih x_t + b + (W_hh W_hr) m_{t-1}

A given h_0 is no projection of any m. So it enters as P further features of x, which are h_0 at the
first step that a sequence takes and 0 at all others, with W_hh for their weights. All of this is
written with operations of the tape, which brings the gradients to W_hh, W_hr and h_0.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minirnn.device import array_namespace
from minirnn.functional.elementwise import where
from minirnn.functional.products import linear, matmul
from minirnn.functional.recurrent import recurrent
from minirnn.functional.shaping import concatenate
from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.contract import Array, Tape, Weights
from minirnn.nn.states import States
from minirnn.tensor import Tensor, constant


class Ran(NamedTuple):
    """What a level gave, and what the kernels were given for it."""

    output: Tensor
    last: States
    tape: Tape | None
    x: Tensor
    start: States
    weights: Weights


def projected(
    cell: Cell,
    x: Tensor,
    start: States,
    weights: Weights,
    weight_hr: Tensor,
    *,
    lengths: Array | None,
    reverse: bool,
    **options: Any,
) -> Ran:
    """One layer in one direction; output (T, B, P), last h (B, P) and c (B, H).

    start    h (B, P) and c (B, H), or (1, B, …) each; an h of H features instead is m, where the
             sequence begins
    weights  weight_hh (4H, P); the others as of any LSTM

    The rest as `functional.recurrent.recurrent`, to which it goes.
    """
    h, c = start
    given = h.shape[-1] == weight_hr.shape[0]
    weight_ih = weights.weight_ih
    run_x, m = x, h
    if given:
        m = constant(array_namespace(c.data).zeros(c.shape, c.dtype))
        rows = h.reshape(h.shape[-2:])
        first = _first_steps(x, lengths, reverse)
        run_x = concatenate([x, where(first, rows, 0.0)], axis=2)
        weight_ih = concatenate([weight_ih, weights.weight_hh], axis=1)
    run = weights._replace(weight_ih=weight_ih, weight_hh=matmul(weights.weight_hh, weight_hr))
    output, (last_m, last_c), tape = recurrent(
        cell, run_x, (m, c), run, lengths=lengths, reverse=reverse, **options
    )
    last_h = linear(last_m, weight_hr)
    if given and (len(x) == 0 or (lengths is not None and not lengths.all())):
        # A sequence without a step keeps the h that it was given.
        none = np.full(x.shape[1], True) if lengths is None or len(x) == 0 else lengths == 0
        last_h = where(_there(none[:, None], x), h, last_h)
    return Ran(linear(output, weight_hr), (last_h, last_c), tape, run_x, (m, c), run)


def _first_steps(x: Tensor, lengths: Array | None, reverse: bool) -> Array:
    """(T, B, 1) bool: the step that each sequence takes first, in the order of time."""
    T, B, _ = x.shape
    first = np.zeros((T, B, 1), dtype=bool)
    if T and not reverse:
        first[0] = True
    elif T:
        ends = np.full(B, T) if lengths is None else lengths
        first[np.maximum(ends, 1) - 1, np.arange(B)] = True
    return _there(first, x)


def _there(array: np.ndarray[Any, Any], x: Tensor) -> Array:
    """The array on the device of x."""
    return array_namespace(x.data).asarray(array)
