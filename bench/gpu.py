"""Times minirnn on a GPU beside cuDNN, like precision against like, and beside what it can do.

python -m bench.gpu [--seconds 240] [--results FILE]      (a GPU is needed, and CuPy)

Every side is first held to float64, and a side that is wrong is not timed. Then the sides take
turns, timed by events on the GPU; the cases that tell most come first, until the time is up. What
is measured goes into the file as soon as it is there. `make gpu-check` runs this last.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import minirnn as mr
from bench import gpu_machine, machine
from bench.gpu_shapes import EMULATED, PRECISIONS, GpuCase, gpu_cases
from bench.gpu_sides import Cudnn, OnCpu, Ours, StepByStep, has_torch
from bench.gpu_timing import OnGpu, sets_to_rotate
from bench.gpu_work import GpuWork, work_of
from bench.pairs import Rounds
from bench.problem import WrongResultError
from bench.results import FOLDER, Record, Results
from bench.summary import median
from minirnn.errors import MinirnnError
from minirnn.profiling import gpu_peak
from minirnn.profiling.calls import noted
from minirnn.profiling.operations import added, backward_work, forward_work

ROUNDS = 7
CPU_OPERATIONS = 5e10  # beyond which the CPU is not timed
CPU_RUNS = 3
SQUARE = 8192  # of the library's matrix product

Say = Callable[[str], None]


def run(
    results: Results, cases: Iterable[GpuCase], seconds: float, say: Say, seed: int,
    measure: Ceilings | None = None,
) -> list[str]:  # fmt: skip
    """Time as many cases as there is time for; returns what was wrong with our own results."""
    measure = measure or Ceilings()
    until = time.monotonic() + seconds
    wrong: list[str] = []
    with_torch = has_torch()
    keep(results, "gpu-ceilings/before", measure.record(with_torch))
    say("ceilings measured")
    longest = 0.0
    for case in cases:
        began = time.monotonic()
        if began + longest > until:
            break
        record = measured(case, with_torch, seed, wrong)
        keep(results, f"gpu/{case}", record)
        free_memory(with_torch)
        # Cases grow and shrink: a new one may take as long as any of them, but not much longer.
        longest = max(longest, time.monotonic() - began)
        say(line(case, record))
    keep(results, "gpu-ceilings/after", measure.record(with_torch=False))
    return wrong


def measured(case: GpuCase, with_torch: bool, seed: int, wrong: list[str]) -> Record:
    """Check and time the sides of a case. Adds to `wrong` what is wrong with our own."""
    T, B, I, H = case.shape  # noqa: E741
    sets = sets_to_rotate(4 * T * B * (I + H))
    work = work_of(case.cell, case.shape, sets, seed)
    facts: dict[str, Any] = {"sets": sets, "checked": list(work.checked)}
    facts |= {"errors": {}, "left_out": {}, "host": {}}
    turns: dict[str, OnGpu] = {}
    kinds: list[Any] = [Ours]
    if case.precision == "float32" and case.cell == "lstm":
        kinds.append(StepByStep)
    if with_torch:
        kinds.append(Cudnn)
    for kind in kinds:
        try:
            side = kind(work, case.precision)
            facts["errors"][side.name] = work.errors(
                side.name, case.precision, side.result(case.mode)
            )
            turns[side.name] = OnGpu(getattr(side, case.mode), sets, side.around)
        except (MinirnnError, WrongResultError, RuntimeError, MemoryError) as error:
            facts["left_out"][kind.name] = " ".join(str(error).split())[:300]
            if kind is not Cudnn:  # that it is wrong, or has no memory left, is not for us to cure
                wrong.append(f"{kind.name}, {case}: {facts['left_out'][kind.name]}")
    rounds = Rounds(turns)
    count = ROUNDS if sum(turn.seconds for turn in turns.values()) < 1.0 else 3
    for _ in range(count):
        rounds.next()
    facts["host"] = {name: median(turn.issued) for name, turn in turns.items()}
    if "minirnn" in turns:
        facts |= counted(work, case)
    readings = rounds.readings
    if case.precision == "float32" and case.operations <= CPU_OPERATIONS:
        readings["cpu"] = on_cpu(work, case.mode)
    parameters = {"cell": case.cell, "precision": case.precision, "shape": list(case.shape)}
    return Record("gpu", {**parameters, "mode": case.mode}, readings, facts)


def counted(work: GpuWork, case: GpuCase) -> dict[str, int]:
    """The operations of a case, and the bytes that its phases have to move at least."""
    from minirnn.kernels import cuda

    side = Ours(work, case.precision)
    with side.around(), noted(cuda) as calls:
        getattr(side, case.mode)(0)
    training = case.mode == "training"
    counts = [added(forward_work(call, keeps=training) for call in calls)]
    counts += [added(backward_work(call) for call in calls)] if training else []
    works = added(counts).values()
    return {"flop": sum(w.flop for w in works), "nbytes": sum(w.nbytes for w in works)}


def on_cpu(work: GpuWork, mode: str) -> list[float]:
    """Seconds of a call on the CPU."""
    call = getattr(OnCpu(work), mode)
    call()  # compiles
    times = []
    for _ in range(CPU_RUNS):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return times


class Ceilings(NamedTuple):
    """How to find out what the GPU can do."""

    seconds: float = gpu_peak.BURST_SECONDS  # of a burst of multiply-adds
    nbytes: int | None = None  # that are copied; None: far more than the cache holds

    def record(self, with_torch: bool) -> Record:
        """GFLOP/s of multiply-adds by format, GB/s copied, and with PyTorch cuBLAS's product."""
        names = (*PRECISIONS, "float64")
        readings = {name: [gpu_peak.multiply_add_peak(name, self.seconds)] for name in names}
        readings["copy"] = [gpu_peak.copy_bandwidth(self.nbytes)]
        if with_torch:
            for name in PRECISIONS:
                readings[f"library product, {name}"] = [library_product(name)]
        return Record("gpu-ceilings", {}, readings)


