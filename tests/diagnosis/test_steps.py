"""A recipe's steps that are too large, too small, too few, or explode: found and cured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from problems import examine, harm, recall, recipe

from minirnn.diagnosis import Diagnosis, diagnose
from minirnn.diagnosis.causes import in_order_of_cause
from minirnn.diagnosis.detectors.exploding_gradient import growth_of
from minirnn.diagnosis.finding import Finding
from minirnn.inspect.probe import gradient_probe
from minirnn.nn import GRU, LSTM, RNN, Linear, Module
from minirnn.tensor import Tensor


def root(diagnosis: Diagnosis) -> str | None:
    return diagnosis.before.root.symptom if diagnosis.before.root is not None else None


def learning(edits: dict[str, object], *, repair: bool = False, **more: Any) -> Diagnosis:
    """Of a small GRU that learns to recall the last of six inputs in about 15 epochs at 1e-2."""
    usual: dict[str, object] = {
        "model.cell": "gru",
        "model.hidden_size": 12,
        "training.epochs": 15,
        "training.learning_rate": 1e-2,
    }
    return examine(recipe(recall(300, 6, -1), usual | edits), repair=repair, **more)


def test_the_plain_one_is_well() -> None:
    assert learning({}).symptoms == set()


# oscillating-loss


@pytest.mark.parametrize(("optimizer", "rate"), [("adam", 3.0), ("rmsprop", 2.0), ("sgd", 2.5)])
def test_a_rate_that_throws_the_weights_is_the_root_and_is_lowered(
    optimizer: str, rate: float
) -> None:
    diagnosis = learning(
        {"training.optimizer": optimizer, "training.learning_rate": rate}, repair=True
    )
    assert root(diagnosis) == "oscillating-loss"
    assert diagnosis.before.root is not None
    assert diagnosis.before.root.where == "the optimiser, in training"
    assert diagnosis.cured
    assert diagnosis.attempts[-1].recipe.training.learning_rate < rate / 5


def test_small_batches_and_noisy_targets_are_loud_and_well() -> None:
    data = recall(300, 6, -1)
    data["y"] = data["y"] + 0.3 * np.random.default_rng(1).normal(size=data["y"].shape)
    edits: dict[str, object] = {"training.batch_size": 4, "training.epochs": 6}
    assert "oscillating-loss" not in examine(recipe(data, edits)).symptoms


def test_a_scheduler_that_comes_too_late_does_not_hide_it() -> None:
    edits: dict[str, object] = {"training.learning_rate": 5.0, "training.scheduler": "plateau"}
    found = learning(edits).root
    assert found is not None
    assert found.symptom == "oscillating-loss"
    assert any("stops improving" in advice.advice for advice in found.would_not_help)


# slow-learning


@pytest.mark.parametrize(
    ("edits", "key"),
    [
        ({"training.learning_rate": 1e-6}, "training.learning_rate"),
        ({"training.optimizer": "sgd", "training.learning_rate": 1e-5}, "training.learning_rate"),
        ({"training.epochs": 1, "training.batch_size": 128}, "training.epochs"),
        (
            {
                "training.optimizer": "sgd",
                "training.learning_rate": 0.1,
                "training.clip_norm": 1e-4,
            },
            "training.clip_norm",
        ),
    ],
)
def test_what_makes_the_steps_small_or_few_is_told_and_edited(
    edits: dict[str, object], key: str
) -> None:
    diagnosis = learning(edits, repair=True)
    assert root(diagnosis) == "slow-learning"
    assert diagnosis.cured
    assert key in diagnosis.attempts[1].edit


def test_a_run_that_has_arrived_and_stands_still_is_not_slow() -> None:
    assert learning({"training.scheduler": "cosine", "training.epochs": 25}).symptoms == set()


def test_training_that_was_broken_off_is_not_slow() -> None:
    data = recall(60, 6, -1)
    data["x"][50, 2, 0] = np.inf
    found = harm(examine(recipe(data, {"training.epochs": 3, "data.validation": 0.0})))
    assert "non-finite" in found
    assert "slow-learning" not in found


# stalled-loss


@pytest.mark.parametrize("recurrent", ["zeros", "orthogonal"])
def test_kernels_of_zeros_never_get_a_gradient(recurrent: str) -> None:
    edits: dict[str, object] = {"model.init.kernel": "zeros", "model.init.recurrent": recurrent}
    diagnosis = learning(edits, repair=True)
    assert root(diagnosis) == "stalled-loss"
    assert diagnosis.before.root is not None
    assert diagnosis.before.root.evidence["kind"] == "start"
    assert diagnosis.cured
    assert diagnosis.attempts[-1].edit["model.init.kernel"] == "glorot_uniform"


def test_a_recurrent_matrix_of_zeros_is_well() -> None:
    assert learning({"model.init.recurrent": "zeros"}).symptoms == set()


def test_a_rate_that_is_taken_away_stalls_and_one_that_comes_down_late_does_not() -> None:
    hasty = {"name": "step", "every": 1, "factor": 0.1}
    diagnosis = learning({"training.scheduler": hasty}, repair=True)
    found = diagnosis.before.root
    assert found is not None
    assert found.symptom == "stalled-loss"
    assert found.evidence["kind"] == "rate taken"
    assert found.evidence["share_with_rate"] == pytest.approx(2 / 15)
    assert diagnosis.cured
    assert diagnosis.attempts[1].edit == {"training.scheduler": "cosine"}
    patient = {"name": "step", "every": 7, "factor": 0.1}
    assert learning({"training.scheduler": patient}).symptoms == set()


def test_a_loss_that_stalls_for_no_reason_of_its_own_is_a_note_beside_one() -> None:
    def finding(symptom: str, **evidence: object) -> Finding:
        return Finding(symptom, "illness", "somewhere", evidence, "cause", "explanation")

    level = finding("stalled-loss", kind="level")
    alone = in_order_of_cause([level])
    assert [each.severity for each in alone] == ["illness"]
    first, note = in_order_of_cause([level, finding("constant-output")])
    assert (first.symptom, note.severity) == ("constant-output", "note")
    start = finding("stalled-loss", kind="start")
    first, _ = in_order_of_cause([finding("constant-output"), start])
    assert first.symptom == "stalled-loss"
    assert first.consequences == ("constant-output",)


# exploding-gradient


def long(edits: dict[str, object], *, repair: bool = False) -> Diagnosis:
    usual: dict[str, object] = {
        "model.cell": "rnn",
        "model.activation": "relu",
        "model.hidden_size": 16,
        "training.epochs": 10,
        "training.learning_rate": 3e-3,
    }
    return examine(recipe(recall(250, 40, -1), usual | edits), repair=repair)


def test_a_state_that_keeps_and_sums_all_inputs_explodes_without_growing_in_time() -> None:
    edits: dict[str, object] = {
        "model.init.kernel": "he_normal",
        "model.init.recurrent": "identity",
        "training.optimizer": "sgd",
        "training.learning_rate": 1e-2,
    }
    diagnosis = long(edits, repair=True)
    found = diagnosis.before.root
    assert found is not None
    assert found.symptom == "exploding-gradient"
    assert found.evidence["power"] > 200
    assert "growth" not in found.evidence
    assert "non-finite" in found.consequences
    assert diagnosis.cured


@pytest.mark.parametrize(
    "edits",
    [
        {"model.init.recurrent": "orthogonal"},
        {
            "model.init.kernel": "he_normal",
            "model.init.recurrent": "identity",
            "training.clip_norm": 1.0,
        },
    ],
)
def test_relu_large_matrices_and_a_clipped_gradient_may_be_well(edits: dict[str, object]) -> None:
    assert "exploding-gradient" not in harm(long({**edits, "training.epochs": 20}))


class TwoKinds(Module):
    """A GRU above a bidirectional LSTM: gradient enters the LSTM at every step."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        rng = np.random.default_rng(seed)
        self.lstm = LSTM(3, 8, bidirectional=True, rng=rng)
        self.gru = GRU(16, 8, rng=rng)
        self.head = Linear(8, 1, rng=rng)

    def forward(self, x: Tensor) -> Tensor:
        below, _ = self.lstm(x)
        _, h = self.gru(below)
        return self.head(h[-1])


