"""Findings and diagnoses: what they hold, their order, and how they are shown."""

from __future__ import annotations

import json

import numpy as np
import pytest

from minirnn.diagnosis import Advice, Diagnosis, Finding, Recipe, Remedy
from minirnn.diagnosis.causes import BRINGS, follows_from, in_order_of_cause
from minirnn.diagnosis.detectors import DETECTORS
from minirnn.diagnosis.finding import edit_text
from minirnn.diagnosis.remedies import OF_A_LOOP, OFFERS, WOULD_NOT_HELP, with_remedies
from minirnn.errors import ArgumentError


def found(symptom: str, severity: str = "illness", **more: object) -> Finding:
    options: dict[str, object] = {
        "where": "LSTM.l0",
        "evidence": {},
        "cause": "a cause",
        "explanation": "in plain words",
        **more,
    }
    return Finding(symptom, severity, **options)  # type: ignore[arg-type]


def test_every_symptom_has_a_detector_a_place_among_causes_and_remedies() -> None:
    wanted = {
        "vanishing-gradient", "exploding-gradient", "saturated-gates", "dead-units",
        "state-collapse", "constant-output", "output-loop", "frozen-generation",
        "oscillating-loss", "stalled-loss", "slow-learning", "overfitting", "underfitting",
        "unscaled-input", "outside-training-range", "outliers", "missing-values",
        "low-data-diversity", "no-signal", "over-regularised", "shape-broadcast",
        "accumulated-gradients", "batch-time-swap", "carried-state", "no-recurrence",
        "reads-padding", "leakage", "non-finite",
    }  # fmt: skip
    assert set(DETECTORS) == set(BRINGS) == set(OFFERS) == set(WOULD_NOT_HELP) == wanted


def test_causes_run_one_way() -> None:
    order = list(BRINGS)
    for symptom, brought in BRINGS.items():
        assert symptom not in follows_from(symptom)
        assert all(order.index(each) > order.index(symptom) for each in brought)


def test_the_root_leads_and_lists_what_follows_from_it() -> None:
    symptoms = ["constant-output", "saturated-gates", "unscaled-input", "vanishing-gradient"]
    ordered = in_order_of_cause([found(symptom) for symptom in symptoms])
    assert ordered[0].symptom == "unscaled-input"
    assert ordered[0].consequences == ("saturated-gates", "vanishing-gradient", "constant-output")
    assert ordered[1].consequences == ("vanishing-gradient", "constant-output")
    assert len(ordered) == 4


def test_a_separate_illness_is_a_root_of_its_own() -> None:
    ordered = in_order_of_cause(
        [found("outside-training-range"), found("constant-output"), found("state-collapse")]
    )
    assert [each.symptom for each in ordered] == [
        "state-collapse", "constant-output", "outside-training-range",
    ]  # fmt: skip
    assert ordered[2].consequences == ()


def test_the_graver_root_comes_first() -> None:
    ordered = in_order_of_cause(
        [found("missing-values", "warning"), found("outside-training-range")]
    )
    assert ordered[0].symptom == "outside-training-range"


def test_a_note_is_neither_root_nor_consequence() -> None:
    ordered = in_order_of_cause([found("unscaled-input", "note"), found("saturated-gates")])
    assert [each.symptom for each in ordered] == ["saturated-gates", "unscaled-input"]
    assert ordered[1].consequences == ()
    diagnosis = Diagnosis((found("unscaled-input", "note"),))
    assert diagnosis.healthy
    assert diagnosis.root is None
    assert diagnosis.symptoms == {"unscaled-input"}


def test_a_severity_is_one_of_three() -> None:
    with pytest.raises(ArgumentError, match="severity"):
        found("unscaled-input", "grave")


def test_without_training_nothing_is_called_cured() -> None:
    assert not Diagnosis().cured
    assert Diagnosis().healthy
    assert Diagnosis().before.findings == ()


