"""The suites run under pytest-benchmark: one small case, kept, and left out when resumed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.results import Results

ROOT = Path(__file__).resolve().parents[2]


def latency(*arguments: str | Path) -> str:
    """Run the suite of that name with these arguments; what it printed."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "bench/test_latency.py"]
    done = subprocess.run(
        [*command, *map(str, arguments)], cwd=ROOT, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_case_is_kept_with_the_readings_that_pytest_benchmark_saw(tmp_path: Path) -> None:
    pytest.importorskip("pytest_benchmark")
    file, own = tmp_path / "r.json", tmp_path / "own.json"
    options = ["-k", "layer_call and lstm-inference", "--rounds", "2", "--results", file]
    latency(*options, "--benchmark-json", own)
    (key,) = Results.load(file).cases
    record = Results.load(file).cases[key]
    assert key == "latency/layer_call[lstm-inference]"
    assert record.suite == "latency"
    assert record.parameters["shape"] == [1, 1, 32, 32]
    assert len(record.readings["minirnn"]) == 2
    (seen,) = json.loads(own.read_text())["benchmarks"]
    assert seen["stats"]["data"] == pytest.approx(record.readings["minirnn"], rel=1e-4)

    assert "1 passed" not in latency(*options, "--resume")
    assert Results.load(file).cases == {key: record}