@pytest.mark.parametrize("seed", range(3))
def test_in_a_lower_layer_more_gradient_where_more_has_entered_is_no_growth(seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(30, 40, 3)).astype(np.float32)
    y = x[-1, :, :1].copy()
    traces = gradient_probe(TwoKinds(seed), x, y).traces
    # Against the last step alone, where hardly any enters, it would be.
    assert max(float(np.nanmax(trace.gradient_decay("c"))) for trace in traces[:2]) > 1e3
    assert max(growth_of(trace) for trace in traces) < 1.05
    assert "exploding-gradient" not in diagnose(TwoKinds(seed), x, y).symptoms


@pytest.mark.parametrize("direction", ["", "_reverse"])
@pytest.mark.parametrize("layer", [0, 1])
def test_growth_is_found_in_the_layer_and_direction_that_it_is_in(
    direction: str, layer: int
) -> None:
    lengths = np.random.default_rng(0).integers(30, 41, size=30)
    x = np.random.default_rng(0).normal(size=(40, 30, 2)).astype(np.float32)

    class Deep(Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = RNN(2, 4, 2, bidirectional=True, nonlinearity="identity", rng=0)
            self.head = Linear(8, 1, rng=1)

        def forward(self, x: Tensor, lengths: Any = None) -> Tensor:
            _, h = self.rnn(x, lengths=lengths)
            return self.head(h[2:].swapaxes(0, 1).reshape(h.shape[1], 8))

    model = Deep()
    for name, parameter in model.named_parameters():
        if "weight_hh" in name:
            here = name.endswith(f"weight_hh_l{layer}{direction}")
            parameter.data[...] = (1.3 if here else 0.8) * np.eye(4)
    found = diagnose(model, x, x[0, :, :1].copy(), lengths=lengths).finding("exploding-gradient")
    assert found is not None
    assert found.evidence["layer"] == layer
    assert found.evidence["direction"] == ("reverse" if direction else "forward")


# non-finite


def test_targets_whose_squares_leave_the_range_are_scaled() -> None:
    data = recall(300, 6, -1)
    data["y"] = data["y"] * np.float32(1e24)
    diagnosis = examine(recipe(data, {"training.epochs": 15}), repair=True)
    assert root(diagnosis) == "non-finite"
    assert diagnosis.before.root is not None
    assert float(str(diagnosis.before.root.evidence["largest_target"])) > 1e24
    assert diagnosis.cured
    assert diagnosis.attempts[-1].edit == {"data.scale": "standard"}


def test_an_infinite_input_is_moved_to_the_end_of_the_range() -> None:
    data = recall(300, 6, -1)
    data["x"][7, 2, 0] = -np.inf
    diagnosis = examine(recipe(data, {"training.epochs": 15}), repair=True)
    assert root(diagnosis) == "non-finite"
    assert diagnosis.cured
    assert diagnosis.attempts[-1].edit == {"data.clip": 4.0}


def test_large_numbers_that_are_scaled_are_well() -> None:
    data = recall(300, 6, -1)
    data = {key: value * np.float32(1e15) for key, value in data.items()}
    edits: dict[str, object] = {"data.scale": "standard", "training.epochs": 15}
    assert harm(examine(recipe(data, edits))) == set()
