"""Schedulers set PyTorch's rates, keep their state, and refuse what cannot work."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minirnn as mr
from minirnn.errors import ArgumentError
from minirnn.optim import SGD, schedulers
from minirnn.tensor import Tensor
from minirnn.training import Scheduling

LOSSES = [1.0, 0.9, 0.95, 0.91, 0.9, 0.93, 0.8, 0.85, 0.81, 0.82, 0.84, 0.7999, 0.9, 0.9]

CASES = {
    "step": (
        schedulers.Step, {"every": 3, "factor": 0.5},
        "StepLR", {"step_size": 3, "gamma": 0.5},
    ),
    "cosine": (
        schedulers.Cosine, {"epochs": 14, "minimum": 0.01},
        "CosineAnnealingLR", {"T_max": 14, "eta_min": 0.01},
    ),
    "plateau": (
        schedulers.Plateau, {"factor": 0.3, "patience": 2, "minimum": 0.05},
        "ReduceLROnPlateau", {"factor": 0.3, "patience": 2, "min_lr": 0.05},
    ),
}  # fmt: skip


def optimizer(rate=1.0):
    return SGD([Tensor(np.ones(3), requires_grad=True)], rate)


def rates(scheduler, losses=LOSSES):
    found = []
    for loss in losses:
        scheduler.step(loss)
        found.append(scheduler.optimizer.learning_rate)
    return found


@pytest.mark.parametrize("name", CASES)
def test_the_rates_are_those_of_pytorch(name):
    torch = pytest.importorskip("torch")
    kind, options, theirs, their_options = CASES[name]
    oracle = torch.optim.SGD([torch.ones(3, requires_grad=True)], lr=1.0)
    scheduler = getattr(torch.optim.lr_scheduler, theirs)(oracle, **their_options)
    expected = []
    for loss in LOSSES:
        oracle.step()
        scheduler.step(*([loss] if name == "plateau" else []))
        expected.append(oracle.param_groups[0]["lr"])
    found = rates(kind(optimizer(), **options))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert len(set(found)) > 2


def test_rates_by_hand():
    assert rates(schedulers.Step(optimizer(), every=2, factor=0.5), [1] * 5) == [
        1,
        0.5,
        0.5,
        0.25,
        0.25,
    ]
    cosine = rates(schedulers.Cosine(optimizer(), epochs=2), [1] * 3)
    np.testing.assert_allclose(cosine, [0.5, 0.0, 0.0], atol=1e-16)
    plateau = schedulers.Plateau(optimizer(), factor=0.5, patience=1)
    assert rates(plateau, [1.0, 1.0, 1.0, 0.5, 0.6, 0.6, 0.6]) == [1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]


def test_a_rate_below_the_minimum_is_not_raised_to_it():
    plateau = schedulers.Plateau(optimizer(0.01), patience=0, minimum=0.1)
    assert rates(plateau, [1.0, 1.0]) == [0.01, 0.01]


@pytest.mark.parametrize("name", CASES)
def test_a_resumed_scheduler_goes_on_as_if_it_had_not_ended(name):
    kind, options, *_ = CASES[name]
    whole = rates(kind(optimizer(), **options))
    first = kind(optimizer(), **options)
    rates(first, LOSSES[:6])
    second = kind(optimizer(0.3), **options)
    second.load_state_dict(first.state_dict())
    second.optimizer.learning_rate = (
        first.optimizer.learning_rate
    )  # which the optimiser's state has
    assert rates(second, LOSSES[6:]) == whole[6:]


@pytest.mark.parametrize(
    ("argument", "make"),
    [
        ("every", lambda: schedulers.Step(optimizer(), every=0)),
        ("factor", lambda: schedulers.Step(optimizer(), factor=1.0)),
        ("epochs", lambda: schedulers.Cosine(optimizer(), epochs=1.5)),
        ("minimum", lambda: schedulers.Cosine(optimizer(), epochs=3, minimum=math.inf)),
        ("patience", lambda: schedulers.Plateau(optimizer(), patience=-1)),
        ("threshold", lambda: schedulers.Plateau(optimizer(), threshold=-1.0)),
        ("loss", lambda: schedulers.Plateau(optimizer()).step()),
        ("optimizer", lambda: schedulers.Step(0.1)),
        ("scheduler", lambda: Scheduling(0.1)),
        ("state_dict", lambda: schedulers.Step(optimizer()).load_state_dict({"epoch": 1})),
        (
            "state_dict['epoch']",
            lambda: schedulers.Step(optimizer()).load_state_dict({"epoch": -1, "initial": 1.0}),
        ),
    ],
)
def test_what_cannot_work_is_refused_by_name(argument, make):
    with pytest.raises(ArgumentError) as caught:
        make()
    assert caught.value.argument == argument


def test_fit_trains_at_the_schedulers_rates():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 5, 2)).astype(np.float32)
    model = mr.SequenceModel("rnn", input_size=2, hidden_size=3, output_size=1, rng=0)
    adam = mr.optim.Adam(model.parameters(), 0.1)
    scheduling = Scheduling(schedulers.Step(adam, every=2, factor=0.5))
    data = (x, x[:, -1, :1])
    history = mr.fit(
        model, data, loss="mse", optimizer=adam, epochs=5, callbacks=[scheduling], progress=False
    )
    assert [epoch.learning_rate for epoch in history.epochs] == [0.1, 0.1, 0.05, 0.05, 0.025]
    with pytest.raises(ArgumentError, match=r"^scheduler: "):
        mr.fit(
            model, data, loss="mse", optimizer=mr.optim.SGD(model.parameters(), 0.1), epochs=1,
            callbacks=[scheduling], progress=False,
        )  # fmt: skip
