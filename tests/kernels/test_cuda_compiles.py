"""The CUDA kernels compile for every kind of GPU, and none keeps its registers in memory.

A slice of what `make cuda-report` compiles whole. NVRTC needs no GPU.
"""

from __future__ import annotations

import re
from pathlib import Path

import cuda_report
import pytest

from minirnn.errors import DeviceError
from minirnn.kernels import cells
from minirnn.kernels.cuda import generated_source, products, schedule, source
from minirnn.kernels.cuda.device import Gpu
from minirnn.kernels.cuda.nvrtc import Nvrtc, Usage, usage_in

pytest.importorskip(
    "cupy_backends", reason="NVRTC comes with CuPy: pip install 'cupy-cuda13x[ctk]'"
)

SIZES = {"batches": (1, 16, 128), "hidden": (64, 512, 1024)}


@pytest.mark.parametrize("target", cuda_report.GPUS)
@pytest.mark.parametrize("precision", cuda_report.PRECISIONS)
def test_no_kernel_spills(precision: str, target: str) -> None:
    # A cell a precision and a target: between them every cell of the report is met.
    turn = list(cuda_report.GPUS).index(target) + cuda_report.PRECISIONS.index(precision)
    names = list(cuda_report.CELLS)
    wanted = cuda_report.jobs(
        [names[turn % 4], names[4 + turn % 6]], [precision], [target], **SIZES
    )
    wanted = wanted[:: max(1, len(wanted) // 5)]
    lines = [line for job in wanted for line in cuda_report.compiled(job)]
    assert lines
    assert not [line for line in lines if line.spilled_bytes or line.stack_bytes]
    assert all(0 < line.registers <= 255 for line in lines)


def test_the_report_covers_every_kernel_cell_precision_and_target() -> None:
    wanted = cuda_report.jobs(
        cuda_report.CELLS, cuda_report.PRECISIONS, cuda_report.GPUS, (1, 64), (64,)
    )
    assert {job.target for job in wanted} == {"sm_80", "sm_90", "sm_120"}
    for cell in cuda_report.CELLS:
        of_cell = {(job.kernel, job.precision) for job in wanted if job.cell == cell}
        assert {p for k, p in of_cell if k == "forward"} == set(cuda_report.PRECISIONS)
        # Gradients of float16 are multiplied as tf32.
        assert {p for k, p in of_cell if k == "backward"} == {*cuda_report.PRECISIONS} - {"float16"}
        assert ("rebuild", "float32") in of_cell
    kinds = {job.kernel for job in wanted}
    assert kinds == {"forward", "backward", "rebuild", "product", "around", "packing", "operands"}


def test_the_report_fails_on_a_spill(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    only = ["--cells", "rnn-tanh", "--precisions", "float32", "--gpus", "sm_90"]
    job = cuda_report.Job("forward", "rnn-tanh", "float32", "sm_90", (8, 4, 32, 2, True), 0)
    monkeypatch.setattr(cuda_report, "jobs", lambda *_: [job])
    assert cuda_report.main(only) == 0
    # A tile whose sums alone are more than a thread's registers.
    large = job._replace(tile=(64, 128, 32, 2, False))
    monkeypatch.setattr(cuda_report, "jobs", lambda *_: [large])
    assert cuda_report.main(only) == 1
    assert "1 spill registers" in capsys.readouterr().out


def test_what_the_assembler_reports_is_read() -> None:
    log = """ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'forward' for 'sm_90'
ptxas info    : Function properties for forward
ptxas         .     32 bytes stack frame, 48 bytes spill stores, 56 bytes spill loads
ptxas info    : Used 128 registers, used 1 barriers, 32 bytes cumulative stack size
"""
    assert usage_in(log) == {"forward": Usage(128, 32, 104)}
    with pytest.raises(RuntimeError, match="not as expected"):
        usage_in(log.replace("spill stores", "stores"))


def test_machine_code_is_whole() -> None:
    image = Nvrtc().compile(source.around_source("float32", "float32"), "sm_90")
    assert image.startswith(b"\x7fELF")
    headers = int.from_bytes(image[40:48], "little")  # e_shoff, and as many as e_shnum
    assert len(image) >= headers + int.from_bytes(image[60:62], "little") * 64


def test_exact_products_compile_for_turing_too() -> None:
    """Whose copies to shared memory do not go on by themselves, and which has 64 KiB of it."""
    turing = Gpu("sm_75", 40, 64 << 10, True)
    cell = cuda_report.CELLS["lstm-tanh"]
    for dtype in ("float32", "float64"):
        forward = schedule.schedule_of(turing, dtype, 4, 16, 64, 64)
        backward = schedule.schedule_of(turing, dtype, 1, 16, 64, 256)
        texts = [
            source.forward_source(cell, dtype, dtype, forward.tile),
            source.backward_source(cell, dtype, dtype, backward.tile),
            source.packing_source(dtype, dtype),
            source.operands_source(dtype, dtype),
        ]
        for tiles, _ in products.TILES:
            for along in (True, False):
                shared = products.shared_bytes(dtype, tiles[dtype], along, False)
                assert shared <= turing.shared_bytes
                texts.append(source.product_source(dtype, dtype, tiles[dtype], along, False))
        for text in texts:
            for usage in Nvrtc().compile_with_usage(text, turing.target)[1].values():
                assert usage.spilled_bytes == 0


def test_an_unknown_gpu_and_wrong_text_are_refused() -> None:
    text = source.around_source("float32", "float32")
    with pytest.raises(DeviceError, match="sm_20"):
        Nvrtc().compile(text, "sm_20")
    with pytest.raises(RuntimeError, match="expected"):
        Nvrtc().compile(text.replace(";", "", 1), "sm_90")


def test_the_text_reads_like_the_equations() -> None:
    text = generated_source(cells.lstm())
    wanted = [
        "gate[slot::input_] = sigmoid(z[slot::input_]);",
        "gate[slot::forget_] = sigmoid(z[slot::forget_]);",
        "gate[slot::cell_] = tanh(z[slot::cell_]);",
        "gate[slot::output_] = sigmoid(z[slot::output_]);",
        "state[state_of::h_] = gate[slot::output_] * tanh(state[state_of::c_]);",
    ]
    places = [text.index(line) for line in wanted]
    assert places == sorted(places)
    backward = generated_source(cells.gru(), "float64", direction="backward")
    assert "using Real = double;" in backward
    assert "dlast[state_of::h_] = total[state_of::h_] * gate[slot::update_];" in backward


@pytest.mark.parametrize("name", ["new", "class", "größe", "t1", "Real"])
def test_any_name_of_a_slot_is_a_name_in_c(name: str) -> None:
    def equations(z, last):
        value = cells.tanh(getattr(z, name))
        return {"h": value}, {name: value}

    own = cells.cell(states=("h",), **{name: "xh"})(equations)
    image = Nvrtc().compile(generated_source(own), "sm_90")
    assert image.startswith(b"\x7fELF")


def test_no_kernel_adds_atomically_or_asks_for_loose_arithmetic() -> None:
    folder = Path(source.__file__).parent
    texts = {f.name: f.read_text(encoding="utf-8") for f in folder.glob("*.cuh")}
    names = ("machine", "formats", "product", "share", "sequence", "packing", "operands")
    assert {f"{name}.cuh" for name in names} == texts.keys()
    for file, text in texts.items():
        assert not re.search(r"atomic\w+|__expf|__fdividef|use_fast_math", text), file
