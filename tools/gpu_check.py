"""Checks and times the CUDA kernels on a machine with an NVIDIA GPU, within ten minutes.

    make gpu-check                                  sets up .venv first
    make gpu-check OFFLINE=1 PYTHON=python3         installs nothing: that Python's own packages
    python tools/gpu_check.py --emulated            a dry run of every stage, without a GPU

In stages, each a process of its own, so that one that dies does not take the others along: the
machine; compiling; fresh inputs in every precision, size and schedule; the tests on the device
"cuda"; compute-sanitizer, where it is there; and timings beside cuDNN, where PyTorch is there. A
stage for which no time is left is told. Last comes a short table; all of it is written to
bench/results/<gpu>-<date>.json, and to the folder $OUT if that is set.

Exit status: 0 if all that ran was right, 1 if anything was wrong, 2 if it could not begin.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from gpu_check_common import FOLDERS, PLANT, REPORT, ROOT, UNTIL

REQUIRED = ("numpy", "numba", "cupy", "pytest", "hypothesis", "rich", "safetensors")
OPTIONAL = {
    "torch": "without it there is no cuDNN to compare with",
    "xdist": "without pytest-xdist the tests run one after the other",
}
LINK = ROOT / "minirnn" / "kernels"
BUDGET = 540.0  # seconds for all of it: a minute less than is promised
GRACE = 8.0  # seconds that a stage gets to end by itself, once its time is up
LEAST = 5.0  # seconds, below which a stage is not begun
TESTS = (
    "kernels", "engine", "nn", "optim", "inspect", "training", "diagnosis", "testing", "profiling",
)  # fmt: skip
_AGAINST = "tests/kernels/test_kernels_against_reference.py"
QUICK_TESTS = (
    f"{_AGAINST}::test_arguments_are_left_as_they_were",
    f"{_AGAINST}::test_results_are_the_same_bits_whatever_is_kept",
    "tests/optim/test_optimizers_on_cuda.py",
)
TOOLS = ("memcheck", "racecheck", "synccheck")
PASSED, FAILED, CUT, SKIPPED = "passed", "FAILED", "cut short", "not run"


@dataclass
class Outcome:
    """How a stage ended."""

    name: str
    outcome: str
    words: str
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)


class Runner:
    """Runs the stages one after the other, and keeps what they report."""

    def __init__(self, asked: argparse.Namespace, folder: Path) -> None:
        self.asked, self.folder = asked, folder
        self.until = time.time() + asked.budget
        self.outcomes: list[Outcome] = []
        self.results = folder / "results.json"

    def left(self) -> float:
        """Seconds of the budget."""
        return self.until - time.time()

    def stage(self, name: str, most: float, command: Callable[[], list[str]], **how: Any) -> None:
        """Run a stage for at most so many seconds of BUDGET; of another budget, for its share.

        how   as `_run`
        """
        if self.asked.only and name not in self.asked.only:
            return
        share = max(most * self.asked.budget / BUDGET, min(most, 3 * LEAST))
        most = min(share, self.left() - GRACE)
        if most < LEAST:
            self.add(Outcome(name, SKIPPED, "no time was left"))
            return
        print(f"\n== {name} (at most {most:.0f} s of {self.left():.0f})", flush=True)
        began = time.time()
        outcome = self._run(name, most, command(), **how)
        outcome.seconds = time.time() - began
        self.add(outcome)

    def note(self, name: str, why: str) -> None:
        """A stage that cannot run here."""
        if not self.asked.only:
            self.add(Outcome(name, SKIPPED, why))

    def add(self, outcome: Outcome) -> None:
        """Keep an outcome, and say it."""
        self.outcomes.append(outcome)
        print(f"-- {outcome.name}: {outcome.outcome}: {outcome.words}", flush=True)

    def _run(
        self, name: str, most: float, command: list[str],
        judge: Callable[[str, str, int], Outcome] | None = None,
    ) -> Outcome:  # fmt: skip
        """Run a command in a process group of its own, and read what it reported.

        judge   what its output and exit status mean, where they and not the report decide
        """
        report = self.folder / f"{name.replace(' ', '-')}.json"
        # A tenth is left to what is under way when the time is up.
        environment = os.environ | {REPORT: str(report), UNTIL: str(time.time() + 0.9 * most)}
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
            process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
            cut = False
            try:
                status = process.wait(most + GRACE)
            except subprocess.TimeoutExpired:
                cut = True
                os.killpg(process.pid, signal.SIGKILL)
                status = process.wait()
            except BaseException:  # whoever stops us, stops the stage
                os.killpg(process.pid, signal.SIGKILL)
                raise
            output.seek(0)
            text = output.read()
        if self.asked.verbose or (status != 0 and not cut):
            print(text[-6000:], flush=True)
        if judge is not None and not cut:
            return judge(name, text, status)
        if cut:
            return Outcome(name, CUT, f"it was not done after {most + GRACE:.0f} s")
        if not report.is_file():
            last = text.strip().splitlines()[-1:] or ["it said nothing"]
            words = f"it ended with status {status} and no report: {last[0][:200]}"
            return Outcome(name, FAILED, words, failures=[words])
        told = json.loads(report.read_text(encoding="utf-8"))
        wrong = bool(told["failures"]) or status != 0
        failures = told["failures"] or ([f"exit status {status}"] if wrong else [])
        return Outcome(name, FAILED if wrong else PASSED, told["words"], failures=failures)

    def python(self, *arguments: str) -> list[str]:
        """A command of this Python, on the emulated GPU if that is asked for."""
        emulator = [str(ROOT / "tests" / "emulator" / "run_emulated.py")]
        return [sys.executable, *(emulator if self.asked.emulated else []), *arguments]

    def part(self, file: str, *arguments: str) -> list[str]:
        """The command of one of the parts in tools/."""
        quick = ["--quick"] if self.asked.quick or self.asked.emulated else []
        return self.python(str(ROOT / "tools" / file), *arguments, *quick)


def tests_command(runner: Runner) -> list[str]:
    """pytest on the device "cuda", side by side where that can be had."""
    asked = runner.asked
    where = QUICK_TESTS if asked.quick else [f"tests/{name}" for name in TESTS]
    # A library that announces what it will change does not make a kernel wrong.
    kinds = ("DeprecationWarning", "PendingDeprecationWarning", "FutureWarning")
    command = [
        sys.executable, "-m", "pytest", "-q", "-p", "gpu_check_plugin", "-p", "no:cacheprovider",
        "-p", "no:benchmark",  # where it is installed it warns of running side by side
        "--hypothesis-profile=fresh", f"--hypothesis-seed={asked.seed}",
        *[part for kind in kinds for part in ("-W", f"default::{kind}")], *where,
    ]  # fmt: skip
    if importlib.util.find_spec("xdist") is not None and not asked.quick:
        command += ["-n", str(min(8, os.cpu_count() or 1))]
    return command


def timings_command(runner: Runner) -> list[str]:
    """bench.gpu, for as long as there is time but for its end."""
    asked = runner.asked
    seconds = max(LEAST, runner.left() - 3 * GRACE)
    command = [str(ROOT / "tools" / "gpu_check_timings.py"), "--seconds", f"{seconds:.0f}"]
    command += ["--seed", str(asked.seed), "--results", str(runner.results)]
    return runner.python(*command, *(["--emulated"] if asked.emulated else []))


# "ERROR SUMMARY: 0 errors" of memcheck and synccheck; of racecheck hazards, some only warnings.
_ERRORS = re.compile(r"={5,} ERROR SUMMARY: (\d+) errors?")
_HAZARDS = re.compile(r"={5,} RACECHECK SUMMARY: (\d+) hazards? displayed")


def found_by_sanitizer(output: str) -> int | None:
    """How many errors and hazards compute-sanitizer counts; None where it counts nothing.

    >>> found_by_sanitizer("========= ERROR SUMMARY: 2 errors")
    2
    """
    counts = [int(n) for pattern in (_ERRORS, _HAZARDS) for n in pattern.findall(output)]
    return sum(counts) if counts else None


def judge_sanitizer(name: str, text: str, status: int) -> Outcome:
    """What compute-sanitizer's output means."""
    if "Device not supported" in text:
        return Outcome(name, SKIPPED, "compute-sanitizer does not support this device")
    found = found_by_sanitizer(text)
    if found == 0 and status == 0:
        return Outcome(name, PASSED, "0 errors")
    words = f"{'nothing' if found is None else f'{found} errors'} counted, exit status {status}"
    return Outcome(name, FAILED, words, failures=[words])


