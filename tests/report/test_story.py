"""The story says what happened, whichever way it went."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from report_stories import attempt, diagnosis, finding

from minirnn.diagnosis import Recipe
from minirnn.diagnosis.detectors import DETECTORS
from minirnn.report.measured import accuracy_sentence, compared, error_sentence, free_run_sentence
from minirnn.report.story import (
    Wording,
    answers_sentence,
    before_and_after,
    ending,
    headline,
    training_sentence,
    what_was_done,
)

WORDS = Wording()
LABELS = {"loss": "cross_entropy"}
WEEKS = Wording(step="week", attempt="Act", season="year")


@pytest.mark.parametrize(
    ("error", "naive", "told"),
    [
        (0.39, 0.51, "closer, by 24%"),
        (0.51, 0.51, "as good, no better"),
        (0.6, 0.5, "further off, by 20%"),
        (30.0, 0.5, "60 times as far off"),
        (math.nan, 0.5, "no answer at all"),
        (0.1, 0.0, "baseline is perfect"),
        (0.0, 0.0, "both are perfect"),
    ],
)
def test_a_baseline_that_wins_is_said_to_win(error, naive, told):
    assert told in compared(error, naive)


def test_an_attempt_is_headed_by_what_shows_in_the_answers():
    sick = attempt(findings=[finding("unscaled-input"), finding("constant-output")])
    assert headline(sick) == "One answer for every input"
    beyond = attempt(findings=[finding("outside-training-range")], edit={"data.scale": "standard"})
    assert headline(beyond) == "Good where it was trained, wrong beyond"
    assert headline(attempt(findings=[finding("vanishing-gradient")])).startswith("The gradient")


def test_a_note_does_not_make_an_attempt_ill():
    assert headline(attempt(findings=[finding("missing-values", "note")])) == "Healthy"
    healthy = attempt(findings=[], edit={"data.scale": "standard"})
    assert headline(healthy) == "Cured"


def test_a_remedy_that_was_taken_back_is_not_called_a_cure():
    worse = attempt(findings=[], edit={"data.scale": "standard"}, kept=False)
    assert headline(worse) == "A remedy that did not help"


def test_an_unknown_symptom_heads_with_its_own_id():
    assert headline(attempt(findings=[finding("brand-new")])) == "brand-new"


@pytest.mark.parametrize(
    ("losses", "told"),
    [
        ([4.0, 1.0], "fell from 4.00 to 1.00"),
        ([4.0, 4.01], "hardly moved: from 4.00 to 4.01"),
        ([4.0, 9.0], "rose from 4.00 to 9.00"),
        ([4.0, math.nan], "the loss became not a number"),
    ],
)
def test_what_the_loss_did(losses, told):
    assert told in training_sentence(attempt(losses=losses))


def test_a_training_that_stopped_early_says_why():
    assert "the loss became nan" in training_sentence(attempt(losses=[1.0, 2.0], stopped=True))


def test_answers_that_do_not_differ_are_counted_and_quoted():
    assert "same answer: 3.000" in answers_sentence(attempt(given=[3.0] * 5).run)
    nearly = [3.0, 3.0 + 1e-7, 3.0, 3.0, 3.0]
    assert "practically the same answer" in answers_sentence(attempt(given=nearly).run)
    narrow = [3.0, 3.01, 3.0, 3.02, 3.0]
    assert "between 3.000 and 3.020" in answers_sentence(attempt(given=narrow).run)
    assert answers_sentence(attempt(given=[1.0, 2.0, 3.0, 4.0, 5.0]).run) == ""
    assert answers_sentence(attempt(given=[math.nan] * 5).run) == ""


def test_errors_stand_beside_persistence_with_their_unit():
    figures = {"unit": "ppm", "held_out_rmse": 0.39, "persistence_rmse": 0.51}
    told = error_sentence(figures)
    assert "0.390 ppm" in told
    assert "0.510 ppm" in told
    assert "closer" in told


def test_without_persistence_the_mean_is_the_baseline_and_without_both_none():
    assert "mean is off by 2.00" in error_sentence({"held_out_rmse": 1.0, "mean_rmse": 2.0})
    assert error_sentence({"held_out_rmse": 1.0}).endswith("is 1.00.")
    assert error_sentence({}) == ""


def test_a_free_run_that_stands_still_is_said_to():
    figures = {
        "free_run_rmse": 6.0,
        "free_run_steps": 457,
        "free_run_swing": 1e-6,
        "true_swing": 6.5,
        "season": 52,
        "seasonal_rmse": 1.2,
        "unit": "ppm",
    }
    told = free_run_sentence(figures, WEEKS)
    assert "457 weeks" in told
    assert "in the last year it no longer moves" in told
    assert "5.0 times as far off" in told
    assert "swings by 5.00 ppm" in free_run_sentence(figures | {"free_run_swing": 5.0}, WEEKS)
    without = free_run_sentence(figures | {"season": None}, WEEKS)
    assert "year" not in without
    assert "The last value, continued with the trend, is off by 1.20 ppm" in without
    assert free_run_sentence({}, WEEKS) == ""


def test_the_first_attempt_tells_how_the_network_is_fed():
    told = what_was_done(attempt(), WEEKS)
    assert "8 weeks of the series at a time, the values as they are" in told
    assert "first 80% of the record" in told
    scaled = attempt(data={"scale": "standard", "transform": "change"})
    assert "standardised, relative to the window's last value" in what_was_done(scaled, WORDS)


def test_a_later_attempt_tells_the_remedy_and_what_it_was_for():
    told = what_was_done(attempt(edit={"data.scale": "standard"}, aimed_at="unscaled-input"), WORDS)
    assert "against unscaled-input" in told
    assert 'data.scale = "standard"' in told


def test_a_cure_is_told_with_its_errors_from_first_to_last():
    told = ending(
        diagnosis(
            attempt(
                findings=[finding("unscaled-input")],
                figures={"held_out_rmse": 30.0, "persistence_rmse": 0.5, "unit": "ppm"},
            ),
            attempt(
                edit={"data.scale": "standard"},
                figures={"held_out_rmse": 0.4, "persistence_rmse": 0.5, "unit": "ppm"},
            ),
        ),
        WORDS,
    )
    assert told.startswith("Cured: what began as unscaled-input is gone, after 2 trainings.")
    assert "went from 30.0 ppm to 0.400 ppm" in told
    assert "closer, by 20%" in told


def test_an_illness_that_stands_is_told_as_such():
    ill = diagnosis(attempt(findings=[finding("constant-output")]))
    assert ending(ill, WORDS).startswith("Ill: constant-output.")  # no cure was asked for
    told = ending(replace(ill, ended="no remedy is left to try"), WORDS)
    assert told.startswith("Not cured: constant-output still stands.")


def test_a_healthy_network_is_not_called_cured():
    assert ending(diagnosis(attempt()), WORDS).startswith("Healthy")


def test_the_table_has_a_row_an_attempt_and_one_for_what_needs_no_network():
    table = before_and_after(
        diagnosis(
            attempt(
                findings=[finding("unscaled-input"), finding("missing-values", "note")],
                figures={"held_out_rmse": 30.0, "persistence_rmse": 0.5, "unit": "ppm"},
            ),
            attempt(
                edit={"data.scale": "standard"},
                kept=False,
                figures={"held_out_rmse": math.nan, "persistence_rmse": 0.5, "unit": "ppm"},
            ),
        ),
        WEEKS,
    )
    assert table.columns == ["", "RMSE held out (ppm)", "illnesses and warnings"]
    assert table.rows == [
        ["Act 1", "30.0", "1"],
        ["Act 2, taken back", "not a number", "none"],
        ["without a network", "0.500 (persistence)", ""],
    ]


def test_a_baseline_that_holes_leave_without_a_number_is_shown_once_they_are_filled():
    holes = {"held_out_rmse": math.nan, "persistence_rmse": math.nan}
    filled = {"held_out_rmse": 0.4, "persistence_rmse": 0.5}
    edit = {"data.missing": "interpolate"}
    table = before_and_after(
        diagnosis(attempt(figures=holes), attempt(figures=filled, edit=edit)), WORDS
    )
    at = table.columns.index("RMSE held out")
    assert [row[at] for row in table.rows] == ["not a number", "0.400", "0.500 (persistence)"]


def test_a_series_without_a_season_is_not_said_to_have_a_last_one():
    figures = {
        "free_run_rmse": 6.0,
        "free_run_steps": 457,
        "free_run_swing": 1.0,
        "true_swing": 6.5,
        "seasonal_rmse": 1.2,
        "season": 52,
    }

    def told(figures):
        story = diagnosis(attempt(figures=figures))
        table = before_and_after(story, WEEKS)
        return str([table.columns, *table.rows]), ending(story, WEEKS)

    table, end = told(figures)
    assert "1.20 (the last year with its trend)" in table
    assert "its last year's swing" in table
    assert "without a network, the last year with its trend is off by 1.20" in end
    table, end = told(figures | {"season": None})
    assert "year" not in table + end
    assert "1.20 (the last value with the trend)" in table
    assert "without a network, the last value with the trend is off by 1.20" in end


def test_what_was_not_measured_has_no_column():
    table = before_and_after(diagnosis(attempt()), WORDS)
    assert table.columns == ["", "illnesses and warnings"]
    assert table.rows == [["Attempt 1", "none"]]


@pytest.mark.parametrize(
    ("readout", "asked"), [("last", "that follows"), ("all", "after each step")]
)
def test_a_text_is_told_as_characters(readout, asked):
    tables = {"data": {"builtin": "text", "window": 20}, "model": {"readout": readout}}
    text = replace(attempt(), recipe=Recipe.from_dict(tables | {"training": LABELS}))
    assert f"reads 20 characters of the text at a time, and is asked for the one {asked}" in (
        what_was_done(text, WORDS)
    )


def test_sequences_are_told_with_what_is_held_out():
    data = {"builtin": "temporal_order", "split": "last", "validation": 0.25}
    told = {}
    for share in (0.25, 0.0):
        recipe = Recipe.from_dict({"data": data | {"validation": share}, "training": LABELS})
        told[share] = what_was_done(replace(attempt(), recipe=recipe), WORDS)
    assert told[0.25].endswith("trained on 75% of them; the last of them are held out.")
    assert told[0.0].endswith("trained on all of them; nothing is held out.")


def test_right_answers_are_told_beside_the_commonest_one():
    figures = {"held_out_accuracy": 1.0, "training_accuracy": 0.99, "majority_accuracy": 0.963}
    told = accuracy_sentence(figures)
    assert "held-out answers 100% are right, of those it was trained on 99%" in told
    assert "commonest answer is right in 96%" in told
    assert accuracy_sentence({}) == ""
    end = ending(diagnosis(attempt(figures=figures)), WORDS)
    assert "share of right answers is 100%" in end
    assert "commonest answer reaches 96%" in end


def test_what_does_not_move_is_not_said_to_go():
    still = diagnosis(
        attempt(findings=[finding("no-signal")], figures={"held_out_rmse": 0.98312}),
        attempt(edit={"data.window": 96}, figures={"held_out_rmse": 0.98308}),
    )
    assert "the typical error (RMSE) stayed at 0.983." in ending(still, WORDS)
    assert "the loss stayed at exactly 0" in training_sentence(attempt(losses=[0.0, 0.0]))
    assert "the loss stayed at 1.00" in training_sentence(attempt(losses=[1.001, 1.002]))


def test_the_held_out_loss_is_told_with_that_of_training():
    told = attempt(losses=[4.0, 1.0])
    told.history.epochs[-1] = replace(told.history.epochs[-1], validation_loss=1.5)
    assert "fell from 4.00 to 1.00; held out it ended at 1.50." in training_sentence(told)


def test_an_error_that_is_no_number_is_held_against_nothing():
    told = error_sentence({"held_out_rmse": math.nan, "persistence_rmse": math.nan})
    assert told.endswith("their error is not a number.")
    assert told.count("not a number") == 1


def test_the_baseline_of_the_table_is_that_of_the_ending():
    spoilt = {"held_out_rmse": 4.5, "persistence_rmse": 5.92}
    filled = {"held_out_rmse": 0.4, "persistence_rmse": 1.13}
    edit = {"data.missing_value": 0.0}
    both = diagnosis(attempt(figures=spoilt), attempt(figures=filled, edit=edit))
    assert before_and_after(both, WORDS).rows[-1] == ["without a network", "1.13 (persistence)", ""]
    assert "off by 1.13" in ending(both, WORDS)


def test_every_symptom_of_a_recipe_has_a_heading_in_words():
    in_loops_alone = {"shape-broadcast", "accumulated-gradients"}
    for symptom in set(DETECTORS) - in_loops_alone:
        assert headline(attempt(findings=[finding(symptom)])) != symptom
