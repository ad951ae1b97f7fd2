"""The comparison with PyTorch: the same network, compared before it is timed."""

from __future__ import annotations

import numpy as np
import pytest

import minirnn as mr
from minirnn.profiling import beside_torch, measure
from minirnn.profiling.build import subject_of

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.usefixtures("quick"), pytest.mark.alone]

RNG = np.random.default_rng(0)
SMALL = {"steps": 6, "batch": 3, "input_size": 5, "hidden_size": 4, "repeats": 1}


def noise(*shape, dtype=np.float32):
    return RNG.normal(size=shape).astype(dtype)


def model(cell="lstm", **options):
    sizes = {"input_size": 5, "hidden_size": 4, "output_size": 2, "rng": 0}
    return mr.SequenceModel(cell, **sizes | options)


def twin_of(target, sizes=(), **feed):
    empty = dict.fromkeys(("inputs", "targets", "loss", "lengths"))
    subject = subject_of(target, empty | feed, dict(sizes))
    return subject, beside_torch.Twin(subject)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_cell_beside_pytorch(cell, dtype):
    profile = mr.profile(cell, **SMALL, dtype=dtype, num_layers=2, bidirectional=True,
                         compare="torch")  # fmt: skip
    beside = profile.torch
    assert beside.version == torch.__version__
    assert 0.0 <= beside.difference < (1e-5 if dtype == "float32" else 1e-13)
    assert beside.inference_ratio == pytest.approx(beside.inference / profile.inference.seconds)
    assert beside.training_ratio == pytest.approx(beside.training / profile.training.seconds)
    assert min(beside.inference, beside.training) > 0.0
    assert f"PyTorch {torch.__version__}: inference" in profile.table()
    assert profile.to_dict()["torch"]["version"] == torch.__version__


TARGETS = {
    "mse": noise(6, 3, 2),
    "l1": noise(6, 3, 2),
    "huber": noise(6, 3, 2),
    "bce": RNG.uniform(size=(6, 3, 2)).astype(np.float32),
    "cross_entropy": RNG.integers(0, 2, (6, 3)).astype(np.int32),
}


@pytest.mark.parametrize("loss", TARGETS)
@pytest.mark.parametrize("readout", ["last", "all"])
def test_a_model_with_every_loss(loss, readout):
    targets = TARGETS[loss] if readout == "all" else TARGETS[loss][0]
    net = model(readout=readout, num_layers=2, bidirectional=True)
    subject, twin = twin_of(net, inputs=noise(6, 3, 5), targets=targets, loss=loss)
    assert twin.difference() < 1e-5
    assert twin.forward().item() == pytest.approx(subject.forward().item(), rel=1e-5)


def test_a_model_with_batch_first_without_bias_and_a_gradient_for_its_input():
    x = mr.Tensor(noise(3, 6, 5), requires_grad=True)
    _, twin = twin_of(model("gru", batch_first=True, bias=False), inputs=x)
    assert twin.difference() < 1e-5
    assert twin.x.grad is not None


def test_a_relu_rnn_has_a_twin():
    _, twin = twin_of(mr.RNN(5, 4, nonlinearity="relu", rng=0))
    assert twin.layer.nonlinearity == "relu"
    assert twin.difference() < 1e-5


MUTANTS = {
    "two gates swapped": lambda layer: layer.weight_ih_l0.data.copy_(
        layer.weight_ih_l0.data[[*range(4, 8), *range(4), *range(8, 16)]]
    ),
    "a bias left out": lambda layer: layer.bias_hh_l0.data.zero_(),
    "a weight a little off": lambda layer: layer.weight_hh_l0.data.mul_(1.001),
    "not a number": lambda layer: layer.bias_ih_l0.data.fill_(np.nan),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_what_differs_is_not_timed(mutant, monkeypatch):
    made = beside_torch.Twin._filled

    def filled(self, twin, ours):
        twin = made(self, twin, ours)
        MUTANTS[mutant](twin)
        return twin

    monkeypatch.setattr(beside_torch.Twin, "_filled", filled)
    monkeypatch.setattr(measure, "_take_turns", lambda *_: pytest.fail("timed"))
    with pytest.raises(mr.ArgumentError, match="differ by") as caught:
        mr.profile("lstm", **SMALL, compare="torch")
    assert caught.value.argument == "compare"


def test_gradients_are_compared_too():
    subject, twin = twin_of(mr.GRU(5, 4, rng=0))
    twin.gradient = twin.gradient * 1.001
    with pytest.raises(mr.ArgumentError, match="gradients that differ"):
        twin.difference()
    assert subject.gradient is not None


@mr.cell(states=("h",), forget="xh", new="xh")
def minimal(z, last):
    f, n = mr.cells.sigmoid(z.forget), mr.cells.tanh(z.new)
    return {"h": f * last.h + (1 - f) * n}, {"forget": f, "new": n}


class Twice(mr.LSTM):
    def forward(self, x, state=None, lengths=None):
        return super().forward(2.0 * mr.Tensor(x), state, lengths)


ELSEWHERE = {
    "a cell of one's own": (minimal, {}, "minimal"),
    "an activation": (mr.LSTM(5, 4, activation="relu"), {}, "relu"),
    "dropout": (mr.LSTM(5, 4, 2, dropout=0.5), {}, "dropout"),
    "dropout of the head": (model(head_dropout=0.5), {}, "dropout"),
    "a layer that was changed": (Twice(5, 4), {}, "Twice"),
    "lengths": (mr.LSTM(5, 4), {"inputs": noise(6, 3, 5), "lengths": [6, 1, 0]}, "lengths"),
    "a loss": (model(), {"inputs": noise(6, 3, 5), "targets": noise(3, 2),
                         "loss": lambda y, target: mr.mse_loss(2.0 * y, target)}, "loss"),
}  # fmt: skip


@pytest.mark.parametrize("case", ELSEWHERE)
def test_what_pytorch_does_not_have_is_left_out_or_refused(case):
    target, options, word = ELSEWHERE[case]
    profile = mr.profile(target, **options, repeats=1, compare="auto")
    assert profile.torch is None
    (note,) = profile.notes
    assert note.startswith("PyTorch was left out: ")
    assert word in note
    assert note in " ".join(profile.table().split())
    with pytest.raises(mr.ArgumentError, match=word) as caught:
        mr.profile(target, **options, repeats=1, compare="torch")
    assert caught.value.argument == "compare"


def test_where_rounding_is_amplified_the_comparison_is_left_out():
    layer = mr.RNN(5, 64, rng=0)
    layer.weight_hh_l0.data[...] *= 50.0
    profile = mr.profile(layer, steps=60, batch=2, repeats=1, compare="auto")
    assert profile.torch is None
    assert "amplifies rounding" in profile.notes[0]


def test_pytorch_runs_on_as_many_threads_and_gets_its_own_back(monkeypatch):
    before, seen = torch.get_num_threads(), []
    infer = beside_torch.Twin.infer

    def watched(self):
        seen.append(torch.get_num_threads())
        return infer(self)

    monkeypatch.setattr(beside_torch.Twin, "infer", watched)
    mr.profile("rnn", **SMALL, threads=before + 1, compare="torch")
    assert seen[-1] == before + 1
    assert torch.get_num_threads() == before
