"""Every key that shapes the network or its training does so, and the same for the same seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minirnn.diagnosis import Recipe
from minirnn.diagnosis.build import build_model, train
from minirnn.diagnosis.data import prepare


def base() -> Recipe:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 6, 2)).astype(np.float32)
    lengths = rng.integers(1, 7, 60)
    return Recipe.from_dict(
        {
            "data": {"x": x, "y": x.mean(axis=1), "lengths": lengths},
            "model": {"cell": "gru", "hidden_size": 4, "num_layers": 2, "bidirectional": True},
            "training": {"epochs": 2, "batch_size": 8, "learning_rate": 0.01},
        }
    )


def trained(recipe: Recipe) -> tuple[np.ndarray, Any]:
    data = prepare(recipe)
    model = build_model(recipe, data)
    history = train(recipe, model, data, progress=False)
    named = model.state_dict().items()
    shared = [array.ravel() for name, array in named if not name.startswith(("initial", "head_n"))]
    return np.concatenate([each for each in shared if each.dtype == np.float32]), history


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("data.augment.noise", 0.2),
        ("model.norm", "layer"),
        ("model.norm", "batch"),
        ("model.initial_state", "learned"),
        ("model.initial_state", "random"),
        ("model.initial_state", "carried"),
        ("model.init.kernel", "uniform"),
        ("model.init.recurrent", "normal"),
        ("training.l1", 0.01),
        ("training.l2", 0.01),
        ("training.l2", {"recurrent": 0.1}),
    ],
)
def test_a_key_changes_the_training_and_the_same_again(key: str, value: object) -> None:
    changed = base().edit({key: value})
    first, history = trained(changed)
    again, _ = trained(changed)
    np.testing.assert_array_equal(first, again)
    plain, _ = trained(base())
    assert first.shape != plain.shape or np.abs(first - plain).max() > 1e-5
    assert history.stopped is None
    assert np.isfinite(first).all()


@pytest.mark.parametrize("kind", ["kernel", "recurrent"])
def test_uniform_and_normal_are_keras_defaults_whatever_the_size(kind: str) -> None:
    for name, most in (("uniform", 0.05), ("normal", 0.3)):
        edit = {f"model.init.{kind}": name, "model.hidden_size": 40}
        recipe = base().edit(edit)
        model = build_model(recipe, prepare(recipe))
        layer = model.recurrent
        weight = (layer.weight_ih_l1 if kind == "kernel" else layer.weight_hh_l1_reverse).data
        wanted = 0.05 / np.sqrt(3.0) if name == "uniform" else 0.05
        assert weight.std() == pytest.approx(wanted, rel=0.05)
        assert np.abs(weight).max() <= most


def test_a_penalty_by_kind_is_written_and_read_back() -> None:
    recipe = Recipe.from_dict({"data": {"builtin": "co2"}, "training": {"l2": {"kernel": 0.1}}})
    assert recipe.training.l2 == {"kernel": 0.1, "recurrent": 0.0, "bias": 0.0}
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    assert "l2 = { kernel = 0.1, recurrent = 0.0, bias = 0.0 }" in recipe.to_toml()
    assert recipe.edit({"training.l2": 0.0}) != recipe
