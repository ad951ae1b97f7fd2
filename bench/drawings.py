"""The figures of docs/performance.md."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.results import Results
from bench.shapes import GATES, MODES, SWEEPS, Shape
from bench.views import View, views
from minirnn.errors import MissingExtraError

COLOURS = {"lstm": "#0072b2", "gru": "#d55e00", "rnn": "#009e73"}  # Okabe and Ito's
MARKS = {"lstm": "o", "gru": "s", "rnn": "^"}
RATIO_TICKS = (0.2, 0.5, 1, 2, 3, 5, 10, 20, 30, 50, 100, 200)
TITLES = {"inference": "forward", "training": "forward and backward"}


def draw_all(results: Results, folder: Path) -> list[Path]:
    """Draw every figure for which there are results; returns the files, the same for the same.

    Raises: MissingExtraError without matplotlib.
    """
    try:
        import matplotlib as mpl
    except ImportError:
        raise MissingExtraError("matplotlib", "docs", "drawing the figures") from None
    mpl.use("svg")
    style: dict[Any, Any] = {"svg.hashsalt": "minirnn", "font.size": 9, "svg.fonttype": "path"}
    figures = {
        "performance-ratio.svg": _ratios,
        "performance-share.svg": _shares,
        "performance-growth.svg": _growth,
    }
    written = []
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(style):
        for name, draw in figures.items():
            figure = draw(results)
            if figure is not None:
                figure.savefig(folder / name, metadata={"Date": None})
                written.append(folder / name)
    return written


def _subplots(columns: int, **options: Any) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    return figure, figure.subplots(1, columns, **options)


def _ratios(results: Results) -> Any:
    figure = _over_shapes(results, lambda view: view.ratio, "PyTorch's time / minirnn's")
    if figure is not None:
        for axes in figure.axes:
            axes.axhline(1.0, color="black", linewidth=0.8)
            axes.set_yscale("log")
            low, high = axes.get_ylim()
            ticks = [tick for tick in RATIO_TICKS if low <= tick <= high]
            axes.set_yticks(ticks, map("{:g}".format, ticks))
            axes.minorticks_off()
    return figure


def _shares(results: Results) -> Any:
    figure = _over_shapes(results, lambda view: 100.0 * view.share, "% of the FMA peak")
    if figure is not None:
        for axes in figure.axes:
            axes.set_ylim(0, 100)
    return figure


def _over_shapes(results: Results, value: Callable[[View], float], label: str) -> Any:
    """A mark for each cell and shape, float32, a panel for each mode; shapes by growing work."""
    grids = {
        (mode, cell): views(results, "compare", cell=cell, dtype="float32", mode=mode)
        for mode in MODES
        for cell in GATES
    }
    shapes = list(dict.fromkeys(view.case.shape for grid in grids.values() for view in grid))
    if not shapes:
        return None
    figure, panels = _subplots(2, sharey=True)
    for axes, mode in zip(panels, MODES, strict=True):
        axes.set_title(TITLES[mode])
        for cell in GATES:
            grid = grids[mode, cell]
            places = [shapes.index(view.case.shape) for view in grid]
            axes.plot(
                places, [value(view) for view in grid], MARKS[cell], color=COLOURS[cell],
                label=cell.upper(),
            )  # fmt: skip
        names = [",".join(map(str, shape)) for shape in shapes]
        axes.set_xticks(range(len(shapes)), names, rotation=60, ha="right", fontsize=7)
        axes.grid(axis="y", linewidth=0.3)
    panels[0].set_ylabel(label)
    figure.legend(*panels[1].get_legend_handles_labels(), loc="outside right upper", frameon=False)
    return figure


def _growth(results: Results) -> Any:
    """Time while T, B or H grows: LSTM, float32, both sides."""
    found = {
        (view.case.mode, view.case.shape): view for view in views(results, "sweeps", cell="lstm")
    }
    if not found:
        return None
    figure, panels = _subplots(3, sharey=True)
    for axes, (dimension, sweep) in zip(panels, SWEEPS.items(), strict=True):
        for mode, line in zip(MODES, ("--", "-"), strict=True):
            seen = [found[mode, shape] for shape in sweep if (mode, shape) in found]
            sizes = [getattr(view.case.shape, dimension) for view in seen]
            for side, colour in (("minirnn", "#0072b2"), ("torch", "#d55e00")):
                name = "minirnn" if side == "minirnn" else "PyTorch"
                times = [1e3 * (view.ours if side == "minirnn" else view.theirs) for view in seen]
                axes.loglog(
                    sizes, times, line, marker=".", color=colour, label=f"{name}, {TITLES[mode]}"
                )
        axes.set_xticks(sizes, map(str, sizes))
        axes.minorticks_off()
        axes.set_xlabel(f"{dimension}  ({_others(sweep[0], dimension)})")
        axes.grid(linewidth=0.3)
    panels[0].yaxis.set_major_formatter("{x:g}")
    panels[0].set_ylabel("ms")
    panels[0].legend(frameon=False, fontsize=7)
    return figure


def _others(shape: Shape, dimension: str) -> str:
    fixed = shape._asdict()
    return ", ".join(f"{name} = {fixed[name]}" for name in fixed if name != dimension)
