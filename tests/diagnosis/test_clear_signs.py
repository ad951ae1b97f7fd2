"""What leaves no doubt: a mark of nines, inputs that are alike, a context that came before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from problems import recipe

from minirnn.diagnosis import Finding
from minirnn.diagnosis.causes import in_order_of_cause
from minirnn.diagnosis.data import prepare
from minirnn.diagnosis.detectors import (
    exploding_gradient,
    low_data_diversity,
    missing_values,
    output_loop,
    reads_padding,
    unscaled_input,
)
from minirnn.diagnosis.detectors.state_collapse import inputs_alike
from minirnn.diagnosis.evidence import Answers, Evidence
from minirnn.diagnosis.evidence.free_run import FreeRun
from minirnn.diagnosis.evidence.loop import LayerFed, LoopSeen, Padding
from minirnn.diagnosis.remedies import with_remedies
from minirnn.inspect.probe import gradient_probe
from minirnn.nn import SequenceModel

X = np.random.default_rng(0).normal(size=(5, 200, 1)).astype(np.float32)  # (T, B, I)


def noise(n: int) -> Any:
    return np.random.default_rng(n).normal(size=n)


def answers(r2: float, wanted: Any = X[-1]) -> Answers:
    """Answers that explain so much of what was asked."""
    off = np.random.default_rng(1).normal(size=wanted.shape)
    off -= off.mean()
    return Answers(wanted + off * np.sqrt(1 - r2) * wanted.std() / off.std(), wanted)


def alone(symptom: str, **evidence: object) -> Finding:
    return Finding(symptom, "illness", "somewhere", evidence, "a cause", "in words")


# missing-values


@pytest.mark.parametrize(
    ("mark", "r2", "severity"),
    [(-999.0, 0.95, "warning"), (-999.0, 0.5, "illness"), (-500.0, 0.95, "note")],
)
def test_a_mark_of_nines_is_no_measurement_however_well_a_network_copes(
    mark: float, r2: float, severity: str
) -> None:
    x = X.swapaxes(0, 1).copy()
    x[::20, 0] = mark
    declared = recipe({"x": x, "y": x[:, -1].copy()})
    seen = Evidence(X, X[-1], recipe=declared, data=prepare(declared), answers=answers(r2))
    found = missing_values.detect(seen)
    assert found is not None
    assert (found.severity, found.evidence["mark"]) == (severity, mark)


def test_marks_are_written_with_two_nines_at_least() -> None:
    assert all(missing_values.of_nines(mark) for mark in (99.0, -999.0, 9999.0))
    assert not any(missing_values.of_nines(mark) for mark in (9.0, 0.0, -990.0, 1999.0))


# low-data-diversity


def parts(column: Any, held: Any) -> Any:
    """A recipe's data of one feature whose first 80% are trained on."""
    x = np.concatenate([column, held]).astype(np.float32).reshape(-1, 1, 1)
    y = noise(len(x)).astype(np.float32)[:, None]
    return prepare(recipe({"x": x, "y": y, "split": "last"}))


def test_glitches_in_what_is_held_out_make_it_no_wider() -> None:
    held = noise(100)
    held[:7] = 300.0  # 7%, but 1.4% of all
    (width, _) = low_data_diversity.widths(parts(noise(400), held).host)
    assert 0.7 < width.spread < 1.4
    (width, _) = low_data_diversity.widths(parts(0.05 * noise(400), noise(100)).host)
    assert width.spread < 0.1


def test_a_feature_of_two_values_is_as_wide_as_they_are_apart() -> None:
    # A character at 4% of the places here and at 6% there: no quantile decides.
    trained, held = np.arange(400) % 25 == 0, np.arange(100) % 16 == 0
    (width, _) = low_data_diversity.widths(parts(trained, held).host)
    assert width.spread == 1.0


@pytest.mark.parametrize(
    ("known", "asked", "severity"),
    [(0.999, 0.93, "illness"), (0.8, 0.74, "note"), (0.999, 0.97, "note")],
)
def test_what_was_hardly_shown_and_is_far_less_well_known_is_an_illness(
    known: float, asked: float, severity: str
) -> None:
    data = parts(0.05 * noise(400), noise(100))
    seen = Evidence(X, X[-1], data=data, answers=answers(known), unseen=answers(asked))
    found = low_data_diversity.detect(seen)
    assert found is not None
    assert found.severity == severity


# exploding-gradient


def exploding(r2: float, held_out: float) -> Finding | None:
    """What is said of a network that began with a gradient that grows 276 times."""
    x = np.random.default_rng(0).normal(size=(60, 200, 1)).astype(np.float32)
    model = SequenceModel(
        "rnn", input_size=1, hidden_size=4, output_size=1, activation="identity", rng=0
    )
    model.recurrent.weight_hh_l0.data[...] = 1.1 * np.eye(4)
    began = gradient_probe(model, x, x[-1].copy())
    seen = Evidence(
        x, x[-1], untrained=began, loop=LoopSeen(),
        answers=answers(r2, x[-1]), unseen=answers(held_out, x[-1]),
    )  # fmt: skip
    return exploding_gradient.detect(seen)


