"""What someone without the right Python is told. (That all goes well, `make test` shows.)"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


def make(target: str, python: str, venv: Path) -> str:
    """Run a target that has to fail; what it printed on standard error."""
    done = subprocess.run(
        ["make", "-C", str(ROOT), target, f"PYTHON={python}", f"VENV={venv}"],
        text=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode != 0
    assert not venv.exists(), "a half-made environment was left"
    return done.stderr


def fake_python(directory: Path, script: str) -> str:
    path = directory / "python3"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("target", ["demo", "test"])
def test_an_old_python_is_named_with_its_version(tmp_path: Path, target: str) -> None:
    old = fake_python(tmp_path, 'case "$1" in --version) echo Python 3.9.2;; *) exit 1;; esac')
    told = make(target, old, tmp_path / "venv")
    assert "Python 3.11 or newer is needed" in told
    assert "Python 3.9.2" in told


def test_a_missing_python_is_named(tmp_path: Path) -> None:
    assert "no python3.99 here" in make("test", "python3.99", tmp_path / "venv")


def test_a_missing_venv_module_is_named(tmp_path: Path) -> None:
    script = f'case "$2" in *ensurepip*) exit 1;; *) exec "{sys.executable}" "$@";; esac'
    told = make("test", fake_python(tmp_path, script), tmp_path / "venv")
    assert "venv module is missing" in told


def test_a_half_made_environment_is_taken_away(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    script = f'case "$1" in -m) mkdir "{venv}"; exit 1;; *) exec "{sys.executable}" "$@";; esac'
    make("test", fake_python(tmp_path, script), venv)
