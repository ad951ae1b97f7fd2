"""What is read from a configuration, and what is refused; Keras is not needed."""

import json

import keras_by_hand as hand
import numpy as np
import pytest

import minirnn as mr
from minirnn.interop.keras import from_keras, keras_weights

RNG = np.random.default_rng(0)
TABLE = RNG.standard_normal((5, 2))
LSTM, GRU = hand.recurrent_weights("LSTM"), hand.recurrent_weights("GRU", 3)
DENSE = [RNG.standard_normal((3, 1)), np.ones(1)]
ARRAYS = {
    **hand.stored("layers/embedding", [TABLE]),
    **hand.stored("layers/lstm/cell", LSTM),
    **hand.stored("layers/gru/cell", GRU),
    **hand.stored("layers/dense", DENSE),
}
TOKENS = np.array([[1, 2, 3, 0, 0], [4, 1, 2, 2, 1]])


def tensor(name, result=0):
    return {"class_name": "__keras_tensor__", "config": {"keras_history": [name, 0, result]}}


def node(entry, *fed, mask=None):
    """A layer in a graph, fed by tensors."""
    named = {} if mask is None else {"mask": mask}
    calls = [{"args": list(fed), "kwargs": named}] if fed else []
    return {**entry, "name": entry["config"]["name"], "inbound_nodes": calls}


def operation(kind, *fed):
    entry = {"module": "keras.src.ops.numpy", "class_name": kind, "registered_name": kind}
    return node({**entry, "config": {"name": kind.lower()}}, *fed)


def functional(layers=None, outputs=("dense", 0, 0)):
    """Embedding with mask, LSTM with its states, GRU, Dense, as Keras describes them."""
    embedding = hand.entry("Embedding", input_dim=5, output_dim=2, mask_zero=True)
    lstm = hand.recurrent_entry("LSTM", return_sequences=True, return_state=True)
    dense = hand.entry("Dense", units=1, activation="linear", use_bias=True)
    default = [
        node(hand.entry("InputLayer", "x")),
        node(embedding, tensor("x")),
        operation("NotEqual", tensor("x"), 0),
        node(lstm, tensor("embedding"), mask=tensor("notequal")),
        node(hand.recurrent_entry("GRU"), tensor("lstm"), mask=tensor("notequal")),
        node(dense, tensor("gru")),
    ]
    config = {
        "name": "functional",
        "trainable": True,
        "layers": default if layers is None else layers,
        "input_layers": ["x", 0, 0],
        "output_layers": list(outputs),
    }
    return {"module": "keras", "class_name": "Functional", "config": config}


