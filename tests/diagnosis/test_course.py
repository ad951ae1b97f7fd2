"""A recipe's training as it is seen step by step, and what a constant answer would score."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minirnn.diagnosis import Recipe
from minirnn.diagnosis.build import build_model, train
from minirnn.diagnosis.data import prepare
from minirnn.diagnosis.doctor import perform
from minirnn.diagnosis.evidence.course import MEASURED_EVERY, MEASURED_FIRST, Course, Thinned
from minirnn.diagnosis.evidence.naive import constant_loss
from minirnn.training.callbacks import Callback, Run
from minirnn.training.sequences import Sequences


def recipe(**training: Any) -> Recipe:
    return Recipe.from_dict(
        {
            "data": {"builtin": "adding", "length": 8, "samples": 100, "validation": 0.0},
            "model": {"cell": "gru", "hidden_size": 5},
            "training": {"epochs": 12, "batch_size": 32, **training},
        }
    )


class Beside(Callback):
    """Every step's loss, norm, rate and update, by the straightforward way."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, float, float, float]] = []

    def training_began(self, run: Run) -> None:
        self.last = [p.data.astype(np.float64) for p in run.model.parameters()]

    def batch_ended(self, run: Run) -> None:
        now = [p.data.astype(np.float64) for p in run.model.parameters()]
        moved = np.sqrt(sum(((a - b) ** 2).sum() for a, b in zip(now, self.last, strict=True)))
        size = np.sqrt(sum((b**2).sum() for b in self.last))
        rate = run.optimizer.learning_rate
        self.rows.append((run.loss, run.gradient_norm, rate, float(moved / size)))
        self.last = now


def test_each_step_is_told_as_it_was() -> None:
    declared = recipe(scheduler="cosine", clip_norm=0.5)
    data = prepare(declared)
    model = build_model(declared, data)
    course, beside = Course(model, declared, data), Beside()
    train(declared, model, data, progress=False, callbacks=(beside, course))
    seen = course.seen()
    losses, norms, rates, ratios = map(np.array, zip(*beside.rows, strict=True))
    assert seen.iterations == 12 * 4
    assert np.array_equal(seen.losses, losses)
    assert np.array_equal(seen.gradient_norms, norms)
    assert np.array_equal(seen.rates, rates)
    measured = [k for k in range(48) if k < MEASURED_FIRST or k % MEASURED_EVERY == 0]
    # Differences of float32 weights are told to some units in the weights' last place.
    assert seen.update_ratios == pytest.approx(ratios[measured], abs=1e-6)
    assert seen.optimisation.name == "Adam"
    assert seen.optimisation.learning_rate == rates[0] > seen.optimisation.last_rate == rates[-1]
    assert seen.clipped == 0.5
    (layer,) = seen.layers
    assert (layer.steps, layer.sequences) == ({8: 48}, {32: 36, 4: 12})


def test_watching_changes_no_bit_and_begins_anew() -> None:
    declared = recipe()
    data = prepare(declared)
    model, alone = build_model(declared, data), build_model(declared, data)
    course = Course(model, declared, data)
    train(declared, model, data, progress=False, callbacks=(course,))
    train(declared, alone, data, progress=False)
    for watched, plain in zip(model.parameters(), alone.parameters(), strict=True):
        assert np.array_equal(watched.data, plain.data)
    train(declared, model, data, progress=False, callbacks=(course,))
    assert course.seen().iterations == 48


def test_the_loss_that_ended_a_run_is_told_with_the_others() -> None:
    found = perform(recipe(optimizer="sgd", learning_rate=1e20), progress=False).evidence.loop
    assert found is not None
    assert not np.isfinite(found.losses[-1]) or not np.isfinite(found.gradient_norms[-1])
    assert len(found.losses) == found.iterations + 1


