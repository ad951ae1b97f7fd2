"""What the terminal shows: plain where it is no terminal, and never read as markup."""

from __future__ import annotations

import io
import re
import textwrap
from dataclasses import replace

import pytest
from report_stories import attempt, diagnosis, finding

from minirnn.report.story import Wording
from minirnn.report.terminal import Telling, column_widths, make_console


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def told(*attempts, stream=None, then=None, width=None) -> str:
    """What is printed of attempts as they are made, and of the diagnosis that comes of them."""
    stream = io.StringIO() if stream is None else stream
    console = make_console(stream)
    console.width = width or console.width
    telling = Telling(console, Wording())
    for each in attempts:
        telling.attempt(each)
    telling.ending(diagnosis(*(then or attempts)))
    return stream.getvalue()


def errors(held_out: float) -> dict[str, float]:
    return {"held_out_rmse": held_out, "mean_rmse": 1.0}


def taken_back(rate: float, error: float = 0.5):
    """An attempt that was not kept, as the judge words it."""
    edit = {"training.learning_rate": rate}
    verdict = f"training.learning_rate = {rate:g} left saturated-gates standing: taken back"
    return replace(
        attempt(
            findings=[finding("saturated-gates")],
            figures=errors(error),
            edit=edit,
            kept=False,
        ),
        verdict=verdict,
    )


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


def test_an_attempt_taken_back_is_a_line_and_its_figures_a_row():
    first = attempt(findings=[finding("saturated-gates")], figures=errors(0.9))
    back = [taken_back(rate, error) for rate, error in ((1e-2, 0.91), (1e-3, 0.92), (1e-4, 0.93))]
    lines = told(first, *back).splitlines()
    at = lines.index("Taken back")
    assert lines[at + 1 : at + 5] == [
        f"Attempt {k}: training.learning_rate = {rate} left saturated-gates standing."
        for k, rate in ((2, 0.01), (3, 0.001), (4, 0.0001))
    ] + [""]
    assert sum("saturated-gates explained" in line for line in lines) == 1
    row = next(line for line in lines if line.startswith("Attempt 4, taken back"))
    assert row.split()[-2:] == ["0.930", "1"]


def test_an_attempt_taken_up_again_keeps_its_number_and_is_told_in_full():
    first = attempt(findings=[finding("saturated-gates")], figures=errors(0.9))
    better, worse = taken_back(1e-2, 0.5), taken_back(1e-3, 0.95)
    again = replace(better, kept=True, verdict="it left one; taken up again, as none did better")
    text = told(first, better, worse, then=(first, worse, again))
    assert "Attempt 2: Gates stuck" in text
    assert "taken up again, as none did better." in text
    table = text[text.index("Before and after") : text.index("In the end")].splitlines()
    rows = {line[:21].strip(): line.split()[-2] for line in table if line.startswith("Attempt")}
    assert rows == {"Attempt 1": "0.900", "Attempt 2": "0.500", "Attempt 3, taken back": "0.950"}


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
@pytest.mark.parametrize("width", [80, 100])
def test_a_table_of_many_attempts_breaks_no_word(width, stream, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    figures = {
        "training_rmse": 123.0, "held_out_rmse": 0.5, "persistence_rmse": 1.5, "unit": "ppm",
        "free_run_rmse": 3.0, "free_run_steps": 260, "seasonal_rmse": 2.0, "season": 52,
        "free_run_swing": 5.0, "true_swing": 6.0,
    }  # fmt: skip
    first = attempt(findings=[finding("saturated-gates")], figures=figures)
    back = [replace(taken_back(10.0**-k), figures=figures) for k in range(1, 8)]
    text = told(first, *back, stream=stream(), width=width)
    table = text[text.index("Before and after") : text.index("In the end")]
    assert {"illnesses", "training", "persistence", "season's"} <= set(
        table.replace("(", " ").replace(")", " ").split()
    )
    assert table.count("taken back") == 7
    assert "\x1b" not in table
    assert max(map(len, table.splitlines())) <= width


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_a_long_place_and_a_long_heading_are_wrapped_under_their_beginning(stream, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    place = "training, epoch 1, batch 1; the states of LSTM.l0 from step 0 on; the answers"
    first = attempt(findings=[replace(finding("outside-training-range"), where=place)])
    text = told(first, stream=stream(), width=36)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()
    at = lines.index("  [illness] outside-training-range")
    wrapped = textwrap.wrap(place, 36, initial_indent=" " * 6, subsequent_indent=" " * 6)
    assert lines[at + 1 : at + 1 + len(wrapped)] == wrapped
    assert lines[1] == "Attempt 1: Good where it was"
    assert lines[2] == "  trained, wrong beyond"
    assert max(map(len, lines)) <= 36
    assert not any(line.endswith(" ") for line in lines)


def test_nothing_found_is_wrapped_under_its_beginning():
    lines = told(attempt(), width=50).splitlines()
    at = lines.index("  Nothing found: the network shows none of the")
    assert lines[at + 1] == "  symptoms that the doctor knows."


def test_a_number_is_not_broken_over_two_lines():
    figures = {"held_out_rmse": 6.3e6, "mean_rmse": 6.3e-5}
    for width in range(60, 80):
        text = told(attempt(figures=figures), width=width)
        assert text.count("6.3 × 10⁶") == 2
        assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize(
    ("columns", "width"), [("80", 80), ("300", 100), ("", 100), ("wide", 100), ("0", 100)]
)
def test_a_pipe_is_as_wide_as_columns_says(columns, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    assert make_console(io.StringIO()).width == width


def test_headings_are_wrapped_before_cells_and_words_stay_whole():
    headings, rows = ["", "a heading of words"], [["the name", "1.22 (mean)"], ["n", "7"]]
    assert column_widths(headings, rows, 40) == [8, 18]
    assert column_widths(headings, rows, 26) == [8, 14]
    assert column_widths(headings, rows, 23) == [8, 11]
    assert column_widths(headings, rows, 21) == [8, 9]  # then the cells, names last
    assert column_widths(headings, rows, 15) == [4, 7]
    assert column_widths(headings, rows, 5) == [4, 7]  # there is no room: words stay whole
    assert column_widths(["one"], [], 20) == [3]
