"""Draws docs/images/inside.svg: one LSTM on the CO2 record, fed raw values and fed changes.

python docs/draw_inside.py        (needs the extra `docs`; a minute or so)
"""

from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("svg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

import minirnn as mr
from minirnn.demo import demo_recipe

TARGET = Path(__file__).parent / "images" / "inside.svg"
SEQUENCE = 0  # of the probe's batch
FLOOR = 1e-12  # where a gradient that is exactly zero is drawn


def main() -> None:
    """Train both networks and draw what is inside them."""
    raw = demo_recipe()
    changes = raw.edit({"data.transform": "change", "data.scale": "standard"})
    mpl.rcParams.update({"svg.hashsalt": "minirnn", "font.size": 9, "svg.fonttype": "path"})
    figure, axes = plt.subplots(
        2, 2, figsize=(9, 5), sharex=True, height_ratios=(1.2, 1), layout="constrained"
    )
    image = None
    for column, (title, recipe) in enumerate(
        (("fed raw values (ppm)", raw), ("fed the change from the last value", changes))
    ):
        diagnosis = mr.doctor(recipe, progress=False)
        assert diagnosis.run is not None
        trace = diagnosis.run.traces[0]
        image = draw_gate(axes[0, column], trace.gates["forget"][:, SEQUENCE], title)
        draw_norms(axes[1, column], trace)
    axes[0, 0].set_ylabel("unit")
    axes[1, 0].set_ylabel("norm of the gradient")
    axes[1, 1].legend(loc="lower right", frameon=False)
    figure.colorbar(image, ax=axes[0, :], label="forget gate (0 … 1)", aspect=15)
    TARGET.parent.mkdir(exist_ok=True)
    figure.savefig(TARGET, metadata={"Date": None})
    print(f"wrote {TARGET}")


def draw_gate(axes: Axes, gate: np.ndarray, title: str) -> object:
    """A heat map, unit by step; units in order of their mean."""
    order = gate.mean(axis=0).argsort()
    axes.set_title(title)
    return axes.imshow(
        gate[:, order].T, aspect="auto", vmin=0, vmax=1, cmap="viridis", interpolation="nearest",
        rasterized=True,
    )  # fmt: skip


def draw_norms(axes: Axes, trace: mr.Trace) -> None:
    """What reaches the states, and what is left of it behind the gates, step by step."""
    squares = [np.sum(g.astype(np.float64) ** 2, axis=(1, 2)) for g in trace.grad_gates.values()]
    gates = np.sqrt(np.sum(squares, axis=0))
    for norms, name in (
        (trace.gradient_norms("cell"), "cell state c"),
        (trace.gradient_norms("hidden"), "hidden state h"),
        (gates, "gates' pre-activations z"),
    ):
        axes.semilogy(np.maximum(norms, FLOOR), label=name)
    axes.set_ylim(FLOOR / 3, 10)
    axes.set_xlabel("step (weeks in the window)")


if __name__ == "__main__":
    main()