def test_a_network_that_began_with_an_explosion_and_arrives_late_is_warned_of() -> None:
    found = exploding(0.8, 0.6)
    assert found is not None
    assert found.severity == "warning"
    assert exploding(0.95, 0.92) is None
    worse = exploding(0.3, 0.3)
    assert worse is not None
    assert worse.severity == "illness"


def test_a_loss_that_goes_with_a_high_power_of_the_weights_explodes_at_the_first_step() -> None:
    first = {"losses": np.array([130.0, 5e34]), "naive": 1.07, "weights": 4.0}
    for norm, named in ((5720.0, True), (1600.0, False)):  # powers of 176 and 49
        loop = LoopSeen(2, gradient_norms=np.array([norm, np.inf]), **first)
        assert (exploding_gradient.detect(Evidence(X, X[-1], loop=loop)) is not None) == named


# state-collapse


def test_inputs_are_alike_where_no_feature_differs_by_its_size() -> None:
    close, level = 5.0 + 0.02 * X, np.full_like(X, 300.0)
    assert inputs_alike(Evidence(close, X[-1]))
    assert not inputs_alike(Evidence(X, X[-1]))
    assert inputs_alike(Evidence(np.concatenate([close, level], axis=2), X[-1]))
    assert not inputs_alike(Evidence(np.concatenate([close, X], axis=2), X[-1]))
    once = close.copy()
    once[0] = 5.0 + X[0]  # the first step alone tells them apart
    assert not inputs_alike(Evidence(once, X[-1]))
    ends = np.where(np.arange(200) % 2, 5, 3)
    padded = np.where(np.arange(5)[:, None, None] < ends[None, :, None], close, 0.0)
    assert inputs_alike(Evidence(padded, X[-1], lengths=ends))


def test_from_inputs_that_are_alike_no_gradient_teaches_a_network_to_tell_them_apart() -> None:
    fading, slow = alone("vanishing-gradient"), alone("slow-learning")
    ordered = in_order_of_cause([fading, slow, alone("state-collapse", inputs_alike=True)])
    assert [(each.symptom, each.harmful) for each in ordered] == [
        ("state-collapse", True), ("vanishing-gradient", False), ("slow-learning", False),
    ]  # fmt: skip
    usual = in_order_of_cause([fading, alone("state-collapse", inputs_alike=False)])
    assert [each.symptom for each in usual] == ["vanishing-gradient", "state-collapse"]
    assert usual[0].harmful
    # Inputs of size 1000 are the reason for the gates that they pin as well.
    raw = [alone("unscaled-input"), alone("saturated-gates"), ordered[0]]
    assert [each.harmful for each in in_order_of_cause(raw)] == [True, True, True]


def test_inputs_that_are_alike_are_scaled_and_then_given_time() -> None:
    declared = recipe({"x": X.swapaxes(0, 1), "y": X[-1]})
    remedies, _ = with_remedies(alone("state-collapse", inputs_alike=True), declared)
    assert [dict(each.edit) for each in remedies[:2]] == [
        {"data.scale": "standard"},
        {"data.scale": "standard", "training.learning_rate": 0.01, "training.epochs": 80},
    ]
    others, _ = with_remedies(alone("state-collapse", inputs_alike=False), declared)
    assert dict(others[1].edit) == {"data.scale": "robust"}


# unscaled-input, reads-padding


def test_large_inputs_of_which_too_little_was_learned_are_warned_of() -> None:
    found = unscaled_input.detect(Evidence(1000 * X, X[-1], answers=answers(0.55)))
    assert found is not None
    assert found.severity == "warning"
    assert "less than there is to know" in found.explanation
    copes = unscaled_input.detect(Evidence(1000 * X, X[-1], answers=answers(0.9)))
    assert copes is not None
    assert copes.severity == "note"


@pytest.mark.parametrize(("r2", "severity"), [(0.7, "illness"), (0.9, "note")])
def test_a_loop_copes_with_padding_as_a_recipe_does(r2: float, severity: str) -> None:
    shares = np.zeros((20, 60))
    shares[19] = 1.0
    padding = Padding(0.0, 5 + np.arange(60) % 12, shares)
    loop = LoopSeen(layers=(LayerFed("cell", True, 1, calls=1),), padding=padding)
    found = reads_padding.detect(Evidence(X, X[-1], loop=loop, answers=answers(r2)))
    assert found is not None
    assert found.severity == severity


# output-loop


def said(tokens: list[int], sample: str, context: int = 6) -> Finding | None:
    given, past = np.array(tokens), np.random.default_rng(2).integers(0, 26, 500)
    run = FreeRun(
        given, past, past[:0], context, sample=sample, alphabet="abcdefghijklmnopqrstuvwxyz"
    )
    return output_loop.detect(Evidence(np.zeros((2, 1, 1)), np.zeros((1, 1)), free_run=run))


def test_a_greedy_run_whose_context_came_before_goes_round_though_it_did_so_once() -> None:
    once = list(range(26)) + list(range(25, 4, -1))
    found = said([*once, *once[:8]], "greedy")
    assert found is not None
    assert (found.evidence["period"], found.evidence["start"]) == (47, 0)
    assert said([*once, *once[:5]], "greedy") is None  # five of the six that decide
    assert said([*once, *once[:8]], "temperature") is None
