"""`recompute=True`: the same gradients bit for bit, for a sixth of what an LSTM keeps."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

import numpy as np
import pytest

import minirnn as mr
from minirnn.errors import TapeError
from minirnn.functional.recurrent import recurrent
from minirnn.kernels import cpu
from minirnn.kernels.contract import Needs, Weights
from minirnn.kernels.cpu import forward_pass, pool, threads

KINDS = [mr.RNN, mr.GRU, mr.LSTM]
T, B, WIDTH, H = 23, 4, 3, 21


@pytest.fixture(autouse=True)
def _checkpoints_close_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every five steps, which do not divide T: as in a sequence of thousands of steps."""
    monkeypatch.setattr(forward_pass, "REBUILT_STEPS", (5, 5))


@mr.cell(states=("h", "m"), drive="x", new="xh", hold="h")
def own(z: Any, last: Any) -> Any:
    k, n, d = mr.cells.sigmoid(z.hold), mr.cells.tanh(z.new), mr.cells.tanh(z.drive)
    m = k * last.m + (1 - k) * d
    return {"h": mr.cells.tanh(m + n), "m": m}, {"drive": d, "new": n, "hold": k}


def noise(*shape: int, seed: int = 1, dtype: str = "float32") -> Any:
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def trained(layer: Any, x: Any, state: Any = None, lengths: Any = None, into: str = "all") -> Any:
    """Output, last states and the gradient of everything, by name; `into` what the loss reads."""
    x = mr.Tensor(x, requires_grad=True)
    if state is not None:
        state = tuple(mr.Tensor(s, requires_grad=True) for s in state)
    output, last = layer(x, state if state is None or len(state) > 1 else state[0], lengths)
    finals = last if isinstance(last, tuple) else (last,)
    results = {"all": (output, *finals), "output": (output,), "state": finals}[into]
    sum(
        ((r * mr.Tensor(noise(*r.shape, seed=7 + i, dtype=r.data.dtype.name))).sum())
        for i, r in enumerate(results)
    ).backward()
    found = {"output": output.data, "x": x.grad}
    found |= {f"state {i}": r.data for i, r in enumerate(finals)}
    found |= {f"dstate {i}": s.grad for i, s in enumerate(state or ())}
    return found | {name: p.grad for name, p in layer.named_parameters()}


def assert_same_bits(kind: Any, *call: Any, into: str = "all", **options: Any) -> None:
    plain, again = (
        trained(made(kind, recompute=recompute, **options), *call, into=into)
        for recompute in (False, True)
    )
    assert plain.keys() == again.keys()
    for name, wanted in plain.items():
        assert wanted is not None, name
        assert again[name].shape == wanted.shape, name
        assert again[name].tobytes() == wanted.tobytes(), name


def made(kind: Any, **options: Any) -> Any:
    if isinstance(kind, type):
        return kind(WIDTH, H, rng=0, **options)
    return mr.Recurrent(kind, WIDTH, H, rng=0, **options)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", [*KINDS, own])
def test_layers_and_directions(kind: Any, dtype: str, num_layers: int, bidirectional: bool) -> None:
    x = noise(T, B, WIDTH, dtype=dtype)
    assert_same_bits(kind, x, dtype=dtype, num_layers=num_layers, bidirectional=bidirectional)


@pytest.mark.parametrize("lengths", [(T, 0, 7, 11), (5, 10, 15, 4), (0, 0, 0, 0)])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", [*KINDS, own])
def test_lengths(kind: Any, bidirectional: bool, lengths: tuple[int, ...]) -> None:
    x = noise(T, B, WIDTH)
    for b, length in enumerate(lengths):
        x[length:, b] = np.nan  # what stands in the padding is never read
    assert_same_bits(kind, x, None, list(lengths), num_layers=1, bidirectional=bidirectional)


@pytest.mark.parametrize("steps", [0, 1, 4, 5, 6, 10])
@pytest.mark.parametrize("kind", [*KINDS, own])
def test_few_steps(kind: Any, steps: int) -> None:
    states = len(made(kind).cell.states)
    state = tuple(noise(2, B, H, seed=3 + i) for i in range(states))
    assert_same_bits(kind, noise(steps, B, WIDTH), state, bidirectional=True)


