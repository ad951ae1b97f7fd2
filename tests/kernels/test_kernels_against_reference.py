"""Every kernel set, cell, dtype, direction and kind of lengths against the reference.

Sizes, biases, memory layouts and the gradients asked for are drawn by hypothesis; every output,
state, gradient and field of the record is compared.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import (
    CELLS,
    KINKED,
    Case,
    assert_kernels_match,
    expected,
    expected_step_by_step,
    random_case,
    run,
)

from minirnn.kernels import cpu
from minirnn.kernels.contract import Needs, Weights
from minirnn.testing.mismatch import assert_matches_reference

KERNEL_SETS = ["cpu", "cuda"]  # by device: see the fixture `kernels`
DTYPES = ["float32", "float64"]
DIRECTIONS = {"forward": False, "reverse": True}

every_kernel = pytest.mark.parametrize("kernels", KERNEL_SETS, indirect=True)
every_cell = pytest.mark.parametrize("name", CELLS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_direction = pytest.mark.parametrize("reverse", DIRECTIONS.values(), ids=DIRECTIONS)


def examples_of(kernels: Any) -> int:
    """How many examples to draw: an emulated GPU is slow, and MINIRNN_EXAMPLES can ask for more."""
    asked = os.environ.get("MINIRNN_EXAMPLES")
    if asked:
        return int(asked)
    return 10 if kernels is cpu else 2


# Mostly small, where every edge of a tile is met, and now and then past the vector widths.
STEPS = st.integers(0, 12) | st.sampled_from([30, 41])
SIZES = st.integers(1, 20) | st.sampled_from([31, 32, 33, 40, 65])


def strided(array: Any) -> Any:
    """The same values, not contiguous in memory."""
    wide = np.full((*array.shape[:-1], 2 * array.shape[-1] + 1), np.nan, array.dtype)
    wide[..., 1::2] = array
    return wide[..., 1::2]


def strided_case(case: Case) -> Case:
    """The case with no array contiguous; x is time-major by transposition, as in batch_first."""
    return replace(
        case,
        x=np.ascontiguousarray(case.x.transpose(1, 0, 2)).transpose(1, 0, 2),
        state=tuple(map(strided, case.state)),
        weights=Weights(*(None if w is None else strided(w) for w in case.weights)),
        doutput=strided(case.doutput),
        dstate=tuple(map(strided, case.dstate or ())),
    )


def poisoned_padding(case: Case) -> Case:
    """The case with NaN wherever x and doutput have no meaning."""
    if case.lengths is not None:
        padding = np.arange(len(case.x))[:, None] >= case.lengths
        case.x[padding] = case.doutput[padding] = np.nan
    return case


class PoisonedNumpy:
    """NumPy whose empty arrays hold NaN: what a kernel forgets to write cannot pass as zero."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def empty(self, shape: Any, dtype: Any = float) -> Any:
        array = np.empty(shape, dtype)
        array.fill(np.nan if array.dtype.kind == "f" else -(2**30))
        return array

    def empty_like(self, array: Any) -> Any:
        return self.empty(array.shape, array.dtype)


@pytest.fixture
def _poisoned_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    from minirnn.kernels.cpu import pool

    poisoned = PoisonedNumpy()
    for module in ("forward_pass", "backward_pass"):
        monkeypatch.setattr(f"minirnn.kernels.cpu.{module}.np", poisoned)
    monkeypatch.setattr(pool, "empty", poisoned.empty)