def test_everything_is_json_and_bad_numbers_keep_their_names() -> None:
    evidence = {
        "share": np.float32(0.5),
        "norms": np.array([1.0, np.nan, np.inf]),
        "by_gate": {"input": (1, 2)},
        "nothing": None,
        "kind": "at the gate",
    }
    diagnosis = Diagnosis(
        (
            found(
                "saturated-gates",
                evidence=evidence,
                remedies=(Remedy({"data.scale": "standard"}, "why", "what"),),
                would_not_help=(Advice("clip", "no"),),
            ),
        ),
        {"held_out_rmse": float("nan")},
    )
    text = json.dumps(diagnosis.to_dict(), allow_nan=False)
    read = json.loads(text)
    assert read["findings"][0]["evidence"]["norms"] == [1.0, "nan", "inf"]
    assert read["findings"][0]["remedies"][0]["edit"] == {"data.scale": "standard"}
    assert read["figures"] == {"held_out_rmse": "nan"}
    assert read["symptoms"] == ["saturated-gates"]


def test_the_notebook_table_escapes_what_it_shows() -> None:
    sick = found("constant-output", where="<script>alert(1)</script>", consequences=("a&b",))
    html = Diagnosis((sick,))._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "a&amp;b" in html
    assert "http" not in html
    assert "nothing found" in Diagnosis()._repr_html_()


def test_as_text_the_root_and_its_first_remedy_are_told() -> None:
    remedy = Remedy({"data.scale": "standard"}, "so that gates move", "they do")
    text = str(Diagnosis((found("unscaled-input", remedies=(remedy,)),)))
    assert "unscaled-input" in text
    assert 'data.scale = "standard"' in text
    assert edit_text({"training.clip_norm": 1.0}) == "training.clip_norm = 1.0"


def test_as_text_a_remedy_that_helps_twice_is_told_once() -> None:
    scale = Remedy({"data.scale": "standard"}, "so that gates move", "they do")
    clip = Remedy({"training.clip_norm": 1.0}, "so that no step is too long", "it is not")
    sick = Diagnosis(
        (
            found("unscaled-input", remedies=(scale, clip)),
            found("saturated-gates", remedies=(scale,)),
            found("exploding-gradient", remedies=(clip,)),
        )
    )
    assert str(sick).count("data.scale") == 1
    assert str(sick).count("training.clip_norm") == 1


@pytest.mark.parametrize("symptom", [each for each in BRINGS if each not in OF_A_LOOP])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_every_remedy_is_an_edit_that_can_be_made_and_changes_something(
    symptom: str, cell: str
) -> None:
    sick = Recipe.from_dict({"data": {"builtin": "co2"}, "model": {"cell": cell}}).edit(
        {"model.init.recurrent": "glorot_uniform", "training.weight_decay": 0.1}
    )
    evidence: dict[str, object] = {
        "kind": "through time",
        "keys": ["training.weight_decay"],
        "prices": {"training.weight_decay": 0.5},
    }
    remedies, advice = with_remedies(found(symptom, evidence=evidence), sick)
    assert remedies
    assert advice
    for remedy in remedies:
        assert sick.edit(remedy.edit) != sick
        assert remedy.reason
        assert remedy.expected


def test_a_remedy_that_would_change_nothing_is_not_offered() -> None:
    scaled = Recipe.from_dict({"data": {"builtin": "co2", "scale": "standard"}})
    assert with_remedies(found("unscaled-input"), scaled)[0] == ()
    assert with_remedies(found("unscaled-input", "note"), None) == ((), ())


def test_without_a_recipe_the_remedies_still_say_what_to_do() -> None:
    remedies, _ = with_remedies(found("outside-training-range"), None)
    assert dict(remedies[0].edit) == {"data.transform": "change", "data.scale": "standard"}


def test_the_cause_is_told_before_the_explanation_that_refers_to_it() -> None:
    told = found("low-data-diversity", cause="All are of class 0.", explanation="Look at them.")
    diagnosis = Diagnosis((told,), figures={"held_out_accuracy": 1.0})
    for text in (str(told), str(diagnosis), diagnosis._repr_html_()):
        assert "All are of class 0. Look at them." in text
    healthy = Diagnosis(figures={"held_out_accuracy": 1.0})
    for text in (str(diagnosis), diagnosis._repr_html_(), str(healthy), healthy._repr_html_()):
        assert "held out: right answers 100%" in text
