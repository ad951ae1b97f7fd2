"""unscaled-input, and what it brings: saturated gates, a dead gradient, one answer for all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from problems import examine, recall, recipe, wave, write_csv

from minirnn.diagnosis import Diagnosis, diagnose
from minirnn.diagnosis.detectors.saturated_gates import saturated_share
from minirnn.diagnosis.detectors.unscaled_input import pinned_share
from minirnn.inspect.probe import gradient_probe
from minirnn.nn import GRU, LSTM, Module, SequenceModel
from minirnn.tensor import Tensor

RAW = {"level": 1000.0, "noise": 0.05}
CHAIN = ("saturated-gates", "vanishing-gradient", "state-collapse", "constant-output")


@pytest.fixture(scope="module", params=["lstm", "gru", "rnn"])
def treated(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Diagnosis:
    """A wave around 1000, fed raw, and what the doctor made of it."""
    path = tmp_path_factory.mktemp("raw") / "raw.csv"
    series = write_csv(path, 20 * wave() + 1000)
    edits: dict[str, object] = {
        "data.window": 10,
        "model.cell": request.param,
        "model.init.head_bias": "target_mean",
    }
    return examine(recipe(series, edits), repair=True)


def test_raw_inputs_are_the_root_and_the_rest_follows_from_it(treated: Diagnosis) -> None:
    before = treated.before
    assert before.root is not None
    assert before.root.symptom == "unscaled-input"
    assert before.root.severity == "illness"
    assert before.root.consequences == CHAIN
    assert [finding.symptom for finding in before.findings[:5]] == ["unscaled-input", *CHAIN]
    assert before.root.evidence["largest"] > 1000
    assert before.root.evidence["pinned"] > 0.9


def test_the_gradient_is_said_to_die_at_the_gate(treated: Diagnosis) -> None:
    found = treated.before.finding("vanishing-gradient")
    assert found is not None
    assert found.evidence["kind"] == "at the gate"
    assert found.evidence["dead_units"] > 0.8
    if "LSTM" in found.where:
        # The cell state would carry it: time is not where it dies.
        assert "not through time" in found.where


def test_standardising_cures_it_and_the_cure_is_proved_by_training(treated: Diagnosis) -> None:
    assert treated.cured
    assert len(treated.attempts) == 2
    assert dict(treated.attempts[1].edit) == {"data.scale": "standard"}
    before, after = (attempt.figures["held_out_rmse"] for attempt in treated.attempts)
    assert after < 0.2 * before
    assert treated.attempts[1].figures["training_r2"] > 0.95


def test_large_inputs_that_the_network_copes_with_are_a_note(tmp_path: Path) -> None:
    # Of size 18, not of 1000: most gates can still move, and training does the rest.
    series = write_csv(tmp_path / "copes.csv", 18 + 3.6 * wave())
    found = examine(recipe(series, {"data.window": 10, "training.epochs": 30}))
    assert found.healthy
    assert {"unscaled-input", "saturated-gates"} <= found.symptoms
    assert found.figures["training_r2"] > 0.5


def test_small_inputs_are_unscaled_too_and_cured_the_same_way() -> None:
    data = recall(300, 10, -1)
    tiny = {"x": data["x"] * 1e-4, "y": data["y"]}
    diagnosis = examine(recipe(tiny, {"training.epochs": 8}), repair=True)
    assert diagnosis.before.root is not None
    assert diagnosis.before.root.symptom == "unscaled-input"
    assert diagnosis.before.root.evidence["size"] < 0.01
    assert "state-collapse" in diagnosis.before.root.consequences
    assert diagnosis.cured
    assert dict(diagnosis.attempts[1].edit) == {"data.scale": "standard"}


def test_inputs_of_ordinary_size_are_no_symptom() -> None:
    assert examine(recipe(recall(300, 10, -1), {"training.epochs": 8})).symptoms == set()


def test_one_loud_feature_among_quiet_ones_is_named() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(12, 60, 3)).astype(np.float32)
    x[..., 1] = 500 + 100 * x[..., 1]
    model = SequenceModel("gru", input_size=3, hidden_size=8, output_size=1, rng=0)
    found = diagnose(model, x, x[-1, :, :1].copy(), loss="mse").finding("unscaled-input")
    assert found is not None
    assert found.where == "input feature 1"
    assert found.evidence["feature"] == 1


def test_a_learning_rate_that_saturates_the_gates_is_lowered() -> None:
    sick = recipe(recall(500, 10, -1), {"training.learning_rate": 1.0, "training.epochs": 10})
    diagnosis = examine(sick, repair=True)
    assert diagnosis.before.root is not None
    assert diagnosis.before.root.symptom == "oscillating-loss"
    assert "saturated-gates" in diagnosis.before.root.consequences
    assert "unscaled-input" not in diagnosis.before.symptoms
    assert dict(diagnosis.attempts[1].edit) == {"training.learning_rate": 0.003}
    assert diagnosis.cured


def traced(model: SequenceModel, T: int = 12, B: int = 40) -> list[object]:
    x = np.random.default_rng(0).normal(size=(T, B, 1)).astype(np.float32)
    return list(gradient_probe(model, x, x[0]).traces)


def with_bias(slot: str, value: float, cell: str = "lstm") -> SequenceModel:
    model = SequenceModel(cell, input_size=1, hidden_size=8, output_size=1, rng=0)
    layer = model.recurrent
    at = layer.cell.input_slots.index(slot) * 8
    layer.bias_ih_l0.data[at : at + 8] = value
    return model


@pytest.mark.parametrize(("cell", "slot"), [("lstm", "forget"), ("gru", "update")])
def test_a_gate_that_stays_open_to_remember_is_not_saturated(cell: str, slot: str) -> None:
    (open_wide,) = traced(with_bias(slot, 12.0, cell))
    assert saturated_share(open_wide) == 0.0
    (shut,) = traced(with_bias(slot, -12.0, cell))
    assert saturated_share(shut) == pytest.approx(1 / len(shut.gates))


def test_chrono_initialisation_is_memory_and_not_saturation() -> None:
    from minirnn import init

    model = SequenceModel("lstm", input_size=1, hidden_size=32, output_size=1, rng=0)
    init.chrono(model.recurrent, 1000, rng=0)
    (trace,) = traced(model)
    # Most input gates are shut, each beside a forget gate that is open.
    assert (trace.gates["input"] < 0.1).mean() > 0.9
    assert saturated_share(trace) == 0.0


def test_states_near_zero_are_the_middle_of_tanh_and_not_an_end() -> None:
    model = SequenceModel("rnn", input_size=1, hidden_size=8, output_size=1, rng=0)
    model.recurrent.weight_ih_l0.data *= 0.01
    (trace,) = traced(model)
    assert np.abs(trace.hidden).max() < 0.6
    assert saturated_share(trace) == 0.0
    model.recurrent.bias_ih_l0.data[...] = -5.0
    (shut,) = traced(model)
    assert saturated_share(shut) == 1.0


def test_relu_units_that_are_off_are_another_matter() -> None:
    model = SequenceModel(
        "rnn", input_size=1, hidden_size=8, output_size=1, activation="relu", rng=0
    )
    model.recurrent.bias_ih_l0.data[...] = -50
    (trace,) = traced(model)
    assert (trace.hidden == 0).all()
    assert saturated_share(trace) == 0.0


def test_a_gate_that_is_at_its_end_half_of_the_time_is_a_switch() -> None:
    model = SequenceModel("rnn", input_size=1, hidden_size=8, output_size=1, rng=0)
    model.recurrent.weight_hh_l0.data[...] = 0
    x = np.tile(np.array([0.0, 99.0], np.float32), 6)[:, None, None].repeat(5, axis=1)
    (trace,) = gradient_probe(model, x, x[0]).traces
    assert (np.abs(trace.hidden) > 0.9).mean() > 0.4
    assert saturated_share(trace) == 0.0


def test_saturation_is_found_at_its_layer_and_direction() -> None:
    model = SequenceModel(
        "lstm", input_size=2, hidden_size=6, output_size=1, num_layers=2, bidirectional=True, rng=0
    )
    layer = model.recurrent
    layer.bias_ih_l1_reverse.data[...] = -9.0
    rng = np.random.default_rng(0)
    x = rng.normal(size=(9, 30, 2)).astype(np.float32)
    lengths = rng.integers(3, 10, 30)
    found = diagnose(model, x, x[0, :, :1].copy(), loss="mse", lengths=lengths)
    saturated = found.finding("saturated-gates")
    assert saturated is not None
    assert saturated.where.startswith("LSTM.l1_reverse,")
    assert (saturated.evidence["layer"], saturated.evidence["direction"]) == (1, "reverse")


def test_pinned_gates_are_counted_by_the_inputs_alone() -> None:
    model = SequenceModel("gru", input_size=1, hidden_size=4, output_size=1, rng=0)
    layer = model.recurrent
    layer.weight_ih_l0.data[...] = np.linspace(-0.11, 0.11, 12, dtype=np.float32)[:, None]
    x = np.full((5, 6, 1), 100.0, np.float32)
    x[0, 0] = -1.0  # one step at which no gate is pinned
    (trace,) = gradient_probe(model, x, np.zeros((6, 1), np.float32)).traces
    assert pinned_share(trace) == 0.0
    x[0, 0] = 90.0
    (trace,) = gradient_probe(model, x, np.zeros((6, 1), np.float32)).traces
    weights = np.abs(layer.weight_ih_l0.data[:, 0])
    assert pinned_share(trace) == pytest.approx(np.mean(weights * 90 > 2.2))


def test_any_module_with_recurrent_layers_inside_is_looked_into() -> None:
    class Stack(Module):
        """A GRU that feeds an LSTM, and the LSTM's last cell state as answer."""

        def __init__(self) -> None:
            self.first = GRU(1, 5, rng=0)
            self.second = LSTM(5, 3, rng=0)

        def forward(self, x: object) -> Tensor:
            hidden, _ = self.first(x)
            _, (_, c) = self.second(hidden)
            return c[0]

    x = (700 + np.random.default_rng(0).normal(size=(8, 50, 1))).astype(np.float32)
    found = diagnose(Stack(), x, np.tile(x[-1] - 700, (1, 3)), loss="mse")
    assert found.root is not None
    assert found.root.symptom == "unscaled-input"
    assert "GRU.l0" in str(found.finding("saturated-gates"))


def test_gates_flung_from_end_to_end_are_not_said_to_stand_at_one() -> None:
    """Large inputs of either sign: no gate stands at one end, and none is in between."""
    rng = np.random.default_rng(3)
    x = (1000 * rng.normal(size=(12, 60, 3))).astype(np.float32)
    y = x.sum(axis=(0, 2))[:, None] / 1000
    model = SequenceModel("gru", input_size=3, hidden_size=8, output_size=1, rng=0)
    found = diagnose(model, x, y).finding("saturated-gates")
    assert found is not None
    assert found.where == "GRU.l0"
    assert "flung from one end to the other" in found.explanation
