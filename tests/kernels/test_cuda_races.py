"""No two threads of the CUDA kernels touch the same memory without an order between them.

The emulated GPU compiles a kernel so that every access is looked at: a race is told whatever the
order in which threads came, and so is a read of shared memory that nobody wrote, or an access
outside of the arguments' arrays.
"""

from __future__ import annotations

from typing import Any

import pytest
from host_arrays import OnDevice
from kernel_cases import CELLS, assert_kernels_match, random_case, run
from launch import EmulationError
from test_cuda_mutants import BARRIERS, RARELY_WRONG

from minirnn.kernels import cuda
from minirnn.kernels.cuda import build, products, steps


@pytest.fixture
def kernels(emulated: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The kernel set with every access checked, on a GPU of many blocks."""
    from compile_cpp import EmulatedCompiler

    monkeypatch.setattr(build, "compiler", EmulatedCompiler(check=True))
    monkeypatch.setattr(build, "_kernels", {})
    monkeypatch.setattr(products, "SLICE_DEPTH", 7)
    with emulated.device_properties(multiProcessorCount=24):
        yield OnDevice("cuda")


@pytest.mark.parametrize("name", ["gru-tanh", "lstm-tanh"])
def test_a_whole_run_is_free_of_races(kernels: Any, name: str) -> None:
    for reverse in (False, True):
        case = random_case(
            CELLS[name], T=5, B=18, I=9, H=70, dtype="float32", lengths=True, reverse=reverse
        )
        assert_kernels_match(kernels, case)
    # And where lines are whole vectors.
    case = random_case(CELLS[name], T=3, B=9, I=8, H=40, dtype="float32")
    assert_kernels_match(kernels, case)
    run(kernels, case, keep="checkpoints")


def test_a_launch_a_step_is_free_of_races(kernels: Any) -> None:
    case = random_case(CELLS["lstm-tanh"], T=3, B=9, I=5, H=19, dtype="float64", lengths=True)
    with steps.step_by_step():
        assert_kernels_match(kernels, case)


@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
def test_tensor_cores_are_fed_without_races(kernels: Any, precision: Any) -> None:
    cuda.set_matmul_precision(precision)
    try:
        case = random_case(CELLS["gru-tanh"], T=3, B=18, I=9, H=72, dtype="float32")
        run(kernels, case)
    finally:
        cuda.set_matmul_precision("float32")


@pytest.mark.parametrize(
    "mutant",
    [
        "grid-barrier-missing",
        "sums-read-too-early",
        "piece-multiplied-too-early",
        "sums-in-the-place-of-a-piece-in-use",
        "arrives-before-all-is-handed-over",
    ],
)
def test_a_missing_barrier_is_told_in_one_run(
    kernels: Any, mutant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel, old, new = (BARRIERS | RARELY_WRONG)[mutant]
    image = build._image

    def mutated(source: str, target: str, label: str) -> Any:
        if f") {kernel}(\n" in source:
            assert old in source
            source = source.replace(old, new)
        return image(source, target, label)

    monkeypatch.setattr(build, "_image", mutated)
    case = random_case(CELLS["lstm-tanh"], T=5, B=9, I=5, H=70, dtype="float32")
    with pytest.raises(EmulationError, match=r"race|nobody|wrote"):
        run(kernels, case)