def judge_timings(name: str, text: str, status: int) -> Outcome:
    """What bench.gpu's output means."""
    wrong = [line for line in text.splitlines() if line.startswith("wrong: ")]
    last = text.strip().splitlines()[-1:] or ["it said nothing"]
    if status != 0 and not wrong:
        wrong = [f"it ended with status {status}: {last[0][:200]}"]
    return Outcome(name, FAILED if wrong else PASSED, last[0][:200], failures=wrong)


def run_stages(runner: Runner) -> None:
    """All of them, in order; none after a machine without a GPU."""
    asked, seed = runner.asked, str(runner.asked.seed)
    runner.stage("machine", 30, lambda: runner.part("gpu_check_machine.py"))
    if not asked.only and runner.outcomes[-1].outcome != PASSED:
        return
    runner.stage("compile", 100, lambda: runner.part("gpu_check_compile.py"))
    runner.stage("fresh inputs", 130, lambda: runner.part("gpu_check_sweep.py", "--seed", seed))
    runner.stage("tests on cuda", 110, lambda: tests_command(runner))
    sanitizer = shutil.which("compute-sanitizer")
    if asked.emulated:
        runner.stage("sanitizer's calls", 60, lambda: runner.part("gpu_sanitize.py"))
        runner.note("compute-sanitizer", "an emulated GPU has none")
    elif sanitizer is None:
        runner.note("compute-sanitizer", "it is not on the PATH")
    else:
        for tool in TOOLS:
            watch = [sanitizer, "--tool", tool, "--error-exitcode", "86"]
            command = [*watch, *runner.part("gpu_sanitize.py")]
            runner.stage(tool, 30, partial(list, command), judge=judge_sanitizer)
    runner.stage("timings", BUDGET, lambda: timings_command(runner), judge=judge_timings)


