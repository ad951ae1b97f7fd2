"""The pictures of a series: the record, what each attempt predicted, errors, and free runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from minirnn.report.curves import Curve, log_curves, series
from minirnn.report.page import Figure
from minirnn.report.scales import Array
from minirnn.report.style import BASELINE, INK, MUTED, attempt_color

if TYPE_CHECKING:
    from minirnn.diagnosis import Attempt, Forecast, Run

CONTEXT = 0.25  # how much of the record before a free run is shown, as a share of the run


@dataclass(frozen=True)
class Axes:
    """The axes of a series: `times (n,)` of its values, and what stands beside the axes."""

    times: Array
    x_title: str
    y_title: str

    @classmethod
    def of(cls, run: Run) -> Axes:
        """Counted in steps, where nothing is known of the times."""
        assert run.data.series is not None
        unit = f" ({run.data.unit})" if run.data.unit else ""
        times = np.arange(len(run.data.series.values))
        return cls(times, "step of the series (0 is the first)", f"{run.data.name}{unit}")

    @property
    def unit(self) -> str:
        """The unit in the y axis's title, with its brackets; may be empty."""
        return self.y_title[self.y_title.rfind(" (") :] if self.y_title.endswith(")") else ""


def record_figure(run: Run, axes: Axes) -> Figure:
    """The series, and which part of it is held out."""
    prepared = run.data.host.series
    assert prepared is not None
    curve = Curve("the record", axes.times, prepared.values, INK, width=1.2)
    return Figure(
        "The record",
        series([curve], x_title=axes.x_title, y_title=axes.y_title, split=_split(run, axes)),
        "The network is trained on the blue part and judged on the other.",
    )


def predictions_figure(attempt: Attempt, name: str, index: int, axes: Axes) -> Figure:
    """One attempt's predictions over the record, both parts."""
    run = _run(attempt)
    prepared = run.data.host.series
    assert prepared is not None
    parts = [
        run.forecasts[part].numpy() for part in ("training", "validation") if part in run.forecasts
    ]
    x = np.concatenate([axes.times[part.indices] for part in parts])
    y = np.concatenate([part.given for part in parts])
    curves = [
        Curve("the record", axes.times, prepared.values, INK, width=1.2),
        Curve(f"predicted, {name}", x, y, attempt_color(index), width=1.6),
    ]
    figure = series(
        curves, x_title=axes.x_title, y_title=axes.y_title, split=_split(run, axes), height=340
    )
    horizon = attempt.recipe.data.horizon
    ahead = "one step" if horizon == 1 else f"{horizon} steps"
    return Figure(
        "Predictions over the record",
        figure,
        f"Each point is predicted {ahead} ahead, from the true values of its window.",
    )


def held_out_figure(attempts: Sequence[tuple[str, Attempt]], axes: Axes) -> Figure | None:
    """Every attempt's held-out predictions over the record."""
    told = [(k, name, f) for k, name, f in _forecasts(attempts, "validation")]
    if not told:
        return None
    indices = told[0][2].indices
    curves = [Curve("the record", axes.times[indices], told[0][2].wanted, INK, width=1.2)]
    curves += [
        Curve(name, axes.times[f.indices], f.given, attempt_color(k), width=1.6)
        for k, name, f in told
    ]
    figure = series(curves, x_title=axes.x_title, y_title=axes.y_title)
    return Figure("Predictions of the held-out part", figure)


def errors_figure(
    attempts: Sequence[tuple[str, Attempt]], axes: Axes, season: int | None
) -> Figure | None:
    """The running size of each attempt's held-out error, beside persistence, on a log axis."""
    told = [(k, name, f) for k, name, f in _forecasts(attempts, "validation")]
    if not told:
        return None
    n = len(told[0][2].indices)
    width = min(n, season or max(5, n // 20))

    def curve(name: str, f: Forecast, given: Array, color: str, dash: str = "solid") -> Curve:
        x = axes.times[f.indices][width - 1 :]
        return Curve(name, x, running_rmse(given - f.wanted, width), color, dash)

    curves = [curve(name, f, f.given, attempt_color(k)) for k, name, f in told]
    first = told[0][2]
    if first.naive is not None:
        curves.append(curve("persistence", first, first.naive, MUTED, "dash"))
    figure = log_curves(
        curves,
        x_title=axes.x_title,
        y_title=f"running RMSE{axes.unit}",
        height=380,
    )
    return Figure(
        "How large the errors are",
        figure,
        f"RMSE of the last {width} predictions at each point, on a logarithmic axis; lower is "
        "better.",
    )


def free_run_figure(
    attempts: Sequence[tuple[str, Attempt]], axes: Axes, baseline_name: str
) -> Figure | None:
    """Every attempt's free run, beside the record and what needs no network."""
    told = [(k, name, f) for k, name, f in _forecasts(attempts, "free_run")]
    if not told:
        return None
    run = _run(attempts[told[0][0]][1])
    prepared = run.data.host.series
    assert prepared is not None
    start, stop = int(told[0][2].indices[0]), int(told[0][2].indices[-1]) + 1
    begin = max(0, start - round(CONTEXT * (stop - start)))
    curves = [
        Curve("the record", axes.times[begin:stop], prepared.values[begin:stop], INK, "solid", 1.2)
    ]
    curves += [Curve(name, axes.times[f.indices], f.given, attempt_color(k)) for k, name, f in told]
    baseline = told[0][2].naive
    if baseline is not None:
        x = axes.times[told[0][2].indices]
        curves.append(Curve(baseline_name, x, baseline, BASELINE, "dash"))
    figure = series(
        curves, x_title=axes.x_title, y_title=axes.y_title, split=float(axes.times[start])
    )
    return Figure(
        "Free run",
        figure,
        "From the end of training on, each network continues the series from its own answers and "
        "never sees the record again.",
    )


def running_rmse(errors: Array, width: int) -> Array:
    """Root mean square of each `width` consecutive errors `(n,)`, `(n - width + 1,)`."""
    squares = np.lib.stride_tricks.sliding_window_view(np.asarray(errors) ** 2, width)
    return np.asarray(np.sqrt(squares.mean(axis=1)))


def _forecasts(attempts: Sequence[tuple[str, Attempt]], part: str) -> list[tuple[int, str, Any]]:
    """(index, name, forecast) of the attempts that have one, all of it finite; in NumPy arrays."""
    there = [
        (k, name, attempt.run.forecasts[part].numpy())
        for k, (name, attempt) in enumerate(attempts)
        if attempt.run is not None and part in attempt.run.forecasts
    ]
    return [each for each in there if len(each[2].given) and np.isfinite(each[2].given).all()]


def _split(run: Run, axes: Axes) -> float | None:
    assert run.data.series is not None
    cut = run.data.series.cut
    return float(axes.times[cut]) if cut < len(axes.times) else None


def _run(attempt: Attempt) -> Run:
    assert attempt.run is not None
    return attempt.run
