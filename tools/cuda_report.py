"""Compiles the CUDA kernels for every kind of GPU, without one, and reports what they take.

    python tools/cuda_report.py                     every cell, precision and GPU: some 20 minutes
    python tools/cuda_report.py --cells lstm --gpus sm_90 --precisions float32

For each kernel that the schedule may choose for sizes from 1 to 4096: registers of a thread, shared
memory of a block, and spills. A kernel that spills registers makes the exit status 1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

from minirnn.kernels import cells
from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.cuda import products, source
from minirnn.kernels.cuda.device import Gpu
from minirnn.kernels.cuda.nvrtc import Nvrtc
from minirnn.kernels.cuda.schedule import Schedule, schedule_of

# One of each kind: A100, H200, RTX PRO 6000. Multiprocessors and shared memory decide the tiles.
GPUS = {
    "sm_80": Gpu("sm_80", 108, 166912, True),
    "sm_90": Gpu("sm_90", 132, 232448, True),
    "sm_120": Gpu("sm_120", 188, 101376, True),
}
CELLS = {
    **{f"rnn-{name}": cells.rnn(name) for name in ("tanh", "relu", "sigmoid", "identity")},
    **{f"gru-{name}": cells.gru(name) for name in ("tanh", "relu", "sigmoid")},
    **{f"lstm-{name}": cells.lstm(name) for name in ("tanh", "relu", "sigmoid")},
}
PRECISIONS = ("float32", "float64", "tf32", "bfloat16", "float16")
BATCHES = (1, 4, 8, 16, 32, 64, 128, 512)
HIDDEN = (8, 32, 64, 100, 128, 200, 256, 384, 512, 768, 1024, 1536, 2048, 4096)


class Job(NamedTuple):
    """A module to compile."""

    kernel: str
    cell: str
    precision: str
    target: str
    tile: tuple[int | bool, ...]
    shared_bytes: int

    def text(self) -> str:
        """Its source."""
        dtype = "float64" if self.precision == "float64" else "float32"
        if self.kernel in ("forward", "backward"):
            make = getattr(source, f"{self.kernel}_source")
            text: str = make(CELLS[self.cell], dtype, self.precision, source.StepTile(*self.tile))
            return text
        if self.kernel == "rebuild":
            return source.rebuild_source(CELLS[self.cell], dtype)
        if self.kernel == "around":
            return source.around_source(dtype, self.precision)
        if self.kernel == "operands":
            return source.operands_source(dtype, self.precision)
        if self.kernel == "packing":
            return source.packing_source(dtype, self.precision)
        *tile, a, b = self.tile
        return source.product_source(
            dtype, self.precision, source.ProductTile(*tile), bool(a), bool(b)
        )


class Line(NamedTuple):
    """What one kernel of a module takes."""

    job: Job
    entry: str
    registers: int
    spilled_bytes: int
    stack_bytes: int


def jobs(
    names: Iterable[str], precisions: Iterable[str], targets: Iterable[str],
    batches: Iterable[int] = BATCHES, hidden: Iterable[int] = HIDDEN,
) -> list[Job]:  # fmt: skip
    """Every module that these choices may lead to, each once."""
    names, batches, hidden = list(names), list(batches), list(hidden)
    found: dict[Job, None] = {}
    for target in targets:
        for precision in precisions:
            for job in _products(precision, target):
                found[job] = None
            for name in names:
                for job in _of_cell(name, precision, GPUS[target], batches, hidden):
                    found[job] = None
    return list(found)


def _of_cell(
    name: str, precision: str, gpu: Gpu, batches: list[int], hidden: list[int]
) -> Iterator[Job]:
    cell: Cell = CELLS[name]
    fed = len(cell.hidden_slots)
    # Gradients of float16 are multiplied as tf32.
    backward = "tf32" if precision == "float16" else precision
    for B in batches:
        for H in hidden:
            for whole in (True, False):
                yield _step("forward", name, precision, gpu, schedule_of(
                    gpu, precision, fed, B, H, H, whole))  # fmt: skip
                yield _step("backward", name, backward, gpu, schedule_of(
                    gpu, backward, 1, B, H, fed * H, whole))  # fmt: skip
    if precision in ("float32", "float64"):
        yield Job("rebuild", name, precision, gpu.target, (), 0)


def _step(kernel: str, name: str, precision: str, gpu: Gpu, plan: Schedule) -> Job:
    # Shared memory varies with the sizes; the tile decides the code.
    return Job(kernel, name, precision, gpu.target, tuple(plan.tile), 0)


def _products(precision: str, target: str) -> Iterator[Job]:
    for tiles, _ in products.TILES:
        tile = tiles[precision]
        for along in ((True, True), (True, False), (False, False)):
            if products.fitting(precision, tile, *along) != tile:
                continue
            shared = products.shared_bytes(precision, tile, *along)
            yield Job("product", "", precision, target, (*tile, *along), shared)
    yield Job("around", "", precision, target, (), 0)
    yield Job("packing", "", precision, target, (), 0)
    yield Job("operands", "", precision, target, (), 0)


def compiled(job: Job) -> list[Line]:
    """Compile a module."""
    _, usage = Nvrtc().compile_with_usage(job.text(), job.target)
    return [
        Line(job, entry, u.registers, u.spilled_bytes, u.stack_bytes) for entry, u in usage.items()
    ]


def main(arguments: list[str] | None = None) -> int:
    """Compile, print the table, and tell by the exit status whether a kernel spills."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cells", nargs="+", default=[], help="such as lstm or gru-relu")
    parser.add_argument("--precisions", nargs="+", default=PRECISIONS, choices=PRECISIONS)
    parser.add_argument("--gpus", nargs="+", default=list(GPUS), choices=list(GPUS))
    chosen = parser.parse_args(arguments)
    names = [n for n in CELLS if not chosen.cells or n in chosen.cells or
             n.partition("-")[0] in chosen.cells]  # fmt: skip
    unknown = {n for n in chosen.cells if n not in CELLS and f"{n}-tanh" not in CELLS}
    if unknown:
        parser.error(f"no cell {', '.join(sorted(unknown))}; there are {', '.join(CELLS)}")
    wanted = jobs(names, chosen.precisions, chosen.gpus)
    lines: list[Line] = []
    with ProcessPoolExecutor() as pool:
        for done, found in enumerate(pool.map(compiled, wanted, chunksize=4), 1):
            lines += found
            if sys.stderr.isatty():
                end = "" if done < len(wanted) else "\n"
                print(f"\r{done} of {len(wanted)} modules", end=end, file=sys.stderr, flush=True)
    print(table(lines))
    spilling = [line for line in lines if line.spilled_bytes]
    print(f"{len(lines)} kernels of {len(wanted)} modules; {len(spilling)} spill registers")
    return 1 if spilling else 0


def table(lines: list[Line]) -> str:
    """The most that a kernel takes over the tiles of each kind, and every spill."""
    groups: dict[tuple[str, ...], list[Line]] = {}
    for line in lines:
        job = line.job
        groups.setdefault((line.entry, job.cell, job.precision, job.target), []).append(line)
    rows = [("kernel", "cell", "precision", "target", "tiles", "registers", "spilled")]
    for key, group in groups.items():
        registers = [line.registers for line in group]
        spilled = [f"{line.job.tile}: {line.spilled_bytes}" for line in group if line.spilled_bytes]
        span = f"{min(registers)} to {max(registers)}"
        rows.append((*key, str(len(group)), span, "; ".join(spilled) or "0"))  # type: ignore[arg-type]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


if __name__ == "__main__":
    sys.exit(main())
