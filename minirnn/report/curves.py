"""Curves: gradient norms per step, losses per epoch, and a series with its predictions."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from minirnn.report.extras import require
from minirnn.report.scales import Array, log_axis, on_axis
from minirnn.report.style import (
    HELD_OUT_GROUND,
    MUTED,
    TRAINING_GROUND,
    new_figure,
)


class Curve(NamedTuple):
    """One line of a figure; `name` is plain text, escaped here: plotly reads tags in labels."""

    name: str
    x: Array
    y: Array
    color: str
    dash: str = "solid"
    width: float = 2.0


def log_curves(curves: Sequence[Curve], *, x_title: str, y_title: str, height: int = 320) -> Any:
    """Curves of values >= 0 on a log axis that lives with zeros.

    Exact zeros lie on a dashed floor at the bottom, labelled "exactly 0", each marked by a cross.
    """
    go = require("plotly.graph_objects")
    axis = log_axis([c.y for c in curves])
    figure = new_figure(height=height, x_title=x_title, y_title=y_title)
    for curve in curves:
        y = on_axis(curve.y, axis)
        figure.add_trace(_line(go, curve._replace(y=y), hover="%{y:.3g}"))
        zero = np.asarray(curve.y) == 0
        if axis.floor is not None and zero.any():
            figure.add_trace(
                go.Scatter(
                    x=np.asarray(curve.x)[zero],
                    y=y[zero],
                    mode="markers",
                    marker={
                        "symbol": "x-thin",
                        "size": 6,
                        "line": {"width": 1.5, "color": curve.color},
                    },
                    hovertemplate="step %{x}: exactly 0<extra></extra>",
                    showlegend=False,
                )
            )
    if any(len(curve.x) > 1 for curve in curves):
        ends = [float(end) for curve in curves for end in (np.min(curve.x), np.max(curve.x))]
        figure.update_xaxes(range=[min(ends), max(ends)])
    if axis.floor is not None:
        figure.add_hline(y=axis.floor, line={"color": MUTED, "dash": "dash", "width": 1})
    figure.update_yaxes(
        type="log",
        range=[axis.low, axis.high],
        tickvals=axis.ticks,
        ticktext=axis.labels,
    )
    return figure


def epoch_curves(columns: Mapping[str, Array], color: str, *, y_title: str) -> Any:
    """What training tells per epoch, on a log axis: `columns` maps names to a value an epoch."""
    dashes = ("solid", "dot", "dash", "dashdot")
    curves = [
        Curve(name, np.arange(1, len(values) + 1), np.asarray(values), color, dash)
        for (name, values), dash in zip(columns.items(), dashes, strict=False)
    ]
    return log_curves(curves, x_title="epoch", y_title=y_title)


def series(
    curves: Sequence[Curve],
    *,
    x_title: str,
    y_title: str,
    split: float | None = None,
    height: int = 380,
    y_range: tuple[float, float] | None = None,
) -> Any:
    """A series and its predictions over time; `split` is where the held-out part begins.

    The two parts are told apart by their ground, which the legend names.
    """
    go = require("plotly.graph_objects")
    figure = new_figure(height=height, x_title=x_title, y_title=y_title)
    for curve in curves:
        figure.add_trace(_line(go, curve, hover="%{y:.2f}"))
    if split is not None:
        low = min(float(np.min(c.x)) for c in curves if len(c.x))
        high = max(float(np.max(c.x)) for c in curves if len(c.x))
        parts = (
            (low, split, TRAINING_GROUND, "trained on"),
            (split, high, HELD_OUT_GROUND, "held out"),
        )
        for start, end, ground, word in parts:
            if end > start:
                figure.add_vrect(x0=start, x1=end, fillcolor=ground, line_width=0, layer="below")
                figure.add_trace(_legend_square(go, word, ground))
        figure.update_xaxes(range=[low, high])
    if y_range is not None:
        figure.update_yaxes(range=list(y_range))
    return figure


def _legend_square(go: Any, name: str, color: str) -> Any:
    """A legend entry for a ground; it draws nothing in the plot."""
    marker = {"symbol": "square", "size": 12, "color": color, "line": {"color": MUTED, "width": 1}}
    return go.Scatter(x=[None], y=[None], mode="markers", name=name, marker=marker)


def _line(go: Any, curve: Curve, *, hover: str) -> Any:
    name = html.escape(curve.name, quote=False)
    few = len(curve.x) < 3
    return go.Scatter(
        x=np.asarray(curve.x),
        y=np.asarray(curve.y, dtype=np.float64),
        name=name,
        mode="lines+markers" if few else "lines",
        line={"color": curve.color, "dash": curve.dash, "width": curve.width},
        hovertemplate=f"{name}: {hover} at %{{x:.6g}}<extra></extra>",
        showlegend=True,
    )
