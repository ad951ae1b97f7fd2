"""The bounds of narrow products: they hold for products so rounded, and for nothing worse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from devices import to_device
from narrow_kernel import FORWARD, run

from minirnn.errors import ArgumentError
from minirnn.kernels import cells
from minirnn.kernels.contract import Record, Weights
from minirnn.tensor import Tensor
from minirnn.testing import assert_matches_reference, reference, reference_step_by_step
from minirnn.testing.reference import ReferenceRun
from minirnn.testing.tolerances import OPERAND_EPSILON

SMOOTH = [cells.rnn(), cells.gru(), cells.lstm()]
CELLS = [*SMOOTH, cells.rnn("relu"), cells.lstm("relu")]
PRECISIONS = sorted(FORWARD)


def name_of(value):
    return f"{value.name}-{'-'.join(value.options.values())}" if hasattr(value, "slots") else None


by_cell = pytest.mark.parametrize("cell", CELLS, ids=name_of)
by_precision = pytest.mark.parametrize("precision", PRECISIONS)


def case(cell, T=12, B=5, I=7, H=16, size=1.0, gain=1.0, seed=0):  # noqa: E741
    """x, state, weights, doutput, dstate in float32; weights of `gain` times the usual size."""
    rng = np.random.default_rng(seed)
    k = gain / np.sqrt(H)
    shapes = [(len(cell.input_slots) * H, I), (len(cell.hidden_slots) * H, H)]
    shapes += [shape[:1] for shape in shapes]
    weights = Weights(*(rng.uniform(-k, k, shape).astype(np.float32) for shape in shapes))
    normal = [rng.normal(size=(B, H)).astype(np.float32) for _ in range(2 * len(cell.states))]
    x = (size * rng.normal(size=(T, B, I))).astype(np.float32)
    state, dstate = tuple(normal[::2]), tuple(normal[1::2])
    return x, state, weights, rng.normal(size=(T, B, H)).astype(np.float32), dstate


def compared(cell, given, record) -> ReferenceRun:
    x, state, weights, doutput, dstate = given
    return reference_step_by_step(cell, x, state, weights, record, doutput=doutput, dstate=dstate)


@by_cell
@by_precision
@pytest.mark.parametrize(
    "options", [{}, {"size": 30.0}, {"size": 1e-5}, {"gain": 4.0}, {"T": 1}, {"T": 40, "I": 3}]
)
def test_each_step_of_a_narrow_kernel_is_within_its_bound(cell, precision, options):
    if options.get("gain", 1.0) > 1.0 and "relu" in cell.options.values():
        pytest.skip("a state without bounds leaves the range of float32")
    given = case(cell, **options)
    arrays, record = run(cell, *given, precision)
    assert_matches_reference(arrays, compared(cell, given, record), precision=precision)


# Of a whole run with a relu nothing is promised: where z is nearly 0, either side may be taken.
@pytest.mark.parametrize("cell", SMOOTH, ids=name_of)
@by_precision
def test_a_whole_narrow_run_is_within_its_bound(cell, precision):
    x, state, weights, doutput, dstate = given = case(cell)
    arrays, _ = run(cell, *given, precision)
    expected = reference(cell, x, state, weights, doutput=doutput, dstate=dstate)
    assert_matches_reference(arrays, expected, precision=precision)


@by_cell
@by_precision
def test_narrow_products_in_place_of_exact_ones_are_found(cell, precision):
    given = case(cell)
    arrays, record = run(cell, *given, precision)
    expected = compared(cell, given, record)
    for name in ("output", "grad.x", "grad.weight_hh", "grad.weight_ih"):
        with pytest.raises(AssertionError, match=name):
            assert_matches_reference({name: arrays[name]}, expected)


@by_cell
@pytest.mark.parametrize("finer", ["tf32", "float16"])
def test_bfloat16_in_place_of_a_finer_format_is_found(cell, finer):
    given = case(cell, T=3, B=2)  # few terms, which seldom make up for each other
    arrays, record = run(cell, *given, "bfloat16")
    with pytest.raises(AssertionError, match="grad"):
        assert_matches_reference(arrays, compared(cell, given, record), precision=finer)


def mutated(cell, mutant, given):
    """The arrays and the record of a kernel with a fault, its products in bfloat16."""
    x, state, weights, doutput, dstate = given
    H = weights.weight_hh.shape[1]
    if mutant == "gates swapped":
        swapped = weights.weight_hh.copy()
        swapped[:H], swapped[H : 2 * H] = weights.weight_hh[H : 2 * H], weights.weight_hh[:H]
        weights = weights._replace(weight_hh=swapped)
    if mutant == "bias dropped":
        weights = weights._replace(bias_ih=np.zeros_like(weights.bias_ih))
    arrays, record = run(cell, x, state, weights, doutput, dstate, "bfloat16")
    dz = [record.grad_slots[slot] for slot in cell.hidden_slots]
    dz_h = np.concatenate(dz, axis=2)
    if mutant == "step shifted":  # h_t where h_(t-1) belongs
        arrays["grad.weight_hh"] = np.einsum("tbg,tbh->gh", dz_h, record.states["h"])
    if mutant == "gradients of two gates swapped":
        rows = arrays["grad.weight_hh"].copy()
        rows[:H], rows[H : 2 * H] = rows[H : 2 * H].copy(), rows[:H].copy()
        arrays["grad.weight_hh"] = rows
    if mutant == "a step's gradient left out":
        arrays["grad.weight_ih"] = np.einsum(
            "tbg,tbi->gi",
            np.concatenate([record.grad_slots[s] for s in cell.input_slots], axis=2)[1:],
            x[1:],
        )
    if mutant == "a sequence's dz overwritten":
        first = cell.hidden_slots[0]
        changed = record.grad_slots[first].copy()
        changed[:, 1] = changed[:, 0]
        arrays[f"grad_slots.{first}"] = changed
    return arrays, record


@pytest.mark.parametrize("cell", [cells.gru(), cells.lstm()], ids=name_of)
@pytest.mark.parametrize(
    "mutant",
    [
        "gates swapped",
        "bias dropped",
        "step shifted",
        "gradients of two gates swapped",
        "a step's gradient left out",
        "a sequence's dz overwritten",
    ],
)
def test_faults_are_found_behind_the_coarsest_rounding(cell, mutant):
    given = case(cell)
    arrays, record = mutated(cell, mutant, given)
    arrays = {name: np.asarray(array, np.float32) for name, array in arrays.items()}
    with pytest.raises(AssertionError):
        assert_matches_reference(arrays, compared(cell, given, record), precision="bfloat16")


def test_numbers_below_float16s_normal_ones_are_reckoned_with():
    # x loses up to 3% of itself as a subnormal number of float16, and large weights make that tell.
    cell = cells.rnn()
    x, state, weights, doutput, dstate = case(cell, T=1, I=64)
    x = np.full_like(x, 1.4 * 2.0**-20)
    weights = weights._replace(weight_ih=np.full_like(weights.weight_ih, 1e4))
    state = tuple(np.zeros_like(each) for each in state)
    given = x, state, weights, doutput, dstate
    arrays, record = run(cell, *given, "float16")
    expected = compared(cell, given, record)
    output = {"output": arrays["output"]}
    assert_matches_reference(output, expected, precision="float16")
    without = replace(
        expected,
        magnitudes={**expected.magnitudes, "S in float16": expected.magnitudes["S"]},
    )
    with pytest.raises(AssertionError, match="output"):
        assert_matches_reference(output, without, precision="float16")


def test_the_formats_round_as_their_epsilon_says():
    values = np.random.default_rng(0).uniform(1.0, 2.0, 10_000).astype(np.float32)
    for precision, rounded in FORWARD.items():
        error = np.abs(rounded(values).astype(np.float64) - values)
        half = OPERAND_EPSILON[precision] / 2
        assert 0.9 * half < error.max() <= half


def test_float64_is_held_to_its_own_bound_whatever_the_precision():
    cell = cells.gru()
    x, state, weights, doutput, dstate = case(cell)
    expected = reference(cell, x, state, weights, doutput=doutput, dstate=dstate)
    for name in ("output", "grad.weight_hh"):
        exact = expected.tolerance(name, "float64")
        assert expected.tolerance(name, "float64", "bfloat16") == exact
        assert expected.tolerance(name, "float32", "float32") == expected.tolerance(name, "float32")
        assert expected.tolerance(name, "float32", "tf32") > expected.tolerance(name, "float32")


def test_what_cannot_be_asked_for_is_a_typed_error():
    cell = cells.gru()
    x, state, weights, _, _ = case(cell)
    expected = reference(cell, x, state, weights)
    given = {"output": expected.output.astype(np.float32)}
    with pytest.raises(ArgumentError, match=r"precision.*'float8'"):
        assert_matches_reference(given, expected, precision="float8")
    with pytest.raises(ArgumentError, match=r"precision.*beside a tolerance"):
        assert_matches_reference(given, expected, precision="tf32", tolerance=1e-3)
    _, record = run(cell, *case(cell), "tf32")
    del record.gates["reset"]
    with pytest.raises(ArgumentError, match=r"record.*reset"):
        compared(cell, case(cell), record)


def test_arrays_of_either_device_are_compared(device):
    cell = cells.lstm()
    given = case(cell)
    arrays, record = run(cell, *given, "tf32")
    there = {name: to_device(array, device) for name, array in arrays.items()}

    def moved(value):
        if isinstance(value, tuple):
            return tuple(map(moved, value))
        return to_device(value, device)

    x, state, weights, doutput, dstate = map(moved, given)
    groups = {
        name: {key: moved(a) for key, a in getattr(record, name).items()}
        for name in ("gates", "states", "grad_states", "grad_slots")
    }
    lengths = moved(np.full(5, 12))
    expected = reference_step_by_step(
        cell, Tensor(x), state, weights, Record(**groups), lengths=lengths, doutput=doutput,
        dstate=dstate,
    )  # fmt: skip
    assert type(expected.output) is np.ndarray
    assert_matches_reference(there, expected, precision="tf32")
    for name, array in compared(cell, given, record).arrays().items():
        np.testing.assert_array_equal(expected.arrays()[name], array, err_msg=name)
