"""Part of `make gpu-check`: pytest, with the tests that use the GPU alone, and poisoned memory.

    pytest -p gpu_check_plugin --hypothesis-profile=fresh --hypothesis-seed=N tests/kernels

Hypothesis draws other examples than in `make test`. When the time is up, what is left is skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gpu_check_common as common
import pytest
from hypothesis import settings

settings.register_profile("fresh", derandomize=False, database=None, deadline=None)

OUT_OF_TIME = "no time was left"


def pytest_sessionstart(session: pytest.Session) -> None:
    """Plant the fault, if there is one."""
    common.plant()


def uses_the_gpu(item: pytest.Item) -> bool:
    """Whether the device "cuda" is among what the test is run with."""
    called_with = getattr(item, "callspec", None)
    values = [] if called_with is None else called_with.params.values()
    named = any(isinstance(value, str) and value == "cuda" for value in values)
    return named or "cuda" in getattr(item, "fixturenames", ())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what does not use the GPU."""
    left = [item for item in items if not uses_the_gpu(item)]
    items[:] = [item for item in items if uses_the_gpu(item)]
    config.hook.pytest_deselected(items=left)


@pytest.fixture(autouse=True, scope="session")
def _gpu_check_poison() -> Iterator[None]:
    """Whatever is allocated on a GPU holds NaN; an emulated one sees to that itself."""
    import emulator

    if emulator.is_emulated():
        yield
        return
    from bench.gpu_timing import poisoned

    with poisoned():
        yield


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out what there is no time for."""
    if common.seconds_left() < 0:
        pytest.skip(OUT_OF_TIME)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Report what was found, once: not from a worker of pytest-xdist."""
    if hasattr(config, "workerinput"):
        return
    stats = terminalreporter.stats
    failed = [*stats.get("failed", []), *stats.get("error", [])]
    left = sum(OUT_OF_TIME in str(one.longrepr) for one in stats.get("skipped", []))
    passed, skipped = len(stats.get("passed", [])), len(stats.get("skipped", [])) - left
    words = f"{passed} tests passed, {len(failed)} failed, {skipped} do not apply"
    words += f", {left} were left out for want of time" if left else ""
    if not passed and not failed:
        failed_words = ["no test ran"]
    else:
        failed_words = [f"{one.nodeid}: {_last_line(one)}" for one in failed]
    common.report(words, failed_words, passed=passed, skipped=skipped, left_out=left)


def _last_line(report: Any) -> str:
    """What pytest says of a failure, in a line."""
    lines = [line for line in str(report.longrepr).splitlines() if line.startswith("E ")]
    return lines[0][2:].strip()[:300] if lines else str(report.longrepr)[-300:]
