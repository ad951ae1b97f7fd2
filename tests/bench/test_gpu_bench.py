"""bench/gpu.py: what it times, that what is wrong is not timed, and the tables of its results."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import gpu, gpu_machine, gpu_tables, report
from bench.gpu_shapes import (
    EMULATED,
    MOST_BYTES,
    MOST_OPERATIONS,
    PRECISIONS,
    SIZES,
    TELLING,
    GpuCase,
    gpu_cases,
)
from bench.gpu_sides import Cudnn, Ours, StepByStep
from bench.gpu_timing import MOST_SETS, OnGpu, poisoned, sets_to_rotate
from bench.gpu_work import ALLOWED, GpuWork
from bench.problem import WrongResultError
from bench.results import Record, Results, newest, newest_of_gpu
from bench.shapes import Shape
from minirnn.errors import DataError

SHAPE = Shape(6, 5, 7, 9)


def test_the_cases_that_tell_most_come_first_and_all_of_the_grid_after_them() -> None:
    cases = list(gpu_cases())
    assert len(set(cases)) == len(cases)
    assert cases[0] == GpuCase("lstm", "float32", Shape(1024, 16, 768, 768), "training")
    lstms = [case for case in cases if case.cell == "lstm"][: 2 * len(TELLING) * len(PRECISIONS)]
    assert {case.shape for case in lstms} == set(TELLING)
    assert {case.precision for case in lstms} == set(PRECISIONS)
    # Whoever has little time has seen every cell.
    assert {case.cell for case in cases[:60]} == {"lstm", "gru", "rnn"}
    for name, dimension in (("T", 0), ("B", 1), ("H", 3)):
        assert set(SIZES) <= {case.shape[dimension] for case in cases}, name
    assert all(case.nbytes <= MOST_BYTES for case in cases)
    assert all(case.operations <= MOST_OPERATIONS for case in cases)


@pytest.fixture
def work(cuda: str) -> GpuWork:
    return GpuWork("lstm", SHAPE, sets=2, seed=3)


def test_inputs_are_noise_and_no_two_sets_are_alike(work: GpuWork) -> None:
    arrays = [array.get() for pair in work.inputs for array in pair]
    for n, array in enumerate(arrays):
        assert array.dtype == np.float32
        assert 0.7 < array.std() < 1.3
        for other in arrays[n + 1 :]:
            if other.shape == array.shape:
                assert not np.allclose(array, other)


@pytest.mark.parametrize("kind", [Ours, StepByStep])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_is_right_passes_in_every_precision(
    work: GpuWork, kind: type[Ours], precision: str
) -> None:
    for mode in ("inference", "training"):
        errors = work.errors("minirnn", precision, kind(work, precision).result(mode))
        assert len(errors) == (1 if mode == "inference" else 6)
        assert max(errors.values()) < ALLOWED[precision]


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_pytorch_s_side_is_held_to_the_same(cuda: str, cell: str, precision: str) -> None:
    """On the CPU, where it shows too that it has our weights and gives what is compared."""
    torch = pytest.importorskip("torch")

    class OnCpu(Cudnn):
        place = "cpu"
        around = staticmethod(nullcontext)

        def _taken(self, array: Any, dtype: Any) -> Any:
            return torch.from_numpy(array.get()).to(dtype)

    work = GpuWork(cell, SHAPE, sets=2, seed=3)
    side = OnCpu(work, precision)
    for mode in ("inference", "training"):
        errors = work.errors("cudnn", precision, side.result(mode))
        assert len(errors) == (1 if mode == "inference" else 6)
    side.training(1)
    with torch.no_grad():
        side.layer.weight_hh_l0[:9] *= -1
    with pytest.raises(WrongResultError, match="cudnn"):
        work.errors("cudnn", precision, side.result("training"))


def test_the_sides_run_as_they_say(work: GpuWork) -> None:
    from minirnn.kernels.cuda import clock, get_matmul_precision

    launches = []
    for kind in (Ours, StepByStep):
        side = kind(work, "bfloat16")
        with side.around(), clock.measured() as times:
            assert get_matmul_precision() == "bfloat16"
            side.inference(0)
        assert get_matmul_precision() == "float32"
        launches.append(times.launches["forward"]["recurrent loop"])
    assert launches == [1, SHAPE.T]


def _gates_swapped(found: dict[str, Any]) -> None:
    w = found["weight_hh"]
    w[:9], w[9:18] = w[9:18].copy(), w[:9].copy()


def _never_written(found: dict[str, Any]) -> None:
    found["output"][5, 4, 8] = np.nan


def _tf32_by_another_name(found: dict[str, Any]) -> None:
    found["output"] *= 1 + 2.0**-11


def _gradient_from_nowhere(found: dict[str, Any]) -> None:
    found["x"][4, 0, 0] = 1e-3


WRONG: dict[str, Callable[[dict[str, Any]], None]] = {
    "gates swapped": _gates_swapped,
    "never written": _never_written,
    "tf32 by another name": _tf32_by_another_name,
    "a gradient from nowhere": _gradient_from_nowhere,
}


@pytest.mark.parametrize("mistake", WRONG)
def test_what_is_wrong_is_refused(
    work: GpuWork, mistake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GpuWork, "checked", (4, 3))  # the rest is only looked at from outside
    found = Ours(work, "float32").result("training")
    work.errors("minirnn", "float32", found)
    WRONG[mistake](found)
    with pytest.raises(WrongResultError):
        work.errors("minirnn", "float32", found)


def test_the_part_that_is_checked_is_of_the_whole_run(
    work: GpuWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same expectations, whether a part of the sequences is looked at or all of them."""
    monkeypatch.setattr(GpuWork, "checked", (3, 2))
    part = work.expected
    assert part["output"].shape == (3, 2, 9)
    assert not work.masked.get()[3:].any()
    whole = GpuWork("lstm", SHAPE, sets=1, seed=3)
    monkeypatch.setattr(GpuWork, "checked", (6, 5))
    np.testing.assert_allclose(whole.expected["output"][:3, :2], part["output"], atol=1e-14)


