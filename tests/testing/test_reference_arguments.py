"""What `minirnn.testing.reference` takes, and what it says of what it does not."""

from __future__ import annotations

import numpy as np
import pytest

from minirnn.errors import ArgumentError, MinirnnError
from minirnn.testing import assert_matches_reference, reference

T, B, I, H = 3, 2, 3, 4  # noqa: E741


def call(**changed):
    rng = np.random.default_rng(0)
    given = {
        "cell": "lstm",
        "x": rng.standard_normal((T, B, I)),
        "state": [rng.standard_normal((B, H)) for _ in range(2)],
        "weights": [rng.standard_normal(s) for s in ((4 * H, I), (4 * H, H), 4 * H, 4 * H)],
    }
    return given | changed


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("cell", {"cell": None}),
        ("x", {"x": None}),
        ("weights", {"weights": [np.zeros((4 * H, I))]}),
        ("weights", {"weights": [None] * 5}),
        ("weights", {"weights": {"weight_ih": np.zeros((4 * H, I))}}),
        ("weight_hh", {"weights": [np.zeros((4 * H, I)), None]}),
        ("state", {"state": (None, None)}),
        ("reverse", {"reverse": "no"}),
    ],
)
def test_what_makes_no_call_is_named(name, changed):
    with pytest.raises(ArgumentError) as caught:
        reference(**call(**changed))
    assert caught.value.argument == name


@pytest.mark.parametrize("x", [np.zeros(3), np.zeros((3, 2))])
def test_an_x_of_too_few_axes_beside_lengths_is_told(x):
    with pytest.raises(MinirnnError, match="x: got shape"):
        reference(**call(x=x, lengths=[1, 2]))


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint64, np.int32])
def test_lengths_are_integers_of_any_kind(dtype, fast):
    wanted = reference(**call(lengths=[1, 2]))
    found = reference(**call(lengths=np.array([1, 2], dtype)), fast=fast)
    np.testing.assert_allclose(found.gradients.x, wanted.gradients.x, rtol=1e-12, atol=1e-12)


def test_parameters_and_results_of_pytorch_are_taken_as_they_are():
    torch = pytest.importorskip("torch")
    layer = torch.nn.LSTM(I, H)
    x = torch.randn(T, B, I, requires_grad=True)
    expected = reference("lstm", x, None, list(layer.parameters()))
    output, (h, c) = layer(x)
    assert_matches_reference({"output": output, "state.h": h[0], "state.c": c[0]}, expected)


def test_bfloat16_of_pytorch_is_widened_without_loss():
    torch = pytest.importorskip("torch")
    x = torch.randn(T, B, I).bfloat16()
    wanted = reference(**call(x=x.double().numpy()))
    np.testing.assert_array_equal(reference(**call(x=x)).output, wanted.output)
