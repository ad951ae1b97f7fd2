"""Results as a run would leave them, with numbers that are easy to reckon with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.results import Record, Results
from bench.shapes import GATES, MODES, Shape, grid_cases, sweep_cases

MACHINE = {
    "processor": "Acme Vector 3000",
    "architecture": "acme3",
    "cores": 2,
    "memory_gib": 8.0,
    "vector_bytes": 64,
    "system": "Linux x86_64",
    "python": "3.11.0",
    "versions": {"numpy": "2.0", "numba": "0.61", "llvmlite": "0.44", "torch": "2.13.0"},
}
PEAK = 100.0  # GFLOP/s
SHARE = 0.8  # of it, in every case
RATIOS = {"lstm": 2.0, "gru": 4.0, "rnn": 3.0}
LARGE = Shape(200, 64, 128, 256)


def made_results(path: Path) -> Results:
    """Every suite; each layer at SHARE of PEAK, PyTorch slower by its cell's RATIO."""
    results = Results(path, MACHINE, threads=2)
    for suite, cases in (("compare", grid_cases()), ("sweeps", sweep_cases())):
        for case in cases:
            ours = case.operations / (SHARE * PEAK * 1e9)
            readings = {"minirnn": ours, "torch": ours * RATIOS[case.cell], "fma_peak": PEAK}
            parameters = {**case._asdict(), "shape": list(case.shape)}
            add(results, suite, str(case), parameters, readings)
    for cell in GATES:
        of = {"cell": cell, "dtype": "float32", "shape": list(LARGE)}
        readings = {"recorded": 1.02, "plain": 1.0, "read": 1.5, "cell loop": 10.2}
        add(results, "recording", cell, of, readings)
        kept = {"plain": 6.0, "recompute": 1.25}
        facts: dict[str, Any] = {"floats_kept": kept, "same_bits": True}
        add(results, "recompute", cell, of, {"recompute": 1.3, "plain": 1.0}, facts)
        sides = {"minirnn, 2": 1.0, "minirnn, 1": 1.9, "torch, 2": 3.0, "torch, 1": 4.5}
        add(results, "threads", cell, of, sides)
        facts = {
            "phases": {"forward: input product": [0.25] * 3, "outside the kernels": [0.05] * 3}
        }
        add(results, "phases", cell, of, {"minirnn": 1.0, "fma_peak": PEAK}, facts)
        sides = {"minirnn": 1.0, "fma_peak": PEAK}
        add(results, "narrow", cell, {**of, "mode": "training"}, sides)
        for mode in MODES:
            sides = {"minirnn": 2e-5, "torch": 6e-5}
            call = {"cell": cell, "dtype": "float32", "shape": [1, 1, 32, 32], "mode": mode}
            add(results, "latency", f"call {cell}-{mode}", call, sides)
        stream = {"cell": cell, "dtype": "float32", "shape": [50, 1, 16, 64]}
        sides = {"stream": 8e-6, "layer": 2e-5, "torch cell": 9e-5}
        add(results, "latency", f"stream {cell}", stream, sides)
        facts = {"cold": {"imports": 0.3, "calls": {"tanh": 4.0, "relu": 2.5}, "total": 6.8}}
        add(results, "start", cell, {"cell": cell, "dtype": "float32"}, {"cached": 0.6}, facts)
    long = {"cell": "lstm", "dtype": "float32", "shape": [100_000, 8, 16, 128]}
    facts = {"losses": {"recompute": [2.0, 1.0]}, "before": {"recompute": 300.0}}
    facts["peak"] = {"recompute": 1234.0}
    add(results, "memory", "long", long, {"recompute": 5.0}, facts)
    add(results, "start", "imports", {}, {"minirnn": 0.001, "torch": 1.5})
    return results


def add(
    results: Results,
    suite: str,
    name: str,
    parameters: dict[str, Any],
    readings: dict[str, float],
    facts: dict[str, Any] | None = None,
) -> None:
    """A record of nine rounds that all read the same."""
    rounds = {side: [reading] * 9 for side, reading in readings.items()}
    record = Record(
        suite, parameters, rounds, facts or {}, "2026-01-02T03:04:05+00:00", "abc1234", 0.01
    )
    results.cases[f"{suite}/{name}"] = record
