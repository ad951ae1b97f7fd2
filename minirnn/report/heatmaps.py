"""Heat maps over time of one sequence: unit by step, each with a scale that fits what it shows.

Every function takes `values (T, H)` of one sequence and gives a plotly figure. Gates lie in 0..1
on a sequential scale; what has tanh's range lies on a diverging scale with white at zero;
gradients lie on log10 |.| with exact zeros left out, so that the ground shows through.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minirnn.report.extras import require
from minirnn.report.scales import Array, log_magnitude, power_of_ten, rounded, symmetric_range
from minirnn.report.style import DIVERGING, GRADIENT, SEQUENTIAL, ZERO_GROUND, new_figure

MAX_UNITS = 128  # more rows than that are thinner than a pixel
MAX_STEPS = 1024

HEIGHT = 250


def shown_part(T: int, H: int) -> tuple[slice, slice, str]:
    """Which steps and units are drawn, and a sentence that says so where some are left out."""
    left_out = []
    if T > MAX_STEPS:
        left_out.append(f"the last {MAX_STEPS:,} of {T:,} steps")
    if H > MAX_UNITS:
        left_out.append(f"the first {MAX_UNITS:,} of {H:,} units")
    note = f"Shown: {' and '.join(left_out)}." if left_out else ""
    return slice(max(0, T - MAX_STEPS), T), slice(0, min(H, MAX_UNITS)), note


def gate_map(values: Array, *, x_title: str = "step t") -> Any:
    """Activations of a sigmoid gate `values (T, H)`: 0 closed, 1 open."""
    return _heat_map(
        values,
        x_title=x_title,
        colorscale=SEQUENTIAL,
        limits=(0.0, 1.0),
        bar={"tickvals": [0, 0.5, 1], "ticktext": ["0 closed", "0.5", "1 open"]},
        hover="activation %{z:.3f}",
    )


def signed_map(values: Array, *, x_title: str = "step t", bound: float | None = None) -> Any:
    """What may be negative, `values (T, H)`: candidates and states, white at zero.

    `bound`: the scale is -bound..bound; by default 1, or a round number above the largest value.
    """
    limit = symmetric_range(values) if bound is None else bound
    ticks = [-limit, 0.0, limit]
    return _heat_map(
        values,
        x_title=x_title,
        colorscale=DIVERGING,
        limits=(-limit, limit),
        bar={"tickvals": ticks, "ticktext": [f"{t:g}".replace("-", "−") for t in ticks]},
        hover="value %{z:.3g}",
    )


def gradient_map(values: Array, limits: tuple[float, float], *, x_title: str = "step t") -> Any:
    """Magnitudes of a gradient `values (T, H)` on log10; `limits` in decades from `log_range`.

    Values below the lower limit take its colour; exact zeros are left out and show the ground.
    """
    low, high = limits
    exponents = np.unique(np.round(np.linspace(low, high, 5)).astype(int)).tolist()
    labels = [power_of_ten(e) for e in exponents]
    logs = log_magnitude(values)
    if np.any(logs[~np.isnan(logs)] < low):
        labels[0] = f"≤ {labels[0]}"
    return _heat_map(
        logs,
        x_title=x_title,
        colorscale=GRADIENT,
        limits=limits,
        bar={"tickvals": exponents, "ticktext": labels},
        hover="log₁₀ |gradient| %{z:.2f}",
    )


def _heat_map(
    values: Array,
    *,
    x_title: str,
    colorscale: Any,
    limits: tuple[float, float],
    bar: dict[str, Any],
    hover: str,
) -> Any:
    go = require("plotly.graph_objects")
    steps, units, _ = shown_part(*values.shape)
    figure = new_figure(height=HEIGHT, x_title=x_title, y_title="unit")
    figure.add_trace(
        go.Heatmap(
            x=np.arange(values.shape[0])[steps],
            # A thousandth of the scale is finer than eyes and colours, and half the page's weight.
            z=rounded(values[steps, units].T, (limits[1] - limits[0]) / 1000),
            zmin=limits[0],
            zmax=limits[1],
            colorscale=colorscale,
            hovertemplate=f"step %{{x}}, unit %{{y}}<br>{hover}<extra></extra>",
            hoverongaps=False,
            colorbar={"thickness": 12, "outlinewidth": 0, "xpad": 6, "tickfont": {"size": 12}}
            | bar,
        )
    )
    figure.update_layout(plot_bgcolor=ZERO_GROUND)
    figure.update_xaxes(showgrid=False)
    figure.update_yaxes(showgrid=False, rangemode="nonnegative")
    return figure
