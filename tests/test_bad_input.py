"""Bad input at the public door: each its own typed error, which names the argument at fault.

One table over the whole library; the parts' own tests go deeper.
"""

import numpy as np
import pytest

import minirnn as mr
from minirnn import training
from minirnn.kernels import cells, kernel_set
from minirnn.kernels.contract import Needs, Weights

F = np.float32
X = np.ones((4, 2, 3), F)  # (T, B, I)
LABELS = np.array([0, 2])


def array(*shape, dtype=F):
    return np.ones(shape, dtype)


def lstm(**options):
    return mr.LSTM(3, 5, rng=0, **options)


def model(**options):
    sizes = {"input_size": 3, "hidden_size": 5, "output_size": 1}
    return mr.SequenceModel("gru", rng=0, **sizes | options)


def adam(of=None):
    return mr.optim.Adam((of or model()).parameters(), 1e-3)


def fit(x=None, y=None, **options):
    network = model()
    x = array(6, 4, 3) if x is None else x
    y = array(6, 1) if y is None else y
    chosen = {"loss": "mse", "optimizer": adam(network), "epochs": 1, "progress": False} | options
    return mr.fit(network, (x, y), **chosen)


def recipe(**tables):
    return mr.Recipe.from_dict({"data": {"builtin": "sine"}} | tables)


def backward_with(doutput):
    cell, weights = cells.rnn(), Weights(array(5, 3), array(5, 5))
    kernels = kernel_set("cpu")
    _, _, tape = kernels.forward(cell, X, [array(2, 5)], weights, keep="tape")
    return kernels.backward(cell, doutput, None, tape, needs=Needs())


