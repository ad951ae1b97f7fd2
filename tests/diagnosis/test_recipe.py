"""Recipes: the whole schema, read from dicts and TOML, checked, edited and written back."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from minirnn import datasets
from minirnn.diagnosis.recipe import Recipe
from minirnn.diagnosis.recipe.aliases import MEANT
from minirnn.diagnosis.recipe.schema import KEYS, TASKS
from minirnn.errors import ArgumentError, MinirnnError, RecipeError
from minirnn.training import Sequences
from minirnn.training.metrics import METRICS

CO2 = {"data": {"builtin": "co2"}}

DESIGNS_EXAMPLE = """
[data]
builtin = "co2"
window = 48
horizon = 1
transform = "none"
scale = "none"
validation = 0.2
seed = 0
augment = { noise = 0.0 }
[model]
cell = "lstm"
hidden_size = 32
num_layers = 1
bidirectional = false
activation = "tanh"
dropout = 0.0
head_dropout = 0.0
readout = "last"
norm = "none"
initial_state = "zeros"
init = { kernel = "glorot_uniform", recurrent = "orthogonal", bias = "zeros", forget_bias = 1.0 }
[training]
loss = "mse"
metrics = []
optimizer = "adam"
learning_rate = 1e-3
epochs = 20
batch_size = 32
seed = 0
clip_norm = 0.0
clip_value = 0.0
weight_decay = 0.0
l1 = 0.0
l2 = 0.0
scheduler = "none"
early_stopping = 0
truncate = 0
scheduled_sampling = 0.0
[generation]
steps = 200
sample = "greedy"
temperature = 1.0
"""


def recipe(**changes: object) -> Recipe:
    return Recipe.from_dict(CO2).edit({key.replace("__", "."): v for key, v in changes.items()})


def test_every_key_of_the_design_is_read_and_its_values_are_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(DESIGNS_EXAMPLE)
    written = Recipe.from_toml(path)
    assert written == Recipe.from_dict({**CO2, "generation": {}})


def test_every_key_can_be_read_by_its_dotted_name() -> None:
    whole = Recipe.from_dict({**CO2, "generation": {}})
    assert whole.get("model.init.forget_bias") == 1.0
    assert whole.get("training.learning_rate") == 1e-3
    for key in KEYS:
        whole.get(key)


@pytest.mark.parametrize(
    ("tables", "argument", "meant"),
    [
        ({"dta": {}}, "dta", "data"),
        ({"data": {"biultin": "co2"}}, "data.biultin", "data.builtin"),
        ({"data": {"builtin": "co2", "scael": "none"}}, "data.scael", "data.scale"),
        ({**CO2, "model": {"hidden": 3}}, "model.hidden", "model.hidden_size"),
        ({**CO2, "model": {"init": {"kernal": "zeros"}}}, "model.init.kernal", "model.init.kernel"),
        (
            {**CO2, "training": {"lerning_rate": 1}},
            "training.lerning_rate",
            "training.learning_rate",
        ),
        ({**CO2, "epochs": 3}, "epochs", "training.epochs"),
        ({**CO2, "training": {"lr": 1}}, "training.lr", "training.learning_rate"),
        ({**CO2, "training": {"units": 1}}, "training.units", "model.hidden_size"),
        ({**CO2, "model": {"layers": 2}}, "model.layers", "model.num_layers"),
        ({**CO2, "training": {"Batch-Size": 8}}, "training.Batch-Size", "training.batch_size"),
        ({**CO2, "generation": {"step": 3}}, "generation.step", "generation.steps"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_known_one(
    tables: dict[str, object], argument: str, meant: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.from_dict(tables)
    assert caught.value.argument == argument
    assert caught.value.hint == f"Did you mean {meant}?"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("data.window", 0),
        ("data.window", 12.0),
        ("data.window", True),
        ("data.window", "48"),
        ("data.validation", 1.0),
        ("data.validation", -0.1),
        ("data.seed", -1),
        ("data.transform", "difference"),
        ("data.scale", "standart"),
        ("data.missing", "zero"),
        ("model.cell", "transformer"),
        ("model.bidirectional", 1),
        ("model.dropout", 1.0),
        ("model.hidden_size", float("nan")),
        ("model.init", "orthogonal"),
        ("model.init.head_bias", 3.0),
        ("training.learning_rate", 0),
        ("training.learning_rate", float("inf")),
        ("training.learning_rate", None),
        ("training.loss", ["mse"]),
        ("training.metrics", "rmse"),
        ("training.metrics", ["rmse", "speed"]),
        ("training.epochs", -3),
        ("training.clip_norm", -1.0),
        ("training.l2", {"kernels": 0.1}),
        ("training.l1", {"kernel": -0.1}),
        ("training.l1", "strong"),
        ("data.augment", {"noise": -1.0}),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_its_key(key: str, value: object) -> None:
    table, *rest = key.split(".")
    inner: object = value
    for name in reversed(rest):
        inner = {name: inner}
    tables = {**CO2, table: inner}
    if table == "data":
        tables["data"] = {"builtin": "co2", **inner}  # type: ignore[dict-item]
    with pytest.raises(RecipeError, match=re.escape(key)):
        Recipe.from_dict(tables)


@pytest.mark.parametrize(
    ("tables", "argument"),
    [
        ({}, "data"),
        ({"data": {}}, "data"),
        ({"data": {"builtin": "co2", "csv": "a.csv"}}, "data"),
        ({"data": {"builtin": "co2", "column": "a"}}, "data.column"),
        ({"data": {"x": np.zeros((9, 3, 1))}}, "data.y"),
        ({"data": {"y": np.zeros((9, 1))}}, "data"),
        ({"data": {"x": np.zeros((9, 3, 1)), "y": np.zeros((9, 1)), "window": 4}}, "data.window"),
        (
            {"data": {"x": np.zeros((9, 3, 1)), "y": np.zeros((9, 1))}, "generation": {}},
            "generation",
        ),
        ({"data": {"builtin": "co2", "lengths": [1, 2]}}, "data.lengths"),
        ({"data": {"builtin": "co2", "samples": 9}}, "data.samples"),
        ({"data": {"builtin": "adding", "window": 9}}, "data.window"),
        ({"data": {"x": "x.csv", "y": "y.npy"}}, "data.x"),
        ({"data": {"x": [["a"]], "y": [1]}}, "data.x"),
        ({**CO2, "training": {"loss": "bce"}}, "training.loss"),
        ({**CO2, "model": {"readout": "all"}}, "model.readout"),
        ({**CO2, "model": {"dropout": 0.5}}, "model.dropout"),
        ({**CO2, "model": {"cell": "rnn", "init": {"bias": "chrono"}}}, "model.init.bias"),
        ({**CO2, "model": {"cell": "gru", "init": {"forget_bias": 2}}}, "model.init.forget_bias"),
        ({"data": {"builtin": "co2", "horizon": 2}, "generation": {}}, "data.horizon"),
        ({"data": 3}, "data"),
        (["data"], "recipe"),
    ],
)
def test_tables_that_contradict_are_refused(tables: dict[str, object], argument: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.from_dict(tables)
    assert caught.value.argument == argument
    assert isinstance(caught.value, ArgumentError | MinirnnError)


def test_an_edit_makes_a_new_recipe_and_checks_it() -> None:
    first = recipe()
    second = first.edit({"data.scale": "standard", "model.init.bias": "chrono"})
    assert first.data.scale == "none"
    assert (second.data.scale, second.model.init.bias) == ("standard", "chrono")
    assert second.edit({"data.scale": "none", "model.init.bias": "zeros"}) == first
    with pytest.raises(RecipeError, match=r"Did you mean data\.scale"):
        first.edit({"data.scales": "standard"})
    with pytest.raises(RecipeError, match=r"data\.scale"):
        first.edit({"data.scale": 1})


def test_an_edit_does_not_take_defaults_for_given() -> None:
    x, y = np.zeros((9, 3, 1)), np.zeros((9, 1))
    arrays = Recipe.from_dict({"data": {"x": x, "y": y}})
    edited = arrays.edit({"training.epochs": 3})
    assert edited.data.x is x  # `window` was not given, so nothing contradicts the arrays
    assert edited.training.epochs == 3
    free = Recipe.from_dict({**CO2, "generation": {}})
    assert free.edit({"data.window": 99}).generation is not None


def test_a_recipe_goes_to_toml_and_back(tmp_path: Path) -> None:
    first = recipe(
        data__scale="robust",
        model__init__head_bias="target_mean",
        training__metrics=["rmse", "r2"],
        training__learning_rate=0.003,
        generation__steps=7,
    )
    path = tmp_path / "again.toml"
    path.write_text(first.to_toml(), encoding="utf-8")
    assert Recipe.from_toml(path) == first
    assert Recipe.from_dict(first.to_dict()).training == first.training


def test_toml_keeps_any_text(tmp_path: Path) -> None:
    name = 'a "quoted" column\\, ü \x7f\t'
    first = Recipe.from_dict({"data": {"csv": "f.csv", "column": name}})
    path = tmp_path / "text.toml"
    path.write_text(first.to_toml(), encoding="utf-8")
    assert Recipe.from_toml(path).data.column == name


def test_arrays_are_described_for_json_and_refused_for_toml() -> None:
    arrays = Recipe.from_dict({"data": {"x": np.zeros((9, 3, 1)), "y": np.zeros((9, 1))}})
    assert "(9, 3, 1) of float64" in json.dumps(arrays.describe())
    with pytest.raises(RecipeError, match=r"data\.x.*numpy\.save"):
        arrays.to_toml()


def test_relative_paths_are_taken_from_the_recipes_folder(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('[data]\ncsv = "sub/my.csv"\ncolumn = "a"\n')
    assert Recipe.from_toml(path).data.csv == str(tmp_path / "sub" / "my.csv")
    path.write_text(f'[data]\nx = "x.npy"\ny = "{tmp_path}/y.npy"\n')
    data = Recipe.from_toml(str(path)).data
    assert (data.x, data.y) == (str(tmp_path / "x.npy"), str(tmp_path / "y.npy"))


@pytest.mark.parametrize("content", [b"[data\n", b"a = \xff", b"[data]\nwindow = 1\nwindow = 2\n"])
def test_a_file_that_is_no_toml_is_a_recipe_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=r"bad\.toml"):
        Recipe.from_toml(path)


def test_a_missing_file_or_a_folder_is_a_recipe_error(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="exists"):
        Recipe.from_toml(tmp_path / "none.toml")
    with pytest.raises(RecipeError, match="readable"):
        Recipe.from_toml(tmp_path)


def test_the_metrics_of_a_recipe_are_those_that_training_has() -> None:
    assert recipe(training__metrics=list(METRICS)).training.metrics == tuple(METRICS)


def test_one_error_names_all_that_is_wrong() -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.from_dict(
            {"dta": {}, "data": {"builtin": "co2", "windw": 3}, "model": {"init": {"bias": 2}}}
        )
    assert caught.value.argument == "dta"
    for told in ("Did you mean data?", "data.windw: got", "model.init.bias: got 2; wanted"):
        assert told in str(caught.value)
    with pytest.raises(RecipeError) as caught:
        Recipe.from_dict({"data": {"builtin": "text", "scale": "standard"}})
    assert caught.value.argument == "training.loss"
    assert "data.scale: got 'standard'; wanted 'none' for text" in str(caught.value)


@pytest.mark.parametrize(
    ("key", "came", "meant"),
    [
        ("training.optimizer", "SGD", "sgd"),
        ("training.loss", "CrossEntropyLoss", "cross_entropy"),
        ("data.scale", "z-score", "standard"),
        ("model.cell", "SimpleRNN", "rnn"),
    ],
)
def test_other_libraries_words_are_known_in_hints(key: str, came: str, meant: str) -> None:
    with pytest.raises(RecipeError, match=f"Did you mean '{meant}'"):
        Recipe().edit({"data.builtin": "co2", key: came})


def test_every_alias_is_of_a_word_that_a_recipe_has() -> None:
    words = {key.rpartition(".")[2] for key in KEYS}
    values = {"standard", "minmax", "robust", "rnn", "interpolate", "mse", "l1", "huber", "bce"}
    schedules = {"plateau", "cosine", "step"}
    assert set(MEANT) <= words | values | schedules | {"cross_entropy"}


def test_what_is_wrong_is_told_in_sentences() -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.from_dict({"data": {"windw": 3, "seed": -1}, "training": {"lr": 1, "epochs": 0}})
    one, *others = str(caught.value).splitlines()
    assert one.endswith("Did you mean data.window? Also wrong:")
    assert [line[-1] for line in others] == [".", "?", "."]


@pytest.mark.parametrize("builtin", TASKS)
def test_a_built_in_task_says_which_loss_and_readout_it_needs(builtin: str) -> None:
    task = getattr(datasets, builtin)(8)
    loss, readout = TASKS[builtin]
    assert loss == task.loss
    assert readout == ("all" if Sequences(task.x, task.y, task.lengths).per_step else "last")
    data = {"builtin": builtin}
    Recipe.from_dict({"data": data, "model": {"readout": readout}, "training": {"loss": loss}})
    wrong = {"loss": "bce" if loss == "cross_entropy" else "cross_entropy"}
    other = "last" if readout == "all" else "all"
    with pytest.raises(RecipeError) as caught:
        Recipe.from_dict({"data": data, "model": {"readout": other}, "training": wrong})
    assert f"training.loss: got {wrong['loss']!r}; wanted {loss!r}" in str(caught.value)
    assert f"model.readout: got {other!r}; wanted {readout!r}" in str(caught.value)


def test_any_loss_of_numbers_goes_with_a_task_of_numbers() -> None:
    Recipe.from_dict({"data": {"builtin": "adding"}, "training": {"loss": "huber"}})


@pytest.mark.parametrize("bad", [None, 3, "data.scale", ["data.scale"]])
def test_what_is_no_edit_key_or_path_is_a_recipe_error(bad: object) -> None:
    with pytest.raises(RecipeError, match="changes"):
        recipe().edit(bad)  # type: ignore[arg-type]
    if not isinstance(bad, str):
        with pytest.raises(RecipeError):
            recipe().get(bad)  # type: ignore[arg-type]
        with pytest.raises(RecipeError, match="path"):
            Recipe.from_toml(bad)  # type: ignore[arg-type]
