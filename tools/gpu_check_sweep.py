"""Part of `make gpu-check`: every cell, dtype, precision, direction and schedule on fresh inputs.

Sizes and inputs are drawn from a seed that is told. Memory is poisoned: an element that is not
written is NaN. What comes out is held to the float64 reference, or at sizes that it cannot run in
time to the CPU's float64 kernels, by the bounds of `minirnn.testing.tolerances`; and it has to be
the same bits in every run.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from itertools import product
from typing import NamedTuple

import gpu_check_common as common
import numpy as np
from host_arrays import kernels_of
from kernel_cases import (
    CELLS,
    Case,
    assert_kernels_match,
    expected_step_by_step,
    random_case,
    run,
)

from bench.gpu_timing import poisoned
from minirnn.kernels import cpu, cuda
from minirnn.kernels.cuda.steps import step_by_step
from minirnn.testing.mismatch import assert_matches_reference
from minirnn.testing.reference import ReferenceRun, Sizes
from minirnn.testing.tolerances import magnitudes_of

NARROW = ("tf32", "bfloat16", "float16")
TANH = ("lstm-tanh", "gru-tanh", "rnn-tanh")
# T, B, I, H: what the small ones do not reach. Cooperative launches of many blocks, weights that
# stay in shared memory or do not fit, sums in slices, and many steps.
LARGE = (
    (64, 32, 256, 256), (20, 128, 512, 1024), (1000, 8, 64, 128), (30, 64, 300, 768),
    (5, 128, 1024, 1024), (150, 64, 65, 512), (1000, 1, 33, 512),
)  # fmt: skip
REPEATED = ((40, 32, 128, 256), (25, 128, 256, 1024), (300, 5, 31, 130))
RUNS = 5
TOO_MANY = 10  # failures, after which the rest would not tell more

SCHEDULES: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "whole": nullcontext,
    "a launch a step": step_by_step,
}


class Check(NamedTuple):
    """One thing to look at."""

    name: str
    work: Callable[[], None]


def checks(rng: np.random.Generator, quick: bool) -> Iterator[Check]:
    """All of them, those that every run should reach first."""
    names = list(TANH) if quick else list(CELLS)
    for name in names:
        for dtype in ("float32",) if quick else ("float32", "float64"):
            for reverse in (False, True):
                for lengths in (False, True):
                    for schedule in SCHEDULES:
                        yield small(rng, name, dtype, reverse, lengths, schedule, quick)
    for name in names[: 1 if quick else None]:
        for precision in NARROW:
            for schedule in SCHEDULES:
                yield narrow(rng, name, precision, schedule, quick)
    for sizes in ((3, 4, 5, 8),) if quick else REPEATED:
        for name in TANH[: 1 if quick else None]:
            for precision in ("float32", *NARROW):
                yield same_bits(rng, name, precision, sizes)
    # Each size once, each time with another cell and precision, and so on until all have met.
    kinds = list(product(TANH, ("float32", *NARROW)))
    for turn in range(0 if quick else len(kinds)):
        for n, sizes in enumerate(LARGE):
            yield large(rng, *kinds[(turn + 5 * n) % len(kinds)], sizes)


def drawn(
    rng: np.random.Generator, name: str, dtype: str, quick: bool, lengths: bool = False,
    reverse: bool = False,
) -> tuple[str, Case]:  # fmt: skip
    """A case of small sizes, mostly none of them a multiple of anything."""
    most = (5, 5, 9, 13) if quick else (40, 70, 150, 200)
    T, B, I, H = (int(rng.integers(1, n + 1)) for n in most)  # noqa: E741
    seed = int(rng.integers(2**32))
    case = random_case(
        CELLS[name], T=T, B=B, I=I, H=H, seed=seed, dtype=dtype, lengths=lengths, reverse=reverse
    )
    where = f"{name} {dtype} T,B,I,H = {T},{B},{I},{H} seed {seed}"
    return f"{where}{' reverse' if reverse else ''}{' lengths' if lengths else ''}", case


def small(
    rng: np.random.Generator, name: str, dtype: str, reverse: bool, lengths: bool, schedule: str,
    quick: bool,
) -> Check:  # fmt: skip
    """A whole run and each of its steps, against the reference."""
    where, case = drawn(rng, name, dtype, quick, lengths, reverse)

    def work() -> None:
        with SCHEDULES[schedule]():
            assert_kernels_match(kernels_of("cuda"), case)

    return Check(f"{where}, {schedule}", work)


def narrow(
    rng: np.random.Generator, name: str, precision: str, schedule: str, quick: bool
) -> Check:
    """Every step by itself, with operands of products rounded."""
    where, case = drawn(rng, name, "float32", quick)
    return Check(f"{where}, {precision}, {schedule}", partial(_narrow, case, precision, schedule))


def _narrow(case: Case, precision: str, schedule: str) -> None:
    with SCHEDULES[schedule](), multiplied_as(precision):
        found = run(kernels_of("cuda"), case)
    wanted = expected_step_by_step(case, found.record)
    assert_matches_reference(found.arrays(case.cell), wanted, precision=precision)


def large(
    rng: np.random.Generator, name: str, precision: str, sizes: tuple[int, int, int, int]
) -> Check:
    """The CPU's float64 kernels know better; in narrow precision, of each step."""
    where, case = _sized(rng, name, sizes)

    def work() -> None:
        if precision != "float32":
            _narrow(case, precision, "whole")
            return
        found = run(kernels_of("cuda"), case).arrays(case.cell)
        assert_matches_reference(found, expected_from_cpu(case))

    return Check(f"{where}, {precision}", work)


