from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

import pytest

import minirnn

pytestmark = pytest.mark.alone  # it measures time

WHERE = Path(minirnn.__file__).parent.parent
HEAVY = ("numba", "llvmlite", "rich", "safetensors", "plotly", "jinja2", "torch", "cupy")


def python(code: str) -> str:
    """Run code in a fresh interpreter that finds minirnn where this one does; what it printed."""
    code = f"import sys; sys.path.insert(0, {str(WHERE)!r})\n{code}"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], check=True, text=True, capture_output=True
    )
    return done.stdout


def seconds_to_import(module: str) -> float:
    code = f"import time; start = time.perf_counter(); import {module}"
    return float(python(f"{code}; print(time.perf_counter() - start)"))


def test_import_loads_nothing_heavy() -> None:
    heavy = python(f"import minirnn; print(*(m for m in {HEAVY} if m in sys.modules))")
    assert heavy.split() == []


def test_names_that_need_no_kernel_load_nothing_heavy() -> None:
    code = "import minirnn as mr; mr.ShapeError, mr.Tensor, mr.no_grad, mr.cells.lstm()"
    heavy = python(f"{code}; print(*(m for m in {HEAVY} if m in sys.modules))")
    assert heavy.split() == []


def test_training_on_the_cpu_never_imports_the_gpus_library() -> None:
    code = """
import numpy as np, minirnn as mr
model = mr.SequenceModel("gru", input_size=1, hidden_size=2, output_size=1, dropout=0.0, rng=0)
x = np.ones((4, 3, 1), np.float32)
mr.fit(model, (x, x[:, -1]), loss="mse", optimizer=mr.optim.Adam(model.parameters()), epochs=1,
       progress=False)
mr.generate(model, x[0], 2)
print(mr.get_matmul_precision(), *(m for m in sys.modules if m.partition(".")[0] == "cupy"))
"""
    assert python(code).split() == ["float32"]


def test_import_takes_an_eighth_of_the_time_of_torch() -> None:
    pytest.importorskip("torch")
    times = [(seconds_to_import("minirnn"), seconds_to_import("torch")) for _ in range(5)]
    ours, torch = (statistics.median(column) for column in zip(*times, strict=True))
    assert ours <= torch / 8


def test_the_kernels_have_one_name_only() -> None:
    from minirnn import kernels

    root = str(Path(kernels.__file__).resolve().parent.parent)
    with pytest.raises(subprocess.CalledProcessError) as error:
        python(f"sys.path.insert(0, {root!r}); import kernels")
    assert "imported as 'minirnn.kernels', not as 'kernels'" in error.value.stderr
