"""Streams: the layer's results bit for bit, one step at a time, and no memory taken on the way."""

from __future__ import annotations

import copy
import pickle
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minirnn as mr
from minirnn.errors import ArgumentError, DTypeError, MinirnnError, ShapeError
from minirnn.kernels import cpu
from minirnn.kernels.contract import Weights

T, WIDTH, H = 9, 3, 21


@mr.cell(states=("h", "m"), drive="x", new="xh", hold="h")
def own(z: Any, last: Any) -> Any:
    k, n, d = mr.cells.sigmoid(z.hold), mr.cells.tanh(z.new), mr.cells.tanh(z.drive)
    m = k * last.m + (1 - k) * d
    return {"h": mr.cells.tanh(m + n), "m": m}, {"drive": d, "new": n, "hold": k}


CELLS = {"rnn": "rnn", "gru": "gru", "lstm": "lstm", "own": own}


def made(name: str = "lstm", num_layers: int = 1, dtype: str = "float32", **options: Any) -> Any:
    return mr.Recurrent(CELLS[name], WIDTH, H, num_layers, dtype=dtype, rng=0, **options)


def noise(*shape: int, dtype: str = "float32", seed: int = 1) -> Any:
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def arrays(state: Any) -> list[np.ndarray]:
    members = state if isinstance(state, tuple) else (state,)
    return [m.data if isinstance(m, mr.Tensor) else m for m in members]


def same_bits(ours: Any, wanted: Any) -> bool:
    pairs = zip(arrays(ours), arrays(wanted), strict=True)
    return all(a.shape == b.shape and a.tobytes() == b.tobytes() for a, b in pairs)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize("name", CELLS)
def test_steps_are_the_layers_bit_for_bit(
    name: str, num_layers: int, batch: int, dtype: str
) -> None:
    layer = made(name, num_layers, dtype)
    x = noise(T, batch, WIDTH, dtype=dtype)
    with mr.no_grad():
        output, last = layer(x)
    stream = layer.stream(batch)
    for t in range(T):
        h = stream.step(x[t])
        assert h.dtype == dtype
        assert same_bits(h, output.data[t]), f"step {t}"
    assert same_bits(stream.state, last)


@pytest.mark.parametrize("units", [1, 15, 16, 17, 65, 130])
@pytest.mark.parametrize("name", CELLS)
def test_sizes_around_whole_vectors(name: str, units: int) -> None:
    layer = mr.Recurrent(CELLS[name], 5, units, rng=0)
    x = noise(T, 2, 5)
    stream = layer.stream(2)
    steps = [stream.step(x_t).copy() for x_t in x]
    assert same_bits(np.stack(steps), layer(x)[0].data)


def test_without_bias() -> None:
    layer = made("gru", 2, bias=False)
    x = noise(T, 1, WIDTH)
    stream = layer.stream()
    assert same_bits(np.stack([stream.step(x_t).copy() for x_t in x]), layer(x)[0].data)


def test_batch_first_and_dropout_change_nothing() -> None:
    layer = made("gru", 2, dropout=0.5, batch_first=True).train()
    x = noise(4, T, WIDTH)
    stream = layer.stream(4)
    steps = np.stack([stream.step(x[:, t]).copy() for t in range(T)], axis=1)
    assert same_bits(steps, layer.eval()(x)[0].data)