def test_of_a_long_run_every_second_step_is_kept_then_every_fourth() -> None:
    kept = Thinned(most=8)
    for value in range(40):
        kept.add(float(value))
    assert kept.numbers().tolist() == [0.0, 8.0, 16.0, 24.0, 32.0]


# The best constant answer.


def by_search(kind: str, y: np.ndarray) -> float:
    """The smallest mean loss of a constant, one output at a time, over a fine grid."""
    total = 0.0
    for column in y.astype(np.float64).T:
        c = np.linspace(column.min(), column.max(), 4001)[:, None]
        error = np.abs(c - column)
        if kind == "bce":
            p = np.clip(c, 1e-9, 1 - 1e-9)
            loss = -(column * np.log(p) + (1 - column) * np.log(1 - p))
        else:
            small = np.where(error <= 1, error**2 / 2, error - 0.5)
            loss = {"mse": error**2, "l1": error, "huber": small}[kind]
        total += loss.mean(axis=1).min()
    return total / y.shape[1]


@pytest.mark.parametrize("kind", ["mse", "l1", "huber", "bce"])
def test_the_constant_is_the_best_of_all(kind: str) -> None:
    rng = np.random.default_rng(0)
    y = rng.gamma(1.0, 3.0, size=(101, 2))
    if kind == "bce":
        y = (y > 2).astype(float)
    data = Sequences(np.zeros((101, 3, 1), np.float32), y.astype(np.float32))
    assert constant_loss(kind, data) == pytest.approx(by_search(kind, y), rel=1e-5)


def test_of_labels_it_is_their_entropy_over_the_steps_that_count() -> None:
    labels = np.array([[0, 1, 1, 2], [0, 0, 2, 2]])
    data = Sequences(np.zeros((2, 4, 1), np.float32), labels, np.array([4, 2]))
    counts = np.array([3, 2, 1]) / 6
    expected = float(-(counts * np.log(counts)).sum())
    assert constant_loss("cross_entropy", data) == pytest.approx(expected)


def test_missing_targets_do_not_count_and_none_is_no_number() -> None:
    y = np.array([[1.0], [np.nan], [3.0]], np.float32)
    data = Sequences(np.zeros((3, 2, 1), np.float32), y)
    assert constant_loss("mse", data) == pytest.approx(1.0)
    lost = Sequences(data.x, np.full_like(y, np.nan))
    assert constant_loss("mse", lost) is None


@pytest.mark.parametrize(
    ("tables", "error", "baselines"),
    [
        (
            {"data": {"builtin": "sine", "window": 20}},
            "held_out_rmse",
            {"persistence_rmse", "mean_rmse", "last_season_rmse"},
        ),
        ({"data": {"builtin": "adding", "samples": 60}}, "held_out_rmse", {"mean_rmse"}),
        (
            {
                "data": {"builtin": "reber", "samples": 60},
                "model": {"readout": "all"},
                "training": {"loss": "bce"},
            },
            "held_out_accuracy",
            {"majority_accuracy", "mean_rmse"},
        ),
        (
            {
                "data": {"builtin": "copying", "length": 10, "samples": 60},
                "model": {"readout": "all"},
                "training": {"loss": "cross_entropy"},
            },
            "held_out_accuracy",
            {"majority_accuracy"},
        ),
    ],
)
def test_every_task_has_an_error_beside_what_needs_no_network(
    tables: dict[str, Any], error: str, baselines: set[str]
) -> None:
    short = {**tables, "training": {**tables.get("training", {}), "epochs": 1}}
    run = perform(Recipe.from_dict(short), progress=False)
    assert {error, *baselines} <= run.figures.keys()
    assert all(np.isfinite(float(run.figures[key])) for key in (error, *baselines))


def test_the_last_season_foretells_a_sine_and_the_mean_does_not() -> None:
    run = perform(
        Recipe.from_dict({"data": {"builtin": "sine"}, "training": {"epochs": 1}}), progress=False
    )
    assert run.figures["last_season_rmse"] < 0.1 * run.figures["mean_rmse"]
