"""Numbers that break arithmetic are named; they never break the doctor."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import minirnn as mr
from minirnn.diagnosis.remedies import with_remedies
from minirnn.diagnosis.treatment.keep import Kept
from minirnn.training.sequences import Sequences


def recipe(x, y, **tables):
    tables.setdefault("training", {}).setdefault("epochs", 1)
    data = {"x": x, "y": y, **tables.pop("data", {})}
    return mr.Recipe.from_dict({"data": data, "model": {"hidden_size": 4}, **tables})


def some(seed=0, N=40, T=6):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(N, T, 1)), rng.normal(size=(N, 1))


@pytest.mark.parametrize("step", [0, 2])
def test_a_number_missing_at_some_step_is_no_size_of_an_update(step):
    x, y = some()
    x[::5, step] = np.nan
    told = mr.doctor(recipe(x, y, training={"optimizer": "sgd"}), progress=False)
    assert told.root.symptom == "missing-values"
    # A place in time is no rate: nothing tells here how large a step was.
    broke = told.finding("non-finite")
    assert broke.evidence["step"] == step
    rates = [r.edit.get("training.learning_rate") for r in broke.remedies]
    elsewhere = replace(broke, evidence={**broke.evidence, "step": 1e-6})
    offered = with_remedies(elsewhere, told.attempts[0].recipe)[0]
    assert rates == [r.edit.get("training.learning_rate") for r in offered]


@pytest.mark.parametrize("scale", ["none", "standard", "minmax", "robust"])
def test_an_infinity_is_called_so_whatever_the_scale(scale):
    x, y = some()
    x[3, 2] = np.inf
    told = mr.doctor(recipe(x, y, data={"scale": scale, "validation": 0.0}), progress=False)
    assert told.root.symptom == "non-finite"
    assert "missing-values" not in told.symptoms


def test_numbers_whose_squares_overflow_are_judged_in_other_units():
    x, _ = some(N=60)
    x = x.swapaxes(0, 1)
    y = x[-2]
    usual = mr.inspect.measure_dependence(x, y)
    far = mr.inspect.measure_dependence(x * 1e155, y * -1e200)
    assert far.lag == usual.lag == 2
    assert far.best == pytest.approx(usual.best, rel=1e-9)
    assert mr.inspect.measure_dependence(x[:, :0], y[:0]) is None


def test_noise_of_any_size_has_a_price():
    x, y = some()
    told = mr.doctor(recipe(x, y, data={"augment": {"noise": 1e300}}), progress=False)
    assert "non-finite" in told.symptoms


def test_an_augmentation_that_works_in_place_leaves_the_data_alone():
    x, y = (array.astype(np.float32) for array in some())
    before = x.copy()

    def halve(batch: Sequences, rng: np.random.Generator) -> Sequences:
        batch.x[...] *= 0.5
        return batch

    model = mr.SequenceModel("rnn", input_size=1, hidden_size=3, output_size=1, rng=0)
    optimizer = mr.optim.SGD(model.parameters(), 1e-3)
    options = {"loss": "mse", "optimizer": optimizer, "epochs": 1, "progress": False}
    mr.fit(model, (x, y), shuffle=False, augment=halve, **options)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("path", [123, b"attempts.json", "a\0b", None])
def test_a_path_that_is_none_is_refused(path):
    with pytest.raises(mr.ArgumentError, match="keep"):
        Kept(path)


@pytest.mark.parametrize("key", ["norm", "initial_state"])
def test_an_array_is_no_word(key):
    with pytest.raises(mr.ArgumentError, match=key):
        mr.SequenceModel("rnn", input_size=1, hidden_size=3, output_size=1, **{key: np.zeros(2)})