@pytest.mark.usefixtures("_poisoned_memory")
@every_kernel
@every_cell
@every_dtype
@every_direction
@pytest.mark.parametrize("lengths", [False, True], ids=["full", "lengths"])
def test_every_array_matches_the_reference(
    kernels: Any, name: str, dtype: str, reverse: bool, lengths: bool
) -> None:
    @settings(max_examples=examples_of(kernels))
    @given(
        T=STEPS,
        sizes=st.tuples(SIZES, SIZES, SIZES),
        biases=st.tuples(st.booleans(), st.booleans()),
        contiguous=st.booleans(),
        needs=st.just(Needs()) | st.builds(Needs, *(st.booleans() for _ in Needs._fields)),
        seed=st.integers(0, 2**32 - 1),
    )
    def check(
        T: int,
        sizes: tuple[int, int, int],
        biases: tuple[bool, bool],
        contiguous: bool,
        needs: Needs,
        seed: int,
    ) -> None:
        B, I, H = sizes  # noqa: E741
        case = random_case(
            CELLS[name], T=T, B=B, I=I, H=H, seed=seed, dtype=dtype,
            lengths=lengths, reverse=reverse, biases=biases,
        )  # fmt: skip
        case = poisoned_padding(case)
        case = case if contiguous else strided_case(case)
        # A bias that is not there has no gradient, asked for or not.
        asked = needs._replace(
            bias_ih=needs.bias_ih or not biases[0], bias_hh=needs.bias_hh or not biases[1]
        )
        assert_kernels_match(kernels, case, needs=asked)

    check()


@every_kernel
@every_dtype
@pytest.mark.parametrize("name", ["rnn-tanh", "gru-tanh", "gru-before-tanh", "lstm-tanh"])
@pytest.mark.parametrize("sizes", [(3, 2, 300, 5), (2, 70, 3, 4), (4, 3, 5, 260), (300, 2, 1, 3)])
def test_one_large_dimension(
    kernels: Any, name: str, dtype: str, sizes: tuple[int, int, int, int]
) -> None:
    T, B, I, H = sizes  # noqa: E741
    case = random_case(CELLS[name], T=T, B=B, I=I, H=H, dtype=dtype, lengths=True, seed=T)
    assert_kernels_match(kernels, case)


@every_kernel
@every_cell
@every_dtype
@every_direction
def test_steps_match_where_the_network_is_chaotic(
    kernels: Any, name: str, dtype: str, reverse: bool
) -> None:
    gain = 6.0 if name.endswith(("tanh", "sigmoid")) else 2.0  # the others explode, rather
    case = random_case(
        CELLS[name], T=40, B=5, I=6, H=17, dtype=dtype, gain=gain, reverse=reverse, lengths=True
    )
    found = run(kernels, case)
    assert_matches_reference(found.arrays(case.cell), expected_step_by_step(case, found.record))


@every_kernel
@every_cell
@every_dtype
@pytest.mark.parametrize("missing", ["doutput", "dstate", "both", "h", "c"])
def test_gradients_that_do_not_arrive_count_as_zero(
    kernels: Any, name: str, dtype: str, missing: str
) -> None:
    case = random_case(CELLS[name], T=6, dtype=dtype, lengths=(6, 0, 4))
    if missing in ("doutput", "both"):
        case = replace(case, doutput=None)
    if missing in ("dstate", "both"):
        case = replace(case, dstate=None)
    if missing in ("h", "c"):
        pairs = zip(case.cell.states, case.dstate or (), strict=True)
        case = replace(case, dstate=tuple(None if n == missing else d for n, d in pairs))
    assert_kernels_match(kernels, case)


@every_kernel
@every_cell
@every_dtype
def test_arguments_are_left_as_they_were(kernels: Any, name: str, dtype: str) -> None:
    case = random_case(CELLS[name], lengths=True, dtype=dtype)
    arrays = [*case.inputs().values(), case.lengths, case.doutput, *(case.dstate or ())]
    before = [array.tobytes() for array in arrays]
    run(kernels, case)
    run(kernels, case, keep="tape")
    assert [array.tobytes() for array in arrays] == before


@every_kernel
@every_cell
@every_dtype
def test_results_are_the_same_bits_whatever_is_kept(kernels: Any, name: str, dtype: str) -> None:
    case = random_case(CELLS[name], T=9, B=4, I=5, H=19, lengths=True, dtype=dtype)
    recorded = run(kernels, case, keep="record").arrays(case.cell)
    taped = run(kernels, case, keep="tape").arrays(case.cell)
    for array, values in taped.items():
        assert values.tobytes() == recorded[array].tobytes(), array
    output, state, tape = kernels.forward(
        case.cell, case.x, case.state, case.weights, lengths=case.lengths
    )
    assert tape is None
    assert output.tobytes() == recorded["output"].tobytes()
    for n, s in zip(case.cell.states, state, strict=True):
        assert s.tobytes() == recorded[f"state.{n}"].tobytes()


