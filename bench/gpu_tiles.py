"""Times the steps of an LSTM with every tile that the schedule chooses from, beside its estimate.

python -m bench.gpu_tiles [--seconds 60]      (a GPU is needed, and CuPy)

For each size the tile that is chosen, the best one, and what the choice loses. Where it loses much,
the constants in kernels/cuda/schedule.py want to be fitted anew: --save has all times.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.gpu_sides import Ours
from bench.gpu_work import work_of
from bench.shapes import Shape
from bench.summary import median
from minirnn.errors import MinirnnError
from minirnn.kernels import cells
from minirnn.kernels.cuda import clock, device, schedule, steps
from minirnn.kernels.cuda.schedule import Schedule, nanoseconds, schedules

STEPS, RUNS = 100, 3
SIZES = (  # B, H
    (16, 768), (64, 512), (64, 256), (16, 128), (1, 512), (64, 1024), (128, 1024), (32, 2048),
    (16, 256), (256, 512),
)  # fmt: skip
PRECISIONS = ("float32", "tf32", "bfloat16")
SLOTS = len(cells.lstm().hidden_slots)


class Timed(NamedTuple):
    """One tile at one size."""

    precision: str
    which: str  # "forward" or "backward"
    B: int
    H: int
    tile: tuple[int | bool, ...]
    grid: tuple[int, int]
    estimated: float  # microseconds a step
    measured: float


def timed(precision: str, which: str, B: int, H: int, until: float) -> Iterator[Timed]:
    """The tiles of one size, as many as there is time for."""
    slots, K = (SLOTS, H) if which == "forward" else (1, SLOTS * H)
    gpu = device.current()
    side = Ours(work_of("lstm", Shape(STEPS, B, H, H), 1, 0), precision)
    choose = schedule.schedule_of
    for plan in schedules(gpu, precision, slots, B, H, K):
        if time.monotonic() > until:
            return

        def planned(*arguments: Any, plan: Schedule = plan) -> Schedule:
            return plan if arguments[2] == slots else choose(*arguments)

        steps.schedule_of = planned  # type: ignore[assignment]
        try:
            measured = median([_microseconds(side, which) for _ in range(RUNS + 1)][1:])
        finally:
            steps.schedule_of = choose
        estimated = nanoseconds(gpu, plan, precision, slots, B, K) / 1e3
        yield Timed(precision, which, B, H, tuple(plan.tile), plan.grid, estimated, measured)


def _microseconds(side: Ours, which: str) -> float:
    """Of a step of the loop through time."""
    with side.around(), clock.measured() as times:
        side.training(0)
    return float(getattr(times, which)["recurrent loop"]) / STEPS * 1e6


def line(tiles: list[Timed]) -> str:
    """What is chosen for a size, and the best."""
    chosen, best = min(tiles, key=lambda t: t.estimated), min(tiles, key=lambda t: t.measured)
    first = f"{best.precision:9} {best.which:8} B {best.B:4} H {best.H:5}: "
    return first + (
        f"chosen {chosen.tile} {chosen.measured:.2f} us a step (estimated {chosen.estimated:.2f}), "
        f"best {best.tile} {best.measured:.2f}, of {len(tiles)}"
    )


def main(argv: list[str] | None = None) -> int:
    """Time what there is time for."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.gpu_tiles", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="for all of it (60)")
    parser.add_argument("--save", type=Path, help="a file for all times, as JSON")
    asked = parser.parse_args(argv)
    until = time.monotonic() + asked.seconds
    found: list[Timed] = []
    lost = []
    try:
        for precision in PRECISIONS:
            for B, H in SIZES:
                for which in ("forward", "backward"):
                    tiles = list(timed(precision, which, B, H, until))
                    if not tiles:
                        continue
                    found += tiles
                    chosen = min(tiles, key=lambda t: t.estimated).measured
                    lost.append(chosen / min(t.measured for t in tiles) - 1)
                    print(line(tiles), flush=True)
    except MinirnnError as error:
        print(f"bench.gpu_tiles: error: {error}", file=sys.stderr)
        return 2
    if lost:
        print(f"the choice loses {np.mean(lost):.1%} on average, {max(lost):.0%} at most")
    if asked.save is not None:
        asked.save.write_text(json.dumps([t._asdict() for t in found]), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
