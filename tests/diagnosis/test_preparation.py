"""From a recipe to data and a model: read, split, scaled, initialised, all by its own keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import recall, recipe, wave, write_csv

from minirnn.diagnosis import Recipe
from minirnn.diagnosis.build import build_model, build_optimizer, train
from minirnn.diagnosis.data import prepare
from minirnn.diagnosis.evidence.season import estimate_period
from minirnn.errors import DataError, DTypeError, MinirnnError, RecipeError, ShapeError

CO2: dict[str, Any] = {"builtin": "co2"}


def test_the_builtin_series_arrive_whole_with_their_units() -> None:
    data = prepare(recipe(CO2))
    assert (data.unit, data.period, data.missing) == ("ppm", 52, 0)
    assert data.series is not None
    assert len(data.series.values) == 2284
    assert data.absent == 0
    assert prepare(recipe({"builtin": "sine"})).period == 25


def test_a_builtin_task_has_the_length_and_number_that_are_asked_for() -> None:
    task = {"builtin": "adding", "length": 12, "samples": 40}
    data = prepare(recipe(task))
    assert data.training.x.shape == (32, 12, 2)
    assert data.series is None
    marks = data.training.x[..., 1]
    answer = (data.training.x[..., 0] * marks).sum(axis=1)
    np.testing.assert_allclose(data.training.y[:, 0], answer, rtol=1e-6)


def test_a_recipe_may_ask_for_the_gaps_of_the_record() -> None:
    kept = prepare(recipe({**CO2, "missing": "keep"}))
    filled = prepare(recipe({**CO2, "missing": "interpolate"}))
    assert (kept.missing, kept.gaps) == (filled.missing, filled.gaps) == (59, 22)
    assert kept.absent > 59  # each missing week lies in many windows
    assert filled.absent == 0


def test_arrays_and_files_of_arrays_are_the_same_data(tmp_path: Path) -> None:
    whole = recall(50, 4, 0)
    np.save(tmp_path / "x.npy", whole["x"].astype(np.float64))
    np.save(tmp_path / "y.npy", whole["y"])
    files = {"x": str(tmp_path / "x.npy"), "y": tmp_path / "y.npy"}
    first, second = prepare(recipe(whole)), prepare(recipe(files))
    np.testing.assert_array_equal(first.training.x, second.training.x)
    np.testing.assert_array_equal(first.training.y, second.training.y)
    assert first.training.x.dtype == np.float32


def test_the_split_is_a_random_share_that_the_seed_decides() -> None:
    whole = recall(50, 4, 0)
    first = prepare(recipe(whole))
    assert first.validation is not None
    assert (len(first.training), len(first.validation)) == (40, 10)
    together = np.concatenate([first.training.x, first.validation.x])
    assert {row.tobytes() for row in together} == {row.tobytes() for row in whole["x"]}
    again, other = prepare(recipe(whole)), prepare(recipe(whole, {"data.seed": 1}))
    np.testing.assert_array_equal(first.training.x, again.training.x)
    assert not np.array_equal(first.training.x, other.training.x)
    assert prepare(recipe(whole, {"data.validation": 0.0})).validation is None
    with pytest.raises(RecipeError, match=r"data\.validation"):
        prepare(recipe(recall(3, 4, 0), {"data.validation": 0.1}))


def test_features_and_targets_are_scaled_by_the_training_part_alone() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 5, 3)) * [1, 50, 0] + [0, 900, 7]
    data = prepare(recipe({"x": x, "y": 300 + 5 * x[:, 0, :2]}, {"data.scale": "standard"}))
    fed = data.training.x.reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(fed.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(fed.std(axis=0), [1, 1, 0], atol=1e-5)
    assert data.validation is not None
    assert abs(data.validation.x[..., 1].mean()) > 1e-4
    np.testing.assert_allclose(data.training.y.mean(axis=0), 0, atol=1e-6)
    restored = data.original(data.validation.y)
    assert (np.abs(restored - 300) < 5000).all()
    rows = {tuple(np.round(row, 2)) for row in 300 + 5 * x[:, 0, :2]}
    assert {tuple(np.round(row, 2)) for row in restored} <= rows


def test_class_labels_are_not_scaled() -> None:
    x = np.random.default_rng(0).normal(size=(30, 4, 1)) * 100
    y = (x[:, 0, 0] > 0).astype(np.int64)
    edits: dict[str, object] = {"data.scale": "minmax", "training.loss": "cross_entropy"}
    data = prepare(recipe({"x": x, "y": y}, edits))
    assert set(np.unique(data.training.y)) == {0, 1}
    assert data.training.x.max() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("data", "edits", "error"),
    [
        ({"x": np.zeros((9, 4)), "y": np.zeros((9, 1))}, {}, ShapeError),
        ({"x": np.zeros((9, 4, 1)), "y": np.zeros(9)}, {}, ShapeError),
        ({"x": np.zeros((9, 4, 1)), "y": np.zeros((8, 1))}, {}, ShapeError),
        ({"x": np.zeros((0, 4, 1)), "y": np.zeros((0, 1))}, {}, ShapeError),
        ({"x": np.full((9, 4, 1), 2**25), "y": np.zeros((9, 1))}, {}, DataError),
        ({"x": np.zeros((9, 4, 1)), "y": np.zeros((9, 1))}, {"training.loss": "cross_entropy"},
         DataError),
        ({"x": np.zeros((9, 4, 1)), "y": np.full(9, -1)}, {"training.loss": "cross_entropy"},
         DataError),
        ({"x": np.zeros((9, 4, 1)), "y": np.zeros((9, 1)), "lengths": np.full(9, 5)}, {},
         MinirnnError),
        ({"x": np.zeros((9, 4, 1)), "y": np.zeros((9, 1)), "lengths": np.full(9, 1.5)}, {},
         DTypeError),
        ({"x": "none.npy", "y": "none.npy"}, {}, DataError),
        (CO2, {"data.window": 5000}, DataError),
        (CO2, {"generation.context": 2000}, RecipeError),
    ],
)  # fmt: skip
def test_data_that_cannot_be_used_have_their_own_error(
    data: dict[str, Any], edits: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        prepare(recipe(data, edits))


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "evil.npy"
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"evil\.npy"):
        prepare(recipe({"x": str(path), "y": str(path)}))
    path.write_bytes(b"not an array")
    with pytest.raises(DataError, match=r"evil\.npy"):
        prepare(recipe({"x": str(path), "y": str(path)}))


# The model.


def built(edits: dict[str, object], data: dict[str, Any] | None = None) -> Any:
    which = recipe(data or recall(30, 9, 0), edits)
    return build_model(which, prepare(which))


def test_the_recipes_initialisation_fills_every_parameter() -> None:
    model = built({"model.cell": "lstm", "model.init.forget_bias": 2.5, "model.hidden_size": 8})
    layer = model.recurrent
    for gate in range(4):
        block = layer.weight_hh_l0.data[gate * 8 : gate * 8 + 8].astype(np.float64)
        np.testing.assert_allclose(block @ block.T, np.eye(8), atol=1e-5)
    bias = layer.bias_ih_l0.data + layer.bias_hh_l0.data
    np.testing.assert_array_equal(bias.reshape(4, 8)[1], 2.5)
    np.testing.assert_array_equal(bias.reshape(4, 8)[[0, 2, 3]], 0)
    np.testing.assert_array_equal(model.head.bias.data, 0)


def test_chrono_biases_remember_up_to_the_length_of_the_sequences() -> None:
    bias = built({"model.init.bias": "chrono", "model.hidden_size": 64}).recurrent.bias_ih_l0.data
    forget = bias.reshape(4, 64)[1]
    assert forget.min() >= 0
    assert np.exp(forget).max() <= 8
    assert len(np.unique(forget)) == 64
    with pytest.raises(RecipeError, match="chrono"):
        built({"model.init.bias": "chrono"}, recall(30, 2, 0))


def test_the_head_may_begin_at_the_mean_of_the_targets() -> None:
    data = recall(30, 9, 0)
    which = recipe({**data, "y": data["y"] + 7}, {"model.init.head_bias": "target_mean"})
    prepared = prepare(which)
    mean = prepared.training.y.mean(axis=0)
    np.testing.assert_allclose(build_model(which, prepared).head.bias.data, mean, rtol=1e-6)


def test_seeds_decide_the_network_and_nothing_else_does() -> None:
    first, again, other = (built({"training.seed": seed}) for seed in (0, 0, 1))
    for name, array in first.state_dict().items():
        np.testing.assert_array_equal(array, again.state_dict()[name])
    assert not np.array_equal(first.head.weight.data, other.head.weight.data)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid"])
def test_every_cell_and_activation_is_built(cell: str, activation: str) -> None:
    edits: dict[str, object] = {
        "model.cell": cell,
        "model.activation": activation,
        "model.num_layers": 2,
        "model.bidirectional": True,
        "model.dropout": 0.1,
        "model.head_dropout": 0.2,
        "training.epochs": 1,
    }
    which = recipe(recall(30, 5, 0), edits)
    data = prepare(which)
    model = build_model(which, data)
    assert model.recurrent.num_directions == 2
    assert model.head_dropout.p == 0.2
    assert len(train(which, model, data, progress=False)) == 1


def test_the_readout_must_fit_the_targets() -> None:
    x = np.zeros((9, 4, 1))
    every = {"x": x, "y": np.zeros((9, 4, 2))}
    with pytest.raises(RecipeError, match=r"model\.readout"):
        built({}, every)
    assert built({"model.readout": "all"}, every).head.weight.shape == (2, 16)
    with pytest.raises(RecipeError, match=r"model\.readout"):
        built({"model.readout": "all"}, {"x": x, "y": np.zeros((9, 1))})


def test_the_training_table_reaches_the_optimiser_and_the_loop() -> None:
    edits: dict[str, object] = {
        "training.optimizer": "sgd",
        "training.learning_rate": 0.5,
        "training.weight_decay": 0.25,
        "training.epochs": 40,
        "training.early_stopping": 2,
        "training.metrics": ["rmse"],
        "training.batch_size": 7,
    }
    which = recipe(recall(30, 3, 0), edits)
    data = prepare(which)
    model = build_model(which, data)
    optimizer = build_optimizer(which, model)
    assert type(optimizer).__name__ == "SGD"
    assert (optimizer.learning_rate, optimizer.weight_decay) == (0.5, 0.25)
    history = train(which, model, data, progress=False)
    assert history.stopped is not None
    assert history.stopped.kind == "requested"
    assert len(history["rmse"]) == len(history) < 40
    assert history.epochs[0].batches == 4


def test_clipping_is_honoured() -> None:
    # One step of plain gradient descent is as long as the gradient, and so as the clip allows.
    edits: dict[str, object] = {
        "training.optimizer": "sgd",
        "training.learning_rate": 1.0,
        "training.epochs": 1,
        "training.batch_size": 99,
        "training.clip_norm": 0.01,
    }
    which = recipe(recall(30, 3, 0), edits)
    data = prepare(which)
    model = build_model(which, data)
    before = {name: array.copy() for name, array in model.state_dict().items()}
    train(which, model, data, progress=False)
    moved = sum(float(np.sum((a - before[n]) ** 2)) for n, a in model.state_dict().items())
    assert np.sqrt(moved) == pytest.approx(0.01, rel=1e-3)


# The period of a series.


def test_the_period_of_a_series_is_found_under_a_trend_and_noise() -> None:
    assert estimate_period(wave(300, slope=0.02, noise=0.2)) == 25
    co2 = prepare(Recipe.from_dict({"data": CO2})).series
    assert co2 is not None
    assert estimate_period(co2.values[: co2.cut]) == 52


@pytest.mark.parametrize("seed", range(3))
def test_noise_and_wandering_have_no_period(seed: int) -> None:
    noise = np.random.default_rng(seed).normal(size=400)
    assert estimate_period(noise) is None
    assert estimate_period(np.arange(50.0)) is None
    assert estimate_period(np.where(noise > 2, np.nan, noise)) is None
    assert estimate_period(noise[:8]) is None


def test_a_csv_without_a_header_for_its_unit_has_none(tmp_path: Path) -> None:
    data = prepare(recipe(write_csv(tmp_path / "a.csv", wave(200)), {"data.window": 9}))
    assert (data.name, data.unit, data.period) == ("level", "", None)


# Built-in tasks.


@pytest.mark.parametrize(
    ("task", "readout", "loss", "x", "y"),
    [
        ("copying", "all", "cross_entropy", (32, 32, 10), (32, 32)),
        ("temporal_order", "last", "cross_entropy", (32, 12, 6), (32,)),
        ("reber", "all", "bce", (32, 12, 7), (32, 12, 7)),
        ("adding", "last", "l1", (32, 12, 2), (32, 1)),
    ],
)
def test_a_built_in_task_is_made_and_trained_on(
    task: str, readout: str, loss: str, x: tuple[int, ...], y: tuple[int, ...]
) -> None:
    which = Recipe.from_dict(
        {
            "data": {"builtin": task, "length": 12, "samples": 40},
            "model": {"readout": readout, "hidden_size": 4},
            "training": {"loss": loss, "epochs": 2},
        }
    )
    data = prepare(which)
    assert (data.training.x.shape, data.training.y.shape) == (x, y)
    assert (data.training.lengths is not None) is (task == "reber")
    model = build_model(which, data)
    history = train(which, model, data, progress=False)
    assert history.loss[-1] < history.loss[0]


@pytest.mark.parametrize(
    ("edit", "key"),
    [({"training.loss": "mse"}, "training.loss"), ({"data.length": 9}, "data.length")],
)
def test_a_task_is_not_trained_on_what_it_is_not_for(edit: dict[str, object], key: str) -> None:
    which = Recipe.from_dict(
        {"data": {"builtin": "temporal_order"}, "training": {"loss": "cross_entropy"}}
    )
    with pytest.raises(RecipeError) as caught:
        prepare(which.edit(edit))
    assert caught.value.argument == key


# Optimisers and schedulers.


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "rmsprop"])
def test_the_optimiser_is_the_recipes(name: str) -> None:
    which = Recipe.from_dict(
        {"data": {"builtin": "sine"}, "training": {"optimizer": name, "weight_decay": 0.25}}
    )
    optimizer = build_optimizer(which, build_model(which, prepare(which)))
    assert type(optimizer).__name__.lower() == name
    assert optimizer.learning_rate == 1e-3
    assert optimizer.weight_decay == 0.25  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("scheduler", "rates"),
    [
        ("none", [1e-3] * 6),
        ("step", [1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5]),
        ({"name": "step", "every": 3, "factor": 0.5}, [1e-3] * 3 + [5e-4] * 3),
        ({"name": "cosine", "epochs": 2, "minimum": 1e-4}, [1e-3, 5.5e-4] + [1e-4] * 4),
    ],
)
def test_the_rates_are_the_recipes(scheduler: object, rates: list[float]) -> None:
    which = Recipe.from_dict(
        {
            "data": {"builtin": "adding", "length": 4, "samples": 10},
            "model": {"hidden_size": 2},
            "training": {"epochs": 6, "scheduler": scheduler},
        }
    )
    assert Recipe.from_dict(which.to_dict()) == which
    data = prepare(which)
    history = train(which, build_model(which, data), data, progress=False)
    np.testing.assert_allclose([epoch.learning_rate for epoch in history.epochs], rates)


@pytest.mark.parametrize(
    ("scheduler", "key"),
    [
        ("plato", "training.scheduler"),
        ({"factor": 0.5}, "training.scheduler.name"),
        ({"name": "plateau", "every": 3}, "training.scheduler.every"),
        ({"name": "step", "factor": 1.5}, "training.scheduler.factor"),
        ({"name": "none", "factor": 0.5}, "training.scheduler.factor"),
    ],
)
def test_a_scheduler_that_makes_no_sense_is_refused_by_key(scheduler: object, key: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.from_dict({"data": {"builtin": "sine"}, "training": {"scheduler": scheduler}})
    assert caught.value.argument == key
