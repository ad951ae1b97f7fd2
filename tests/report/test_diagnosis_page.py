"""The page of a diagnosis, from a real run of the doctor on a small series."""

from __future__ import annotations

import html
import math
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
from report_pages import assert_self_contained, figures_of
from report_stories import attempt, diagnosis, finding

import minirnn as mr
from minirnn.errors import ArgumentError, MissingExtraError
from minirnn.report import save_diagnosis_html
from minirnn.report.diagnosis_page import Setting, diagnosis_page
from minirnn.report.page import Figure, Figures, Page, Section, render
from minirnn.report.series_page import Axes, errors_figure, running_rmse
from minirnn.report.style import new_figure

NASTY = "<script>alert(1)</script><b>ppm"


@pytest.fixture(scope="module")
def series_csv(tmp_path_factory):
    """A series near 1000 that climbs and swings, in a column with an unfriendly name."""
    t = np.arange(160)
    values = 1000 + 0.3 * t + 8 * np.sin(t / 3)
    path = tmp_path_factory.mktemp("data") / "series.csv"
    path.write_text("\n".join([NASTY, *map(str, values)]), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def story(series_csv):
    """Raw, then scaled: two attempts at least."""
    recipe = mr.Recipe.from_dict(
        {
            "data": {"csv": str(series_csv), "window": 12},
            "model": {"hidden_size": 6, "init": {"head_bias": "target_mean"}},
            "training": {"epochs": 2, "learning_rate": 1e-2},
            "generation": {"steps": 30, "context": 12},
        }
    )
    return mr.doctor(recipe, repair=True, trainings=2, progress=False)


@pytest.fixture(scope="module")
def page(story):
    return render(diagnosis_page(story))


def captions(html: str) -> list[str]:
    return re.findall(r"<figcaption><b>(.*?)</b>", html)


def test_every_attempt_has_all_its_pictures(story, page):
    assert len(story.attempts) == 2
    found = captions(page)
    for title in (
        "Input gate i",
        "Forget gate f",
        "Candidate g",
        "Output gate o",
        "Hidden state h",
        "Cell state c",
        "Gradient norm of the states",
        "Gradient norm of the gates",
        "Gradient of the hidden state h",
        "Gradient of the cell state c",
        "Loss",
        "Gradient norm in training",
        "Predictions over the record",
    ):
        assert found.count(title) == len(story.attempts)
    for title in ("The record", "Predictions of the held-out part", "Free run"):
        assert found.count(title) == 1
    assert len(figures_of(page)) == len(found)


def test_every_axis_is_labelled_and_every_figure_has_a_height(page):
    for figure in figures_of(page):
        layout = figure["layout"]
        assert layout["xaxis"]["title"]["text"]
        assert layout["yaxis"]["title"]["text"]
        assert layout["height"] >= 200


def test_the_findings_stand_on_the_page_with_cause_evidence_and_remedy(story, page):
    for each in story.attempts:
        for found in each.diagnosis.findings:
            assert found.symptom in page
    first = story.before.root
    assert first.symptom == "unscaled-input"
    assert "data.scale = &#34;standard&#34;" in page
    assert f"<p>{first.cause} {first.explanation}</p>" in html.unescape(page)
    assert "would not help" in page.lower()


def test_figures_of_the_run_stand_in_the_table(story, page):
    table = re.search(r"<table>.*?</table>", page, re.DOTALL)[0]
    assert "Attempt 1" in table
    assert "Attempt 2" in table
    assert "persistence" in table
    assert "free run over 30 steps" in table


def test_all_attempts_share_the_gradients_colours(page):
    maps = [
        figure["data"][0]
        for figure, caption in zip(figures_of(page), captions(page), strict=True)
        if caption.startswith("Gradient of the")
    ]
    assert len({(m["zmin"], m["zmax"]) for m in maps}) == 1


def test_the_columns_name_is_shown_and_not_run(page):
    assert_self_contained(page)
    assert NASTY not in page
    titles = {figure["layout"]["yaxis"]["title"]["text"] for figure in figures_of(page)}
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&lt;b&gt;ppm" in titles


def test_recipes_are_shown_so_that_they_can_be_run_again(story, page):
    assert page.count("<summary>The recipe of this attempt</summary>") == len(story.attempts)
    assert "hidden_size = 6" in page


def test_training_and_held_out_parts_are_marked(page):
    record = figures_of(page)[0]
    names = [trace["name"] for trace in record["data"] if "name" in trace]
    assert names == ["the record", "trained on", "held out"]
    grounds = [shape["fillcolor"] for shape in record["layout"]["shapes"]]
    assert len(set(grounds)) == 2


def test_times_are_used_where_they_are_known(story):
    times = 1990 + np.arange(160) / 52
    setting = Setting(times=times, x_title="year", title="A title of its own")
    html = render(diagnosis_page(story, setting))
    assert "<title>A title of its own</title>" in html
    assert figures_of(html)[0]["layout"]["xaxis"]["title"]["text"] == "year"
    assert figures_of(html)[0]["layout"]["xaxis"]["range"] == [times[0], times[-1]]


def test_a_single_probe_has_a_page_too():
    x = np.random.default_rng(0).normal(size=(10, 8, 1)).astype(np.float32)
    model = mr.SequenceModel("gru", input_size=1, hidden_size=4, output_size=1, rng=0)
    html = render(diagnosis_page(mr.diagnose(model, x, x[-1], loss="mse")))
    assert "Findings" in html
    assert "Cured" not in html


def test_sequences_that_are_no_series_have_a_page_without_predictions():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 6, 2)).astype(np.float32)
    recipe = mr.Recipe.from_dict(
        {
            "data": {"x": x, "y": x.sum(axis=(1, 2))[:, None]},
            "model": {"hidden_size": 4, "bidirectional": True, "num_layers": 2},
            "training": {"epochs": 1},
        }
    )
    html = render(diagnosis_page(mr.doctor(recipe, progress=False)))
    found = captions(html)
    assert found.count("Input gate i") == 2  # the first and the last of four traces
    assert "LSTM.l0" in html
    assert "LSTM.l1_reverse" in html
    assert not any(caption.startswith("Predictions") for caption in found)


