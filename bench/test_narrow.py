"""The AVX2 path, forced on a processor with wider vectors, beside the FMA peak of that path."""

from __future__ import annotations

from typing import Any

import pytest

from bench import apart
from bench.shapes import GATES, GRID, Case, is_large
from minirnn.kernels.cpu.vector import vector_bytes

AVX2 = 32  # bytes of a vector
CASES = [
    Case(cell, "float32", shape, "training") for shape in GRID if is_large(shape) for cell in GATES
]


@pytest.mark.skipif(vector_bytes() <= AVX2, reason="no vectors wider than AVX2 here")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_avx2(case: Case, threads: int, measure: Any, request: pytest.FixtureRequest) -> None:
    rounds = request.config.option.rounds
    told = apart.run(
        "narrow", case.cell, case.shape, case.mode, threads, rounds, MINIRNN_VECTOR_BYTES=str(AVX2)
    )
    assert told["vector_bytes"] == AVX2
    readings = {side: iter(values) for side, values in told["readings"].items()}
    measure(
        {side: lambda values=values: next(values) for side, values in readings.items()},
        {**case._asdict(), "shape": list(case.shape)},
        {"vector_bytes": AVX2},
        rounds=rounds,
    )
