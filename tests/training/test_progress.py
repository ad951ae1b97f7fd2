"""Progress: plain lines off a terminal, a live display on one, silence when asked."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from minirnn.optim import Adam
from minirnn.training import Callback, Run, fit
from minirnn.training.progress import format_seconds


def train(model: Any, data: Any, **options: Any) -> Any:
    chosen = {"loss": "mse", "epochs": 3, "optimizer": Adam(model.parameters())}
    return fit(model, data, **{**chosen, **options})


def test_off_a_terminal_every_epoch_has_a_plain_line(make_model, sums) -> None:
    stream = io.StringIO()
    history = train(make_model(), sums, validation=sums, metrics=["rmse"], progress=stream)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("epoch 2/3  loss ")
    assert (
        f"loss {history.loss[1]:.4g}  validation loss {history.validation_loss[1]:.4g}" in lines[1]
    )
    assert f"rmse {history['validation_rmse'][1]:.4g}" in lines[1]
    assert f"gradient norm {history.gradient_norm[1]:.3g}" in lines[1]
    assert lines[1].endswith(" s left")
    assert "\x1b" not in stream.getvalue()


def test_long_runs_print_about_twenty_lines_with_the_first_and_the_last(make_model, sums) -> None:
    stream = io.StringIO()
    train(make_model(), sums, epochs=50, progress=stream)
    lines = stream.getvalue().splitlines()
    assert 15 <= len(lines) <= 21
    assert lines[0].startswith("epoch  1/50")
    assert lines[-1].startswith("epoch 50/50")


@pytest.mark.parametrize("progress", [None, True])
def test_the_default_stream_is_stderr(make_model, sums, capsys, progress: Any) -> None:
    train(make_model(), sums, progress=progress)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("epoch") == 3


def test_silence_is_silent(make_model, sums, capsys) -> None:
    train(make_model(), sums, progress=False)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_a_stop_is_told(make_model, sums) -> None:
    class Stop(Callback):
        def batch_ended(self, run: Run) -> None:
            run.stop("enough")

    stream = io.StringIO()
    train(make_model(), sums, callbacks=[Stop()], progress=stream)
    assert stream.getvalue().splitlines()[-1].startswith("stopped: enough in epoch 1, batch 1")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_dumb_terminal_gets_plain_lines(make_model, sums, monkeypatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    stream = Terminal()
    train(make_model(), sums, progress=stream)
    assert "\x1b" not in stream.getvalue()
    assert stream.getvalue().count("\n") == 3


def test_a_terminal_gets_its_cursor_back_after_an_error(make_model, sums, monkeypatch) -> None:
    class Fail(Callback):
        def epoch_ended(self, run: Run) -> None:
            raise ZeroDivisionError

    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with pytest.raises(ZeroDivisionError):
        train(make_model(), sums, callbacks=[Fail()], progress=stream)
    assert stream.getvalue().rindex("\x1b[?25h") > stream.getvalue().rindex("\x1b[?25l")


SCRIPT = """
import numpy as np
import minirnn as mr
x = np.ones((64, 5, 1), np.float32)
model = mr.SequenceModel("rnn", input_size=1, hidden_size=2, output_size=1, rng=0)
mr.fit(model, (x, x[:, 0]), (x, x[:, 0]), loss="mse", epochs=4,
       optimizer=mr.optim.Adam(model.parameters()))
"""


def test_a_terminal_gets_a_live_display() -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "140", "LINES": "30"}
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stderr=theirs, stdout=subprocess.PIPE, env=environment
    ) as process:
        os.close(theirs)
        written = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the terminal's other end was closed
                break
            if not piece:
                break
            written += piece
        assert process.stdout is not None
        assert process.stdout.read() == b""
    os.close(ours)
    assert process.returncode == 0, written.decode()
    text = written.decode()
    assert "\x1b[?25l" in text  # the cursor was hidden, the line drawn anew, the cursor shown
    assert "\x1b[?25h" in text
    shown = text[text.rindex("epoch") :]
    for words in ("4/4", "\nloss ", "validation loss ", "gradient norm "):
        assert words in shown


def test_plain_progress_imports_no_rich() -> None:
    code = SCRIPT + "\nimport sys; assert 'rich' not in sys.modules"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3600, "1 h 00 min"),
        (7830, "2 h 10 min"),
    ],
)
def test_durations_are_told_in_words(seconds: float, words: str) -> None:
    assert format_seconds(np.float64(seconds)) == words
