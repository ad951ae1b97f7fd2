"""Runs every kind of kernel once on small sizes: what compute-sanitizer is to watch.

    compute-sanitizer --tool memcheck python tools/gpu_sanitize.py

Memory comes straight from the driver, an allocation for each array: from a pool, reading past the
end of an array would go unnoticed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

import cupy
import gpu_check_common as common
import numpy as np

from minirnn.kernels import cells, cuda
from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.contract import Keep, Needs, Weights
from minirnn.kernels.cuda.steps import step_by_step

CELLS: tuple[Cell, ...] = (cells.lstm(), cells.gru(), cells.rnn())
PRECISIONS = ("float32", "tf32", "bfloat16", "float16")
SIZES = ((3, 17, 5, 19), (2, 40, 33, 70))  # T, B, I, H: edges of every tile, several blocks
KEEPS: tuple[Keep, ...] = ("tape", "record", "checkpoints")


def calls(quick: bool) -> Iterator[tuple[Cell, str, str, tuple[int, int, int, int], Keep]]:
    """Cell, dtype, precision, sizes, and what is kept."""
    for cell in CELLS[: 1 if quick else None]:
        for precision in PRECISIONS[: 1 if quick else None]:
            for sizes in SIZES[: 1 if quick else None]:
                yield cell, "float32", precision, sizes, "tape"
        for keep in KEEPS:
            yield cell, "float64", "float32", SIZES[0], keep


def run(
    cell: Cell, dtype: str, precision: str, sizes: tuple[int, int, int, int], keep: Keep
) -> None:
    """Forward and backward, with lengths and in reverse."""
    T, B, I, H = sizes  # noqa: E741
    rng = np.random.default_rng(T * B)
    rows_x, rows_h = len(cell.input_slots) * H, len(cell.hidden_slots) * H

    def drawn(*shape: int) -> object:
        return cupy.asarray(0.2 * rng.standard_normal(shape).astype(dtype))

    weights = Weights(drawn(rows_x, I), drawn(rows_h, H), drawn(rows_x), drawn(rows_h))
    state = [drawn(B, H) for _ in cell.states]
    lengths = rng.integers(0, T + 1, B)
    cuda.set_matmul_precision(precision)  # type: ignore[arg-type]
    for reverse in (False, True):
        output, _, tape = cuda.forward(
            cell, drawn(T, B, I), state, weights, lengths=lengths, keep=keep, reverse=reverse
        )
        assert tape is not None
        gradients = cuda.backward(cell, drawn(T, B, H), None, tape, needs=Needs())
        for array in (output, gradients.x, gradients.weight_hh):
            assert bool(cupy.isfinite(array).all()), "a result is not a number"


def main() -> int:
    """Run them all, in both schedules."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one cell and precision")
    quick = parser.parse_args().quick
    common.plant()
    cupy.cuda.set_allocator(None)
    count = 0
    for call in calls(quick):
        if common.seconds_left() < 0:
            break
        run(*call)
        with step_by_step():
            run(*call)
        count += 1
    return common.report(f"{count} calls in both schedules and directions", [])


if __name__ == "__main__":
    sys.exit(main())