def same_bits(
    rng: np.random.Generator, name: str, precision: str, sizes: tuple[int, int, int, int]
) -> Check:
    """The same bits in every run, and in both schedules."""
    where, case = _sized(rng, name, sizes)

    def work() -> None:
        first: dict[str, bytes] = {}
        for schedule, around in SCHEDULES.items():
            for n in range(RUNS):
                with around(), multiplied_as(precision):
                    arrays = run(kernels_of("cuda"), case, keep="tape").arrays(case.cell)
                bits = {key: array.tobytes() for key, array in arrays.items()}
                first = first or bits
                other = [key for key in bits if bits[key] != first[key]]
                assert not other, f"{', '.join(other)}: other bits in run {n + 1}, {schedule}"

    return Check(f"{where}, {precision}, same bits", work)


def _sized(
    rng: np.random.Generator, name: str, sizes: tuple[int, int, int, int]
) -> tuple[str, Case]:
    T, B, I, H = sizes  # noqa: E741
    seed, reverse = int(rng.integers(2**32)), bool(rng.integers(2))
    case = random_case(
        CELLS[name], T=T, B=B, I=I, H=H, seed=seed, dtype="float32", reverse=reverse, lengths=True
    )
    told = ",".join(map(str, sizes))
    return f"{name} T,B,I,H = {told} seed {seed}{' reverse' if reverse else ''}", case


def expected_from_cpu(case: Case) -> ReferenceRun:
    """The run of the CPU's float64 kernels, with the tolerances that follow from it."""
    wide = case.astype(np.float64)
    found = run(cpu, wide)
    assert found.record is not None
    T, B, I = wide.x.shape  # noqa: E741
    cell, H = case.cell, wide.weights.weight_hh.shape[1]
    sizes = Sizes(T, B, I, H, len(cell.input_slots), len(cell.hidden_slots))
    x = wide.x
    if case.lengths is not None:
        x = np.where((np.arange(T)[:, None] < case.lengths)[:, :, None], x, 0.0)
    magnitudes = magnitudes_of(cell.hidden_slots, x, wide.state, wide.weights, found.record)
    return ReferenceRun(
        cell, found.output, found.state, found.gradients, found.record, sizes, magnitudes
    )


@contextmanager
def multiplied_as(precision: str) -> Iterator[None]:
    """Inside, products have operands of that precision."""
    before = cuda.get_matmul_precision()
    cuda.set_matmul_precision(precision)  # type: ignore[arg-type]
    try:
        yield
    finally:
        cuda.set_matmul_precision(before)


def main() -> int:
    """Look at what there is time for; the exit status is 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--quick", action="store_true", help="a handful, of tiny sizes")
    asked = parser.parse_args()
    common.plant()
    began, failures, done = time.perf_counter(), [], 0
    wanted = list(checks(np.random.default_rng(asked.seed), asked.quick))
    with poisoned():
        for check in wanted:
            if common.seconds_left() < 0 or len(failures) >= TOO_MANY:
                break
            try:
                check.work()
            except Exception as error:  # noqa: BLE001  (whatever it is, it is told)
                where = traceback.extract_tb(error.__traceback__)[-1]
                failures.append(
                    f"{check.name}: {type(error).__name__}: {str(error)[:300]} "
                    f"({where.name}, line {where.lineno})"
                )
            done += 1
    seconds = time.perf_counter() - began
    words = f"{done} of {len(wanted)} checks in {seconds:.0f} s, seed {asked.seed}"
    return common.report(words, failures, done=done, wanted=len(wanted), seconds=seconds)


if __name__ == "__main__":
    sys.exit(main())
