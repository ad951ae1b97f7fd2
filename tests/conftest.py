"""What every test shares."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# A folder's tests import what they share from the files beside them.
sys.path.extend(str(folder) for folder in sorted(Path(__file__).parent.glob("[a-z]*/")))

import emulator
import oracle_selection

# Hypothesis draws the same examples every time, and the first call may take long: it compiles.
settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
settings.load_profile("repeatable")


def _start_cuda() -> str | None:
    """Make the device "cuda" usable, on the GPU if there is one. Returns why it is not, or None.

    MINIRNN_EMULATE=1 asks for the emulated GPU even where there is a real one.
    """
    wanted = os.environ.get("MINIRNN_EMULATE", "") not in ("", "0")
    if not wanted and _has_gpu():
        return None
    reason = emulator.available()
    if reason is None:
        emulator.install(kernels=False)
        return None
    return f"no GPU, and none can be emulated: {reason}"


def _has_gpu() -> bool:
    if emulator.is_emulated():
        return False
    if not any(Path("/dev").glob("nvidia[0-9]*")) and not Path("/dev/dxg").exists():
        return False  # without loading CuPy, whose place the emulator may be about to take
    try:
        import cupy
    except ImportError:
        return False
    return bool(cupy.cuda.is_available())


# Before the first test: a module may look for CuPy as it is imported.
NO_CUDA = _start_cuda()


@pytest.fixture
def cuda() -> str:
    """The device "cuda", real or emulated; where there is neither the test is skipped."""
    if NO_CUDA is not None:
        pytest.skip(NO_CUDA)
    if emulator.is_emulated():
        emulator.install()  # now its compiler too: kernels are imported where they are tested
    return "cuda"


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> str:
    """The test is run for each device: "cpu", and "cuda" where that is there."""
    return request.getfixturevalue("cuda") if request.param == "cuda" else "cpu"


@pytest.fixture
def emulated(cuda: str) -> Any:
    """The module `emulator`, for a test that needs its log of transfers or another device."""
    if not emulator.is_emulated():
        pytest.skip("on a real GPU transfers are not logged: set MINIRNN_EMULATE=1")
    return emulator


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--oracles",
        action="store_true",
        help="only the tests that can reach PyTorch, Keras or ONNX: the others need none",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--oracles"):
        return
    wanted = [item for item in items if oracle_selection.reaches(item.path, _top_name(item))]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(wanted)])
    items[:] = wanted


def _top_name(item: pytest.Item) -> str:
    """The name in its file of the test, or of the class that it is in."""
    inside = item.getparent(pytest.Class)
    return inside.name if inside is not None else item.originalname


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """A test that was skipped for want of an oracle fails if `make oracle` would not run it."""
    report = yield
    _fail_if_lost(report, item.path, _top_name(item))
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Any:
    """The same of a file that was skipped as a whole."""
    report = yield
    _fail_if_lost(report, collector.path, None)
    return report


def _fail_if_lost(report: Any, path: Path, name: str | None) -> None:
    if not report.skipped or not isinstance(report.longrepr, tuple):
        return
    reason = report.longrepr[2]
    if oracle_selection.lost(path, name, reason):
        report.outcome = "failed"
        report.longrepr = f"{reason}, and `make oracle` would not run this (oracle_selection.py)"
