"""Small recorded runs for the tests of traces."""

from __future__ import annotations

import numpy as np

import minirnn as mr

LAYERS = {"rnn": mr.RNN, "gru": mr.GRU, "lstm": mr.LSTM}


@mr.cell(states=("h",), forget="xh", new="xh")
def minimal(z, last):
    """A cell of one's own: the minimal gated unit (Zhou et al. 2016), reset left out."""
    f, n = mr.cells.sigmoid(z.forget), mr.cells.tanh(z.new)
    return {"h": f * last.h + (1 - f) * n}, {"forget": f, "new": n}


def layer(kind="lstm", inputs=3, units=4, *, dtype="float64", **options):
    return LAYERS[kind](inputs, units, dtype=dtype, rng=1, **options)


def batch(T=5, B=3, inputs=3, *, dtype="float64", seed=0):
    return np.random.default_rng(seed).normal(size=(T, B, inputs)).astype(dtype)


def run(module, x, *, lengths=None, state=None, backward=True):
    """Run and, with a loss of all outputs, go back. Returns the traces."""
    with mr.record() as recording:
        output, _ = module(x, state, lengths)
        if backward:
            (output * output).sum().backward()
    return recording.traces


def trace_of(kind="lstm", *, T=5, B=3, lengths=None, dtype="float64", backward=True, **options):
    """The only trace of one small layer."""
    x = batch(T, B, dtype=dtype)
    (trace,) = run(layer(kind, dtype=dtype, **options), x, lengths=lengths, backward=backward)
    return trace
