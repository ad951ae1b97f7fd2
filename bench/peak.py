"""The processor's FMA peak as one more side: measured in turn with what is compared to it."""

from __future__ import annotations

import time

import minirnn as mr
from bench.pairs import SETTLE, Turn

SECONDS = 0.05  # two bursts or three, of which the best counts


def fma_peak(dtype: str) -> Turn:
    """A turn whose reading is GFLOP/s of independent multiply-adds, on the threads in use."""
    from minirnn.profiling import peak

    def turn() -> float:
        time.sleep(SETTLE)
        return peak.fma_peak(dtype, threads=mr.get_num_threads(), seconds=SECONDS)

    turn()  # compiles
    return turn
