"""over-regularised, overfitting and underfitting: seen, told from what comes near, and cured."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from problems import examine, harm, recall, recipe

from minirnn.diagnosis import Recipe
from minirnn.diagnosis.build import build_model
from minirnn.diagnosis.data import prepare
from minirnn.diagnosis.detectors import over_regularised, overfitting, underfitting
from minirnn.diagnosis.doctor import perform
from minirnn.diagnosis.evidence import Answers, Evidence
from minirnn.diagnosis.evidence.loop import LoopSeen
from minirnn.diagnosis.evidence.regularisation import Regularisation, measure_regularisation
from minirnn.diagnosis.remedies import with_remedies
from minirnn.training.history import Epoch, History
from minirnn.training.penalties import Penalty


def last_value(edits: dict[str, object] | None = None) -> Recipe:
    """The last of 8 values, which is learned in 8 epochs."""
    return recipe(recall(300, 8, -1), {"training.epochs": 8, **(edits or {})})


def noisy(count: int, sigma: float, edits: dict[str, object]) -> Recipe:
    """A target from the last step's four features, and noise of deviation sigma beside it."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(count, 5, 4)).astype(np.float32)
    y = x[:, -1].sum(axis=1, keepdims=True) / 2 + sigma * rng.normal(size=(count, 1))
    data = {"x": x, "y": y.astype(np.float32), "validation": 0.5}
    return recipe(data, {"training.batch_size": 16, "training.learning_rate": 5e-3, **edits})


# over-regularised


@pytest.mark.parametrize(
    "edits",
    [
        {"training.l2": 1.0},
        {"training.l2": {"kernel": 2.0, "recurrent": 2.0}},
        {"training.l1": 0.5},
        {"training.optimizer": "adamw", "training.weight_decay": 60.0},
        {"model.head_dropout": 0.99},
        {"model.dropout": 0.997, "model.num_layers": 2},
        {"data.augment.noise": 10.0},
    ],
)
def test_a_regulariser_that_wins_is_named_and_comes_first(edits: dict[str, object]) -> None:
    diagnosis = examine(last_value(edits))
    root = diagnosis.root
    assert root is not None
    assert root.symptom == "over-regularised"
    key = next(k for k in edits if k not in ("training.optimizer", "model.num_layers"))
    assert root.evidence["keys"] == [key]
    assert key in root.where
    first = root.remedies[0]
    assert first.edit == {key: 0.0}
    # The second leaves a little of it, of the kinds it had.
    assert set(root.remedies[1].edit) == {key}
    weaker = last_value(edits).edit(root.remedies[1].edit)
    assert weaker.get(key) not in (0.0, last_value(edits).get(key))


def test_taking_it_away_cures() -> None:
    diagnosis = examine(last_value({"training.l2": 1.0}), repair=True, trainings=2)
    assert "over-regularised" in harm(diagnosis.before)
    assert diagnosis.cured
    assert diagnosis.figures["held_out_r2"] > 0.9


@pytest.mark.parametrize(
    "edits",
    [
        {"training.l2": 1e-3},
        {"training.l1": 1e-4},
        {"training.weight_decay": 1e-3},
        {"training.optimizer": "adamw", "training.weight_decay": 0.1},
        {"model.head_dropout": 0.4},
        {"data.augment.noise": 0.1},
    ],
)
def test_the_usual_strengths_are_no_illness(edits: dict[str, object]) -> None:
    assert harm(examine(last_value({**edits, "training.epochs": 12}))) == set()


def test_a_network_that_fails_for_another_reason_is_not_laid_at_a_weak_penalty() -> None:
    # At such a rate nothing is learned; the usual penalty beside it is not why.
    edits = {"training.learning_rate": 1e-5, "training.l2": 1e-3, "model.head_dropout": 0.5}
    assert "over-regularised" not in examine(last_value(edits)).symptoms


