"""vanishing-gradient through time, and exploding-gradient."""

from __future__ import annotations

import numpy as np
import pytest
from problems import examine, harm, recall, recipe, wave, write_csv

from minirnn.diagnosis import Diagnosis, diagnose
from minirnn.diagnosis.detectors import vanishing_gradient
from minirnn.diagnosis.detectors.exploding_gradient import largest_leap
from minirnn.diagnosis.detectors.vanishing_gradient import ratio_at
from minirnn.diagnosis.evidence import Answers, Evidence
from minirnn.inspect.probe import gradient_probe
from minirnn.nn import SequenceModel
from minirnn.training.history import Epoch, History

T = 60


@pytest.fixture(scope="module")
def forgetful() -> Diagnosis:
    """An LSTM without forget bias that is to recall what came 60 steps ago, and its treatment."""
    edits: dict[str, object] = {
        "model.init.forget_bias": 0.0,
        "training.learning_rate": 3e-3,
        "training.epochs": 25,
    }
    return examine(recipe(recall(400, T, 0), edits), repair=True)


def test_a_gradient_that_dies_before_the_lag_that_counts_is_found(forgetful: Diagnosis) -> None:
    found = forgetful.before.root
    assert found is not None
    assert found.symptom == "vanishing-gradient"
    assert found.evidence["kind"] == "through time"
    assert found.evidence["lag_needed"] == T
    assert found.evidence["half_life"]["c"] < 5
    assert found.evidence["skill_with_all_steps"] > 0.95
    assert harm(forgetful.before) <= {"vanishing-gradient", "underfitting"}


def test_chrono_initialisation_cures_it_and_clipping_is_not_offered(forgetful: Diagnosis) -> None:
    assert forgetful.cured
    kept = [attempt for attempt in forgetful.attempts if attempt.kept]
    assert any(attempt.edit.get("model.init.bias") == "chrono" for attempt in kept)
    before, after = forgetful.attempts[0], forgetful.attempts[-1]
    assert after.figures["held_out_rmse"] < 0.9 * before.figures["held_out_rmse"]
    found = before.diagnosis.root
    assert found is not None
    assert not any("training.clip_norm" in remedy.edit for remedy in found.remedies)
    assert any("clip" in advice.advice for advice in found.would_not_help)


def test_the_same_short_gradient_is_well_where_the_answer_is_near() -> None:
    edits: dict[str, object] = {"model.init.forget_bias": 0.0, "training.epochs": 8}
    near = examine(recipe(recall(300, T, -2), edits))
    trace = near.run.traces[0]  # type: ignore[union-attr]
    assert ratio_at(trace, "c", T) < 1e-3
    assert near.symptoms == set()


def test_a_gru_whose_series_needs_no_long_memory_is_well(tmp_path: object) -> None:
    # A healthy GRU on a standardised series has a first/last ratio far below any fixed threshold.
    series = write_csv(tmp_path / "wave.csv", wave())  # type: ignore[operator]
    edits: dict[str, object] = {"model.cell": "gru", "data.scale": "standard", "training.epochs": 8}
    diagnosis = examine(recipe(series, edits))
    assert diagnosis.healthy
    trace = diagnosis.run.traces[0]  # type: ignore[union-attr]
    assert trace.gradient_decay("h")[-1] < 0.01


def test_a_vanishing_gradient_is_seen_in_one_look_without_training() -> None:
    data = recall(80, 100, 0)
    x = np.ascontiguousarray(data["x"].swapaxes(0, 1))
    model = SequenceModel("rnn", input_size=1, hidden_size=16, output_size=1, rng=0)
    found = diagnose(model, x, data["y"], loss="mse")
    assert found.root is not None
    assert found.root.symptom == "vanishing-gradient"
    # Nobody has trained it: it is warned of what training would begin with, and of that alone.
    assert found.root.severity == "warning"
    assert "no step has moved its weights yet" in found.root.explanation
    assert all(key.startswith("model.") for each in found.root.remedies for key in each.edit)
    assert len(found.root.remedies) > 0
    model.head.weight.data[0] += 1.0  # a head that steps have moved
    assert diagnose(model, x, data["y"], loss="mse").root.severity == "illness"  # type: ignore[union-attr]
    assert diagnose(model, x, x[-1].copy(), loss="mse").finding("vanishing-gradient") is None


def test_a_loss_at_every_step_does_not_hide_it() -> None:
    # The answer at each step is the first input: gradient enters everywhere, and none travels.
    data = recall(80, 100, 0)
    x = np.ascontiguousarray(data["x"].swapaxes(0, 1))
    model = SequenceModel("rnn", input_size=1, hidden_size=16, output_size=1, readout="all", rng=0)
    found = diagnose(model, x, np.repeat(x[:1], 100, axis=0), loss="mse")
    assert found.root is not None
    assert found.root.symptom == "vanishing-gradient"


def test_a_reverse_direction_that_reaches_the_early_steps_counts() -> None:
    data = recall(80, 100, 0)
    x = np.ascontiguousarray(data["x"].swapaxes(0, 1))
    both = SequenceModel(
        "rnn", input_size=1, hidden_size=16, output_size=1, bidirectional=True, rng=0
    )
    assert diagnose(both, x, data["y"], loss="mse").finding("vanishing-gradient") is None
    forward, reverse = gradient_probe(both, x, data["y"]).traces
    assert ratio_at(forward, "h", 100) < 1e-3
    assert ratio_at(reverse, "h", 100) == 1.0  # its last step


