"""`minirnn cases`: tables, JSON, and how it ends."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from minirnn import cli
from minirnn.diagnosis import cases
from minirnn.diagnosis.cases.pool import play_all
from minirnn.report.cases import markdown


def test_one_case_is_told_in_a_table_and_ends_with_0(capsys) -> None:
    assert cli.main(["cases", "003.crash", "--quiet", "--jobs", "1"]) == 0
    told = capsys.readouterr().out
    assert "003: Why is an autoregressive LSTM" in told
    assert "cannot run" in told
    assert "2 of 2 lines came out as expected" in told


def test_what_comes_out_otherwise_ends_with_1_and_is_named(capsys, monkeypatch) -> None:
    other = replace(cases.case_of("003.crash"), expect=("no-signal",), cause=("true",))
    monkeypatch.setattr(cases, "CASES", (other,))
    assert cli.main(["cases", "003", "--quiet", "--jobs", "1"]) == 1
    told = capsys.readouterr().out
    assert "1 of 2 lines came out as expected" in told
    assert "003.crash: expected no-signal, came cannot run" in told


def test_json_has_every_row_and_nothing_else(capsys) -> None:
    assert cli.main(["cases", "003.crash", "--json", "--jobs", "1"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["kind"] for row in rows] == ["cause", "ours"]
    assert rows[0]["verdict"] == "cannot run"
    assert "ShapeError" in rows[0]["error"]


def test_the_list_runs_nothing(capsys, monkeypatch) -> None:
    monkeypatch.setattr(cases.pool, "play", None)
    assert cli.main(["cases", "--list"]) == 0
    assert "000.vanishing" in capsys.readouterr().out
    assert cli.main(["cases", "001", "--list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["cases"]
    assert {each["id"].split(".")[0] for each in listed} == {"001"}


def test_a_page_holds_the_tables(tmp_path, capsys) -> None:
    pytest.importorskip("jinja2")
    pytest.importorskip("plotly")
    page = tmp_path / "cases.html"
    assert cli.main(["cases", "003.crash", "--quiet", "--jobs", "1", "--html", str(page)]) == 0
    assert "999 inputs, 998 targets" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("wrong", [["999"], ["003.no"]])
def test_an_article_that_is_none_ends_with_2(wrong, capsys) -> None:
    assert cli.main(["cases", *wrong]) == 2
    assert "article" in capsys.readouterr().err


def test_the_markdown_escapes_what_would_break_a_table() -> None:
    case = replace(cases.case_of("003.crash"), says="a | b <i>")
    text = markdown("003", (case,), cases.rows_of(case, []))
    assert "a \\| b &lt;i>" in text


def test_processes_give_what_this_one_gives() -> None:
    asked = [(cases.case_of("003.crash"), seed) for seed in (0, 1)]
    alone = {each.seed: each.sick for each in play_all(asked, 1)}
    beside = {each.seed: each.sick for each in play_all(asked, 2)}
    assert alone == beside
