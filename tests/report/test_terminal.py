"""What the terminal shows: plain where it is no terminal, and never read as markup."""

from __future__ import annotations

import io

import pytest
from report_stories import attempt, diagnosis, finding

from minirnn.report.story import Wording
from minirnn.report.terminal import make_console, tell_attempt, tell_ending


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def told(*attempts, stream=None) -> str:
    stream = io.StringIO() if stream is None else stream
    console = make_console(stream)
    for index, each in enumerate(attempts):
        tell_attempt(console, index, each, Wording())
    tell_ending(console, diagnosis(*attempts), Wording())
    return stream.getvalue()


def test_each_attempt_has_its_heading_findings_and_verdict():
    text = told(
        attempt(
            findings=[
                finding("unscaled-input", consequences=("saturated-gates",)),
                finding("saturated-gates"),
            ]
        ),
        attempt(edit={"data.scale": "standard"}),
    )
    assert "Attempt 1: " in text
    assert "[illness] unscaled-input" in text
    assert "It brings saturated-gates." in text
    assert text.count("Evidence: share 0.970") == 1  # of the root alone
    assert "Attempt 2: Cured" in text
    assert "Before and after" in text
    assert "In the end\nCured" in text


def test_without_a_terminal_there_are_no_escapes_and_no_trailing_blanks():
    text = told(attempt(findings=[finding("unscaled-input")]), attempt(edit={"data.seed": 1}))
    assert "\x1b" not in text
    assert not any(line.endswith(" ") for line in text.splitlines())


def test_on_a_terminal_there_are_colours(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in told(attempt(findings=[finding("unscaled-input")]), stream=Terminal())


def test_text_in_brackets_is_not_markup():
    text = told(attempt(findings=[finding("x", consequences=("[red]",))]))
    assert "[red]" in text


def test_an_id_is_not_broken_over_two_lines():
    long = finding("outside-training-range", consequences=("constant-output",) * 12)
    lines = told(attempt(findings=[long])).splitlines()
    assert sum(line.count("constant-output") for line in lines) >= 12


def test_a_stream_that_lost_its_reader_says_so():
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        make_console(Gone()).print("anything")
