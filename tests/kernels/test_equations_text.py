"""The equations as text are the equations: run as Python, they compute what the cell computes."""

from types import SimpleNamespace

import numpy as np
import pytest

from minirnn.kernels import cells

CELLS = [cells.lstm(), cells.gru(), cells.rnn("relu"), cells.rnn("identity"), cells.lstm("relu")]
CELLS += [cells.gru(reset="before")]
FUNCTIONS = {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "select": np.where,
    "clip": np.clip,
    "exp": np.exp,
    "log": np.log,
}


@cells.cell(states=("h", "m"), gate="xh", bound="xh")
def clipped(z, last):
    g, b = cells.sigmoid(z.gate), cells.clip(z.bound, -0.5, 0.5)
    m = cells.select(z.gate > 0.0, last.m - g, -last.m)
    return {"h": m * b, "m": m}, {"gate": z.gate, "bound": b}


@cells.cell(states=("h",), soft="xh", ratio="xh")
def softened(z, last):
    e = cells.exp(-cells.select(z.soft > 0.0, z.soft, -z.soft))
    g = cells.relu(z.soft) + cells.log(1.0 + e)
    h = cells.divide(z.ratio, 1.0 + g) + 0.5 / (2.0 + e) + last.h / 4.0
    return {"h": h}, {"soft": z.soft, "ratio": z.ratio}


CELLS += [clipped, softened]


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: f"{cell.name}{cell.options}")
def test_the_text_computes_what_the_cell_computes(cell):
    rng = np.random.default_rng(0)
    z = {s: rng.normal(size=8) for s in cell.slots}
    last = {s: rng.normal(size=8) for s in cell.states}
    grad = {s: rng.normal(size=8) for s in cell.states}
    if cell.operand is not None:
        grad["operand"] = rng.normal(size=8)
    step = cell.evaluate(z, last)
    total, dz, dlast = cell.backward_step(step.gates, step.states, last, grad)

    names = {k: SimpleNamespace() for k in ("gate", "state", "total", "dz", "dlast")}
    given = {"z": z, "last": last, "grad": grad}
    names |= {k: SimpleNamespace(**v) for k, v in given.items()} | FUNCTIONS
    forward, backward = cell.equations().split("forward\n")[1].split("backward\n")
    for line in forward.splitlines():
        exec(line.strip(), names)
    for state in cell.states:
        np.testing.assert_allclose(getattr(names["state"], state), step.states[state], rtol=1e-14)
    for slot in cell.slots:  # what is stored as it is has no equation
        stored = getattr(names["gate"], slot, z[slot])
        np.testing.assert_allclose(stored, step.gates[slot], rtol=1e-14)
        setattr(names["gate"], slot, step.gates[slot])
    for line in backward.splitlines():
        exec(line.strip(), names)
    for kind, wanted in (("total", total), ("dz", dz), ("dlast", dlast)):
        for name, value in wanted.items():
            found = getattr(names[kind], name, 0.0)
            np.testing.assert_allclose(found, value, rtol=1e-12, atol=1e-15)