NAN = np.nan
TABLE = [
    # layers: rank, sizes, dtype, device
    ("x of rank 2", mr.ShapeError, "x", lambda: lstm()(X[:, 0])),
    ("x of rank 4", mr.ShapeError, "x", lambda: lstm()(X[None])),
    ("x of another width", mr.ShapeError, "x", lambda: lstm()(array(4, 2, 7))),
    ("an empty batch", mr.ShapeError, "x", lambda: lstm()(array(4, 0, 3))),
    ("float64 to a float32 layer", mr.DTypeError, "x", lambda: lstm()(X.astype(float))),
    ("float32 to a float64 layer", mr.DTypeError, "x", lambda: lstm(dtype="float64")(X)),
    ("float16", mr.DTypeError, "x", lambda: lstm()(X.astype(np.float16))),
    ("whole numbers as x", mr.DTypeError, "x", lambda: lstm()(X.astype(int))),
    ("text as x", mr.DTypeError, "x", lambda: lstm()(np.array([[["a"]]]))),
    ("a ragged list as x", mr.ShapeError, "x", lambda: lstm()([[[1.0], [1.0, 2.0]]])),
    ("an unknown device", mr.DeviceError, "device", lambda: lstm(device="tpu")),
    ("a GPU by number", mr.DeviceError, "device", lambda: lstm().to("cuda:0")),
    ("an unknown dtype", mr.DTypeError, "dtype", lambda: lstm(dtype="int8")),
    ("hidden size 0", mr.ArgumentError, "hidden_size", lambda: mr.GRU(3, 0)),
    ("half a layer", mr.ArgumentError, "num_layers", lambda: mr.GRU(3, 5, 1.5)),
    ("dropout above 1", mr.ArgumentError, "dropout", lambda: mr.GRU(3, 5, 2, dropout=1.5)),
    ("an unknown activation", mr.ArgumentError, "activation", lambda: lstm(activation="gelu")),
    ("an unknown nonlinearity", mr.ArgumentError, "nonlinearity",
     lambda: mr.RNN(3, 5, nonlinearity="softplus")),
    ("an unknown cell", mr.ArgumentError, "cell", lambda: mr.Recurrent("qrnn", 3, 5)),
    ("recomputation as a number", mr.ArgumentError, "recompute", lambda: lstm(recompute=1)),
    # words, truth values and numbers of the wrong type
    ("an array as activation", mr.ArgumentError, "nonlinearity",
     lambda: mr.RNN(3, 5, nonlinearity=array(2))),
    ("an array as cell", mr.ArgumentError, "cell",
     lambda: mr.SequenceModel(array(2), input_size=3, hidden_size=5, output_size=1)),
    ("an array as readout", mr.ArgumentError, "readout", lambda: model(readout=array(2))),
    ("layers as an array", mr.ArgumentError, "num_layers", lambda: model(num_layers=array(2))),
    ("an array as reduction", mr.ArgumentError, "reduction",
     lambda: mr.mse_loss(array(2), array(2), reduction=array(2))),
    ("a mode in words", mr.ArgumentError, "mode", lambda: model().train("off")),
    ("states wanted in words", mr.ArgumentError, "return_state",
     lambda: model()(X, return_state="no")),
    ("a gradient wanted of None", mr.ArgumentError, "requires_grad", lambda: mr.Tensor(X, None)),
    ("a rate in words", mr.ArgumentError, "learning_rate",
     lambda: mr.optim.SGD(model().parameters(), "0.1")),
    ("a loss in words", mr.ArgumentError, "loss",
     lambda: mr.optim.schedulers.Plateau(adam()).step("low")),
    ("what is no model, to initialise", mr.ArgumentError, "module", lambda: mr.init.apply(None)),
    ("what is no model, to predict with", mr.ArgumentError, "model",
     lambda: training.predict(None, array(2, 4, 3))),
    ("lists to predict from", mr.ArgumentError, "x",
     lambda: training.predict(model(), [[[1.0, 2.0, 3.0]]])),
    ("what is no model, to penalise", mr.ArgumentError, "model",
     lambda: training.Penalty(l1=1.0)(None)),
    ("a history in words", mr.ArgumentError, "history",
     lambda: mr.save_checkpoint("unwritten", model=model(), history="long")),
    ("a number as path", mr.CheckpointError, "path", lambda: mr.load_checkpoint(3)),
    ("a number as path of a table", mr.DataError, "path", lambda: training.read_column(3)),
    ("no path to save to", mr.ArgumentError, "path", lambda: training.Checkpointing(None)),
    ("a scheduler that saves nothing", mr.ArgumentError, "scheduler",
     lambda: training.Checkpointing("unwritten", scheduler=3)),
    ("words to scale", mr.DTypeError, "values",
     lambda: training.fit_scaler("standard", ["a"])),
    ("a scale as an array", mr.ArgumentError, "scale",
     lambda: training.prepare_series(np.arange(9.0), window=2, scale=array(2))),
    ("nothing known to fill from", mr.DataError, "values",
     lambda: training.interpolate_missing([np.nan, np.nan])),
    ("a temperature that nobody reads", mr.ArgumentError, "temperature",
     lambda: mr.generate(model(output_size=3), X, 2, temperature="hot")),
    ("a doctor watched by a callback", mr.ArgumentError, "watch",
     lambda: mr.doctor(recipe(), watch=5)),
    ("a repair in words", mr.ArgumentError, "repair", lambda: mr.doctor(recipe(), repair="no")),
    ("a recipe in words, watched", mr.ArgumentError, "recipe", lambda: mr.Watching(recipe="co2")),
    ("noise in words", mr.ArgumentError, "noise", lambda: mr.datasets.sine(noise="some")),
    # states and lengths
    ("a state of the wrong shape", mr.ShapeError, "state", lambda: mr.GRU(3, 5)(X, array(1, 3, 5))),
    ("a state without its layer axis", mr.ShapeError, "state",
     lambda: mr.GRU(3, 5)(X, array(2, 5))),
    ("h without c", mr.ArgumentError, "state", lambda: lstm()(X, array(1, 2, 5))),
    ("a state of another dtype", mr.DTypeError, "state",
     lambda: mr.GRU(3, 5)(X, array(1, 2, 5, dtype=float))),
    ("a negative length", mr.ArgumentError, "lengths", lambda: lstm()(X, lengths=[-1, 2])),
    ("a length beyond T", mr.ArgumentError, "lengths", lambda: lstm()(X, lengths=[5, 2])),
    ("too few lengths", mr.ShapeError, "lengths", lambda: lstm()(X, lengths=[2])),
    ("lengths that are not whole", mr.DTypeError, "lengths", lambda: lstm()(X, lengths=[1.0, 2.0])),
    # losses: what would broadcast, labels, NaN
    ("a target that would broadcast", mr.ShapeError, "target",
     lambda: mr.mse_loss(mr.Tensor(array(6, 1)), array(6))),
    ("a prediction that would broadcast", mr.ShapeError, "target",
     lambda: mr.l1_loss(mr.Tensor(array(1)), array(6))),
    ("a target of another dtype", mr.DTypeError, "target",
     lambda: mr.huber_loss(mr.Tensor(array(6, 1)), array(6, 1, dtype=float))),
    ("a label out of range", mr.ArgumentError, "label",
     lambda: mr.cross_entropy(mr.Tensor(array(2, 2)), LABELS)),
    ("labels that are not whole", mr.DTypeError, "label",
     lambda: mr.cross_entropy(mr.Tensor(array(2, 3)), array(2))),
    ("a probability above 1", mr.ArgumentError, "target",
     lambda: mr.binary_cross_entropy_with_logits(mr.Tensor(array(1)), np.array([2], F))),
    ("a NaN as a bound", mr.ArgumentError, "max_norm",
     lambda: mr.optim.clip_grad_norm(model().parameters(), NAN)),
    # tensors and the tape
    ("float32 + float64", mr.DTypeError, "", lambda: mr.Tensor(X) + mr.Tensor(X.astype(float))),
    ("a gradient of whole numbers", mr.DTypeError, "data",
     lambda: mr.Tensor(LABELS, requires_grad=True)),
    ("backward from many elements", mr.ShapeError, "gradient",
     lambda: lstm()(X)[0].backward()),
    ("backward without a tape", mr.TapeError, "", lambda: mr.Tensor(X).backward()),
    ("doutput of the wrong shape", mr.ShapeError, "doutput", lambda: backward_with(array(4, 2, 3))),
    ("doutput of another dtype", mr.DTypeError, "doutput",
     lambda: backward_with(array(4, 2, 5, dtype=float))),
    # training
    ("no sequences", mr.ShapeError, "x", lambda: fit(array(0, 4, 3), array(0, 1))),
    ("targets that would broadcast in fit", mr.ShapeError, "y", lambda: fit(y=array(6))),
    ("more targets than sequences", mr.ShapeError, "y", lambda: fit(y=array(7, 1))),
    ("no epochs", mr.ArgumentError, "epochs", lambda: fit(epochs=0)),
    ("an unknown loss", mr.ArgumentError, "loss", lambda: fit(loss="msle")),
    ("another network's optimiser", mr.ArgumentError, "optimizer", lambda: fit(optimizer=adam())),
    ("a negative rate", mr.ArgumentError, "learning_rate",
     lambda: mr.optim.SGD(model().parameters(), -1.0)),
    ("a NaN as a rate", mr.ArgumentError, "learning_rate",
     lambda: mr.optim.Adam(model().parameters(), NAN)),
    ("a bound below 0", mr.ArgumentError, "max_norm",
     lambda: mr.optim.clip_grad_norm(model().parameters(), -1.0)),
    ("a free run of another width", mr.ShapeError, "model",
     lambda: mr.generate(model(), array(4, 3), 5)),
    # the doctor
    ("targets of another batch", mr.ShapeError, "targets",
     lambda: mr.diagnose(model(), X, array(3, 1), loss="mse")),
    ("targets that would broadcast in diagnose", mr.ShapeError, "targets",
     lambda: mr.diagnose(model(), X, array(2), loss="mse")),
    ("an unknown key", mr.RecipeError, "hiden_size", lambda: recipe(model={"hiden_size": 4})),
    ("a window of 0", mr.RecipeError, "window", lambda: recipe(data={"window": 0})),
    ("an unknown word", mr.RecipeError, "norm", lambda: recipe(model={"norm": "group"})),
    ("a file that is not there", mr.RecipeError, "path", lambda: mr.Recipe.from_toml("nowhere")),
    ("no threads", mr.ArgumentError, "n", lambda: mr.set_num_threads(0)),
    ("a cell without slots", mr.ArgumentError, "slots",
     lambda: mr.cell(states=("h",))(lambda z, last: ({}, {}))),
    ("a cell that is no function", mr.ArgumentError, "equations",
     lambda: mr.cell(states=("h",), new="xh")(min)),
    ("keep no call", mr.ArgumentError, "keep_last", lambda: mr.record(keep_last=0)),
    ("a trace from nowhere", mr.CheckpointError, "path", lambda: mr.Trace.load("nowhere")),
]  # fmt: skip


@pytest.mark.parametrize(("error", "argument", "act"), [row[1:] for row in TABLE],
                         ids=[row[0] for row in TABLE])  # fmt: skip
def test_it_is_its_own_error_and_names_the_argument(error, argument, act):
    with pytest.raises(mr.MinirnnError) as caught:
        act()
    assert type(caught.value) is error, repr(caught.value)
    if isinstance(caught.value, mr.ArgumentError):
        assert argument in caught.value.argument
        assert caught.value.wanted
        assert str(caught.value).startswith(caught.value.argument)