def test_lengths_move_the_lag_with_each_sequences_end() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 80, 1)).astype(np.float32)
    lengths = rng.integers(50, 101, 80)
    model = SequenceModel("rnn", input_size=1, hidden_size=16, output_size=1, rng=0)
    near = x[lengths - 2, np.arange(80)]
    far = x[lengths - 45, np.arange(80)]
    assert (
        "vanishing-gradient" not in diagnose(model, x, near, loss="mse", lengths=lengths).symptoms
    )
    found = diagnose(model, x, far, loss="mse", lengths=lengths).finding("vanishing-gradient")
    assert found is not None
    assert 40 <= found.evidence["lag_needed"] <= 48


@pytest.fixture(scope="module")
def exploded() -> Diagnosis:
    """A relu RNN whose gradient grows 30,000 times in 60 steps, under SGD, and its treatment."""
    edits: dict[str, object] = {
        "model.cell": "rnn",
        "model.activation": "relu",
        "model.hidden_size": 32,
        "model.init.recurrent": "he_normal",
        "training.optimizer": "sgd",
        "training.epochs": 10,
        "training.seed": 1,
    }
    return examine(recipe(recall(300, 60, -1, seed=1), edits), repair=True)


def test_a_gradient_that_explodes_is_the_root_of_numbers_that_are_none(exploded: Diagnosis) -> None:
    found = exploded.before.root
    assert found is not None
    assert found.symptom == "exploding-gradient"
    assert found.severity == "illness"
    assert found.consequences == ("non-finite",)
    assert found.evidence["growth"] > 1000
    assert found.evidence["largest_singular_value_of_weight_hh"] > 1
    assert exploded.attempts[0].history.stopped is not None


def test_an_orthogonal_start_and_a_bound_cure_it_and_a_lower_rate_is_refused(
    exploded: Diagnosis,
) -> None:
    assert exploded.cured
    assert dict(exploded.attempts[1].edit) == {
        "model.init.kernel": "glorot_uniform",
        "model.init.recurrent": "orthogonal",
        "training.clip_norm": 1.0,
    }
    found = exploded.before.root
    assert found is not None
    assert any("lower the learning rate" in advice.advice for advice in found.would_not_help)
    assert exploded.attempts[1].figures["training_r2"] > 0.5


def test_a_gradient_that_grows_in_a_network_that_learned_is_a_note_at_most() -> None:
    edits: dict[str, object] = {
        "model.init.bias": "chrono",
        "training.learning_rate": 1e-2,
        "training.epochs": 40,
    }
    learned = examine(recipe(recall(400, 40, 0), edits))
    trace = learned.run.traces[0]  # type: ignore[union-attr]
    assert np.nanmax(trace.gradient_decay("c")) > 2
    assert learned.healthy


def growing() -> tuple[SequenceModel, np.ndarray]:
    """A linear RNN whose gradient grows by 1.1 a step, and sequences of 60 for it."""
    model = SequenceModel(
        "rnn", input_size=1, hidden_size=4, output_size=1, activation="identity", rng=0
    )
    model.recurrent.weight_hh_l0.data[...] = 1.1 * np.eye(4)
    return model, np.random.default_rng(0).normal(size=(60, 80, 1)).astype(np.float32)


def test_growth_back_through_time_is_measured_and_is_an_illness_where_nothing_was_learned() -> None:
    model, x = growing()
    found = diagnose(model, x, x[-1].copy(), loss="mse").finding("exploding-gradient")
    assert found is not None
    assert found.severity == "illness"
    assert found.evidence["growth"] == pytest.approx(1.1**59, rel=1e-3)
    assert found.evidence["largest_singular_value_of_weight_hh"] == pytest.approx(1.1, rel=1e-5)


def test_the_same_growth_in_a_network_that_answers_well_is_a_note() -> None:
    model, x = growing()
    model.head.bias.data[...] = 0
    own = model(x).numpy()  # targets that it answers perfectly, but for a little
    wanted = (own + 0.3 * own.std() * x[3]).astype(np.float32)
    found = diagnose(model, x, wanted, loss="mse").finding("exploding-gradient")
    assert found is not None
    assert found.severity == "note"
    model.recurrent.weight_hh_l0.data[...] = np.eye(4)
    assert "exploding-gradient" not in diagnose(model, x, wanted, loss="mse").symptoms


@pytest.mark.parametrize(("noise", "ill"), [(0.4, False), (3.0, True)])
def test_a_network_that_answers_from_far_back_all_the_same_is_well(noise: float, ill: bool) -> None:
    # It holds the sign of the first input in a saturated loop, through which no gradient passes.
    x = np.random.default_rng(0).normal(size=(60, 120, 1)).astype(np.float32)
    model = SequenceModel("rnn", input_size=1, hidden_size=4, output_size=1, rng=0)
    probe = gradient_probe(model, x, x[0])
    rest = noise * np.random.default_rng(1).normal(size=x[0].shape)
    evidence = Evidence(x, x[0], probe=probe, answers=Answers(x[0] + rest, x[0]))
    assert (evidence.skill > 0.5) != ill
    assert (vanishing_gradient.detect(evidence) is not None) == ill


def history(*epochs: tuple[float, float, float]) -> History:
    """(loss, mean norm, largest norm) of each epoch."""
    return History(
        [
            Epoch(number, 3, loss, norm, largest, 1e-3, 0.1)
            for number, (loss, norm, largest) in enumerate(epochs, start=1)
        ]
    )


def test_a_leap_of_the_gradient_counts_where_the_loss_rises_with_it() -> None:
    loud = history((1.0, 1.0, 2.0), (0.9, 1.0, 2.0), (1.5, 9.0, 30.0), (1.4, 1.0, 2.0))
    assert largest_leap(loud) == (30.0, 3)
    awakening = history((1.0, 1.0, 2.0), (0.9, 1.0, 2.0), (0.5, 9.0, 30.0), (0.2, 1.0, 2.0))
    assert largest_leap(awakening) == (0.0, 0)
    assert largest_leap(None) == (0.0, 0)