def keep_results(runner: Runner) -> Path | None:
    """Write what was found and timed to bench/results, and to $OUT; None where nothing is kept."""
    import datetime

    from bench import gpu_machine
    from bench.results import FOLDER, Results

    told = json.loads((runner.folder / "machine.json").read_text(encoding="utf-8"))
    described = told["described"]
    if runner.results.is_file():
        results = Results.load(runner.results)
    else:
        results = Results(runner.results, described, os.cpu_count() or 1)
    results.checks = {
        one.name: {
            "outcome": one.outcome, "words": one.words, "seconds": round(one.seconds, 1),
            "failures": one.failures,
        }
        for one in runner.outcomes
    }  # fmt: skip
    results.checks["seed"] = {"outcome": "drawn", "words": str(runner.asked.seed)}
    if runner.asked.emulated:
        results.save()
        return None  # an emulated GPU's times are nobody's
    today = datetime.date.today().isoformat()
    name = f"{gpu_machine.short_name(described)}-{today}.json"
    results.path = FOLDER / name
    results.save()
    out = os.environ.get("OUT")
    if out:
        shutil.copy(results.path, Path(out) / name)
    return results.path


def print_table(runner: Runner) -> None:
    """Last: how every stage ended, what was wrong, and the timings in short."""
    print("\n== in short")
    if runner.asked.emulated:
        print("A dry run on an emulated GPU: its times say nothing about any GPU.")
    width = max(len(one.name) for one in runner.outcomes)
    for one in runner.outcomes:
        seconds = f"{one.seconds:.0f} s".rjust(6) if one.seconds else " " * 6
        print(f"{one.name:{width}}  {one.outcome:9} {seconds}  {one.words}")
    for one in runner.outcomes:
        for failure in one.failures[:5]:
            print(f"FAILED in {one.name}: {failure[:400]}")
    if runner.results.is_file() and not runner.asked.emulated:
        from bench.gpu_tables import in_short
        from bench.results import Results

        print(in_short(Results.load(runner.results)))


def missing() -> list[str]:
    """The packages that are needed and not there. CuPy's place may be taken by an emulator."""
    return [name for name in REQUIRED if importlib.util.find_spec(name) is None]


def main(arguments: list[str] | None = None) -> int:
    """Run the stages; see the top of this file for the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--budget", type=float, default=BUDGET, help="seconds for all of it (540)")
    parser.add_argument("--seed", type=int, help="of the inputs (drawn, and told)")
    parser.add_argument("--emulated", action="store_true", help="a dry run, without a GPU")
    parser.add_argument("--quick", action="store_true", help="a handful of each stage")
    parser.add_argument("--only", nargs="+", metavar="STAGE", help='such as "fresh inputs"')
    parser.add_argument("--verbose", action="store_true", help="all that the stages print")
    parser.add_argument(
        "--plant", metavar="FILE", type=Path,
        help="Python to run first in every stage: a fault, to see that it is found",
    )  # fmt: skip
    asked = parser.parse_args(arguments)
    if asked.seed is None:
        asked.seed = random.SystemRandom().randrange(2**32)
    lacking = [name for name in missing() if not (name == "cupy" and asked.emulated)]
    if lacking:
        print(f"gpu-check: {sys.executable} lacks {', '.join(lacking)}", file=sys.stderr)
        return 2
    if not LINK.is_dir():
        told = "minirnn/kernels, a link to kernels/, was lost: ln -sfn ../kernels minirnn/kernels"
        print(f"gpu-check: {told}", file=sys.stderr)
        return 2
    for name, why in OPTIONAL.items():
        if importlib.util.find_spec(name) is None:
            print(f"{name} is not installed: {why}")
    print(f"seed {asked.seed}, {asked.budget:.0f} s", flush=True)
    folders = os.pathsep.join(map(str, FOLDERS))
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = folders if not before else f"{folders}{os.pathsep}{before}"
    os.environ["MINIRNN_QUIET"] = "1"
    if asked.emulated:
        os.environ["MINIRNN_EMULATE"] = "1"
    if asked.plant is not None:
        os.environ[PLANT] = str(asked.plant.resolve())
    sys.path[:0] = [str(ROOT)]
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as folder:
        runner = Runner(asked, Path(folder))
        run_stages(runner)
        kept = None
        if not asked.only and runner.outcomes[0].outcome == PASSED:
            kept = keep_results(runner)
        if not runner.outcomes:
            parser.error(f"no stage is called {' or '.join(asked.only)}")
        print_table(runner)
        if kept is not None:
            print(f"\nAll of it is in {kept.relative_to(ROOT)}")
        if not asked.only and runner.outcomes[0].outcome != PASSED:
            return 2
        return 1 if any(one.outcome == FAILED for one in runner.outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
