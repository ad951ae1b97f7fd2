"""A network that ails fails a test, with what ails it; a healthy one does not."""

from __future__ import annotations

import numpy as np
import pytest

import minirnn as mr
from minirnn.testing import UnhealthyError, assert_healthy


def series(scale=1.0):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(12, 8, 1))
    return (scale * x).astype(np.float32), x.mean(axis=0).astype(np.float32)


def network():
    return mr.SequenceModel("lstm", input_size=1, hidden_size=8, output_size=1, rng=0)


def test_a_healthy_network_passes_and_gives_its_diagnosis():
    diagnosis = assert_healthy(network(), *series())
    assert diagnosis.healthy


def test_an_ailing_network_fails_with_its_findings_root_first():
    with pytest.raises(UnhealthyError, match="unscaled-input") as caught:
        assert_healthy(network(), *series(scale=1000.0))
    error = caught.value
    assert isinstance(error, AssertionError)
    assert error.findings[0].symptom == "unscaled-input"
    assert {f.symptom for f in error.findings} <= error.diagnosis.symptoms
    for finding in error.findings:
        assert str(finding) in str(error)


def test_what_is_allowed_or_less_severe_does_not_fail():
    model, (x, y) = network(), series(scale=1000.0)
    with pytest.raises(UnhealthyError) as caught:
        assert_healthy(model, x, y)
    findings = caught.value.findings
    allowed = [f.symptom for f in findings]
    assert not assert_healthy(model, x, y, allow=allowed).healthy
    with pytest.raises(UnhealthyError) as caught:
        assert_healthy(model, x, y, allow=allowed[1:])
    assert [f.symptom for f in caught.value.findings] == allowed[:1]
    ill = [f.symptom for f in findings if f.severity == "illness"]
    assert len(ill) > 0
    with pytest.raises(UnhealthyError) as caught:
        assert_healthy(model, x, y, severity="illness")
    assert [f.symptom for f in caught.value.findings] == ill


def test_bad_options_are_typed_errors():
    with pytest.raises(mr.ArgumentError, match="severity: got 'grave'"):
        assert_healthy(network(), *series(), severity="grave")
    with pytest.raises(mr.ArgumentError, match="allow"):
        assert_healthy(network(), *series(), allow="unscaled-input")
    with pytest.raises(mr.ArgumentError, match="model: got function"):
        assert_healthy(lambda x: x, *series())


def test_lengths_and_losses_reach_the_diagnosis():
    x, y = series()
    labels = (y[:, 0] > 0).astype(int)
    model = mr.SequenceModel("gru", input_size=1, hidden_size=8, output_size=2, rng=0)
    diagnosis = assert_healthy(
        model, x, labels, loss="cross_entropy", lengths=np.full(8, 7), severity="illness"
    )
    assert isinstance(diagnosis, mr.Diagnosis)


# torch -----------------------------------------------------------------------------------------


def torch_network():
    torch = pytest.importorskip("torch")

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = torch.nn.LSTM(1, 8)
            self.head = torch.nn.Linear(8, 1)
            self.calls = 0

        def forward(self, x):
            self.calls += 1
            return self.head(self.lstm(x)[0][-1])

    torch.manual_seed(0)
    return torch, Network()


def test_a_healthy_pytorch_model_passes_and_is_left_as_it_was():
    torch, model = torch_network()
    x, y = map(torch.from_numpy, series())
    model.train()
    model.head.eval()
    kept = torch.ones_like(model.head.bias)
    model.head.bias.grad = kept
    diagnosis = assert_healthy(model, x, y, loss=torch.nn.functional.mse_loss)
    assert diagnosis.healthy
    assert model.calls == 1
    assert (model.training, model.head.training, model.lstm.training) == (True, False, True)
    assert model.head.bias.grad is kept
    assert all(p.grad is None for p in model.lstm.parameters())
    assert type(model.lstm) is torch.nn.LSTM


def test_an_ailing_pytorch_model_fails():
    torch, model = torch_network()
    x, y = map(torch.from_numpy, series(scale=1000.0))
    with pytest.raises(UnhealthyError, match=r"unscaled-input|saturated-gates"):
        assert_healthy(model, x, y)
    with pytest.raises(mr.ArgumentError, match="loss: got 'l3'"):
        assert_healthy(model, x, y, loss="l3")
    with pytest.raises(mr.ArgumentError, match="lengths"):
        assert_healthy(model, x, y, lengths=np.full(8, 3))
