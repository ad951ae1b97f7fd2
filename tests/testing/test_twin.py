"""The fast twin is the reference's equal, and is caught when it is not."""

from __future__ import annotations

import re

import numpy as np
import pytest
from planted import Bug, expected, question

from minirnn.testing import TwinDisagreesError, assert_matches_reference, reference, twin
from minirnn.testing.twin import ROWS, STEPS

CELLS = ["rnn", "gru", "gru_before", "lstm"]


def asked(cell, *, seed=0, T=7, B=4, **changes):
    given = question(Bug("", cell, "", "", ""), seed=seed) | changes
    if T > 7:
        rng = np.random.default_rng(1)
        given["x"], given["doutput"] = rng.normal(size=(T, B, 5)), rng.normal(size=(T, B, 6))
        given["lengths"] = np.array([T, 1, 0, T // 2]) if seed % 2 else None
        given["weights"] = type(given["weights"])(*(0.4 * w for w in given["weights"]))
    return given


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("cell", CELLS)
def test_its_run_is_the_references(cell, seed, reverse):
    given = asked(cell, seed=seed, reverse=reverse, T=60)
    wanted, run = expected(given), reference(**given, fast=True)
    assert_matches_reference(run.arrays(), wanted)
    assert run.arrays().keys() == wanted.arrays().keys()
    np.testing.assert_allclose(
        list(run.magnitudes.values()), list(wanted.magnitudes.values()), rtol=1e-9
    )
    assert wanted.verified is None
    steps = 240 if given["lengths"] is None else 91
    assert (run.verified.of, run.verified.rows) == (steps, ROWS)
    assert min(steps, STEPS) <= run.verified.steps <= steps
    assert 0 < run.verified.worst <= 1


@pytest.mark.parametrize(
    "changes",
    [
        {"lengths": np.zeros(4, int)},
        {"doutput": None, "dstate": None},
        {"dstate": (None, np.ones((4, 6)))},
        {"x": np.zeros((0, 4, 5)), "doutput": None},
    ],
    ids=["no lengths", "no gradient", "one gradient", "no steps"],
)
def test_its_run_is_the_references_where_little_is_to_do(changes):
    given = asked("lstm") | changes
    assert_matches_reference(reference(**given, fast=True).arrays(), expected(given))


def test_what_stands_in_the_padding_does_not_disturb_it():
    given = asked("gru", seed=1)
    for b, n in enumerate(given["lengths"]):
        given["x"][n:, b] = np.nan
    assert_matches_reference(reference(**given, fast=True).arrays(), expected(given))


def gates(run):
    return next(iter(run.record.gates.values()))


def scale_all_gradients(run):
    """As if doutput and dstate had been a little larger: every step for itself is right."""
    record, gradients = run.record, run.gradients
    arrays = [*record.grad_slots.values(), *record.grad_states.values()]
    arrays += [*gradients.state, gradients.x, *gradients[2:]]
    for array in arrays:
        array *= 1 + 1e-9


# What is done to a run, and the array that has to be named.
WRONG = {
    "a gate": ("gates", lambda run: gates(run).__imul__(1 + 1e-11)),
    "a state": ("state.c", lambda run: run.record.states["c"].__iadd__(1e-11)),
    "dz": ("grad_slots", lambda run: run.record.grad_slots["cell"].__imul__(1 + 1e-9)),
    "all gradients": ("grad_states.h", scale_all_gradients),
    "one output": ("output", lambda run: run.output.__setitem__((3, 1, 2), 0.25)),
    "one last state": ("state.c", lambda run: run.state[1].__setitem__((1, 2), 0.25)),
    "dx": ("grad.x", lambda run: run.gradients.x.__imul__(1 + 1e-9)),
    "dc_0": ("grad.state.c", lambda run: run.gradients.state[1].__imul__(1 + 1e-9)),
    "dW": ("grad.weight_ih", lambda run: run.gradients.weight_ih.__imul__(1 + 1e-9)),
    "dU": ("grad.weight_hh", lambda run: run.gradients.weight_hh.__imul__(1 + 1e-9)),
    "one db": ("grad.bias_hh", lambda run: run.gradients.bias_hh.__setitem__(5, 0.25)),
    "padding": ("grad.x past", lambda run: run.gradients.x.__setitem__((6, 3, 0), 1e-300)),
}


@pytest.mark.parametrize("what", WRONG)
def test_kernels_that_go_wrong_are_caught(what, monkeypatch):
    array, spoil = WRONG[what]
    right = twin.run_kernels

    def wrong(call):
        run = right(call)
        spoil(run)
        return run

    monkeypatch.setattr(twin, "run_kernels", wrong)
    with pytest.raises(TwinDisagreesError, match=re.escape(array)) as caught:
        reference(**asked("lstm", seed=1), fast=True)
    assert caught.value.excess > 1
    assert "fast=False" in str(caught.value)
