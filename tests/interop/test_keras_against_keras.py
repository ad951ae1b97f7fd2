"""Converted layers, models and files against Keras itself, on PyTorch, in float64."""

import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("h5py")
os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras")
if keras.backend.backend() != "torch":
    pytest.skip("Keras runs on another backend here", allow_module_level=True)

import sweep_keras  # noqa: E402 - which imports Keras
import torch  # noqa: E402

import minirnn as mr  # noqa: E402
from minirnn.interop.keras import from_keras, keras_weights, to_keras  # noqa: E402

L = keras.layers
# Keras warns that a nested Sequential drops masks, and hands them on all the same.
# Its torch backend makes arrays of variables in a way that NumPy 2 has called old.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Layer .* does not support masking:UserWarning"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


@pytest.fixture(autouse=True)
def exact():
    """Keras in float64, with the same initial weights every time."""
    keras.utils.set_random_seed(0)
    with sweep_keras.exact_float64():
        yield


def example(seed=0, shape=(3, 6, 2)):
    return np.random.default_rng(seed).standard_normal(shape)


def close(ours, theirs, bound=1e-12):
    theirs = theirs.detach().numpy()
    ours = ours.data if isinstance(ours, mr.Tensor) else ours
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=bound * np.abs(theirs).max())


# Layers, Bidirectional, stacked cells, chains of both kinds; masks, lengths, states. The cells are
# the built-in ones, whose kernels are there; `tools/sweep_keras.py` takes every activation.
@pytest.mark.parametrize("seed", range(24))
def test_outputs_and_gradients_are_those_of_keras(seed):
    case = sweep_keras.Case(seed, built_in_only=True)
    for name, difference in case.compare().items():
        assert difference < 1e-9, (case.told(), name)


def test_activations_inside_cells_are_those_of_keras():
    layer = L.SimpleRNN(3, activation="hard_sigmoid")  # Keras 3's, whose slope is 1/6
    x = 3 * example()
    layer.build(x.shape)
    close(from_keras(layer)(x), layer(torch.tensor(x)))


DENSE_ACTIVATIONS = {
    **{name: lambda name=name: name for name in (
        "softmax", "selu", "elu", "hard_silu", "mish", "log_sigmoid", "exponential",
        "log_softmax", "softplus", "leaky_relu", "relu6",
    )},
    "LeakyReLU": lambda: L.LeakyReLU(0.3),
    "ReLU": lambda: L.ReLU(6.0),
}  # fmt: skip


@pytest.mark.parametrize("name", DENSE_ACTIVATIONS)
def test_activations_of_dense_are_those_of_keras(name):
    layer = L.Dense(4, activation=DENSE_ACTIVATIONS[name]())
    x = 3 * example()
    layer.build(x.shape)
    close(from_keras(layer)(x), layer(torch.tensor(x)))


def test_layers_around_recurrent_ones_are_those_of_keras():
    stack = [
        L.Masking(),
        L.GRU(4, return_sequences=True),
        L.TimeDistributed(L.Dense(3, activation="tanh")),
        L.GlobalAveragePooling1D(),
        L.RepeatVector(4),
        L.SpatialDropout1D(0.5),
        L.GlobalMaxPooling1D(keepdims=True),
        L.Flatten(),
        L.Softmax(),
    ]
    x = example()
    x[0, 2:4] = x[1, 4:] = 0.0
    model = keras.Sequential([keras.Input((6, 2)), *stack])
    close(from_keras(model)(x), model(torch.tensor(x)))


def test_training_of_batch_normalization_is_that_of_keras():
    layer = L.BatchNormalization(momentum=0.7)
    x, mask = example(), np.arange(6) < np.array([6, 2, 4])[:, None]
    layer.build(x.shape)
    ours = from_keras(layer).train()
    close(ours(x, mask=mask), layer(torch.tensor(x), training=True, mask=torch.tensor(mask)))
    for mine, theirs in zip(keras_weights(ours), layer.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-15)


SAVED = {
    "sequential": lambda: keras.Sequential(
        [
            keras.Input((6, 2)),
            L.Masking(),
            keras.Sequential([L.LSTM(3, return_sequences=True), L.Dropout(0.1)]),
            L.RNN(L.StackedRNNCells([L.LSTMCell(3), L.LSTMCell(2), L.SimpleRNNCell(3)]),
                  return_sequences=True),
            L.Bidirectional(L.GRU(3), merge_mode="mul"),
            L.BatchNormalization(),
            L.Dense(2, activation="softmax"),
            L.Dense(1),
        ]
    ),
    "functional": lambda: functional(),
}  # fmt: skip


def functional():
    given = keras.Input((None,), dtype="int64")
    at = L.Embedding(5, 3, mask_zero=True)(given)
    at, _, _ = L.LSTM(3, return_sequences=True, return_state=True)(at)
    at = L.LayerNormalization()(at)
    at = L.Bidirectional(L.LSTM(2), backward_layer=L.GRU(2, go_backwards=True))(at)
    return keras.Model(given, L.Dense(1)(at))


