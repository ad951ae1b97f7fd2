"""Edits of a user's own lines: as words, as a diff, and made."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from minirnn.diagnosis import Diagnosis, Finding, Remedy
from minirnn.diagnosis.code import Change, CodeEdit, Place
from minirnn.errors import ArgumentError

BEFORE = "a = 1\nb = 2\nc = 3\nd = 4\ne = 5\n"
AFTER = "a = 1\nb = 20\nc = 3\nd = 4\nnew = 0\ne = 5\n"


def edit() -> CodeEdit:
    return CodeEdit.of("Change b", "script.py", BEFORE, AFTER)


def test_an_edit_holds_the_lines_as_they_are_and_as_they_should_be() -> None:
    assert edit().changes == (Change(2, ("b = 2",), ("b = 20",)), Change(5, (), ("new = 0",)))
    assert edit().applied_to(BEFORE) == AFTER


def test_a_file_that_changed_in_the_meantime_is_not_edited() -> None:
    with pytest.raises(ArgumentError, match="line 2") as caught:
        edit().applied_to(BEFORE.replace("b = 2", "b = 3"))
    assert caught.value.argument == "source"


def test_the_diff_is_one_that_patch_takes(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(BEFORE)
    try:
        subprocess.run(["patch"], input=edit().diff, text=True, cwd=tmp_path, check=True)
    except FileNotFoundError:
        pytest.skip("there is no patch here")
    assert (tmp_path / "script.py").read_text() == AFTER


def test_a_last_line_without_an_end_is_edited_too() -> None:
    short = CodeEdit.of("", "s.py", "a = 1\nb = 2", "a = 1\nb = 3")
    assert short.applied_to("a = 1\nb = 2").splitlines() == ["a = 1", "b = 3"]


def test_a_finding_shows_the_edit_in_words_and_lines() -> None:
    remedy = Remedy({}, "so that it runs", "it does", edit())
    finding = Finding("stalled-loss", "illness", "loop", {}, "why", "what", remedies=(remedy,))
    text = str(Diagnosis((finding,)))
    assert "remedy: Change b: so that it runs" in text
    assert "\n    -b = 2\n    +b = 20\n" in text
    told = json.loads(json.dumps(finding.to_dict()))["remedies"][0]["code"]
    assert told["file"] == "script.py"
    assert told["changes"][0] == {"line": 2, "before": ["b = 2"], "after": ["b = 20"]}
    assert told["diff"] == edit().diff
    assert "<pre>--- script.py" in Diagnosis((finding,))._repr_html_()


def test_without_source_there_are_words_alone() -> None:
    remedy = Remedy({}, "because", "it will", CodeEdit("Lower the rate"))
    assert str(remedy) == "Lower the rate: because"
    assert remedy.to_dict()["code"]["diff"] == ""


def test_a_place_is_named_as_an_editor_takes_it() -> None:
    assert str(Place("train.py", 31, text="loss.backward()")) == "train.py:31: loss.backward()"
    assert str(Place("<stdin>", 1)) == "<stdin>:1"