@every_kernel
@every_dtype
@every_direction
@pytest.mark.parametrize("name", ["rnn-tanh", "gru-tanh", "gru-before-tanh", "lstm-tanh"])
def test_a_nan_stays_in_its_own_sequence_and_is_never_swallowed(
    kernels: Any, name: str, dtype: str, reverse: bool
) -> None:
    case = random_case(CELLS[name], T=7, B=5, H=9, dtype=dtype, reverse=reverse)
    case.x[3, 2, 1] = np.nan
    output, state, _ = kernels.forward(case.cell, case.x, case.state, case.weights, reverse=reverse)
    after = slice(0, 4) if reverse else slice(3, 7)
    assert np.isnan(output[after, 2]).all()
    assert all(np.isnan(s[2]).all() for s in state)
    output[after, 2] = 0.0
    assert np.isfinite(output).all()


@pytest.mark.parametrize("kernels", ["reference", "cpu", "cuda"], indirect=True)
@every_direction
@pytest.mark.parametrize("name", ["rnn-tanh", "gru-tanh", "gru-before-tanh", "lstm-tanh"])
def test_a_nan_does_not_reach_past_its_sequence_s_end(
    kernels: Any, name: str, reverse: bool
) -> None:
    case = random_case(CELLS[name], T=7, lengths=(7, 5, 0), reverse=reverse)
    case.x[2, 1] = np.nan
    found = run(kernels, case)
    for array, values in found.arrays(case.cell).items():
        if values.ndim == 3:
            assert not values[5:, 1].any(), array
            assert not values[:, 2].any(), array
            assert np.isfinite(values[:, 0]).all(), array
    assert np.isnan(found.record.grad_slots[case.cell.input_slots[0]][2, 1]).all()


@every_kernel
@every_dtype
@every_cell
def test_saturated_gates_stay_finite_and_exact(kernels: Any, name: str, dtype: str) -> None:
    case = random_case(CELLS[name], T=5, B=4, I=3, H=8, dtype=dtype)
    case = replace(case, x=case.x * case.x.dtype.type(300.0))
    found = run(kernels, case)
    arrays = found.arrays(case.cell)
    assert all(np.isfinite(array).all() for array in arrays.values())
    assert_matches_reference(arrays, expected_step_by_step(case, found.record))


@pytest.mark.parametrize("name", KINKED)
def test_a_gradient_that_is_not_a_number_is_not_swallowed(name: str) -> None:
    """An inactive unit multiplies it by 0, as the reference does; it does not leave it out."""
    case = random_case(CELLS[name], T=3, B=2, I=4, H=9, dtype="float64")
    doutput = case.doutput.copy()
    doutput[1, 0, :] = np.nan
    case = replace(case, doutput=doutput)
    found, wanted = run(cpu, case).arrays(case.cell), expected(case).arrays()
    for array, values in found.items():
        np.testing.assert_array_equal(np.isnan(values), np.isnan(wanted[array]), array)


def test_lengths_may_be_read_only_and_change_after_the_call() -> None:
    case = random_case(CELLS["gru-tanh"], T=5, B=3, dtype="float32", lengths=(5, 0, 2))
    whole = run(cpu, case).gradients
    lengths = case.lengths.astype(np.int64)
    _, _, tape = cpu.forward(
        case.cell, case.x, case.state, case.weights, lengths=lengths, keep="tape"
    )
    lengths[:] = 1
    gradients = cpu.backward(case.cell, case.doutput, case.dstate, tape, needs=Needs())
    np.testing.assert_array_equal(gradients.weight_hh, whole.weight_hh)
    lengths.flags.writeable = False
    cpu.forward(case.cell, case.x, case.state, case.weights, lengths=lengths)
