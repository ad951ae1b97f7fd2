"""Layers of other frameworks pass the kit through its adapters, as far as each promises."""

from __future__ import annotations

import functools
import importlib.util
import os

import numpy as np
import pytest
from someones_cell import Someones

from minirnn.errors import ArgumentError, MissingExtraError
from minirnn.testing import adapters, check_cell


def need(*names):
    """Skip without these; Keras runs on PyTorch, in this process and for every test of it."""
    if "keras" in names:
        os.environ.setdefault("KERAS_BACKEND", "torch")
    modules = [pytest.importorskip(name) for name in names]
    return modules[0] if len(modules) == 1 else modules


@pytest.fixture(autouse=True)
def _one_thread():
    """PyTorch's threads wait for each other longer than such small arrays take."""
    if importlib.util.find_spec("torch") is None:
        yield
        return
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("storage", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_layers_of_pytorch_pass(kind, storage):
    torch = need("torch")
    first = kind == "GRU"
    adapter = adapters.torch_module(
        getattr(torch.nn, kind), bias=kind != "RNN", batch_first=first, storage=storage
    )
    report = check_cell(adapter)
    report.assert_passed()
    assert report.backward
    reasons = {r.reason for r in report.results if r.outcome == "not applicable"}
    assert reasons == {"it takes no length of 0", "it takes no sequence of no step"}


def lstm_on_tensors(torch, wrong=False):
    def lstm(x, state, weights):
        w_ih, w_hh, bias = weights
        h, c = state
        outputs = []
        for x_t in x:
            i, f, g, o = (x_t @ w_ih.T + h @ w_hh.T + bias).chunk(4, dim=1)
            if wrong:
                i, f = f, i
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            outputs.append(h)
        return torch.stack(outputs) if outputs else x.new_zeros((0, *h.shape)), (h, c)

    return lstm


def test_a_function_on_tensors_is_differentiated_and_its_bug_named():
    torch = need("torch")
    options = {"cell": "lstm", "biases": 1}
    right = adapters.torch_function(lstm_on_tensors(torch), **options)
    check_cell(right, storage="float64").assert_passed()
    wrong = adapters.torch_function(lstm_on_tensors(torch, wrong=True), **options)
    report = check_cell(wrong, grades=(1, 2))
    assert report.cause == "gates-permuted"


def test_a_module_of_ones_own_needs_its_cell_told():
    torch = need("torch")
    with pytest.raises(ArgumentError, match="cell"):
        adapters.torch_module(lambda *a, **k: torch.nn.GRU(*a, **k))
    mine = adapters.torch_module(lambda *a, **k: torch.nn.GRU(*a, **k), cell="gru")
    check_cell(mine, grades=(1, 2)).assert_passed()


@pytest.mark.parametrize("kind", ["SimpleRNN", "GRU", "LSTM"])
def test_layers_of_keras_pass(kind):
    keras, _ = need("keras", "torch")
    if keras.backend.backend() != "torch":
        pytest.skip("Keras runs on another backend")
    report = check_cell(adapters.keras_layer(getattr(keras.layers, kind)))
    report.assert_passed()
    assert report.backward


def test_a_gru_of_keras_with_the_reset_before_passes_as_such():
    keras, _ = need("keras", "torch")
    make = functools.partial(keras.layers.GRU, reset_after=False)
    adapter = adapters.keras_layer(make)
    assert adapter.conventions["biases"] == 1
    check_cell(adapter, grades=(1, 2, 4, 6)).assert_passed()


@pytest.mark.parametrize("biases", [0, 2])
@pytest.mark.parametrize(
    ("operator", "options"),
    [("RNN", {}), ("LSTM", {}), ("GRU", {}), ("GRU", {"linear_before_reset": False})],
)
def test_operators_of_onnxruntime_pass(operator, options, biases):
    need("onnx", "onnxruntime")
    report = check_cell(adapters.onnx_operator(operator, **options), biases=biases)
    report.assert_passed()
    assert not report.backward


def test_the_gru_variants_of_onnx_are_not_taken_for_each_other():
    need("onnx", "onnxruntime")
    before = adapters.onnx_operator("GRU", linear_before_reset=False)
    report = check_cell(before, cell="gru", grades=(1, 2))
    assert report.cause == "reset-before"


def test_a_function_on_arrays_of_jax_passes():
    jax = need("jax")

    def gru(x, state, weights, reverse=False):
        w_ih, w_hh, b_ih, b_hh = weights

        def step(h, x_t):
            r, z, n = jax.numpy.split(x_t @ w_ih.T + b_ih, 3, axis=1)
            r_h, z_h, q = jax.numpy.split(h @ w_hh.T + b_hh, 3, axis=1)
            n = jax.numpy.tanh(n + jax.nn.sigmoid(r + r_h) * q)
            z = jax.nn.sigmoid(z + z_h)
            h = (1 - z) * n + z * h
            return h, h

        h, output = jax.lax.scan(step, state[0], x, reverse=reverse)
        return output, (h,)

    adapter = adapters.jax_function(gru, cell="gru")
    for storage in ("float32", "float64"):
        check_cell(adapter, grades=(1,), storage=storage).assert_passed()  # each size compiles


def test_a_function_on_arrays_of_the_gpu_passes(cuda):
    import cupy

    mine = Someones("lstm")

    def there(values):
        return tuple(cupy.asarray(v) for v in values)

    def forward(x, state, weights, *, reverse=False):
        assert isinstance(x, cupy.ndarray)
        x, *state = (a.get() for a in (x, *state))
        weights = [w.get() for w in weights]
        output, last, saved = mine.forward(x, state, weights, reverse=reverse)
        return cupy.asarray(output), there(last), saved

    def backward(doutput, dstate, saved):
        dx, dlast, *rest = mine.backward(doutput.get(), [d.get() for d in dstate], saved)
        return cupy.asarray(dx), there(dlast), *there(rest)

    report = check_cell(adapters.cupy_function(forward, backward, cell="lstm"), grades=(1, 4))
    report.assert_passed()
    assert {r.reason for r in report.results} == {"", "it takes no lengths"}


def test_a_missing_framework_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match="the extra 'torch' of minirnn"):
        adapters.torch_function(lambda x, state, weights: (x, state))


def test_an_adapter_of_ones_own_is_three_attributes():
    class Mine:
        conventions = {"cell": "rnn", "layout": "batch_major"}  # noqa: RUF012

        def __init__(self):
            self.inner = Someones("rnn")

        def forward(self, x, state, weights):
            output, last, saved = self.inner.forward(x.swapaxes(0, 1), state, weights)
            return output.swapaxes(0, 1), last, saved

        def backward(self, doutput, dstate, saved):
            dx, *rest = self.inner.backward(doutput.swapaxes(0, 1), dstate, saved)
            return np.ascontiguousarray(dx.swapaxes(0, 1)), *rest

    check_cell(Mine()).assert_passed()
    assert not check_cell(Mine(), layout="time_major", stop=True, seconds=0).passed
