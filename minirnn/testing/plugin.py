"""The pytest plugin: fixtures, an option and readable reports.

pytest loads it in every session of an environment that has minirnn, so it imports nothing: neither
NumPy nor any other part of minirnn is there before a test asks for one of its fixtures.

    minirnn_reference    `minirnn.testing.reference`
    minirnn_case         a graded case of the conformance kit; the test runs once for each
    minirnn_device       "cpu" or "cuda", as `--minirnn-device` says
    minirnn_healthy      `minirnn.testing.assert_healthy`

A test that takes `minirnn_case` may say which, with the arguments of
`minirnn.testing.graded_cases`:

    @pytest.mark.minirnn_cases("gru", grades=(1, 2), dtype="float64", lengths=True)
    def test_my_kernel(minirnn_case):
        case = minirnn_case
        case.check({"output": my_gru(case.x, case.state, case.weights, case.lengths)})

A mismatch with the reference, and a network that is not healthy, are reported as what they tell,
after the line of the test; `--tb=long` shows the whole way. `-p no:minirnn` leaves all this out.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from minirnn.diagnosis.finding import Diagnosis
    from minirnn.testing.conformance.graded import GradedCase
    from minirnn.testing.reference import ReferenceRun

MARK = (
    'minirnn_cases(cell="lstm", level="quick", grades=None, dtype="float32", lengths=False, '
    "reverse=False): which graded cases a test with the fixture `minirnn_case` runs"
)
# Errors that tell all that there is to tell: the name, and the module it is in once it is raised.
TELLING = {
    "minirnn.testing.mismatch": "ReferenceMismatch",
    "minirnn.testing.healthy": "UnhealthyError",
    "minirnn.testing.conformance.report": "ConformanceError",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option `--minirnn-device`."""
    parser.getgroup("minirnn").addoption(
        "--minirnn-device",
        choices=("cpu", "cuda"),
        default="cpu",
        help="what the fixture minirnn_device gives; without a usable GPU, tests that take it are "
        "skipped under cuda",
    )


def pytest_configure(config: pytest.Config) -> None:
    """The mark `minirnn_cases`, known under `--strict-markers` too."""
    config.addinivalue_line("markers", MARK)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes `minirnn_case` once for each case."""
    if "minirnn_case" not in metafunc.fixturenames:
        return
    from minirnn.testing.conformance.graded import graded_cases

    mark = metafunc.definition.get_closest_marker("minirnn_cases")
    chosen = graded_cases(*mark.args, **mark.kwargs) if mark else graded_cases()
    names = [f"{c.case.grade}-{c.case.name}".replace(" ", "-") for c in chosen]
    metafunc.parametrize("minirnn_case", chosen, ids=names, indirect=True)


@pytest.fixture
def minirnn_case(request: pytest.FixtureRequest) -> GradedCase:
    """A graded case: arrays, and what to expect of them (`minirnn.testing.GradedCase`)."""
    case: GradedCase = request.param
    return case


@pytest.fixture
def minirnn_reference() -> Callable[..., ReferenceRun]:
    """The float64 reference of RNN, GRU and LSTM: `minirnn.testing.reference`."""
    from minirnn.testing import reference

    return reference


@pytest.fixture
def minirnn_healthy() -> Callable[..., Diagnosis]:
    """Fails a test whose network ails: `minirnn.testing.assert_healthy`."""
    from minirnn.testing import assert_healthy

    return assert_healthy


@pytest.fixture
def minirnn_device(request: pytest.FixtureRequest) -> str:
    """ "cpu", or "cuda" under `--minirnn-device=cuda`; the test is skipped without a usable GPU."""
    device: str = request.config.getoption("--minirnn-device")
    if device == "cuda":
        import numpy as np

        from minirnn.device import to_device
        from minirnn.errors import MinirnnError

        try:
            to_device(np.zeros(1), device)
        except MinirnnError as reason:
            pytest.skip(f"--minirnn-device=cuda: {reason}")
    return device


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, Any, None]:
    """Of an error that tells everything itself, the test's line and what it tells."""
    outcome = yield
    excinfo = call.excinfo
    if excinfo is None or item.config.getoption("tbstyle", "auto") != "auto":
        return
    if not _is_telling(excinfo.value):
        return
    report = outcome.get_result()
    if report.failed:
        whole = excinfo.traceback
        excinfo.traceback = whole.cut(path=item.path)  # from the test's file on
        report.longrepr = excinfo.getrepr(style="short", chain=False)
        excinfo.traceback = whole


def _is_telling(error: BaseException) -> bool:
    """Whether it is one of `TELLING`, without importing what nobody has."""
    for module, name in TELLING.items():
        known = getattr(sys.modules.get(module), name, None)
        if known is not None and isinstance(error, known):
            return True
    return False