READ = """
import sys
import numpy as np
from minirnn.interop.keras import from_keras
model = from_keras(sys.argv[1])
np.save(sys.argv[3], model(np.load(sys.argv[2])).data)
loaded = {"keras", "torch", "tensorflow", "jax"} & set(sys.modules)
assert not loaded, loaded
"""


@pytest.mark.parametrize("kind", SAVED)
def test_a_file_is_read_without_keras(kind, tmp_path):
    model = SAVED[kind]()
    for variable in model.weights:  # Keras's own are the same in too many places: zeros and ones
        variable.assign(np.abs(np.random.default_rng(1).standard_normal(variable.shape)))
    model.compile("adam", "mse")  # with an optimiser in the file
    x = example() if kind == "sequential" else np.array([[1, 4, 2, 0, 0, 0], [2, 2, 3, 1, 1, 3]])
    if kind == "sequential":
        x[0, 4:] = 0.0
    model.fit(x, np.ones((len(x), 1)), verbose=0)
    path, given, answer = (tmp_path / name for name in ("m.keras", "x.npy", "y.npy"))
    model.save(path)
    np.save(given, x)
    command = [sys.executable, "-c", READ, str(path), str(given), str(answer)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    close(np.load(answer), model(torch.tensor(x)))
    ours = from_keras(path)
    for mine, theirs in zip(keras_weights(ours), model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    back = to_keras(ours)  # and to Keras again
    close(back(torch.tensor(x)).detach().numpy(), model(torch.tensor(x)), 1e-15)


@pytest.mark.parametrize("reset_after", [True, False])
def test_our_layers_go_to_keras(reset_after):
    x, lengths = example(), np.array([6, 2, 4])
    mask = torch.tensor(np.arange(6) < lengths[:, None])
    options = {"batch_first": True, "dtype": "float64", "rng": 0}
    for layer in (
        mr.GRU(2, 3, reset_after=reset_after, **options),
        mr.RNN(2, 3, nonlinearity="identity", bias=False, **options),
        mr.LSTM(2, 3, 2, bidirectional=True, dropout=0.3, activation="relu", **options),
    ):
        layer.eval()
        output, _ = layer(x, lengths=lengths)
        close(output, to_keras(layer)(torch.tensor(x), mask=mask))
    _, (h, c) = mr.LSTM(2, 3, **options)(x)
    made = to_keras(mr.LSTM(2, 3, **options), return_sequences=False, return_state=True)
    for mine, theirs in zip((h[0], h[0], c[0]), made(torch.tensor(x)), strict=True):
        close(mine, theirs)


@pytest.mark.parametrize("readout", ["last", "all"])
def test_our_models_go_to_keras(readout):
    model = mr.SequenceModel(
        "gru", input_size=2, hidden_size=3, output_size=2, num_layers=2, bidirectional=True,
        readout=readout, head_dropout=0.2, batch_first=True, dtype="float64", rng=0,
    ).eval()  # fmt: skip
    x, lengths = example(), np.array([6, 2, 4])
    mask = torch.tensor(np.arange(6) < lengths[:, None])
    close(model(x, lengths=lengths), to_keras(model)(torch.tensor(x), mask=mask))


def test_what_keras_has_not_is_refused():
    own = mr.Recurrent(mr.cells.rnn("tanh"), 2, 3)
    assert to_keras(own).units == 3
    cell = mr.cell(states=("h",), new="xh")(lambda z, last: ({"h": z.new}, {"new": z.new}))
    for module in (mr.Recurrent(cell, 2, 3), mr.LSTM(2, 3, proj_size=2), mr.Module()):
        with pytest.raises(mr.ArgumentError, match="module"):
            to_keras(module)
    with pytest.raises(mr.ArgumentError, match="return_state"):
        to_keras(mr.LSTM(2, 3, 2), return_state=True)
    for source, match in ((mr.Linear(2, 3), "a Linear"), (L.LSTM(3), "no weights")):
        with pytest.raises(mr.ArgumentError, match=match):
            from_keras(source)


def test_a_converted_model_is_diagnosed_and_trained():
    model = keras.Sequential(
        [
            keras.Input((6, 2)),
            L.Bidirectional(L.LSTM(3, return_sequences=True)),
            L.GRU(3),
            L.Dense(1),
        ]
    )
    ours, x, y = from_keras(model), example(), example(1, (3, 1))
    with mr.record() as recording:
        ours(x)
    assert [t.name for t in recording.traces] == ["LSTM.l0", "LSTM.l0_reverse", "GRU.l0"]
    ours.layers()[-1].weight.data[...] = 0  # a head that answers the same for everything
    assert "constant-output" in mr.diagnose(ours, x, y, loss="mse").symptoms
    ours = from_keras(model)
    before = mr.mse_loss(ours(x), y).item()
    optimizer = mr.optim.Adam(ours.parameters(), learning_rate=0.05)
    history = mr.fit(ours, (x, y), loss="mse", optimizer=optimizer, epochs=30, progress=False)
    assert history is not None
    assert mr.mse_loss(ours(x), y).item() < before / 2
    model.set_weights(keras_weights(ours))
    close(ours.eval()(x), model(torch.tensor(x)))
