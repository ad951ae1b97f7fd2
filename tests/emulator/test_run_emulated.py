"""A program run on the emulated GPU."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parent / "run_emulated.py"


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(RUN), *arguments], capture_output=True, text=True, cwd=cwd, check=False
    )


@pytest.fixture
def program(tmp_path: Path) -> Path:
    # Asked of a fresh process: in this one the real CuPy may be loaded.
    asked = "import emulator; print(emulator.available() or '')"
    told = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, cwd=RUN.parent, check=True
    )
    if told.stdout.strip():
        pytest.skip(told.stdout.strip())
    path = tmp_path / "program.py"
    path.write_text("import sys, cupy\nprint(sys.argv[1:], float(cupy.ones(3).sum()))\n")
    return path


def test_a_script_gets_its_arguments_and_the_model(program):
    ran = run(str(program), "--device", "cuda", cwd=program.parent)
    assert ran.stdout == "['--device', 'cuda'] 3.0\n", ran.stderr


def test_a_module_is_found_in_the_folder_it_is_started_in(program):
    ran = run("-m", "program", "x", cwd=program.parent)
    assert ran.stdout == "['x'] 3.0\n", ran.stderr


def test_transfers_are_told_at_the_end_if_asked(program):
    ran = run("--transfers", str(program), cwd=program.parent)
    assert ran.stderr == "     1 × to host: (), 8 bytes, float, program.py:2\n"


def test_without_a_program_the_usage_is_told(tmp_path):
    ran = run(cwd=tmp_path)
    assert ran.returncode == 2
    assert "run_emulated.py" in ran.stdout