@pytest.mark.parametrize("as_tensors", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_a_stream_begins_at_a_state_and_leaves_it_alone(name: str, as_tensors: bool) -> None:
    layer = made(name, 2)
    x = noise(T, 3, WIDTH)
    start = tuple(noise(2, 3, H, seed=s) for s in range(len(layer.cell.states)))
    given: Any = tuple(map(mr.Tensor, start)) if as_tensors else start
    given = given if len(start) > 1 else given[0]
    before = [s.copy() for s in start]
    output, last = layer(x, given)
    stream = layer.stream(3, given)
    for t in range(T):
        assert same_bits(stream.step(x[t]), output.data[t])
    assert same_bits(stream.state, last)
    assert all(np.array_equal(a, b) for a, b in zip(start, before, strict=True))


@pytest.mark.parametrize("at", [3, 4])  # after an odd and an even number of steps
@pytest.mark.parametrize("name", CELLS)
def test_a_state_can_be_kept_and_gone_on_from(name: str, at: int) -> None:
    layer = made(name, 2)
    x = noise(T, 2, WIDTH)
    stream = layer.stream(2)
    for x_t in x[:at]:
        stream.step(x_t)
    kept = stream.state
    values = [s.copy() for s in arrays(kept)]
    first = [stream.step(x_t).copy() for x_t in x[at:]]
    assert same_bits(tuple(arrays(kept)), tuple(values))  # copies, not the stream's own memory
    stream.state = kept
    assert same_bits(stream.state, kept)
    again = [stream.step(x_t).copy() for x_t in x[at:]]
    other = layer.stream(2, kept)
    assert same_bits(tuple(first), tuple(again))
    assert same_bits(tuple(first), tuple([other.step(x_t).copy() for x_t in x[at:]]))
    output, last = layer(x[at:], kept)
    assert same_bits(np.stack(first), output.data)
    assert same_bits(stream.state, last)


def test_none_begins_again_at_zeros() -> None:
    layer = made("lstm", 2)
    x = noise(T, 1, WIDTH)
    stream = layer.stream()
    first = [stream.step(x_t).copy() for x_t in x]
    stream.state = None
    assert not any(s.any() for s in arrays(stream.state))
    assert same_bits(tuple(first), tuple([stream.step(x_t).copy() for x_t in x]))


def test_h_stays_until_the_step_after_the_next() -> None:
    stream = made("gru").stream()
    x = noise(3, 1, WIDTH)
    first = stream.step(x[0])
    values = first.copy()
    second = stream.step(x[1])
    assert np.array_equal(first, values)
    assert not np.shares_memory(first, second)
    stream.step(x[2])
    assert not np.array_equal(first, values)  # which is why it is to be copied


def test_new_weights_show_after_a_refresh() -> None:
    layer = made("lstm", 2)
    x = noise(T, 1, WIDTH)
    stream = layer.stream()
    for x_t in x[:4]:
        stream.step(x_t)
    state = stream.state
    old = stream.step(x[4]).copy()
    for parameter in layer.parameters():
        parameter.data *= 0.5
    stream.state = state
    assert same_bits(stream.step(x[4]), old)  # the weights that were packed
    stream.state = state
    stream.refresh()
    assert same_bits(stream.state, state)
    fresh = stream.step(x[4])
    assert not np.array_equal(fresh, old)
    assert same_bits(fresh, layer(x[4:5], state)[0].data[0])


def test_the_kernels_own_stream_hands_out_copies_of_its_state() -> None:
    layer = made("lstm")
    weights = Weights(*[w.data for w in layer.weights()])
    stream = cpu.Stream(layer.cell, [noise(1, H), noise(1, H, seed=2)], weights)
    state = stream.state
    values = [s.copy() for s in state]
    for _ in range(2):
        stream.step(ONE)
    assert same_bits(state, tuple(values))


def test_streams_of_one_layer_do_not_meet() -> None:
    layer = made("gru", 2)
    x, y = noise(T, 1, WIDTH), noise(T, 1, WIDTH, seed=2)
    one, two = layer.stream(), layer.stream()
    steps = [(one.step(a).copy(), two.step(b).copy()) for a, b in zip(x, y, strict=True)]
    assert same_bits(np.stack([s[0] for s in steps]), layer(x)[0].data)
    assert same_bits(np.stack([s[1] for s in steps]), layer(y)[0].data)


def unaligned(x: np.ndarray) -> np.ndarray:
    memory = bytearray(x.nbytes + 1)
    array = np.ndarray(x.shape, x.dtype, buffer=memory, offset=1)
    array[:] = x
    assert not array.flags.aligned
    return array


def read_only(x: np.ndarray) -> np.ndarray:
    array = x.copy()
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    "laid_out",
    [np.asfortranarray, lambda x: np.repeat(x, 2, axis=1)[:, ::2], lambda x: x[::-1][::-1],
     read_only, unaligned],
    ids=["Fortran order", "every other column", "turned twice", "read-only", "unaligned"],
)  # fmt: skip
def test_x_may_lie_in_memory_as_it_likes(laid_out: Callable[[Any], Any]) -> None:
    layer = made("lstm")
    x = noise(T, 4, WIDTH)
    stream = layer.stream(4)
    steps = [stream.step(laid_out(x_t)).copy() for x_t in x]
    assert same_bits(np.stack(steps), layer(x)[0].data)


def test_steps_take_no_memory() -> None:
    """Not from Python's or NumPy's allocators: any array of the size of h would show."""
    layer = mr.LSTM(64, 512, 2, rng=0)
    stream = layer.stream(4)
    x = noise(4, 64)
    for _ in range(10):
        stream.step(x)
    tracemalloc.start()
    try:
        stream.step(x)
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for _ in range(1000):
            stream.step(x)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    h_bytes = 4 * 512 * 4
    assert after - before < 1000  # less than a byte a step
    assert peak - before < h_bytes / 2


ONE = noise(1, WIDTH)


def stepped(x: Any, batch: int = 1) -> Callable[[], Any]:
    return lambda: made().stream(batch).step(x)


