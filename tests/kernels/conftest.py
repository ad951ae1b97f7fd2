"""Kernel sets for tests that hold them all to one thing."""

from __future__ import annotations

from typing import Any

import pytest
from host_arrays import kernels_of


@pytest.fixture
def kernels(request: pytest.FixtureRequest) -> Any:
    """The kernel set of the device that the test is parametrised with; see `every_kernel`."""
    name = request.param
    return kernels_of(request.getfixturevalue("cuda") if name == "cuda" else name)