def test_a_side_that_is_wrong_is_not_timed_and_told(
    cuda: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StepByStep, "result", lambda *_: {"output": np.zeros((4, 3, 8), "f4")})
    wrong: list[str] = []
    record = gpu.measured(EMULATED[0], with_torch=False, seed=1, wrong=wrong)
    assert "minirnn" in record.readings
    assert StepByStep.name not in record.readings
    assert "output is off" in record.facts["left_out"][StepByStep.name]
    assert len(wrong) == 1


def test_sets_of_inputs_are_more_than_the_cache_holds(cuda: str, emulated: Any) -> None:
    with emulated.device_properties(l2CacheSize=1000):
        assert sets_to_rotate(100) == 30
        assert sets_to_rotate(2999) == 2
        assert sets_to_rotate(10_000) == 1
        assert sets_to_rotate(1) == MOST_SETS


def test_a_turn_walks_through_the_sets_and_counts_its_calls(cuda: str) -> None:
    seen: list[int] = []
    turn = OnGpu(seen.append, 3, nullcontext, seconds=1e-4)
    seen.clear()
    turn.next = 0
    reading = turn()
    assert seen == [n % 3 for n in range(turn.calls)]
    assert 0.0 < reading < 1.0
    assert len(turn.issued) == 1
    turn._timed = lambda calls: (3.0, 1.5)  # type: ignore[method-assign]
    assert turn() == 3.0 / turn.calls
    assert turn.issued[-1] == 0.5


def test_poisoned_memory_is_not_a_number(cuda: str) -> None:
    import cupy

    before = cupy.cuda.get_allocator()
    with poisoned():
        for dtype in ("float16", "float32", "float64"):
            assert np.isnan(cupy.empty(5, dtype).get()).all()
    assert cupy.cuda.get_allocator() is before


@pytest.fixture
def results(cuda: str, tmp_path: Path) -> Results:
    """Of an emulated run, with a side beside it that takes twice as long."""
    path = tmp_path / "nvidia-acme-2026-01-02.json"
    made = Results(path, gpu_machine.describe(), threads=2)
    assert gpu.run(made, EMULATED, 60.0, lambda _: None, 1, gpu.Ceilings(1e-5, 4096)) == []
    for record in made.of("gpu"):
        record.readings["cudnn"] = [2 * each for each in record.readings["minirnn"]]
    made.checks = {"fresh inputs": {"outcome": "passed", "words": "34 checks"}}
    made.save()
    return made


def test_a_run_is_told_in_tables(results: Results) -> None:
    held = Results.load(results.path)
    assert held == results
    assert json.loads(results.path.read_text())["checks"] == results.checks
    told = gpu_tables.contents(held)
    assert results.machine["gpu"] in told["gpu-machine"]
    assert "| fresh inputs | passed | 34 checks |" in told["gpu-checks"]
    assert "| bfloat16 |" in told["gpu-ceilings"]
    rows = told["gpu"].splitlines()
    assert len(rows) == 2 + len(EMULATED)
    assert sum("| 2.00 |" in row for row in rows) == len(EMULATED)
    assert "median 2.00" in gpu_tables.in_short(held)


def test_operations_and_bytes_are_counted(results: Results) -> None:
    record = next(results.of("gpu", cell="lstm", precision="float32"))
    T, B, I, H = record.parameters["shape"]  # noqa: E741
    assert record.facts["flop"] == 3 * 2 * T * B * 4 * H * (I + H)
    assert record.facts["nbytes"] > 4 * 4 * H * (I + H)


def test_the_page_tells_of_a_gpu_only_what_was_measured(results: Results) -> None:
    empty = Results(results.path, results.machine, threads=2)
    names = {name for name in report.contents(empty) if name.startswith("gpu")}
    assert {report.contents(empty)[name] for name in names} == {gpu_tables.NOT_YET}
    assert gpu_tables.NOT_YET not in report.contents(empty, results).values()


def test_the_newest_of_a_gpu_is_not_taken_for_a_processors(tmp_path: Path) -> None:
    assert newest_of_gpu(tmp_path) is None
    (tmp_path / "nvidia-h200-2026-12-01.json").touch()
    with pytest.raises(DataError):
        newest(tmp_path)
    (tmp_path / "amd-epyc-2026-11-01.json").touch()
    assert newest(tmp_path).name == "amd-epyc-2026-11-01.json"
    assert newest_of_gpu(tmp_path) == tmp_path / "nvidia-h200-2026-12-01.json"


@pytest.mark.parametrize(
    ("gpu_name", "file"),
    [
        ("NVIDIA H100 80GB HBM3", "nvidia-h100-80gb-hbm3"),
        ("NVIDIA GeForce RTX 4090", "nvidia-geforce-rtx-4090"),
        ("Tesla T4", "nvidia-tesla-t4"),
    ],
)
def test_a_gpus_name_becomes_a_files(gpu_name: str, file: str) -> None:
    assert gpu_machine.short_name({"gpu": gpu_name}) == file


def test_an_emulated_run_never_becomes_a_result(
    cuda: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        gpu.main(["--emulated"])
    assert "needs --results" in capsys.readouterr().err


def test_records_say_when_and_of_what_they_are(results: Results) -> None:
    for record in results.cases.values():
        assert isinstance(record, Record)
        assert record.taken
        assert record.commit
