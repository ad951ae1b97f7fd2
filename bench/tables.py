"""The tables of docs/performance.md about layers: against PyTorch, shares of the peak, phases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.results import Results
from bench.shapes import GATES, MODES, Case, Shape, is_large
from bench.summary import median
from bench.views import GIGA, Ratios, View, case_of, medians, records, views

NOTHING = "*Not measured in these results.*"
CELLS = {cell: cell.upper() for cell in GATES}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; a sentence instead where there are no rows."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    if not lines:
        return NOTHING
    return "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|", *lines])


def number(value: float) -> str:
    """Three digits, and no exponent."""
    if value >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def percent(share: float) -> str:
    return f"{100.0 * share:.0f}%"


def in_short(results: Results) -> str:
    """Ratios to PyTorch by cell, precision and mode: geometric mean and least."""
    rows = []
    for dtype in ("float32", "float64"):
        for cell in GATES:
            for mode in reversed(MODES):
                grid = views(results, "compare", cell=cell, dtype=dtype, mode=mode)
                if grid:
                    r = Ratios.over(grid)
                    row = [CELLS[cell], dtype, mode, str(r.count), number(r.mean), number(r.least)]
                    rows.append([*row, size(r.where)])
    return table(["", "precision", "", "shapes", "geometric mean", "least", "at T,B,I,H"], rows)


def layers(results: Results, dtype: str) -> str:
    """Every cell and shape of the grid: times, ratios, shares of the peak, limits."""
    head = [
        "", "T,B,I,H", "PyTorch ms", "minirnn ms", "ratio", "limit", "% of peak",
        "PyTorch ms", "minirnn ms", "ratio", "limit", "% of peak",
    ]  # fmt: skip
    rows = []
    for cell in GATES:
        by_shape: dict[Shape, dict[str, View]] = {}
        for mode in MODES:
            for view in views(results, "compare", cell=cell, dtype=dtype, mode=mode):
                by_shape.setdefault(view.case.shape, {})[mode] = view
        for shape, modes in by_shape.items():
            cells = [part for mode in MODES for part in _layer(modes.get(mode))]
            rows.append([CELLS[cell], size(shape), *cells])
    return table(head, rows)


def _layer(view: View | None) -> list[str]:
    if view is None:
        return [""] * 5
    times = [number(1e3 * view.theirs), number(1e3 * view.ours)]
    return [*times, number(view.ratio), number(view.limit), percent(view.share)]


def large(results: Results, suite: str) -> str:
    """Shares of the peak where one is promised: "compare", or "narrow" for the AVX2 path."""
    found = [v for v in views(results, suite, dtype="float32") if is_large(v.case.shape)]
    shares = {view.case: percent(view.share) for view in found}
    modes = [mode for mode in MODES if any(case.mode == mode for case in shares)]
    rows = []
    for cell in GATES:
        for shape in dict.fromkeys(case.shape for case in shares if case.cell == cell):
            row = [shares.get(Case(cell, "float32", shape, mode), "") for mode in modes]
            rows.append([CELLS[cell], size(shape), *row])
    return table(["", "T,B,I,H", *[f"{mode}, % of peak" for mode in modes]], rows)


def phases(results: Results) -> str:
    """Where a training step's time goes: each phase's share of the time and of the peak."""
    rows = []
    for record in records(results, "phases"):
        case, times = case_of(record), medians(record)
        whole, peak = times["minirnn"], times["fma_peak"] * GIGA
        work = _work(case.cell, case.shape)
        for name, readings in record.facts["phases"].items():
            seconds = median(readings)
            share = percent(work[name] / seconds / peak) if name in work else ""
            row = [CELLS[case.cell], size(case.shape), name, number(1e3 * seconds)]
            rows.append([*row, percent(seconds / whole), share])
    return table(["", "T,B,I,H", "phase", "ms", "of the step", "% of peak"], rows)


def _work(cell: str, shape: Shape) -> dict[str, float]:
    """Operations of the phases that are products; packing has none."""
    T, B, I, H = shape  # noqa: E741
    by_x = 2.0 * T * B * GATES[cell] * H * I
    by_h = 2.0 * T * B * GATES[cell] * H * H
    return {
        "forward: input product": by_x,
        "forward: recurrent loop": by_h,
        "backward: recurrent loop": by_h,
        "backward: input gradient": by_x,
        "backward: weight gradients": by_x + by_h,
    }


def threads(results: Results) -> str:
    """One thread against several, on both sides."""
    n = results.threads
    rows = []
    for record in records(results, "threads"):
        case, times = case_of(record), medians(record)
        row = [CELLS[case.cell], size(case.shape)]
        for side in ("minirnn", "torch"):
            one, several = times.get(f"{side}, 1"), times.get(f"{side}, {n}")
            if one and several:
                row += [number(1e3 * one), number(1e3 * several), number(one / several)]
            else:
                row += [""] * 3
        rows.append(row)
    head = ["", "T,B,I,H", "minirnn, 1 ms", f"{n} ms", "gain", "PyTorch, 1 ms", f"{n} ms", "gain"]
    return table(head, rows)


def size(shape: Shape) -> str:
    """A shape in a table: "100,32,32,64"."""
    return ",".join(map(str, shape))
