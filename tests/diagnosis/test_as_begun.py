"""Networks that no step has moved: known by their weights, and not called ill for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minirnn as mr
from minirnn import init
from minirnn.diagnosis.evidence.as_begun import mark_of_the_start
from minirnn.nn import SequenceModel
from minirnn.optim import SGD, Adam

RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 60, 1)).astype(np.float32)
Y = X[-1] + 0.4


def network(cell: Any = "gru", *, zero_biases: bool = False, **options: Any) -> SequenceModel:
    model = SequenceModel(cell, input_size=1, hidden_size=12, output_size=1, rng=1, **options)
    if zero_biases:
        forget = 1.0 if cell == "lstm" else None
        init.apply(
            model, kernel="glorot_uniform", recurrent="orthogonal", bias="zeros", forget_bias=forget
        )
    return model


def steps(model: SequenceModel, optimizer: Any, count: int) -> SequenceModel:
    for _ in range(count):
        optimizer.zero_grad()
        mr.mse_loss(model(X), Y).backward()
        optimizer.step()
    return model


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("zero_biases", [False, True])
def test_weights_show_whether_a_step_has_moved_them(cell: str, zero_biases: bool) -> None:
    options: dict[str, Any] = {"num_layers": 2, "bidirectional": True, "initial_state": "learned"}
    model = network(cell, zero_biases=zero_biases, **options)
    assert mark_of_the_start(model) == ("set" if zero_biases else "drawn")
    assert mark_of_the_start(steps(model, Adam(model.parameters(), 1e-3), 10)) == ""
    slow = network(cell, zero_biases=True)
    assert mark_of_the_start(steps(slow, SGD(slow.parameters(), 1e-4), 1)) == ""


def test_chrono_is_a_start_and_unknown_marks_are_none() -> None:
    chrono = network("lstm", zero_biases=True)
    init.chrono(chrono.recurrent, 20, rng=0)
    assert mark_of_the_start(chrono) == "set"
    silent = network()
    silent.head.weight.data[...] = 0
    assert mark_of_the_start(silent) == ""
    large = network()
    large.recurrent.weight_hh_l0.data[...] *= 1.01
    assert mark_of_the_start(large) == ""
    bare = SequenceModel("gru", input_size=1, hidden_size=1, output_size=1, rng=0)
    assert mark_of_the_start(bare) == ""  # too few numbers to tell


@pytest.mark.parametrize("zero_biases", [False, True])
def test_one_answer_is_an_illness_of_a_trained_network_alone(zero_biases: bool) -> None:
    def flat(model: SequenceModel) -> SequenceModel:
        model.head.weight.data[...] *= 1e-3
        if not zero_biases:
            model.head.weight.data[0, 0] = 0.25  # so that the numbers still reach out
            model.recurrent.weight_hh_l0.data[...] = network().recurrent.weight_hh_l0.data
        return model

    far = 30 * Y
    new = network(zero_biases=zero_biases)
    told = mr.diagnose(new, X, far)
    found = told.finding("constant-output")
    assert found is not None
    assert found.severity == "note"
    assert "has not been trained" in found.explanation
    assert told.healthy
    # The same network, where training has moved its head to the best constant answer.
    trained = flat(network(zero_biases=zero_biases))
    assert trained.head.bias is not None
    trained.head.bias.data[...] = far.mean()
    told = mr.diagnose(trained, X, far)
    assert told.finding("constant-output").severity == "illness"  # type: ignore[union-attr]


def test_what_training_would_meet_is_found_before_it() -> None:
    told = mr.diagnose(network("lstm"), 1000 + X, Y)
    assert told.root is not None
    assert told.root.symptom == "unscaled-input"
    assert "constant-output" in told.root.consequences


def test_a_pytorch_network_that_training_left_constant_is_found() -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)

    class Net(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.rnn = torch.nn.LSTM(1, 12)
            self.head = torch.nn.Linear(12, 1)

        def forward(self, x: Any) -> Any:
            return self.head(self.rnn(x)[0][-1])

    net, x, y = Net(), torch.from_numpy(X), torch.from_numpy(Y + 3.0)
    optimiser = torch.optim.Adam(net.parameters(), 1e-2, weight_decay=3.0)
    for _ in range(120):
        optimiser.zero_grad()
        ((net(x) - y) ** 2).mean().backward()
        optimiser.step()
    ours = network("lstm")
    theirs = net.state_dict().items()
    ours.load_state_dict({key.replace("rnn.", "recurrent."): v.numpy() for key, v in theirs})
    found = mr.diagnose(ours, X, Y + 3.0).finding("constant-output")
    assert found is not None
    assert found.severity == "illness"
