"""The comparison that the kernel tests rely on: it names what is wrong and passes what is right."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from kernel_cases import CELLS, expected, expected_step_by_step, random_case, run

from minirnn.errors import ArgumentError, DTypeError, ShapeError
from minirnn.kernels import reference as kernels
from minirnn.kernels.contract import Record, Weights
from minirnn.testing.mismatch import assert_matches_reference
from minirnn.testing.reference import reference
from minirnn.testing.step_by_step import reference_step_by_step
from minirnn.testing.tolerances import Sizes, bound, terms

BUILT_IN = ["rnn-tanh", "gru-tanh", "lstm-tanh"]


def test_it_names_array_place_and_size_of_the_worst_difference() -> None:
    case = random_case(CELLS["lstm-tanh"])
    wanted = expected(case)
    arrays = wanted.arrays()
    arrays["output"] = arrays["output"].copy()
    arrays["output"][2, 1, 0] += 1e-9
    arrays["grad.weight_hh"] = arrays["grad.weight_hh"].copy()
    arrays["grad.weight_hh"][7, 2] += 1.0
    with pytest.raises(AssertionError, match=r"grad.weight_hh .* row 7 \(cell, unit 1\), column 2"):
        assert_matches_reference(arrays, wanted)
    del arrays["grad.weight_hh"]
    with pytest.raises(AssertionError, match=r"output .* step 2, sequence 1, unit 0"):
        assert_matches_reference(arrays, wanted)
    assert_matches_reference(arrays, wanted, tolerance=1e-8)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_value_that_is_not_finite_differs(bad: float) -> None:
    wanted = expected(random_case(CELLS["gru-tanh"]))
    output = wanted.output.copy()
    output[0, 0, 0] = bad
    with pytest.raises(AssertionError, match="output"):
        assert_matches_reference({"output": output}, wanted)


def test_nan_where_the_reference_has_nan_agrees() -> None:
    case = random_case(CELLS["gru-tanh"])
    case.x[2, 1] = np.nan
    wanted = expected(case)
    assert np.isnan(wanted.output[2:, 1]).all()
    assert not np.isnan(wanted.output[:, 0]).any()
    assert_matches_reference(wanted.arrays(), wanted)


def test_what_cannot_be_compared_is_a_typed_error() -> None:
    wanted = expected(random_case(CELLS["gru-tanh"]))
    with pytest.raises(ArgumentError, match="forget"):
        assert_matches_reference({"gates.forget": wanted.output}, wanted)
    with pytest.raises(ShapeError, match="output"):
        assert_matches_reference({"output": wanted.output[1:]}, wanted)
    with pytest.raises(DTypeError, match="output"):
        assert_matches_reference({"output": wanted.output.astype(int)}, wanted)


def test_names_and_defaults_stand_for_cells_and_zeros() -> None:
    case = random_case(CELLS["lstm-tanh"], dtype=np.float32)
    zeros = tuple(np.zeros_like(s) for s in case.state)
    short = reference("lstm", case.x, None, case.weights)
    long = reference(case.cell, case.x, zeros, case.weights, doutput=0 * case.doutput, dstate=zeros)
    assert short.output.dtype == np.float64
    assert_matches_reference(short.arrays(), long, tolerance=0.0)
    without = reference("lstm", case.x, None, case.weights[:2])
    assert without.gradients.bias_ih is None


def test_bad_arguments_are_typed_errors() -> None:
    case = random_case(CELLS["gru-tanh"])
    with pytest.raises(ArgumentError, match="cell"):
        reference("mgu", case.x, case.state, case.weights)
    with pytest.raises(DTypeError, match="x: got int64"):
        reference("gru", case.x.astype(int), case.state, case.weights)
    with pytest.raises(ShapeError, match="doutput"):
        reference("gru", case.x, case.state, case.weights, doutput=case.doutput[:, :1])
    forward_only = Record(gates={}, states={})
    with pytest.raises(ArgumentError, match="record: got no gradients"):
        reference_step_by_step("gru", case.x, case.state, case.weights, forward_only)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_step_by_step_from_its_own_values_is_the_whole_run(
    name: str, lengths: bool, reverse: bool
) -> None:
    case = random_case(CELLS[name], T=9, B=4, lengths=lengths, reverse=reverse, seed=3)
    whole = expected(case)
    stepwise = expected_step_by_step(case, whole.record)
    assert_matches_reference(stepwise.arrays(), whole)
    assert stepwise.arrays().keys() == whole.arrays().keys()


@pytest.mark.parametrize("name", BUILT_IN)
def test_step_by_step_of_no_steps(name: str) -> None:
    for case in (
        random_case(CELLS[name], T=0),
        random_case(CELLS[name], lengths=(0, 0, 0)),
        replace(random_case(CELLS[name], lengths=(0, 4, 2)), dstate=None),
        replace(random_case(CELLS[name], lengths=(0, 4, 2)), doutput=None),
    ):
        whole = expected(case)
        assert_matches_reference(expected_step_by_step(case, whole.record).arrays(), whole)


@pytest.mark.parametrize("name", BUILT_IN)
def test_step_by_step_sees_one_wrong_step_in_a_chaotic_network(name: str) -> None:
    case = random_case(CELLS[name], T=30, H=8, gain=8.0, seed=1)
    record = run(kernels, case).record
    right = {f"gates.{s}": a.copy() for s, a in record.gates.items()}
    right |= {f"grad_states.{s}": a.copy() for s, a in record.grad_states.items()}
    assert_matches_reference(right, expected_step_by_step(case, record))
    slot = case.cell.hidden_slots[-1]
    record.gates[slot][17, 2, 5] += 1e-6
    record.grad_states["h"][11, 1, 3] *= 1.01
    stepwise = expected_step_by_step(case, record)
    with pytest.raises(AssertionError, match="step 17, sequence 2, unit 5"):
        assert_matches_reference({f"gates.{slot}": record.gates[slot]}, stepwise)
    with pytest.raises(AssertionError, match="step 11, sequence 1, unit 3"):
        assert_matches_reference({"grad_states.h": record.grad_states["h"]}, stepwise)


def test_the_table_counts_roundings() -> None:
    sizes = Sizes(T=3, B=2, I=4, H=5, Gi=3, Gh=3)
    forward = 3 * (4 + 5 + 24)
    backward = forward + 3 * (3 * 5 + 24)
    assert terms("states.h", sizes) == terms("state.h", sizes) == terms("output", sizes) == forward
    assert terms("grad_slots.new", sizes) == terms("grad.state.h", sizes) == backward
    assert terms("grad.x", sizes) == backward + 15
    assert terms("grad.weight_hh", sizes) == terms("grad.bias_ih", sizes) == backward + 6
    with pytest.raises(KeyError):
        terms("velocity", sizes)
    assert bound(np.float32, 10, 2.0) == 20 * 2.0**-23
    assert bound(np.float64, 10_000, 3.0) == 4 * 100 * 3 * 2.0**-52


@pytest.mark.parametrize("name", CELLS)
def test_the_float32_bound_is_tight_enough_to_see_lost_precision(name: str) -> None:
    def ten_bits(array: Any) -> Any:
        mantissa, exponent = np.frexp(array)
        return np.ldexp(np.round(mantissa * 1024) / 1024, exponent)

    # What a kernel gives whose products take their inputs in ten bits, as TF32 does.
    case = random_case(CELLS[name], T=20, B=2, I=8, H=8, dtype=np.float32)
    weights = Weights(*map(ten_bits, case.weights))
    coarse = expected(replace(case, x=ten_bits(case.x), weights=weights)).output
    with pytest.raises(AssertionError, match="output"):
        assert_matches_reference({"output": coarse.astype(np.float32)}, expected(case))
