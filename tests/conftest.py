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