@pytest.mark.parametrize("into", ["all", "output", "state"])
@pytest.mark.parametrize("kind", [*KINDS, own])
def test_initial_states_and_gradients_that_arrive_in_part(kind: Any, into: str) -> None:
    states = len(made(kind).cell.states)
    state = tuple(noise(4, B, H, seed=3 + i) for i in range(states))
    call = (noise(T, B, WIDTH), state, [T, 0, 9, 1])
    assert_same_bits(kind, *call, num_layers=2, bidirectional=True, into=into)


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_between_layers_and_batch_first(kind: Any) -> None:
    x = noise(B, T, WIDTH)
    assert_same_bits(kind, x, num_layers=3, dropout=0.4, batch_first=True)


@pytest.mark.parametrize("kind", KINDS)
def test_no_bias(kind: Any) -> None:
    assert_same_bits(kind, noise(T, B, WIDTH), bias=False)


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("kind", [*KINDS, own])
def test_any_number_of_threads(kind: Any, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "OPERATIONS_WORTH_A_THREAD", 1)
    x = noise(T, B, WIDTH)
    monkeypatch.setattr(threads, "_threads", 1)
    wanted = trained(made(kind), x, None, [T, 3, 9, 0])
    monkeypatch.setattr(threads, "_threads", count)
    found = trained(made(kind, recompute=True), x, None, [T, 3, 9, 0])
    for name, array in wanted.items():
        assert np.array_equal(found[name], array), name