def library_product(precision: str, runs: int = 5) -> float:
    """GFLOP/s of PyTorch's, that is cuBLAS's, product of two large random matrices."""
    import torch

    from minirnn.profiling.torch_like_ours import float32_products, on_cupys_stream

    dtype = getattr(torch, "float32" if precision == "tf32" else precision)
    with on_cupys_stream(torch), float32_products(torch, precision == "tf32"):
        a, b = (torch.randn(SQUARE, SQUARE, device="cuda").to(dtype) for _ in range(2))
        turn = OnGpu(
            lambda _: torch.mm(a, b), 1, lambda: float32_products(torch, precision == "tf32")
        )
        best = min(turn() for _ in range(runs))
    return 2.0 * SQUARE**3 / best / 1e9


def keep(results: Results, key: str, record: Record) -> None:
    """Add a record, with when and of what it was taken."""
    record.taken = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    record.commit = machine.commit()
    results.add(key, record)


def free_memory(with_torch: bool) -> None:
    """Give back what both pools hold, so that the other can have it."""
    import cupy

    gc.collect()
    cupy.get_default_memory_pool().free_all_blocks()
    if with_torch:
        import torch

        torch.cuda.empty_cache()


def line(case: GpuCase, record: Record) -> str:
    """A case in a line."""
    times = [
        f"{name} {1e3 * median(readings):.3g} ms" for name, readings in record.readings.items()
    ]
    left = [f"{name}: {why}" for name, why in record.facts["left_out"].items()]
    return f"{case}: {', '.join(times + left)}"


def main(argv: list[str] | None = None) -> int:
    """Time what there is time for; the exit status is 1 if a result of ours was wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.gpu", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--seconds", type=float, default=240.0, help="for all of it (240)")
    parser.add_argument("--results", type=Path, help="(bench/results/<gpu>-<date>.json)")
    parser.add_argument("--seed", type=int, help="of the inputs (drawn, and told)")
    parser.add_argument(
        "--emulated", action="store_true", help="tiny sizes for an emulated GPU; needs --results"
    )
    asked = parser.parse_args(argv)
    try:
        described = gpu_machine.describe()
    except MinirnnError as error:
        print(f"bench.gpu: error: {error}", file=sys.stderr)
        return 2
    if asked.emulated:
        if asked.results is None:
            parser.error("--emulated needs --results: its times are not results")
        described["emulated"] = True
    seed = int(np.random.SeedSequence().entropy) % 2**32 if asked.seed is None else asked.seed
    today = datetime.date.today().isoformat()
    path = asked.results or FOLDER / f"{gpu_machine.short_name(described)}-{today}.json"
    results = Results(path, described, mr.get_num_threads())
    print(f"seed {seed}", flush=True)
    cases = EMULATED if asked.emulated else gpu_cases()
    measure = Ceilings(1e-4, 1 << 20) if asked.emulated else Ceilings()
    wrong = run(results, cases, asked.seconds, lambda text: print(text, flush=True), seed, measure)
    for each in wrong:
        print(f"wrong: {each}", file=sys.stderr)
    print(f"{len(results.cases)} records in {path.name}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
