"""Colours and the common layout of every figure: one hand, readable on white and when printed.

Lines use the palette of Okabe and Ito (2008), which people with colour-blindness can tell apart.
"""

from __future__ import annotations

import html
from typing import Any

from minirnn.report.extras import require

INK = "#1f2937"
MUTED = "#6b7280"
GRID = "#e5e7eb"
ZERO_GROUND = "#d1d5db"  # what shows through a heat map where a gradient is exactly zero
TRAINING_GROUND = "#eef4fb"
HELD_OUT_GROUND = "#fdf3e3"

ATTEMPTS = ("#d55e00", "#a3399a", "#0072b2", "#009e73", "#7a5c00", "#444444")  # in order
STATES = ("#0072b2", "#d55e00", "#009e73")  # h, c, and what a cell of one's own adds
GATES = ("#0072b2", "#d55e00", "#009e73", "#a3399a", "#7a5c00", "#444444")
BASELINE = "#009e73"

SEQUENTIAL = "Viridis"  # 0 dark (closed) to 1 bright (open)
DIVERGING = [  # blue, white at zero, red: after ColorBrewer's RdBu
    [0.0, "#2166ac"],
    [0.25, "#92c5de"],
    [0.5, "#fafafa"],
    [0.75, "#f4a582"],
    [1.0, "#b2182b"],
]
GRADIENT = "Inferno"

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def attempt_color(index: int) -> str:
    """The colour of the attempt numbered `index` (from 0), the same in every figure."""
    return ATTEMPTS[index % len(ATTEMPTS)]


def new_figure(*, height: int, x_title: str, y_title: str) -> Any:
    """An empty plotly figure in the house's style; titles stand in the page, not in the figure."""
    go = require("plotly.graph_objects")
    axis = {
        "gridcolor": GRID,
        "linecolor": MUTED,
        "zeroline": False,
        "ticks": "outside",
        "tickcolor": MUTED,
        "automargin": True,
    }
    layout = {
        "template": "none",
        "autosize": True,
        "height": height,
        "margin": {"l": 60, "r": 12, "t": 12, "b": 48},
        "font": {"family": FONT, "size": 13, "color": INK},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "white",
        "hovermode": "closest",
        "legend": {
            "orientation": "h",
            "x": 0.0,
            "xanchor": "left",
            "y": 1.02,
            "yanchor": "bottom",
            "font": {"size": 13},
        },
        # Plotly reads tags in titles, and a column of a user's file may be called anything.
        "xaxis": axis | {"title": {"text": html.escape(x_title, quote=False), "standoff": 8}},
        "yaxis": axis | {"title": {"text": html.escape(y_title, quote=False), "standoff": 8}},
    }
    return go.Figure(layout=layout)
