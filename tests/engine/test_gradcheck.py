"""gradcheck itself: it finds planted errors, names them, and refuses what it cannot check."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from minirnn import functional as fn
from minirnn.errors import ArgumentError, DTypeError, MinirnnError
from minirnn.tensor import Tensor, apply
from minirnn.testing import GradcheckError, gradcheck

X = np.random.default_rng(0).standard_normal((3, 4))


def with_gradient(backward):
    """sin(x), with whatever gradient."""

    def function(x):
        return apply("planted", (x,), (np.sin(x.data),), lambda g: (backward(g, x.data),))[0]

    return function


def one_element_wrong(g, x):
    wrong = g * np.cos(x)
    wrong[1, 2] += 1e-5
    return wrong


@pytest.mark.parametrize(
    "backward",
    [
        lambda g, x: g * np.sin(x),
        lambda g, x: -g * np.cos(x),
        lambda g, x: g * np.cos(x) * (1 + 1e-5),
        lambda g, x: g * np.cos(x) + 1e-6,
        lambda g, x: (g * np.cos(x))[::-1],
        lambda g, x: np.zeros_like(g),
        lambda g, x: np.full_like(g, np.nan),
        lambda g, x: None,
        one_element_wrong,
    ],
)
@pytest.mark.parametrize("options", [{}, {"max_elements": 5}])
def test_a_wrong_gradient_fails(backward, options):
    with pytest.raises(GradcheckError):
        gradcheck(with_gradient(backward), [X], **options)


@pytest.mark.parametrize("options", [{}, {"max_elements": 5}, {"seed": 3}])
def test_the_right_gradient_passes_with_room(options):
    assert gradcheck(with_gradient(lambda g, x: g * np.cos(x)), [X], **options) < 0.1


def test_the_error_names_input_element_and_both_values():
    right = with_gradient(lambda g, x: g * np.cos(x))
    wrong = with_gradient(one_element_wrong)
    with pytest.raises(GradcheckError) as caught:
        gradcheck(lambda a, b: right(a) + wrong(b), [X, X])
    error = caught.value
    assert (error.input, error.index) == (1, (1, 2))
    assert error.analytic - error.numeric == pytest.approx(1e-5, rel=1e-3)
    for part in ("input 1", "(1, 2)", f"{error.analytic:.10g}", f"{error.numeric:.10g}"):
        assert part in str(error)
    assert isinstance(error, AssertionError)
    assert isinstance(error, MinirnnError)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_an_error_in_one_output_of_several_is_found():
    wrong = with_gradient(one_element_wrong)
    with pytest.raises(GradcheckError):
        gradcheck(lambda x: (fn.tanh(x), wrong(x)), [X])


def test_an_error_that_cancels_in_the_sum_of_the_outputs_is_found():
    def softmax(x):
        out = fn.softmax(x.detach()).data

        def backward(g):
            return (2 * out * (g - (g * out).sum(-1, keepdims=True)),)  # twice what it should be

        return apply("softmax", (x,), (out,), backward)[0]

    with pytest.raises(GradcheckError):
        gradcheck(softmax, [X])


def test_a_broadcast_gradient_that_is_not_summed_is_found():
    def add(a, b):
        return apply("add", (a, b), (a.data + b.data,), lambda g: (g, g[0]))[0]

    with pytest.raises(GradcheckError):
        gradcheck(add, [X, X[0]])


def test_outputs_that_do_not_depend_on_an_input_are_fine():
    gradcheck(lambda a, b: (a * 2.0, Tensor(np.ones(3))), [X, X])


def test_a_detached_path_is_found():
    with pytest.raises(GradcheckError):
        gradcheck(lambda x: x * x.detach(), [X])


def test_large_values_are_checked_with_a_step_of_their_size():
    gradcheck(lambda x: x**2, [np.array([1e8, -3e5])], atol=1e-2)


def test_inputs_are_left_as_they_were():
    x = Tensor(X.copy(), requires_grad=True)
    x.data.flags.writeable = False
    gradcheck(fn.tanh, [x])
    assert x.grad is None
    np.testing.assert_array_equal(x.data, X)


def test_empty_inputs_have_nothing_to_fail():
    assert gradcheck(lambda x: x * 2.0, [np.zeros((0, 3))]) == 0.0


@pytest.mark.parametrize(
    ("error", "argument", "function", "inputs", "options"),
    [
        (DTypeError, "inputs[1]", lambda a, b: a, [X, X.astype(np.float32)], {}),
        (DTypeError, "inputs[0]", fn.tanh, [np.arange(3)], {}),
        (DTypeError, "output 0 of function", lambda x: x.astype(np.float32), [X], {}),
        (ArgumentError, "inputs", fn.tanh, X, {}),
        (ArgumentError, "function", lambda x: x.data, [X], {}),
        (ArgumentError, "eps", fn.tanh, [X], {"eps": 0.0}),
        (ArgumentError, "rtol", fn.tanh, [X], {"rtol": float("nan")}),
        (ArgumentError, "max_elements", fn.tanh, [X], {"max_elements": 0}),
    ],
)
def test_what_it_cannot_check_it_refuses(error, argument, function, inputs, options):
    with pytest.raises(error) as caught:
        gradcheck(function, inputs, **options)
    assert caught.value.argument == argument


def test_a_function_that_draws_anew_each_time_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ArgumentError, match="same each time"):
        gradcheck(lambda x: fn.dropout(x, 0.5, rng), [X])