def test_a_run_that_broke_still_has_a_page():
    broken = diagnosis(
        attempt(findings=[finding("non-finite")], losses=[1.0, math.nan], stopped=True)
    )
    html = render(diagnosis_page(broken))
    assert "Ill: non-finite" in html
    assert "the loss became nan" in html


def test_an_attempt_taken_back_is_marked():
    told = diagnosis(
        attempt(findings=[finding("saturated-gates")]),
        attempt(findings=[], edit={"training.learning_rate": 1e-4}, kept=False),
    )
    html = render(diagnosis_page(told))
    assert "taken back" in html
    assert "A remedy that did not help" in html


def test_of_an_attempt_taken_back_the_page_has_the_curves_and_no_maps(story):
    first, second = story.attempts
    html = render(diagnosis_page(replace(story, attempts=(first, replace(second, kept=False)))))
    found = captions(html)
    for title in ("Loss", "Gradient norm in training", "Predictions over the record"):
        assert found.count(title) == 2
    for title in ("Input gate i", "Cell state c", "Gradient norm of the states"):
        assert found.count(title) == 1


def test_the_page_weighs_little_more_than_plotly(page):
    """4.8 MB of plotly.js travel packed; two attempts of a small network add little."""
    assert len(page) < 2_300_000


def test_consequences_are_folded_under_their_root():
    told = diagnosis(
        attempt(
            findings=[
                finding("unscaled-input", consequences=("saturated-gates",)),
                finding("saturated-gates"),
            ]
        )
    )
    html = render(diagnosis_page(told))
    cards = re.findall(r"<article.*?</article>", html, re.DOTALL)
    assert "<details>" not in cards[0]
    assert "<details>" in cards[1]


def test_running_rmse_is_the_root_of_the_mean_square_of_each_stretch():
    errors = np.array([3.0, 4.0, 0.0, -1.0])
    np.testing.assert_allclose(running_rmse(errors, 2), np.sqrt([12.5, 8.0, 0.5]))


def test_the_errors_drawn_are_those_of_the_answers(story):
    attempts = [("Attempt 1", story.attempts[0])]
    run = story.attempts[0].run
    figure = errors_figure(attempts, Axes.of(run), season=8).figure
    forecast = run.forecasts["validation"]
    for line, given in zip(figure.data, (forecast.given, forecast.naive), strict=True):
        np.testing.assert_allclose(line.y, running_rmse(given - forecast.wanted, 8))
        assert line.x[0] == forecast.indices[7]


def test_no_text_of_a_figure_can_close_its_script_element():
    figure = new_figure(height=200, x_title="x", y_title="y")
    figure.update_layout(title="</script><script>alert(1)</script>&<!--")
    html = render(Page("a page", [], [Section("a", "a", [Figures([Figure("one", figure)])])]))
    assert "alert(1)" not in html
    (read,) = figures_of(html)  # which is what stands before the next </script>
    assert read["layout"]["title"]["text"].startswith("</script>")


def test_save_html_writes_the_page(story, tmp_path):
    target = tmp_path / "page.html"
    story.save_html(target)
    assert_self_contained(target.read_text("utf-8"))
    with pytest.raises(ArgumentError, match="path"):
        save_diagnosis_html(story, tmp_path / "missing" / "page.html")


@pytest.mark.parametrize("module", ["plotly.graph_objects", "jinja2"])
def test_without_the_extra_the_error_says_how_to_get_it(story, tmp_path, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match="the extra 'report' of minirnn"):
        save_diagnosis_html(story, tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []
