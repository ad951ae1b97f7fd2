"""`make gpu-check`: a dry run on the emulated GPU, and that it finds what is wrong."""

from __future__ import annotations

import argparse
import os
import re
import runpy
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gpu_check
import gpu_check_machine
import gpu_check_sweep
import numpy as np
import pytest
from gpu_check import CUT, FAILED, PASSED, SKIPPED, Runner, found_by_sanitizer, judge_sanitizer

from bench.results import FOLDER

ROOT = Path(__file__).resolve().parents[2]

# Two gates swapped in every LSTM's forward: any comparison that looks at it has to fail.
FAULT = """
from minirnn.kernels.cuda import source

right = source.cell_text
old, new = "sigmoid(z[slot::input_])", "sigmoid(z[slot::forget_])"

def wrong(cell):
    text = right(cell)
    assert cell.name != "lstm" or old in text
    return text.replace(old, new)

source.cell_text = wrong
"""


def checked(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A dry run with these arguments, in a process of its own."""
    command = [sys.executable, str(ROOT / "tools" / "gpu_check.py"), "--emulated", "--quick"]
    environment = {key: value for key, value in os.environ.items() if key != "OUT"}
    return subprocess.run(
        [*command, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
    )


def results() -> list[Path]:
    return sorted(FOLDER.glob("nvidia-*"))


def test_a_dry_run_goes_through_every_stage_and_keeps_no_results(cuda: str) -> None:
    before = results()
    done = checked()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    short = done.stdout.split("== in short")[1]
    ended = dict(re.findall(r"^(\S.*?) {2,}(passed|FAILED|not run|cut short) ", short, re.M))
    assert ended == {
        "machine": PASSED, "compile": PASSED, "fresh inputs": PASSED, "tests on cuda": PASSED,
        "sanitizer's calls": PASSED, "compute-sanitizer": SKIPPED, "timings": PASSED,
    }  # fmt: skip
    assert "its times say nothing about any GPU" in short
    assert re.search(r"[1-9]\d* tests passed, 0 failed", short)
    assert results() == before


@pytest.mark.parametrize("stage", ["fresh inputs", "timings"])
def test_a_planted_fault_is_found(cuda: str, tmp_path: Path, stage: str) -> None:
    (tmp_path / "fault.py").write_text(FAULT)
    done = checked("--plant", str(tmp_path / "fault.py"), "--only", stage)
    assert done.returncode == 1, done.stdout[-3000:] + done.stderr[-3000:]
    assert re.search(rf"^{stage} +FAILED", done.stdout, re.M)
    assert f"FAILED in {stage}" in done.stdout
    assert "lstm" in done.stdout.split("FAILED in")[1]


def test_what_is_missing_is_named_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu_check, "REQUIRED", ("numpy", "no_such_package", "nor_this"))
    assert gpu_check.main([]) == 2
    assert "lacks no_such_package, nor_this" in capsys.readouterr().err


def test_the_tests_that_use_the_gpu_are_found_and_no_others(cuda: str) -> None:
    where = [f"tests/{name}" for name in gpu_check.TESTS]
    options = ["--collect-only", "-q", "-p", "gpu_check_plugin", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *where],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT / "tools")}, capture_output=True,
        text=True,
    )  # fmt: skip
    found = [line for line in done.stdout.splitlines() if "::" in line]
    folders = {line.split("/")[1] for line in found}
    assert folders >= {"kernels", "engine", "nn", "optim", "training", "profiling"}, done.stdout
    assert len(found) > 500
    against = [line for line in found if "test_every_array_matches_the_reference" in line]
    assert against
    assert all("-cuda]" in line for line in against)
    assert not [line for line in found if "test_layout" in line], "it has nothing to do with a GPU"


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    asked = argparse.Namespace(budget=60.0, only=None, verbose=False, emulated=False, quick=True)
    return Runner(asked, tmp_path)


def test_a_link_that_a_copy_has_lost_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(gpu_check, "LINK", tmp_path / "kernels")
    assert gpu_check.main([]) == 2
    assert "ln -sfn ../kernels minirnn/kernels" in capsys.readouterr().err


def test_a_package_that_does_not_work_is_named_with_its_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "broken_one.py").write_text("raise ImportError('needs NumPy 2.4 or less')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(gpu_check_machine, "NEEDED", ("json", "broken_one"))
    assert gpu_check_machine.broken() == ["broken_one cannot be imported: needs NumPy 2.4 or less"]


def alive(stat: Path) -> bool:
    """Whether a process runs, by its file in /proc; where there is none, it counts as ended."""
    try:
        return stat.read_text().split()[2] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def command(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_stage_that_does_not_end_is_ended_with_all_that_it_started(
    runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_check, "GRACE", 0.2)
    monkeypatch.setattr(gpu_check, "LEAST", 0.1)
    # A child of its own, that would outlive it.
    code = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))\n"
        "time.sleep(60)\n"
    )
    began = time.time()
    runner.stage("slow", 1.0, lambda: command(code))
    assert time.time() - began < 30
    assert runner.outcomes[-1].outcome == CUT
    child = Path(f"/proc/{(tmp_path / 'pid').read_text()}/stat")
    until = time.time() + 10
    while alive(child) and time.time() < until:
        time.sleep(0.02)
    assert not alive(child)


def test_a_stage_that_dies_or_says_nothing_has_failed(runner: Runner) -> None:
    runner.stage("dies", 20, lambda: command("import os; os.abort()"))
    runner.stage("silent", 20, lambda: command("pass"))
    assert [one.outcome for one in runner.outcomes] == [FAILED, FAILED]
    assert "no report" in runner.outcomes[1].words


@pytest.mark.parametrize(
    ("failures", "status", "outcome"),
    [([], 0, PASSED), (["x"], 1, FAILED), (["x"], 0, FAILED), ([], 1, FAILED)],
)
def test_a_stage_has_passed_if_its_report_and_its_status_say_so(
    runner: Runner, failures: list[str], status: int, outcome: str
) -> None:
    code = (
        "import json, os\n"
        "from pathlib import Path\n"
        f"told = {{'words': 'some', 'failures': {failures!r}}}\n"
        "Path(os.environ['GPU_CHECK_REPORT']).write_text(json.dumps(told))\n"
        f"raise SystemExit({status})\n"
    )
    runner.stage("one", 20, lambda: command(code))
    (found,) = runner.outcomes
    assert (found.outcome, found.words) == (outcome, "some")
    assert bool(found.failures) == (outcome == FAILED)


def test_without_time_a_stage_is_told_and_not_run(runner: Runner) -> None:
    runner.until = time.time() + 5
    runner.stage("late", 20, lambda: pytest.fail("it was begun"))
    assert (runner.outcomes[0].outcome, runner.outcomes[0].words) == (SKIPPED, "no time was left")


MEMCHECK = """========= COMPUTE-SANITIZER
========= Invalid __global__ read of size 4 bytes
=========     at forward+0x120
========= ERROR SUMMARY: {} error{}
"""
RACECHECK = "========= RACECHECK SUMMARY: {} hazards displayed ({} errors, {} warnings)\n"


@pytest.mark.parametrize(
    ("output", "found"),
    [
        (MEMCHECK.format(0, "s"), 0),
        (MEMCHECK.format(1, ""), 1),
        (MEMCHECK.format(12, "s"), 12),
        (RACECHECK.format(0, 0, 0), 0),
        (RACECHECK.format(2, 1, 1), 2),
        (RACECHECK.format(3, 0, 3), 3),
        ("Killed\n", None),
    ],
)
def test_what_the_sanitizer_counts_is_read(output: str, found: int | None) -> None:
    assert found_by_sanitizer(output) == found
    right = judge_sanitizer("memcheck", output, 0).outcome == PASSED
    assert right == (found == 0)
    assert judge_sanitizer("memcheck", output, 86).outcome == FAILED


def test_a_sanitizer_that_does_not_know_the_device_has_not_run() -> None:
    told = judge_sanitizer("memcheck", "========= Error: Device not supported\n", 1)
    assert told.outcome == SKIPPED


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_offline_nothing_is_installed(tmp_path: Path) -> None:
    python = tmp_path / "python3"
    python.write_text('#!/bin/sh\necho "asked: $@"\n')
    python.chmod(0o755)
    done = subprocess.run(
        ["make", "-C", str(ROOT), "gpu-check", "OFFLINE=1", f"PYTHON={python}",
         f"VENV={tmp_path / 'venv'}", "GPU_CHECK_ARGS=--budget 9"],
        capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "asked: tools/gpu_check.py --budget 9" in done.stdout
    assert not (tmp_path / "venv").exists()


def swapped(find: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find.write_text(FAULT)
    from minirnn.kernels.cuda import source

    monkeypatch.setattr(source, "cell_text", source.cell_text)  # to be put back
    for make in (source.forward_source, source.backward_source):
        make.cache_clear()
    runpy.run_path(str(find))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ["large", "same_bits"])
def test_what_the_large_sizes_are_held_to_holds_and_catches_a_fault(
    cuda: str, kind: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At small sizes here: the emulated GPU could not run the others."""
    make = getattr(gpu_check_sweep, kind)
    check = make(np.random.default_rng(0), "lstm-tanh", precision, (6, 5, 7, 9))
    check.work()
    if kind == "large":
        swapped(tmp_path / "fault.py", monkeypatch)
        try:
            with pytest.raises(AssertionError, match="differs from the reference"):
                check.work()
        finally:
            from minirnn.kernels.cuda import source

            for text in (source.forward_source, source.backward_source):
                text.cache_clear()


@pytest.mark.parametrize("schedule", gpu_check_sweep.SCHEDULES)
def test_a_check_runs_in_the_precision_and_schedule_that_it_names(
    cuda: str, schedule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from minirnn.kernels.cuda import clock, get_matmul_precision

    right, seen = gpu_check_sweep.run, []

    def watched(*arguments: Any, **options: Any) -> Any:
        with clock.measured() as times:
            found = right(*arguments, **options)
        many = times.launches["forward"].get("recurrent loop", 0) > 1
        seen.append((get_matmul_precision(), many))
        return found

    monkeypatch.setattr(gpu_check_sweep, "run", watched)
    case = gpu_check_sweep.random_case(
        gpu_check_sweep.CELLS["gru-tanh"], T=4, B=2, I=3, H=5, dtype="float32"
    )
    gpu_check_sweep._narrow(case, "float16", schedule)
    assert seen == [("float16", schedule == "a launch a step")]
    assert get_matmul_precision() == "float32"


def test_every_large_size_is_met_once_before_any_is_met_again() -> None:
    names = [check.name for check in gpu_check_sweep.checks(np.random.default_rng(0), False)]
    sizes = [",".join(map(str, each)) for each in gpu_check_sweep.LARGE]
    of_large = [n for n in names if any(f" {size} " in n for size in sizes)]
    first = of_large[: len(sizes)]
    assert [next(s for s in sizes if f" {s} " in n) for n in first] == sizes
    assert len(of_large) == 12 * len(sizes)
    kinds = {(n.split()[0], n.rsplit(", ", 1)[1]) for n in first}
    assert len(kinds) == len(sizes), "each with another cell and precision"


def test_another_bit_in_one_run_is_found(cuda: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check = gpu_check_sweep.same_bits(np.random.default_rng(0), "gru-tanh", "float32", (3, 2, 4, 5))
    right, turns = gpu_check_sweep.run, iter(range(100))

    def sometimes_wrong(*arguments: Any, **options: Any) -> Any:
        found = right(*arguments, **options)
        if next(turns) == 7:
            found.output[0, 0, 0] = np.nextafter(found.output[0, 0, 0], np.float32(2))
        return found

    monkeypatch.setattr(gpu_check_sweep, "run", sometimes_wrong)
    with pytest.raises(AssertionError, match="output: other bits in run 3, a launch a step"):
        check.work()
