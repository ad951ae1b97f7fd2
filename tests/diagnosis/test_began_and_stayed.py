"""Networks that stay where they began, and what is not to blame for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from problems import examine, harm, recall, recipe

from minirnn.diagnosis import diagnose
from minirnn.diagnosis.data import prepare
from minirnn.diagnosis.detectors import constant_output, slow_learning
from minirnn.diagnosis.evidence import Answers, Evidence
from minirnn.diagnosis.evidence.loop import LoopSeen, Optimisation
from minirnn.nn import SequenceModel


def near_an_answer(r2: float, update: float, *, own: bool = False) -> Any:
    """What is said where a network explains so much after 200 steps of such a size."""
    rng = np.random.default_rng(0)
    asked = recipe(recall(200, 6, -1))
    x = asked.data.x.swapaxes(0, 1)
    wanted = x[-1].astype(np.float64)
    error = rng.normal(size=wanted.shape)
    error *= np.sqrt((1.0 - r2) * wanted.var() / (error**2).mean())
    loop = LoopSeen(
        iterations=200,
        losses=np.full(200, 1.0 - r2),
        update_ratios=np.full(20, update),
        optimisation=Optimisation("SGD", 1e-5, 1e-5, 0.0, 200, 200, 199),
        naive=1.0,
    )
    answers = Answers(wanted + error, wanted)
    evidence = Evidence(x, wanted, answers=answers, loop=loop, recipe=None if own else asked)
    return slow_learning.detect(evidence)


def test_steps_that_lead_nowhere_are_named_though_the_start_was_lucky() -> None:
    assert near_an_answer(0.3, 1e-5).severity == "illness"
    assert near_an_answer(0.85, 1e-5).severity == "warning"
    assert near_an_answer(0.97, 1e-5) is None  # a regression does no better
    assert near_an_answer(0.85, 1e-2) is None  # it has gone a long way
    assert near_an_answer(0.85, 1e-5, own=True) is None  # and may go on


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_a_step_from_zero_is_no_step_that_is_too_large(cell: str) -> None:
    edits: dict[str, object] = {
        "model.cell": cell,
        "model.init.kernel": "zeros",
        "model.init.recurrent": "zeros",
        "training.batch_size": 2,
        "training.epochs": 2,
    }
    found = examine(recipe(recall(120, 6, -1), edits))
    assert found.root is not None
    assert found.root.symptom == "stalled-loss"
    assert "oscillating-loss" not in harm(found)


def test_gates_of_units_that_are_all_off_are_not_to_blame() -> None:
    x = np.random.default_rng(1).uniform(5, 6, size=(6, 80, 1)).astype(np.float32)
    model = SequenceModel(
        "gru", input_size=1, hidden_size=4, output_size=1, activation="relu", rng=0
    )
    model.recurrent.weight_ih_l0.data[...] = -3.0  # pins the gates, and switches the units off
    found = diagnose(model, x, x[-3].copy())
    assert {"dead-units", "saturated-gates"} & harm(found) == {"dead-units"}
    model.recurrent.weight_ih_l0.data[-1] = 0.1  # one unit is on, and its gates are shut
    assert {"dead-units", "saturated-gates"} <= harm(diagnose(model, x, x[-3].copy()))


@pytest.mark.parametrize(("tells", "severity"), [(True, "illness"), (False, "note")])
def test_events_too_rare_for_a_regression_are_seen_by_the_other_judges(
    tells: bool, severity: str
) -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(1200, 10, 2)).astype(np.float32)
    decides = x[:, -3, 0] if tells else rng.normal(size=1200)
    y = np.where(decides > np.quantile(decides, 0.95), 3.0, 0.0).astype(np.float32)[:, None]
    asked = recipe({"x": x, "y": y}, {"training.loss": "l1"})
    data = prepare(asked)
    few = data.training.take(np.arange(70))
    none = Answers(np.zeros((70, 1)), few.y.astype(np.float64))
    evidence = Evidence(few.x.swapaxes(0, 1), few.y, recipe=asked, data=data, answers=none)
    assert evidence.dependence is not None
    assert not evidence.dependence.telling
    found = constant_output.detect(evidence)
    assert found is not None
    assert found.severity == severity


@pytest.mark.parametrize(
    ("spread", "right", "named"),
    [(0.07, 0.0, True), (0.07, 0.9, False), (0.12, 0.0, False), (0.04, 0.9, True)],
)
def test_answers_that_hardly_vary_are_one_answer_unless_they_vary_as_the_targets_do(
    spread: float, right: float, named: bool
) -> None:
    rng = np.random.default_rng(0)
    asked = recipe(recall(300, 6, -1))
    x = asked.data.x.swapaxes(0, 1)
    wanted = x[-1].astype(np.float64)
    other = wanted.std() * rng.normal(size=wanted.shape)
    given = spread * (right * wanted + (1.0 - right**2) ** 0.5 * other)
    found = constant_output.detect(
        Evidence(x, wanted, recipe=asked, answers=Answers(given, wanted))
    )
    assert (found is not None) == named
