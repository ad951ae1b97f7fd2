"""Part of `make gpu-check`: compiles ahead, side by side, what the other parts are going to run."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import product
from multiprocessing import get_context
from typing import NamedTuple

import gpu_check_common as common

from minirnn.kernels import cells
from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.cuda import build, device, products, source
from minirnn.kernels.cuda.device import Gpu
from minirnn.kernels.cuda.schedule import schedule_of

PRECISIONS = ("float32", "tf32", "bfloat16", "float16", "float64")
CELLS: dict[str, Cell] = {"lstm": cells.lstm(), "gru": cells.gru(), "rnn": cells.rnn()}
OTHERS: dict[str, Cell] = {
    **{f"rnn-{name}": cells.rnn(name) for name in ("relu", "sigmoid", "identity")},
    **{f"gru-{name}": cells.gru(name) for name in ("relu", "sigmoid")},
    **{f"lstm-{name}": cells.lstm(name) for name in ("relu", "sigmoid")},
}
# B, H: those of the timings, and enough of the small ones that few tiles are left to be met.
LARGE = tuple(product((1, 16, 64, 128, 1024), (256, 512, 768, 1024, 2048, 4096)))
SMALL = tuple(product((1, 8, 16, 40, 70), (8, 33, 64, 100, 128, 150, 200)))
TINY = ((3, 8),)


class Module(NamedTuple):
    """A text to compile."""

    label: str
    text: str


def modules(gpu: Gpu, quick: bool) -> Iterator[Module]:
    """What the sizes of the other parts lead to on this GPU, the most used first."""
    for precision in PRECISIONS[: 1 if quick else None]:
        yield from of_products(precision)
        for name, cell in CELLS.items():
            yield from of_cell(name, cell, precision, gpu, TINY if quick else SMALL + LARGE)
    if not quick:
        for name, cell in OTHERS.items():
            for precision in PRECISIONS:
                yield from of_cell(name, cell, precision, gpu, SMALL)


def of_products(precision: str) -> Iterator[Module]:
    """The large products, and what surrounds them."""
    dtype = "float64" if precision == "float64" else "float32"
    yield Module(f"around ({precision})", source.around_source(dtype, precision))
    yield Module(f"packing ({precision})", source.packing_source(dtype, precision))
    yield Module(f"operands ({precision})", source.operands_source(dtype, precision))
    for tiles, _ in products.TILES:
        for a, b in ((True, True), (True, False), (False, False)):
            tile = products.fitting(precision, tiles[precision], a, b)
            text = source.product_source(dtype, precision, tile, a, b)
            yield Module(f"product ({precision})", text)


def of_cell(
    name: str, cell: Cell, precision: str, gpu: Gpu, sizes: tuple[tuple[int, int], ...]
) -> Iterator[Module]:
    """Forward and backward in both schedules, and the rebuilding of gates."""
    dtype = "float64" if precision == "float64" else "float32"
    back = "tf32" if precision == "float16" else precision  # gradients of float16 are tf32's
    fed = len(cell.hidden_slots)
    for B, H in sizes:
        for whole in (True, False):
            tile = schedule_of(gpu, precision, fed, B, H, H, whole).tile
            yield Module(f"{name} forward", source.forward_source(cell, dtype, precision, tile))
            tile = schedule_of(gpu, back, 1, B, H, fed * H, whole).tile
            yield Module(f"{name} backward", source.backward_source(cell, dtype, back, tile))
    if precision in ("float32", "float64"):
        yield Module(f"{name} rebuild", source.rebuild_source(cell, dtype))


def prepare(emulated: bool) -> None:
    """A worker's start."""
    if emulated:
        import emulator

        emulator.install()
    common.plant()


def compiled(module: Module, target: str) -> str:
    """Compile one; what went wrong, or nothing."""
    try:
        build.compile_ahead(module.text, target, module.label)
    except Exception as error:  # noqa: BLE001  (whatever it is, it is told)
        return f"{module.label} for {target}: {type(error).__name__}: {str(error)[:400]}"
    return ""


def main() -> int:
    """Compile what there is time for; the exit status is 1 if a text cannot be compiled."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a handful")
    quick = parser.parse_args().quick
    common.plant()
    began = time.perf_counter()
    gpu = device.current()
    wanted = list({module.text: module for module in modules(gpu, quick)}.values())
    emulated = type(build.compiler).__name__ != "Nvrtc"
    failures, done = [], 0
    workers = min(len(wanted), os.cpu_count() or 1)
    # Not forked: a process that has used the GPU cannot be.
    pool = ProcessPoolExecutor(workers, get_context("spawn"), prepare, (emulated,))
    with pool:
        futures = [pool.submit(compiled, module, gpu.target) for module in wanted]
        for future in as_completed(futures):
            if common.seconds_left() < 0:
                pool.shutdown(wait=True, cancel_futures=True)
                break
            done += 1
            if why := future.result():
                failures.append(why)
    seconds = time.perf_counter() - began
    words = f"{done} of {len(wanted)} modules for {gpu.target} in {seconds:.0f} s"
    return common.report(words, failures, modules=done, wanted=len(wanted), seconds=seconds)


if __name__ == "__main__":
    sys.exit(main())
