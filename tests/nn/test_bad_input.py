"""What a layer cannot use is refused with a typed error that names the argument."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minirnn as mr
from minirnn.errors import ArgumentError, DeviceError, DTypeError, MinirnnError, ShapeError

T, B, WIDTH, H = 5, 3, 2, 4


def array(*shape: int, dtype: Any = np.float32) -> np.ndarray:
    return np.ones(shape, dtype)


X = array(T, B, WIDTH)


def lstm(x: Any = X, state: Any = None, lengths: Any = None, **options: Any) -> Callable[[], Any]:
    return lambda: mr.LSTM(WIDTH, H, rng=0, **options)(x, state, lengths)


def gru(x: Any = X, state: Any = None, lengths: Any = None, **options: Any) -> Callable[[], Any]:
    return lambda: mr.GRU(WIDTH, H, rng=0, **options)(x, state, lengths)


def make(kind: Any, *sizes: Any, **options: Any) -> Callable[[], Any]:
    return lambda: kind(*sizes, **options)


def model(**options: Any) -> Callable[[], Any]:
    sizes = {"input_size": WIDTH, "hidden_size": H, "output_size": 1}
    return lambda: mr.SequenceModel(**{**sizes, **options})


S = array(1, B, H)

CALLS: list[tuple[str, Callable[[], Any], type[MinirnnError], str]] = [
    # what is wrong, the call, the error, the argument it names
    ("x without a batch axis", lstm(array(T, WIDTH)), ShapeError, "x"),
    ("x of rank 4", lstm(array(T, B, WIDTH, 1)), ShapeError, "x"),
    ("x of rank 0", lstm(np.float32(1.0)), ShapeError, "x"),
    ("x with too many features", lstm(array(T, B, WIDTH + 1)), ShapeError, "x"),
    ("x with the axes swapped", lstm(array(WIDTH, T, B)), ShapeError, "x"),
    (
        "x with features first, batch first",
        lstm(array(B, WIDTH, T), batch_first=True),
        ShapeError,
        "x",
    ),
    ("an empty batch", lstm(array(T, 0, WIDTH)), ShapeError, "x"),
    ("an empty batch, batch first", lstm(array(0, T, WIDTH), batch_first=True), ShapeError, "x"),
    ("float64 into a float32 layer", lstm(array(T, B, WIDTH, dtype=np.float64)), DTypeError, "x"),
    ("float32 into a float64 layer", lstm(X, dtype="float64"), DTypeError, "x"),
    ("float16", lstm(array(T, B, WIDTH, dtype=np.float16)), DTypeError, "x"),
    ("integers", lstm(array(T, B, WIDTH, dtype=np.int64)), DTypeError, "x"),
    ("booleans", lstm(array(T, B, WIDTH, dtype=bool)), DTypeError, "x"),
    ("complex numbers", lstm(array(T, B, WIDTH, dtype=np.complex64)), DTypeError, "x"),
    ("objects", lstm(array(T, B, WIDTH, dtype=object)), DTypeError, "x"),
    ("text", lstm("a series"), DTypeError, "x"),
    ("nothing", lstm(None), DTypeError, "x"),
    ("ragged rows", lstm([[[1.0], [2.0, 3.0]]]), ShapeError, "x"),
    ("a state without levels", gru(state=array(B, H)), ShapeError, "state"),
    ("a state for another batch", gru(state=array(1, B + 1, H)), ShapeError, "state"),
    ("a state that would broadcast", gru(state=array(1, 1, H)), ShapeError, "state"),
    ("a state of another width", gru(state=array(1, B, 1)), ShapeError, "state"),
    (
        "a state batch first",
        gru(array(B, T, WIDTH), array(B, 1, H), batch_first=True),
        ShapeError,
        "state",
    ),
    ("a state for one of two layers", gru(state=S, num_layers=2), ShapeError, "state"),
    ("a state for one of two directions", gru(state=S, bidirectional=True), ShapeError, "state"),
    ("a float64 state", gru(state=S.astype(np.float64)), DTypeError, "state"),
    ("an integer state", gru(state=S.astype(np.int32)), DTypeError, "state"),
    ("a pair for a GRU", gru(state=(S, S)), ArgumentError, "state"),
    ("one array for an LSTM", lstm(state=S), ArgumentError, "state"),
    ("a tuple of one for an LSTM", lstm(state=(S,)), ArgumentError, "state"),
    ("a tuple of three for an LSTM", lstm(state=(S, S, S)), ArgumentError, "state"),
    ("a good h and a bad c", lstm(state=(S, array(1, B, 1))), ShapeError, "state 'c'"),
    ("a c that is missing", lstm(state=(S, None)), DTypeError, "state 'c'"),
    ("lengths for another batch", lstm(lengths=[T] * (B + 1)), ShapeError, "lengths"),
    ("one length for all", lstm(lengths=T), ShapeError, "lengths"),
    ("lengths in a column", lstm(lengths=[[1], [2], [3]]), ShapeError, "lengths"),
    ("ragged lengths", lstm(lengths=[[1], [2, 3], [4]]), ShapeError, "lengths"),
    ("no lengths", lstm(lengths=[]), ShapeError, "lengths"),
    ("fractional lengths", lstm(lengths=[1.0, 2.0, 3.0]), DTypeError, "lengths"),
    ("a mask for lengths", lstm(lengths=[True, True, False]), DTypeError, "lengths"),
    ("text for lengths", lstm(lengths="all"), ShapeError, "lengths"),
    ("a negative length", lstm(lengths=[1, -1, 2]), ArgumentError, "lengths"),
    ("a length past the end", lstm(lengths=[1, T + 1, 2]), ArgumentError, "lengths"),
    ("features for a Linear", lambda: mr.Linear(3, 1)(array(2, 4)), ShapeError, "x"),
    ("a number for a Linear", lambda: mr.Linear(1, 1)(1.0), ShapeError, "x"),
    ("float64 for a Linear", lambda: mr.Linear(2, 1)(np.ones(2)), DTypeError, "x"),
    ("integers for a Linear", lambda: mr.Linear(2, 1)(np.ones(2, int)), DTypeError, "x"),
]

CONSTRUCTIONS: list[tuple[str, Callable[[], Any], type[MinirnnError], str]] = [
    ("no units", make(mr.LSTM, WIDTH, 0), ArgumentError, "hidden_size"),
    ("negative units", make(mr.GRU, WIDTH, -4), ArgumentError, "hidden_size"),
    ("fractional units", make(mr.RNN, WIDTH, 4.0), ArgumentError, "hidden_size"),
    ("units in words", make(mr.RNN, WIDTH, "four"), ArgumentError, "hidden_size"),
    ("True units", make(mr.RNN, WIDTH, True), ArgumentError, "hidden_size"),
    ("no inputs", make(mr.LSTM, 0, H), ArgumentError, "input_size"),
    ("no layers", make(mr.LSTM, WIDTH, H, 0), ArgumentError, "num_layers"),
    ("dropout above 1", make(mr.LSTM, WIDTH, H, 2, dropout=1.5), ArgumentError, "dropout"),
    ("dropout of everything", make(mr.LSTM, WIDTH, H, 2, dropout=1.0), ArgumentError, "dropout"),
    ("negative dropout", make(mr.LSTM, WIDTH, H, 2, dropout=-0.1), ArgumentError, "dropout"),
    ("NaN dropout", make(mr.LSTM, WIDTH, H, 2, dropout=float("nan")), ArgumentError, "dropout"),
    ("dropout in words", make(mr.LSTM, WIDTH, H, 2, dropout="some"), ArgumentError, "dropout"),
    ("recomputation in words", make(mr.LSTM, WIDTH, H, recompute="h"), ArgumentError, "recompute"),
    ("float16 parameters", make(mr.LSTM, WIDTH, H, dtype="float16"), DTypeError, "dtype"),
    ("integer parameters", make(mr.LSTM, WIDTH, H, dtype=int), DTypeError, "dtype"),
    ("no dtype", make(mr.LSTM, WIDTH, H, dtype=None), DTypeError, "dtype"),
    ("an unknown dtype", make(mr.LSTM, WIDTH, H, dtype="real"), DTypeError, "dtype"),
    ("a GPU by number", make(mr.LSTM, WIDTH, H, device="cuda:0"), DeviceError, "device"),
    ("an unknown device", make(mr.Linear, WIDTH, H, device="tpu"), DeviceError, "device"),
    ("a negative seed", make(mr.LSTM, WIDTH, H, rng=-1), ArgumentError, "rng"),
    ("a seed in words", make(mr.LSTM, WIDTH, H, rng="seed"), ArgumentError, "rng"),
    ("a bias that is a number", make(mr.LSTM, WIDTH, H, bias=1), ArgumentError, "bias"),
    (
        "directions as a number",
        make(mr.LSTM, WIDTH, H, bidirectional=2),
        ArgumentError,
        "bidirectional",
    ),
    ("axes as a word", make(mr.LSTM, WIDTH, H, batch_first="no"), ArgumentError, "batch_first"),
    ("a nonlinearity", make(mr.RNN, WIDTH, H, nonlinearity="sine"), ArgumentError, "nonlinearity"),
    ("an activation", make(mr.GRU, WIDTH, H, activation="identity"), ArgumentError, "activation"),
    (
        "an activation of the LSTM",
        make(mr.LSTM, WIDTH, H, activation=None),
        ArgumentError,
        "activation",
    ),
    ("a cell's name", make(mr.Recurrent, "gate", WIDTH, H), ArgumentError, "cell"),
    ("a function for a cell", make(mr.Recurrent, len, WIDTH, H), ArgumentError, "cell"),
    ("a Linear without outputs", make(mr.Linear, 3, 0), ArgumentError, "out_features"),
    ("a Linear beyond all memory", make(mr.Linear, 3, 2**62), ShapeError, "parameter"),
    ("a Linear without inputs", make(mr.Linear, 0, 3), ArgumentError, "in_features"),
    ("a probability", make(mr.Dropout, 2.0), ArgumentError, "p"),
    ("an empty chain", make(mr.Sequential), ArgumentError, "modules"),
    ("a function in a chain", make(mr.Sequential, abs), ArgumentError, "modules[0]"),
    ("a readout", model(readout="first"), ArgumentError, "readout"),
    ("no outputs", model(output_size=0), ArgumentError, "output_size"),
    ("no units in a model", model(hidden_size=0), ArgumentError, "hidden_size"),
    ("head dropout", model(head_dropout=1.5), ArgumentError, "head_dropout"),
    ("an unknown cell", model(cell="transformer"), ArgumentError, "cell"),
    ("an activation for a model", model(activation="sine"), ArgumentError, "activation"),
    (
        "an activation for a cell of one's own",
        model(cell=mr.cells.lstm(), activation="relu"),
        ArgumentError,
        "activation",
    ),
]

TABLE = CALLS + CONSTRUCTIONS


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
    assert str(caught.value.came)
    assert caught.value.wanted


def test_the_table_has_no_row_twice() -> None:
    titles = [row[0] for row in TABLE]
    assert len(titles) == len(set(titles))


def test_a_refused_call_leaves_the_layer_usable() -> None:
    layer = mr.LSTM(WIDTH, H, rng=0)
    expected = layer(X)[0].data
    for bad in (array(T, WIDTH), array(T, 0, WIDTH), X.astype(np.float64)):
        with pytest.raises(ArgumentError):
            layer(bad)
    assert np.array_equal(layer(X)[0].data, expected)
