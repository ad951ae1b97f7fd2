"""A side that computes something else than the reference is refused before it is timed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bench.problem import Problem, WrongResultError
from bench.shapes import GATES, MODES, Case, Shape
from bench.sides import Ours, checked

SHAPE = Shape(9, 4, 3, 8)
DTYPES = ("float32", "float64")


@pytest.fixture(params=GATES)
def made(request: pytest.FixtureRequest) -> Problem:
    return Problem(request.param, SHAPE)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_right_side_is_let_through(made: Problem, dtype: str, mode: str) -> None:
    ours = Ours(made, dtype)
    assert checked(ours, dtype, mode) is ours


def test_everything_that_training_gives_is_compared(made: Problem) -> None:
    found = Ours(made, "float64").result("training")
    gradients = {f"grad.{p}" for p in ("x", "weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    states = {f"state.{name}" for name in ("hc" if made.cell == "lstm" else "h")}
    assert found.keys() == {"output"} | states | gradients


def swapped_units(array: Any) -> Any:
    wrong = array.copy()
    wrong[..., [0, 1]] = wrong[..., [1, 0]]
    return wrong


def late_by_a_step(array: Any) -> Any:
    return np.roll(array, 1, axis=0)


def slightly_off(array: Any) -> Any:
    return array * array.dtype.type(1.02)


def not_a_number(array: Any) -> Any:
    wrong = array.copy()
    wrong.flat[0] = np.nan
    return wrong


@pytest.mark.parametrize("spoil", [swapped_units, late_by_a_step, slightly_off, not_a_number])
@pytest.mark.parametrize("name", ["output", "grad.weight_hh", "grad.x"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_one_wrong_array_is_named(
    made: Problem, dtype: str, name: str, spoil: Callable[[Any], Any]
) -> None:
    found = Ours(made, dtype).result("training")
    with pytest.raises(WrongResultError, match=rf"someone.*{name}.*not timed"):
        made.check("someone", {**found, name: spoil(found[name])}, dtype)


def test_another_precision_is_refused(made: Problem) -> None:
    found = Ours(made, "float64").result("inference")
    with pytest.raises(WrongResultError, match="float64"):
        made.check("someone", found, "float32")


def test_nothing_to_compare_is_refused(made: Problem) -> None:
    with pytest.raises(WrongResultError, match="nothing"):
        made.check("someone", {}, "float32")


def test_where_the_reference_has_zeros_there_must_be_zeros(made: Problem) -> None:
    """With one step and h = 0, no gradient reaches weight_hh; a norm of zero excuses nothing."""
    single = Problem(made.cell, SHAPE._replace(T=1))
    found = Ours(single, "float32").result("training")
    single.check("ours", found, "float32")
    spoiled = found["grad.weight_hh"] + np.float32(1e-3)
    with pytest.raises(WrongResultError, match=r"grad\.weight_hh"):
        single.check("ours", {"grad.weight_hh": spoiled}, "float32")


def test_a_dropped_bias_is_refused(made: Problem) -> None:
    ours = Ours(made, "float32")
    ours.layer.bias_hh_l0.data[...] = 0
    for mode in MODES:
        with pytest.raises(WrongResultError):
            checked(ours, "float32", mode)


def test_a_wrong_opponent_fails_the_suite_before_anything_is_timed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("torch")
    from bench.sides import Torch
    from bench.test_compare import test_layers

    timed: list[Any] = []
    monkeypatch.setattr("bench.test_compare.fma_peak", lambda dtype: lambda: 1.0)
    monkeypatch.setattr("bench.test_compare.Repeated", timed.append)

    def measure(turns: Any, parameters: Any) -> None:
        assert turns.keys() == {"minirnn", "torch", "fma_peak"}

    case = Case("gru", "float32", SHAPE, "training")
    test_layers(case, measure)
    assert len(timed) == 2

    right = Torch.training

    def other_weights(self: Torch) -> Any:
        for name, parameter in self.layer.named_parameters():
            if "weight_hh" in name:  # reset and update in the other order
                H = parameter.shape[1]
                parameter.data = parameter.data[[*range(H, 2 * H), *range(H), *range(2 * H, 3 * H)]]
        return right(self)

    monkeypatch.setattr(Torch, "training", other_weights)
    with pytest.raises(WrongResultError, match="Torch"):
        test_layers(case, measure)
    assert len(timed) == 2


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_loop_over_cells_keeps_what_a_recording_keeps(made: Problem, dtype: str) -> None:
    pytest.importorskip("torch")
    from bench.cell_loop import CellLoop
    from bench.test_recording import Recorded

    found = CellLoop(made, dtype).result()
    made.check("the loop", found, dtype)
    recorded = Recorded(Ours(made, dtype), read=True)
    arrays = recorded.arrays(recorded.training())
    assert arrays.keys() <= found.keys()
    made.check("a recording", arrays, dtype)