def test_a_chain_in_a_graph_is_followed():
    model = hand.converted(functional(), ARRAYS)
    h, _ = hand.by_hand("LSTM", TABLE[TOKENS], LSTM, TOKENS != 0)
    _, last = hand.by_hand("GRU", h, GRU, TOKENS != 0)
    np.testing.assert_allclose(model(TOKENS).data, last @ DENSE[0] + 1, rtol=1e-13)
    for ours, theirs in zip(keras_weights(model), [TABLE, *LSTM, *GRU, *DENSE], strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_results_of_the_last_layer_may_be_chosen():
    chosen = functional(outputs=[["lstm", 0, 2], ["lstm", 0, 0]])
    c, h = hand.converted(chosen, ARRAYS)(TOKENS)
    assert c.shape == (2, 3)
    expected, _ = hand.by_hand("LSTM", TABLE[TOKENS], LSTM, TOKENS != 0)
    np.testing.assert_allclose(h.data, expected, rtol=1e-13)


def refused(described, match, error=mr.ArgumentError):
    with pytest.raises(error, match=match):
        hand.converted(described, ARRAYS)


def test_a_graph_that_is_no_chain_is_refused():
    layers = functional()["config"]["layers"]
    add = node(hand.entry("Add"), tensor("lstm"), tensor("embedding"))
    refused(functional([*layers, add], ["add", 0, 0]), "Add 'functional/add' with 2 tensors")
    refused(functional(outputs=[["gru", 0, 0], ["dense", 0, 0]]), "outputs of several layers")
    twice = functional()
    twice["config"]["input_layers"] = [["x", 0, 0], ["y", 0, 0]]
    refused(twice, "2 inputs")
    times = operation("Multiply", tensor("dense"), 2.0)
    refused(functional([*layers, times], ["multiply", 0, 0]), "Multiply")
    # An operation may have the name of a layer.
    refused(functional([*layers, operation("Softmax", tensor("dense"))], ["softmax", 0, 0]), "Soft")


def test_a_state_has_no_mask_when_it_goes_on():
    layers = functional()["config"]["layers"][:4]
    layers.append(node(hand.entry("Dense", units=1, activation="linear"), tensor("lstm", 1)))
    model = hand.converted(functional(layers), ARRAYS)
    output, mask = model.run(mr.Tensor(TOKENS), None)
    _, h = hand.by_hand("LSTM", TABLE[TOKENS], LSTM, TOKENS != 0)
    np.testing.assert_allclose(output.data, h @ DENSE[0] + 1, rtol=1e-13)
    assert mask is None


def test_a_mask_of_the_users_own_is_refused():
    layers = functional()["config"]["layers"]
    layers[2] = operation("NotEqual", tensor("x"), 3)
    refused(functional(layers), "a mask of its own")
    layers[2] = operation("Greater", tensor("x"), 0)
    refused(functional(layers), "a mask of its own|tensors")


def test_an_unknown_layer_is_named_with_what_is_known():
    model = hand.entry("Sequential", layers=[hand.entry("Conv1D", filters=3)])
    refused(model, "Conv1D 'sequential/conv1d'; wanted layers among Sequential.*LSTM.*Dense")
    refused(hand.entry("RNN", cell=hand.entry("ConvLSTMCell")), "the cell ConvLSTMCell")


@pytest.mark.parametrize(
    ("config", "match"),
    [
        ({"activation": "gelu"}, "activation 'gelu'; wanted one of linear, relu"),
        ({"activation": "exponential"}, "'exponential'; wanted in a cell one of linear, tanh"),
        ({"activation": {"class_name": "function", "config": "mine"}}, "activation 'mine'"),
        ({"stateful": True}, r"stateful=True.*state="),
        ({"dtype": {"class_name": "DTypePolicy", "config": {"name": "mixed_float16"}}}, "mixed"),
        ({"units": 4}, r"weights of shapes .*; wanted weights of \(any, 16\)"),
        ({"use_bias": False}, "weights of shapes"),
    ],
)
def test_options_that_cannot_be_are_refused_by_name(config, match):
    weights = hand.stored("cell", hand.recurrent_weights("LSTM"))
    with pytest.raises(mr.ArgumentError, match=match):
        hand.converted(hand.recurrent_entry("LSTM", **config), weights)


def test_weights_of_one_dtype_or_of_the_dtype_asked_for():
    halves = {name: array.astype("float32") for name, array in ARRAYS.items() if "gru" in name}
    mixed = ARRAYS | halves
    with pytest.raises(mr.DTypeError, match="float32 after layers of float64"):
        hand.converted(functional(), mixed)
    model = hand.converted(functional(), mixed, dtype="float64")
    assert {p.dtype.name for p in model.parameters()} == {"float64"}
    double = {name: array.astype(np.int64) for name, array in ARRAYS.items()}
    with pytest.raises(mr.ArgumentError, match="weights of int64"):
        hand.converted(functional(), double)


def test_arguments_are_checked_by_name():
    with pytest.raises(mr.ArgumentError, match="module: got a Linear"):
        keras_weights(mr.Linear(2, 1))
    model = hand.converted(functional(), ARRAYS)
    lengths = np.array([2, 3])
    with pytest.raises(mr.ArgumentError, match="lengths: got both"):
        model(TOKENS, lengths=lengths, mask=TOKENS != 0)
    with pytest.raises(mr.DTypeError, match="mask: got int64; wanted bool"):
        model(TOKENS, mask=TOKENS)
    with pytest.raises(mr.ShapeError, match=r"mask: got shape \(2,\)"):
        model(TOKENS, mask=lengths == 2)
    with pytest.raises(mr.ArgumentError, match="a length of 9"):
        model(TOKENS, lengths=np.array([9, 1]))


def test_any_change_of_a_configuration_gives_a_typed_error_or_a_model():
    wrong = (None, -1, 10**400, 1.5, True, "x", [], {}, [1, "a"], {"class_name": 3})
    whole = functional()
    spots = []

    def walk(node, path):
        for key in node if isinstance(node, dict) else range(len(node)):
            spots.append((*path, key))
            if isinstance(node[key], dict | list):
                walk(node[key], (*path, key))

    walk(whole, ())
    outcomes = set()
    for spot in spots:
        for value in (*wrong, "gone"):
            changed = json.loads(json.dumps(whole))
            node = changed
            for key in spot[:-1]:
                node = node[key]
            if value == "gone":
                del node[spot[-1]]
            else:
                node[spot[-1]] = value
            try:
                hand.converted(changed, ARRAYS)
                outcomes.add("a model")
            except mr.ArgumentError as error:  # of which CheckpointError is one
                outcomes.add(type(error).__name__)
                assert error.argument == "source", (spot, value)  # noqa: PT017
    assert outcomes >= {"a model", "ArgumentError", "CheckpointError"}


def test_a_file_that_is_not_there_is_named():
    pytest.importorskip("h5py")
    with pytest.raises(mr.CheckpointError, match="source"):
        from_keras("no such file.keras")


def test_layers_inside_layers_too_deep_are_refused():
    model = hand.recurrent_entry("LSTM")
    for _ in range(400):
        model = hand.entry("Sequential", layers=[model])
    refused(model, "layers inside layers; wanted at most 50 levels", mr.CheckpointError)
