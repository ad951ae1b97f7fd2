"""The command line as a process of its own: modules, pipes and signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import minirnn

RECIPE = """
[data]
builtin = "sine"
window = 12
[model]
hidden_size = 8
[training]
epochs = {epochs}
"""


def start(*arguments: str, cwd: object, **variables: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "minirnn", *arguments]
    home = str(Path(minirnn.__file__).parents[1])  # the same minirnn, installed or not
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": home} | variables
    return subprocess.Popen(
        command,
        cwd=str(cwd),
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_python_m_minirnn_is_the_command_line(tmp_path):
    with start("--version", cwd=tmp_path) as process:
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out.startswith("minirnn ")


def test_bad_input_shows_no_traceback(tmp_path):
    with start("doctor", "missing.csv", cwd=tmp_path) as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert err.count("\n") == 1
    assert "Traceback" not in err


def test_an_output_that_knows_only_ascii_is_no_reason_to_fail(tmp_path):
    (tmp_path / "r.toml").write_text(RECIPE.format(epochs=1), encoding="utf-8")
    arguments = ("doctor", "r.toml", "--quiet")
    with start(*arguments, cwd=tmp_path, PYTHONIOENCODING="ascii") as process:
        out, err = process.communicate(timeout=120)
    assert process.returncode in (0, 1)
    assert "Attempt 1" in out
    assert "Traceback" not in err


def test_help_needs_neither_numba_nor_plotly(tmp_path):
    code = (
        "import sys; from minirnn import cli\n"
        "try: cli.main(['doctor', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'numba', 'plotly', 'rich', 'jinja2'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes end otherwise on Windows")
def test_a_reader_that_goes_away_ends_it_quietly(tmp_path):
    (tmp_path / "r.toml").write_text(RECIPE.format(epochs=1))
    with start("doctor", "r.toml", "--quiet", cwd=tmp_path) as process:
        process.stdout.close()
        err = process.stderr.read()
    assert process.returncode == 141
    assert "Traceback" not in err
    assert "BrokenPipe" not in err


@pytest.fixture
def heeds_control_c():
    """Tests that run in a shell's background are started with SIGINT ignored, and so are theirs."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send")
def test_control_c_in_training_ends_with_one_line_and_130(tmp_path, heeds_control_c):
    (tmp_path / "r.toml").write_text(RECIPE.format(epochs=100_000))
    with start("doctor", "r.toml", cwd=tmp_path) as process:
        line = process.stderr.readline()
        while line and "epoch" not in line:
            line = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert err.endswith("minirnn: interrupted\n")
    assert "Traceback" not in err
