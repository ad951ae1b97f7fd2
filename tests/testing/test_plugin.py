"""The pytest plugin, in sessions of its own: what it brings, what it tells, what it costs."""

from __future__ import annotations

import importlib.metadata
import os
import re
import statistics
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import minirnn

WHERE = Path(minirnn.__file__).parent.parent
PLUGIN = "minirnn.testing.plugin"


def python(folder, *arguments, **variables):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments], cwd=folder, text=True, capture_output=True,
        env=environment | {"PYTHONPATH": str(WHERE)} | variables, check=False,
    )  # fmt: skip


def session(folder, *arguments, plugins=("-p", PLUGIN), **files):
    """Run pytest in a folder with these files; its exit status and what it printed."""
    for name, text in files.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text), encoding="utf-8")
    command = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "--strict-markers", *plugins)
    done = python(folder, *command, *arguments, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    return done.returncode, done.stdout + done.stderr


FOREIGN = {
    "test_foreign": "def test_of_somebody_else(): pass",
    "conftest": """
        import sys
        def pytest_sessionfinish():
            with open("modules", "w") as file:
                print(*sorted(sys.modules), sep="\\n", file=file)
    """,
}
WRONG_KERNEL = """
    import numpy as np
    from minirnn.testing import assert_matches_reference

    def lstm(x, h, c, weights):
        w_ih, w_hh, b_ih, b_hh = weights
        outputs = []
        for x_t in x:
            z = x_t @ w_ih.T + b_ih + h @ w_hh.T + b_hh
            i, f, o, g = np.split(z, 4, axis=1)
            i, f, o = (1 / (1 + np.exp(-a)) for a in (i, f, o))
            c = f * c + i * np.tanh(g)
            h = o * np.tanh(c)
            outputs.append(h)
        return np.stack(outputs)

    def problem(T=4, B=2, I=3, H=5):
        rng = np.random.default_rng(0)
        shapes = (4 * H, I), (4 * H, H), (4 * H,), (4 * H,)
        weights = [rng.normal(size=shape) for shape in shapes]
        return rng.normal(size=(T, B, I)), *np.zeros((2, B, H)), weights
"""


def test_a_session_that_does_not_use_it_loads_three_modules_and_no_numpy(tmp_path):
    def loaded(**options):
        status, printed = session(tmp_path, **options, **FOREIGN)
        assert status == 0, printed
        return set((tmp_path / "modules").read_text(encoding="utf-8").split())

    without, beside = loaded(plugins=()), loaded()
    assert beside - without == {"minirnn", "minirnn.testing", PLUGIN}
    assert "numpy" not in beside


@pytest.mark.alone  # it measures time
def test_loading_it_takes_a_tenth_of_the_time_of_pytest_at_most(tmp_path):
    code = f"""
import time
start = time.perf_counter()
import pytest
middle = time.perf_counter()
import {PLUGIN}
print(middle - start, time.perf_counter() - middle)
"""
    ratios = []
    for _ in range(3):
        theirs, ours = map(float, python(tmp_path, "-c", code).stdout.split())
        ratios.append(ours / theirs)
    assert statistics.median(ratios) <= 0.1


def test_it_is_the_entry_point_that_pytest_looks_for():
    (entry,) = (e for e in importlib.metadata.entry_points(group="pytest11") if e.name == "minirnn")
    assert entry.value == PLUGIN


def test_it_can_be_left_out_by_its_name(tmp_path):
    done = python(tmp_path, "-m", "pytest", "--help", "-p", "no:minirnn")
    assert "--minirnn-device" not in done.stdout
    assert "--minirnn-device" in python(tmp_path, "-m", "pytest", "--help").stdout


def test_its_fixtures_are_the_kits(tmp_path):
    status, printed = session(
        tmp_path,
        test_fixtures="""
            import pytest
            import minirnn.testing

            def test_reference(minirnn_reference, minirnn_healthy, minirnn_device):
                assert minirnn_reference is minirnn.testing.reference
                assert minirnn_healthy is minirnn.testing.assert_healthy
                assert minirnn_device == "cpu"

            def check(case):
                run = case.expected
                case.check({name: a.astype(case.x.dtype) for name, a in run.arrays().items()})

            def test_every_case_of_an_lstm(minirnn_case):
                assert minirnn_case.cell is minirnn.cells.lstm()
                assert minirnn_case.lengths is None and not minirnn_case.reverse
                check(minirnn_case)

            @pytest.mark.minirnn_cases(
                "gru", grades=(2, 4), dtype="float64", lengths=True, reverse=True
            )
            def test_some_of_a_gru(minirnn_case):
                assert minirnn_case.x.dtype == "float64"
                check(minirnn_case)
        """,
    )  # fmt: skip
    assert status == 0, printed
    graded = minirnn.testing.graded_cases
    many = len(graded()), len(graded("gru", grades=(2, 4), lengths=True, reverse=True))
    assert min(many) > 8
    assert f"{1 + sum(many)} passed" in printed


def test_the_test_of_docs_test_your_own_runs_and_finds_the_mistake(tmp_path):
    page = Path(__file__).parents[2].joinpath("docs", "test-your-own.md").read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (test,) = (block for block in blocks if "minirnn_cases" in block)
    many = len(minirnn.testing.graded_cases())
    overflow = "-Wdefault::RuntimeWarning"  # of np.exp, in the cases that are there to bring it
    status, printed = session(tmp_path, "-k", "1-one", test_page=blocks[0] + test)
    assert status == 1
    assert "cause: gates-permuted" in printed
    assert "passed" not in printed
    assert set(re.findall(r"\w+(?:Error|Mismatch)\b", printed)) == {"ReferenceMismatch"}
    right = blocks[0].replace("i, f, o, g = np.split", "i, f, g, o = np.split")
    assert right != blocks[0]
    status, printed = session(tmp_path, overflow, test_page=right + test)
    assert status == 0, printed
    assert f"{many} passed" in printed


def test_a_mark_that_asks_for_what_is_not_there_is_an_error(tmp_path):
    status, printed = session(
        tmp_path,
        test_mark="""
            import pytest

            @pytest.mark.minirnn_cases("lstm", grades=(6,))
            def test_case(minirnn_case): pass
        """,
    )  # fmt: skip
    assert status == 2
    assert "grades: got (6,); wanted some of 1 to 5" in printed


def test_a_mismatch_is_reported_as_what_it_tells_after_the_line_of_the_test(tmp_path):
    test = WRONG_KERNEL + """
    def test_kernel(minirnn_reference):
        x, h, c, weights = problem()
        expected = minirnn_reference("lstm", x, (h, c), weights)
        assert_matches_reference({"output": lstm(x, h, c, weights)}, expected)  # this line
    """  # fmt: skip
    status, printed = session(tmp_path, test_kernel=test)
    assert status == 1
    assert re.search(r"test_kernel.py:\d+: in test_kernel\n.*# this line\n", printed)
    assert "ReferenceMismatch: output differs from the reference at step" in printed
    assert "cause: gates-permuted: " in printed
    assert "taken as input, forget, output, cell" in printed
    failure = printed[printed.index("FAILURES") : printed.index("short test summary")]
    assert len(failure.splitlines()) < 12
    assert "mismatch.py" not in failure
    long = session(tmp_path, "--tb=long", test_kernel=test)[1]
    assert "def test_kernel(minirnn_reference):" in long


def test_other_failures_are_reported_as_ever(tmp_path):
    test = """
        def test_arithmetic(minirnn_reference):
            import minirnn.testing
            minirnn.testing.ReferenceMismatch
            two = 2
            assert two == 3
    """
    status, printed = session(tmp_path, test_arithmetic=test)
    assert status == 1
    assert ">       assert two == 3" in printed
    assert "    def test_arithmetic(minirnn_reference):" in printed


def test_a_device_that_is_not_there_skips_what_wants_it(tmp_path):
    test = """
        import sys
        sys.modules["cupy"] = None

        def test_device(minirnn_device):
            raise AssertionError(minirnn_device)

        def test_other(minirnn_reference):
            pass
    """
    status, printed = session(tmp_path, "--minirnn-device=cuda", "-rs", test_device=test)
    assert status == 0, printed
    assert "1 passed, 1 skipped" in printed
    assert "--minirnn-device=cuda: " in printed
    assert session(tmp_path, "--minirnn-device=tpu", test_device=test)[0] == 4


def test_cases_and_reports_travel_between_processes(tmp_path):
    pytest.importorskip("xdist")
    test = WRONG_KERNEL + """
    def test_kernel(minirnn_case):
        case = minirnn_case
        case.check({"output": lstm(case.x, *case.state, case.weights)})
    """  # fmt: skip
    plugins = ("-p", PLUGIN, "-p", "xdist", "-n", "2")
    grade = ("-k", "1-")
    status, printed = session(tmp_path, *grade, plugins=plugins, test_kernel=test)
    assert status == 1, printed
    assert "cause: gates-permuted" in printed
