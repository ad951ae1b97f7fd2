"""The reference's hand-derived gradients against complex step: exact, for nothing is subtracted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from kernel_cases import (
    BY_HAND,
    BY_HAND_KINKED,
    BY_HAND_SMOOTH,
    CELLS,
    Case,
    loss,
    random_case,
    run,
)

from minirnn.kernels import reference
from minirnn.kernels.contract import Needs, Weights

STEP = 1e-30
LENGTHS = {"all-full": False, "lengths": (5, 0, 3)}


def complex_step(kernels: Any, case: Case, name: str) -> Any:
    """dL/d(inputs[name]), one element at a time."""
    case = case.astype(np.complex128)
    array = case.inputs()[name]
    gradient = np.empty(array.shape)
    for index in np.ndindex(array.shape):
        moved = array.copy()
        moved[index] += 1j * STEP
        gradient[index] = loss(kernels, case.with_input(name, moved)).imag / STEP
    return gradient


def central_difference(case: Case, name: str, step: float) -> Any:
    """dL/d(inputs[name]) by the five-point rule, whose error is of order step⁴."""
    array = case.inputs()[name]
    gradient = np.empty(array.shape)
    for index in np.ndindex(array.shape):

        def at(offset: float, index: tuple[int, ...] = index) -> Any:
            moved = array.copy()
            moved[index] += offset
            return loss(reference, case.with_input(name, moved))

        rise = 8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))
        gradient[index] = rise / (12 * step)
    return gradient


def gradients_by_name(kernels: Any, case: Case) -> dict[str, Any]:
    found = run(kernels, case).gradients
    named = {n: g for n, g in found._asdict().items() if n != "state" and g is not None}
    return named | {f"state.{n}": g for n, g in zip(case.cell.states, found.state, strict=True)}


def assert_gradients_equal_complex_step(kernels: Any, case: Case) -> None:
    """Every gradient, to 1e-12 elementwise."""
    gradients = gradients_by_name(kernels, case)
    assert gradients.keys() == case.inputs().keys()
    for array, gradient in gradients.items():
        exact = complex_step(kernels, case, array)
        error = np.abs(gradient - exact) / np.maximum(1, np.abs(exact))
        assert error.max() <= 1e-12, f"{array}: {error.max():.2e}"


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("name", BY_HAND_SMOOTH)
def test_every_gradient_equals_complex_step(name: str, lengths: Any, reverse: bool) -> None:
    case = random_case(BY_HAND[name], lengths=lengths, reverse=reverse, seed=11, gain=2.0)
    assert_gradients_equal_complex_step(reference, case)


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("name", BY_HAND_KINKED)
def test_relu_gradients_equal_differences(name: str, lengths: Any, reverse: bool) -> None:
    case = random_case(BY_HAND[name], lengths=lengths, reverse=reverse, seed=23)
    step = 1e-4
    for array, gradient in gradients_by_name(reference, case).items():
        difference = central_difference(case, array, step)
        # A kink that lay within two steps of some z would show as an error of the order of 1.
        # Rounding: some 30 roundings of a loss of order 10, over 12 steps; truncation: step⁴.
        tolerance = 30 * 10 * np.finfo(float).eps / step + 100 * step**4
        error = np.abs(gradient - difference) / np.maximum(1, np.abs(difference))
        assert error.max() <= tolerance, f"{array}: {error.max():.2e}"


@pytest.mark.parametrize("name", BY_HAND_KINKED)
def test_relu_has_slope_zero_at_its_kink(name: str) -> None:
    case = random_case(BY_HAND[name], T=3)
    zeros = Weights(*(np.zeros_like(w) for w in case.weights))
    flat = replace(case, weights=zeros, state=tuple(np.zeros_like(s) for s in case.state))
    recorded = run(reference, flat).record
    slot = "cell" if flat.cell.name == "lstm" else "new"
    assert not recorded.grad_slots[slot].any()


@pytest.mark.parametrize("name", BY_HAND)
def test_none_for_a_gradient_means_zero(name: str) -> None:
    case = random_case(BY_HAND[name], lengths=(5, 0, 3))
    for missing in ("doutput", "dstate"):
        given = getattr(case, missing)
        zero = tuple(map(np.zeros_like, given)) if isinstance(given, tuple) else 0 * given
        left = gradients_by_name(reference, replace(case, **{missing: None}))
        right = gradients_by_name(reference, replace(case, **{missing: zero}))
        assert all(np.array_equal(left[n], right[n]) for n in right)
    first_missing = replace(case, dstate=(None, *case.dstate[1:]))
    first_zero = replace(case, dstate=(np.zeros_like(case.dstate[0]), *case.dstate[1:]))
    left, right = (gradients_by_name(reference, c) for c in (first_missing, first_zero))
    assert all(np.array_equal(left[n], right[n]) for n in right)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", ["rnn-tanh", "gru-tanh", "gru-before-tanh", "lstm-tanh"])
def test_padding_holds_nothing_that_matters(name: str, reverse: bool) -> None:
    case = random_case(BY_HAND[name], lengths=(5, 0, 3), reverse=reverse)
    padding = np.arange(5)[:, None] >= case.lengths
    x, doutput = case.x.copy(), case.doutput.copy()
    x[padding] = doutput[padding] = np.nan
    clean, poisoned = run(reference, case), run(reference, replace(case, x=x, doutput=doutput))
    wanted, found = clean.arrays(case.cell), poisoned.arrays(case.cell)
    assert all(np.array_equal(wanted[n], found[n]) for n in wanted)
    for array in ("output", "grad.x", *(n for n in wanted if "s." in n and n.count(".") == 1)):
        assert not wanted[array][padding].any(), array
    # Sequence 1 is all padding: its state and the gradient of its state go straight through.
    assert all(np.array_equal(s[1], i[1]) for s, i in zip(clean.state, case.state, strict=True))
    straight = zip(clean.gradients.state, case.dstate, strict=True)
    assert all(np.array_equal(g[1], d[1]) for g, d in straight)


@pytest.mark.parametrize("name", ["rnn-tanh", "gru-tanh", "gru-before-tanh", "lstm-tanh"])
def test_reverse_is_forward_on_the_flipped_sequence(name: str) -> None:
    case = random_case(BY_HAND[name], reverse=True)
    flipped = replace(case, x=case.x[::-1], doutput=case.doutput[::-1], reverse=False)
    backwards, forwards = run(reference, case), run(reference, flipped)
    wanted, found = forwards.arrays(case.cell), backwards.arrays(case.cell)
    for array, values in wanted.items():
        over_time = values.shape[0] == len(case.x) and values.ndim == 3
        np.testing.assert_allclose(
            found[array], values[::-1] if over_time else values, rtol=1e-13, atol=1e-14
        )


@pytest.mark.parametrize("name", BY_HAND)
def test_no_steps_is_the_identity_on_the_state(name: str) -> None:
    case = random_case(BY_HAND[name], T=0)
    done = run(reference, case)
    assert done.output.shape == (0, 3, 3)
    assert all(np.array_equal(s, i) for s, i in zip(done.state, case.state, strict=True))
    straight = zip(done.gradients.state, case.dstate, strict=True)
    assert all(np.array_equal(g, d) for g, d in straight)
    assert done.gradients.x.shape == (0, 3, 4)
    for gradient in done.gradients[2:]:
        assert not gradient.any()


@pytest.mark.parametrize("field", Needs._fields)
def test_only_what_is_needed_comes_back(field: str) -> None:
    case = random_case(CELLS["gru-tanh"])
    needs = Needs(*(name == field for name in Needs._fields))
    found = run(reference, case, needs=needs).gradients
    assert [n for n, g in found._asdict().items() if g is not None] == [field]
    wanted = getattr(run(reference, case).gradients, field)
    assert np.array_equal(getattr(found, field), wanted)