def seen_of(skill: float, seen: Regularisation, edits: dict[str, object]) -> Any:
    """What is said of a network that answers with R2 = skill where a regression has 1."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 120, 1))
    wanted = x[-1]
    given = wanted * (1.0 - np.sqrt(1.0 - skill))
    evidence = Evidence(
        x, wanted, answers=Answers(given, wanted), recipe=last_value(edits), regularisation=seen
    )
    return over_regularised.detect(evidence)


def test_only_where_it_costs_what_it_gains_and_the_network_shows_it() -> None:
    l2 = {"training.l2": 1.0}
    strong = Regularisation({"training.l2": 3.0}, {}, 0.2, np.nan)
    assert seen_of(0.3, strong, l2).severity == "illness"
    assert seen_of(0.7, strong, l2).severity == "warning"
    assert seen_of(0.9, strong, l2) is None
    assert seen_of(0.3, replace(strong, on_weights={"training.l2": 0.9}), l2) is None
    assert seen_of(0.3, replace(strong, shrunk=0.8), l2) is None
    drop = {"model.head_dropout": 0.9}
    loud = Regularisation({}, {"model.head_dropout": 2.0}, 1.0, 2.0)
    assert seen_of(0.3, loud, drop).severity == "illness"
    assert seen_of(0.3, replace(loud, noise=0.3), drop) is None
    assert seen_of(0.3, replace(loud, noises={"model.head_dropout": 0.3}), drop) is None
    both = Regularisation({"training.l2": 3.0}, {"model.head_dropout": 9.0}, 0.2, 2.0)
    found = seen_of(0.3, both, {**l2, **drop})
    assert found.evidence["keys"] == ["model.head_dropout", "training.l2"]
    # AdamW's price is in its own units.
    decay = Regularisation({"training.weight_decay": 0.7}, {}, 0.2, np.nan)
    options = {"training.weight_decay": 3.0}
    assert seen_of(0.3, decay, options) is None
    assert seen_of(0.3, decay, {**options, "training.optimizer": "adamw"}) is not None


def test_where_nothing_can_be_learned_it_is_a_note() -> None:
    rng = np.random.default_rng(1)
    x, wanted = rng.normal(size=(4, 120, 1)), rng.normal(size=(120, 1))
    seen = Regularisation({"training.l2": 3.0}, {}, 0.1, np.nan)
    evidence = Evidence(
        x, wanted, answers=Answers(0.0 * wanted, wanted), recipe=last_value({"training.l2": 1.0}),
        regularisation=seen,
    )  # fmt: skip
    found = over_regularised.detect(evidence)
    assert found is not None
    assert found.severity == "note"


def test_the_price_of_a_penalty_is_what_usual_weights_add_to_what_can_be_gained() -> None:
    which = last_value({"training.l2": 0.1, "model.init.kernel": "zeros"})
    data = prepare(which)
    model = build_model(which, data)
    usual = build_model(which.edit({"model.init.kernel": "glorot_uniform"}), data)
    seen = measure_regularisation(model, which, data, data.training)
    assert seen is not None
    wanted = Penalty(l2=0.1)(usual).item() / data.training.y.var()
    assert seen.on_weights == {"training.l2": pytest.approx(wanted, rel=1e-5)}
    assert np.isnan(seen.noise)
    assert seen.shrunk < 1.0  # without the kernels
    decay = which.edit({"training.l2": 0.0, "training.weight_decay": 0.2})
    other = measure_regularisation(model, decay, data, data.training)
    assert other is not None
    assert other.on_weights["training.weight_decay"] == pytest.approx(wanted, rel=1e-5)
    assert measure_regularisation(model, last_value(), data, data.training) is None


def test_measuring_noise_leaves_the_model_and_its_random_numbers_alone() -> None:
    edits = {"model.head_dropout": 0.5, "model.norm": "batch", "data.augment.noise": 0.2}
    which = last_value(edits)
    data = prepare(which)
    model = build_model(which, data)
    model.eval()
    before = model.state_dict()
    state = model.recurrent.rng.bit_generator.state
    seen = measure_regularisation(model, which, data, data.training)
    assert seen is not None
    assert seen.noise > 0.0
    assert model.recurrent.rng.bit_generator.state == state
    assert not model.training
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_noise_is_that_of_independent_masks_on_a_sum() -> None:
    # Of a head that adds H alike units, dropout p leaves a relative variance of p / ((1 - p) H).
    which = last_value({"model.head_dropout": 0.8, "model.hidden_size": 20, "model.cell": "rnn"})
    data = prepare(which)
    model = build_model(which, data)
    for name, parameter in model.named_parameters():
        parameter.data[...] = 0.05 if name in ("recurrent.weight_ih_l0", "head.weight") else 0.0
    seen = measure_regularisation(model, which, data, data.training)
    assert seen is not None
    assert seen.noise == pytest.approx(0.8 / 0.2 / 20, rel=0.1)
    assert seen.noises["model.head_dropout"] == pytest.approx(2 * 0.8 / 0.2 / 20)


# overfitting


def test_few_noisy_sequences_learned_by_heart_are_overfitting_and_a_remedy_cures() -> None:
    sick = noisy(120, 0.8, {"model.hidden_size": 32, "training.epochs": 60})
    diagnosis = examine(sick, repair=True, trainings=4)
    root = diagnosis.before.root
    assert root is not None
    assert root.symptom == "overfitting"
    assert root.evidence["training_skill"] > 0.9 > 0.6 > root.evidence["held_out_skill"]
    assert diagnosis.cured
    assert diagnosis.figures["held_out_r2"] > root.evidence["held_out_skill"] + 0.05
    assert any("train longer" in each.advice for each in root.would_not_help)


@pytest.mark.parametrize(
    ("count", "sigma", "edits"),
    [
        (120, 0.0, {"training.epochs": 60}),  # few, but without noise
        (500, 0.8, {"training.epochs": 5}),  # noisy, but many
        (160, 0.8, {"training.epochs": 60, "training.early_stopping": 2, "model.hidden_size": 8}),
    ],
)
def test_a_gap_that_is_small_is_none(count: int, sigma: float, edits: dict[str, object]) -> None:
    assert "overfitting" not in harm(examine(noisy(count, sigma, edits)))


def history_of(validation: list[float]) -> History:
    epoch = Epoch(
        number=1, batches=1, loss=0.1, gradient_norm=1.0, gradient_norm_max=1.0,
        learning_rate=1e-3, seconds=0.1, validation_loss=None, metrics={}, validation_metrics={},
        complete=True,
    )  # fmt: skip
    rows = enumerate(validation, start=1)
    return History([replace(epoch, number=n, validation_loss=loss) for n, loss in rows])


def gap_of(trained: float, unseen: float, validation: list[float], rows: int = 600) -> Any:
    """What is said where R2 is such on the training data and on others."""
    rng = np.random.default_rng(0)
    wanted, error = rng.normal(size=(rows, 1)), rng.normal(size=(rows, 1))
    wanted, error = ((a - a.mean()) / a.std() for a in (wanted, error))
    answers = [Answers(wanted + np.sqrt(1.0 - r2) * error, wanted) for r2 in (trained, unseen)]
    return overfitting.detect(
        Evidence(
            rng.normal(size=(3, rows, 1)),
            wanted,
            recipe=last_value(),
            answers=answers[0],
            unseen=answers[1],
            history=history_of(validation),
            loop=LoopSeen(naive=1.0),
        )
    )


def test_a_gap_is_an_illness_where_it_is_large_and_does_harm() -> None:
    fell = [1.0, 0.6, 0.5]
    turned = gap_of(0.9, 0.4, [1.0, 0.4, 0.6])
    assert turned.severity == "illness"
    assert turned.evidence["least_at_epoch"] == 2
    assert turned.evidence["risen"] == pytest.approx(0.2)
    assert gap_of(0.9, 0.4, fell).severity == "note"
    assert gap_of(0.99, 0.4, fell).severity == "illness"  # by heart
    assert gap_of(0.9, 0.15, fell).severity == "illness"  # of most that it knows, nothing holds
    assert gap_of(0.9, 0.25, fell).severity == "note"
    assert gap_of(0.9, 0.55, [1.0, 0.4, 0.6]).severity == "note"
    assert gap_of(0.9, 0.7, [1.0, 0.4, 0.6]) is None


def test_what_few_rows_have_by_chance_is_no_illness() -> None:
    # The loss of 60 rows, 0.6, has a standard error of 0.11, that of 600 one of 0.035.
    turned = [1.0, 0.45, 0.6]
    assert gap_of(0.9, 0.4, turned, rows=600).severity == "illness"
    assert gap_of(0.9, 0.4, turned, rows=60).severity == "note"
    assert gap_of(0.99, 0.4, turned, rows=60).severity == "illness"  # by heart, in any case


@pytest.mark.parametrize(
    ("trained", "unseen", "severity"),
    [
        (0.94, 0.1, "illness"),  # a regression explains 0.7 of the same rows
        (0.94, 0.52, "note"),  # hardly more than the network
        (0.66, 0.1, "note"),  # more than the network explains of what it was trained on
    ],
)
def test_a_regression_that_tells_the_same_rows_better_tells_of_harm(
    trained: float, unseen: float, severity: str
) -> None:
    rng = np.random.default_rng(0)
    asked = noisy(300, 0.6, {})
    data = prepare(asked)
    part, held = data.training, data.validation
    assert held is not None

    def answers(wanted: Any, r2: float) -> Answers:
        error = rng.normal(size=wanted.shape)
        error *= np.sqrt((1.0 - r2) * wanted.var() / (error**2).mean())
        return Answers(wanted + error, np.asarray(wanted, np.float64))

    evidence = Evidence(
        part.x.swapaxes(0, 1),
        part.y,
        recipe=asked,
        data=data,
        answers=answers(part.y, trained),
        unseen=answers(held.y, unseen),
    )
    found = overfitting.detect(evidence)
    assert found is not None
    assert found.evidence["held_out_skill_of_a_regression"] == pytest.approx(0.7, abs=0.07)
    assert found.severity == severity


def test_what_was_not_learned_was_not_learned_by_heart() -> None:
    turned = [1.0, 0.4, 0.9]
    assert gap_of(0.25, -3.0, turned).severity == "illness"
    assert gap_of(0.15, -3.0, turned) is None


def test_a_few_rows_held_out_show_nothing_and_that_is_said() -> None:
    rng = np.random.default_rng(0)
    wanted = rng.normal(size=(12, 1))
    trained, unseen = Answers(wanted, wanted), Answers(-wanted, wanted)
    evidence = Evidence(np.ones((3, 12, 1)), wanted, answers=trained, unseen=unseen)
    found = overfitting.detect(evidence)
    assert found is not None
    assert (found.severity, found.evidence["too_few_rows"]) == ("note", 12)


# underfitting


def test_one_unit_for_three_numbers_is_underfitting_and_more_units_cure() -> None:
    x = np.random.default_rng(0).normal(size=(300, 6, 3)).astype(np.float32)
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0].astype(np.float32)
    sick = recipe(
        {"x": x, "y": x[:, -1] @ turn},
        {"model.hidden_size": 1, "training.epochs": 25, "training.batch_size": 16},
    )
    diagnosis = examine(sick, repair=True, trainings=2)
    root = diagnosis.before.root
    assert root is not None
    assert root.symptom == "underfitting"
    assert root.evidence["kind"] == "too small"
    assert root.evidence["predictable_by_regression"] > 0.9 > 0.5 > root.evidence["skill"]
    assert dict(diagnosis.attempts[1].edit) == {"model.hidden_size": 32}
    assert diagnosis.cured
    assert any("stop early" in each.advice for each in root.would_not_help)


def test_an_end_amid_the_learning_is_underfitting_and_more_time_cures() -> None:
    edits = {"training.learning_rate": 1.5e-3, "training.epochs": 6, "model.hidden_size": 12}
    diagnosis = examine(last_value(edits), repair=True, trainings=2)
    root = diagnosis.before.root
    assert root is not None
    assert root.symptom == "underfitting"
    assert root.evidence["kind"] == "unfinished"
    assert list(diagnosis.attempts[1].edit) == ["training.epochs"]
    assert diagnosis.cured


def test_a_small_network_that_is_large_enough_is_none() -> None:
    edits = {"model.hidden_size": 3, "model.cell": "gru", "training.epochs": 20}
    assert harm(examine(last_value(edits))) == set()


def test_a_network_at_what_noise_allows_is_not_called_too_small() -> None:
    run = perform(noisy(400, 1.0, {"training.epochs": 6}), progress=False)
    assert 0.3 < run.evidence.skill < 0.8
    assert underfitting.detect(run.evidence) is None


def test_remedies_change_the_recipe_and_are_allowed() -> None:
    bidirectional = noisy(120, 0.8, {"model.bidirectional": True, "training.epochs": 40})
    found = overfitting.detect(perform(bidirectional, progress=False).evidence)
    assert found is not None
    remedies, refused = with_remedies(found, bidirectional)
    assert len(remedies) >= 4
    assert refused
    for remedy in remedies:
        assert bidirectional.edit(remedy.edit) != bidirectional