@pytest.mark.parametrize("wanted", ["x", "weight_ih_l0", "bias_hh_l0"])
def test_only_what_is_needed_is_computed(wanted: str) -> None:
    """One gradient alone is the same as among all the others."""
    layer = made(mr.LSTM, recompute=True)
    everything = trained(layer, noise(T, B, WIDTH))
    for name, parameter in layer.named_parameters():
        parameter.requires_grad = name == wanted
        parameter.grad = None
    x = mr.Tensor(noise(T, B, WIDTH), requires_grad=wanted == "x")
    output, (h, c) = layer(x)
    results = (output, h, c)
    sum(
        (r * mr.Tensor(noise(*r.shape, seed=7 + i))).sum() for i, r in enumerate(results)
    ).backward()
    for name in ("x", "weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
        grad = x.grad if name == "x" else getattr(layer, name).grad
        assert np.array_equal(grad, everything[name]) if name == wanted else grad is None


def tape_of(layer: Any, x: Any, **options: Any) -> Any:
    weights = layer.weights()
    start = [
        mr.Tensor(np.zeros((x.shape[1], layer.hidden_size), x.dtype)) for _ in layer.cell.states
    ]
    return recurrent(layer.cell, mr.Tensor(x), start, weights, **options)[2]


@pytest.mark.parametrize(
    ("kind", "plain_floats"), [(mr.RNN, 2), (mr.GRU, 5), (mr.LSTM, 6)], ids=["RNN", "GRU", "LSTM"]
)
@pytest.mark.parametrize("lengths", [None, np.array([2000, 5, 0, 1000])])
def test_little_more_than_h_is_kept(
    kind: Any, plain_floats: int, lengths: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # with checkpoints as far apart as they are
    steps, units = 2000, 64
    layer = kind(WIDTH, units, rng=0)
    x = noise(steps, B, WIDTH)
    plain = tape_of(layer, x, lengths=lengths)
    again = tape_of(layer, x, lengths=lengths, recompute=True)
    floats = steps * B * units * 4
    assert again.nbytes <= 1.3 * floats
    assert again.nbytes >= floats  # h itself
    assert plain.nbytes == pytest.approx(plain_floats * floats, rel=0.02)


def test_what_a_tape_says_it_keeps_is_what_it_keeps_alive() -> None:
    """An honest count: memory that is taken for good by a forward pass, told by tracemalloc."""
    layer = mr.LSTM(WIDTH, 64, recompute=True, rng=0)
    x = noise(1500, B, WIDTH)
    tape_of(layer, x, recompute=True)
    gc.collect()
    pool.release()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tape = tape_of(layer, x, recompute=True)
        gc.collect()
        pool.release()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Buffers are a sixteenth larger at most, and the sizes that are not large are some kilobytes.
    assert tape.nbytes <= after - before <= 1.0625 * tape.nbytes + 20_000


def test_backward_lets_go_of_what_was_kept() -> None:
    layer = made(mr.LSTM)
    x, weights = noise(T, B, WIDTH), Weights(*[w.data for w in layer.weights()])
    state = (np.zeros((B, H), np.float32),) * 2
    _, _, tape = cpu.forward(layer.cell, x, state, weights, keep="checkpoints")
    assert tape is not None
    cpu.backward(layer.cell, noise(T, B, H), None, tape, needs=Needs())
    assert tape.nbytes == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_recording_has_everything_all_the_same(kind: Any) -> None:
    x, traces, outputs = noise(T, B, WIDTH), [], []
    for recompute in (False, True):
        layer = made(kind, num_layers=2, bidirectional=True, recompute=recompute)
        with mr.record() as recording:
            outputs.append(trained(layer, x, None, [T, 0, 9, 1]))
        traces.append(recording.traces)
    assert len(traces[0]) == len(traces[1]) == 4
    for plain, again in zip(*traces, strict=True):
        assert plain.gates.keys() == again.gates.keys()
        for gate, values in plain.gates.items():
            assert np.array_equal(values, again.gates[gate])
            assert np.array_equal(plain.grad_gates[gate], again.grad_gates[gate])
        assert np.array_equal(plain.hidden, again.hidden)
        assert np.array_equal(plain.grad_hidden, again.grad_hidden)
        assert again.hidden.any()
        assert again.grad_hidden.any()
    for name, array in outputs[0].items():
        assert np.array_equal(outputs[1][name], array), name


def test_recording_is_what_changes_what_is_kept() -> None:
    """The gradients of an unrecorded layer are those of a recorded one, with recompute too."""
    layer = made(mr.LSTM, recompute=True)
    x = noise(T, B, WIDTH)
    plain = trained(layer, x)
    layer.zero_grad()
    with mr.record():
        recorded = trained(layer, x)
    for name, array in plain.items():
        assert np.array_equal(recorded[name], array), name


def test_a_second_backward_is_a_tape_error() -> None:
    layer = made(mr.GRU, recompute=True)
    output, _ = layer(noise(T, B, WIDTH))
    loss = output.sum()
    loss.backward()
    with pytest.raises(TapeError):
        loss.backward()


def test_a_checkpoint_tape_serves_one_backward() -> None:
    layer = made(mr.LSTM)
    weights = Weights(*[w.data for w in layer.weights()])
    state = (np.zeros((B, H), np.float32),) * 2
    _, _, tape = cpu.forward(layer.cell, noise(T, B, WIDTH), state, weights, keep="checkpoints")
    assert tape is not None
    gradients = cpu.backward(layer.cell, noise(T, B, H), None, tape, needs=Needs())
    assert gradients.weight_ih is not None
    with pytest.raises(TapeError):
        cpu.backward(layer.cell, noise(T, B, H), None, tape, needs=Needs())


def test_outputs_stay_as_they_are_through_backward() -> None:
    layer = made(mr.LSTM, recompute=True)
    output, (h, c) = layer(noise(T, B, WIDTH))
    before = [r.data.copy() for r in (output, h, c)]
    (output * output).sum().backward()
    for result, values in zip((output, h, c), before, strict=True):
        assert np.array_equal(result.data, values)


def test_no_grad_keeps_nothing() -> None:
    layer = made(mr.LSTM, recompute=True)
    with mr.no_grad():
        assert tape_of(layer, noise(T, B, WIDTH), recompute=True) is None
    assert tape_of(layer, noise(T, B, WIDTH), recompute=True).keep == "checkpoints"


def test_the_layer_says_so() -> None:
    assert "recompute=True" in repr(made(mr.LSTM, recompute=True))
    assert "recompute" not in repr(made(mr.LSTM))
