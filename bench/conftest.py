"""What every suite shares: options, rounds that pytest-benchmark sees, and the file of results."""

from __future__ import annotations

import datetime
import gc
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1]))  # suites import each other as `bench.…`

import minirnn as mr
from bench import machine
from bench.pairs import Rounds, Turn
from bench.quiet import Others
from bench.results import FOLDER, Record, Results
from bench.sides import has_torch
from bench.summary import median

Measure = Callable[..., dict[str, list[float]]]


class Clock:
    """The timer that pytest-benchmark reads: it stands still but for the first side's readings.

    pytest-benchmark times one function at a time, and what is compared here has to be timed in
    turns. So a round of all sides is the function it calls, and the turns move its clock.
    """

    def __init__(self) -> None:
        self.seconds = 0.0

    def read(self) -> float:
        """Seconds so far."""
        return self.seconds


# What --quick runs, by key: a little of each suite that needs no process of its own.
QUICK = re.compile(
    r"compare/.*float32-(100x32x32x64|100x64x128x128|50x7x5x96)-|recording/.*x64\]|latency/"
)

BUSY = 0.05  # of the processor, taken by others: the times mean little

_clock = Clock()
_results = pytest.StashKey[Results]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("minirnn benchmarks")
    group.addoption("--threads", type=int, default=2, help="threads of each side (2)")
    group.addoption("--rounds", type=int, default=11, help="turns of each side (11)")
    group.addoption("--results", type=Path, help="the file to add to (bench/results/<cpu>-<date>)")
    group.addoption("--resume", action="store_true", help="leave out what the file already holds")
    group.addoption("--quick", action="store_true", help="a small part, into results/quick.json")


def key_of(nodeid: str) -> str:
    """The name of a case in the file of results: "compare/layers[...]"."""
    file, name = nodeid.split("::", 1)
    return f"{Path(file).stem}/{name}".replace("test_", "")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    held = results_of(config).cases if config.option.resume else {}
    kept: list[pytest.Item] = []
    left: list[pytest.Item] = []
    for item in items:
        item.add_marker(pytest.mark.benchmark(timer=_clock.read))
        key = key_of(item.nodeid)
        wanted = key not in held and (not config.option.quick or QUICK.match(key))
        (kept if wanted else left).append(item)
    items[:] = kept
    config.hook.pytest_deselected(items=left)


def results_of(config: pytest.Config) -> Results:
    """The session's file of results, opened when it is first asked for."""
    if _results not in config.stash:
        described = machine.describe()
        today = datetime.date.today().isoformat()
        name = "quick" if config.option.quick else f"{machine.short_name(described)}-{today}"
        path = config.option.results or FOLDER / f"{name}.json"
        config.stash[_results] = Results.open(path, described, config.option.threads)
    return config.stash[_results]


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if session.config.option.resume and exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        session.exitstatus = pytest.ExitCode.OK  # the file holds all of it


@pytest.fixture(scope="session", autouse=True)
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """Both sides get the same number of threads."""
    count: int = request.config.option.threads
    before = mr.get_num_threads()
    mr.set_num_threads(count)
    if has_torch():
        import torch

        torch.set_num_threads(count)
    yield count
    mr.set_num_threads(before)


@pytest.fixture
def measure(request: pytest.FixtureRequest) -> Measure:
    """Runs turns in rounds and keeps what they read: `measure(turns, parameters, facts)`.

    `turns` maps each side's name to its turn; pytest-benchmark shows the first. Anything that has
    to be right about the sides has to be checked before.
    """

    def run(
        turns: Mapping[str, Turn],
        parameters: Mapping[str, Any],
        facts: Mapping[str, Any] | None = None,
        rounds: int | None = None,
    ) -> dict[str, list[float]]:
        benchmark = request.getfixturevalue("benchmark")  # not earlier: it insists on being used
        gc.collect()
        sides, others = Rounds(turns), Others()
        first = next(iter(turns))

        def one_round() -> None:
            _clock.seconds += sides.next()[first]

        benchmark.pedantic(one_round, rounds=rounds or request.config.option.rounds)
        benchmark.extra_info.update(readings=sides.readings, **parameters)
        if benchmark.enabled:
            key = key_of(request.node.nodeid)
            now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            record = Record(
                suite=key.split("/")[0],
                parameters=dict(parameters),
                readings=sides.readings,
                facts=dict(facts or {}),
                taken=now,
                commit=machine.commit(),
                others=others.share(),
            )
            results_of(request.config).add(key, record)
        return sides.readings

    return run


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Where the results are, and each case's other sides over its first."""
    if _results not in config.stash or not config.stash[_results].cases:
        return
    results = config.stash[_results]
    terminalreporter.section("times over the first side's (above 1: slower)")
    ran = {key_of(report.nodeid) for report in terminalreporter.stats.get("passed", [])}
    added = sorted(ran & results.cases.keys())
    for key in added:
        sides = results.cases[key].readings
        first = median(next(iter(sides.values())))
        ratios = [
            f"{name} {median(readings) / first:.2f}"
            for name, readings in sides.items()
            if name != "fma_peak"
        ]
        terminalreporter.line(f"{key}: {', '.join(ratios)}")
    terminalreporter.line(f"{len(added)} cases added to {results.path}")
    busy = max((results.cases[key].others or 0.0 for key in added), default=0.0)
    if busy > BUSY:
        terminalreporter.line(
            f"Other work took up to {busy:.0%} of the processor: these times are not to be kept.",
            yellow=True,
        )