def given_state(state: Any, name: str = "gru", num_layers: int = 1) -> Callable[[], Any]:
    return lambda: made(name, num_layers).stream(1, state)


def set_state(state: Any) -> Callable[[], Any]:
    return lambda: setattr(made("gru").stream(), "state", state)


TABLE: list[tuple[str, Callable[[], Any], type[MinirnnError], str]] = [
    ("two directions", lambda: made(bidirectional=True).stream(), ArgumentError, "layer"),
    ("no sequence", lambda: made().stream(0), ArgumentError, "batch"),
    ("half a sequence", lambda: made().stream(1.5), ArgumentError, "batch"),
    ("a flat x", stepped(ONE[0]), ShapeError, "x"),
    ("x with a time axis", stepped(ONE[None]), ShapeError, "x"),
    ("x of another width", stepped(noise(1, WIDTH + 1)), ShapeError, "x"),
    ("x of another batch", stepped(ONE, 2), ShapeError, "x"),
    ("x that would broadcast", stepped(noise(1, 1)), ShapeError, "x"),
    ("float64", stepped(ONE.astype("float64")), DTypeError, "x"),
    ("integers", stepped(ONE.astype(int)), DTypeError, "x"),
    ("another byte order", stepped(ONE.astype(ONE.dtype.newbyteorder())), DTypeError, "x"),
    ("a list", stepped([[1.0, 2.0, 3.0]]), ArgumentError, "x"),
    ("a Tensor", stepped(mr.Tensor(ONE)), ArgumentError, "x"),
    ("nothing", stepped(None), ArgumentError, "x"),
    ("a state without levels", given_state(noise(1, H)), ShapeError, "state"),
    ("a state of one of two layers", given_state(noise(1, 1, H), "gru", 2), ShapeError, "state"),
    ("a float64 state", given_state(noise(1, 1, H, dtype="float64")), DTypeError, "state"),
    ("h without c", given_state(noise(1, 1, H), "lstm"), ArgumentError, "state"),
    ("a bad c", given_state((noise(1, 1, H), noise(1, 1, 1)), "lstm"), ShapeError, "state 'c'"),
    ("a state set that does not fit", set_state(noise(1, 2, H)), ShapeError, "state"),
    ("a state set of another dtype", set_state(noise(1, 1, H, dtype="float64")), DTypeError,
     "state"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("call", "error", "argument"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_it_is_refused_by_name(
    call: Callable[[], Any], error: type[MinirnnError], argument: str
) -> None:
    with pytest.raises(error) as caught:
        call()
    assert type(caught.value) is error
    assert caught.value.argument == argument
    assert caught.value.came != caught.value.wanted


def test_a_refused_step_or_state_leaves_the_stream_where_it_stood() -> None:
    layer = made("lstm", 2)
    x = noise(T, 1, WIDTH)
    stream = layer.stream()
    for x_t in x[:4]:
        stream.step(x_t)
    state = stream.state
    good = noise(2, 1, H)
    for bad in (ONE[0], ONE.astype("float64"), None):
        with pytest.raises(ArgumentError):
            stream.step(bad)
    for bad_state in (good, (good, good[:1]), (good.astype("float64"), good)):
        with pytest.raises(ArgumentError):
            stream.state = bad_state
    assert same_bits(stream.state, state)
    output, _ = layer(x)
    assert same_bits(stream.step(x[4]), output.data[4])


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("weight_hh_l0", noise(3 * H, H - 1), ShapeError),
        ("weight_hh_l1", noise(3, 1), ShapeError),
        ("weight_ih_l0", noise(3 * H, WIDTH + 1), ShapeError),
        ("bias_ih_l1", noise(1), ShapeError),
        ("bias_hh_l0", noise(3 * H, dtype="float64"), DTypeError),
    ],
)
def test_a_parameter_that_no_longer_fits_is_refused_by_refresh(
    name: str, value: Any, error: type[MinirnnError]
) -> None:
    layer = made("gru", 2)
    stream = layer.stream()
    expected = stream.step(ONE).copy()
    stream.state = None
    layer.weight_ih_l0.data *= 2.0  # the first layer's are not taken up either
    setattr(layer, name, mr.Tensor(value, requires_grad=True))
    with pytest.raises(error):
        stream.refresh()
    assert same_bits(stream.step(ONE), expected)


def test_a_copy_goes_its_own_way_and_a_pickle_is_refused() -> None:
    stream = mr.LSTM(3, 5, num_layers=2, rng=0).stream()
    x = np.ones((1, 3), np.float32)
    stream.step(x)
    other = copy.deepcopy(stream)
    expected = stream.step(x).copy()
    stream.step(x)
    np.testing.assert_array_equal(other.step(x), expected)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(stream)
