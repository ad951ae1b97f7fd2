from __future__ import annotations

import numpy as np
import pytest

from bench.shapes import (
    CENTRE,
    EVEN,
    GATES,
    GRID,
    ODD,
    SWEEPS,
    Shape,
    grid_cases,
    operations,
    sweep_cases,
)
from minirnn.kernels import cells


def test_no_shape_is_there_twice() -> None:
    assert len(set(GRID)) == len(EVEN) + len(ODD) == 13


@pytest.mark.parametrize("cell", GATES)
def test_gates_are_the_blocks_of_the_weights(cell: str) -> None:
    made = getattr(cells, cell)()
    assert len(made.input_slots) == len(made.hidden_slots) == GATES[cell]


@pytest.mark.parametrize("cell", GATES)
def test_operations_are_those_of_the_products(cell: str) -> None:
    T, B, I, H = shape = Shape(5, 3, 4, 7)  # noqa: E741
    W, U = np.ones((GATES[cell] * H, I)), np.ones((GATES[cell] * H, H))
    multiply_adds = T * B * (W.size + U.size)  # each weight once for every step and sequence
    assert operations(cell, shape) == 2 * multiply_adds
    # dx and dh read every weight once more, dW and dU add to every one.
    assert operations(cell, shape, "training") == 2 * 3 * multiply_adds


def test_float64_leaves_out_the_two_largest_shapes_alone() -> None:
    float32, float64 = (
        {case.shape for case in grid_cases() if case.dtype == dtype}
        for dtype in ("float32", "float64")
    )
    assert float32 == set(GRID)
    assert float32 - float64 == {Shape(64, 64, 512, 1024), Shape(200, 64, 128, 256)}


@pytest.mark.parametrize("dimension", SWEEPS)
def test_a_sweep_moves_one_dimension(dimension: str) -> None:
    sizes = [getattr(shape, dimension) for shape in SWEEPS[dimension]]
    assert sizes == sorted(set(sizes))
    assert len(sizes) >= 5
    for shape in SWEEPS[dimension]:
        assert shape._replace(**{dimension: getattr(CENTRE, dimension)}) == CENTRE


def test_names_of_cases_are_different() -> None:
    for cases in (grid_cases(), sweep_cases()):
        assert len({str(case) for case in cases}) == len(cases)
