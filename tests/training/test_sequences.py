"""Sequences: what is refused, and how batches are dealt."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minirnn.errors import ArgumentError, DTypeError, MinirnnError, ShapeError
from minirnn.training import Sequences
from minirnn.training.sequences import as_sequences

X = np.zeros((4, 5, 2), np.float32)
Y = np.zeros((4, 3), np.float32)

BAD: dict[str, tuple[type[MinirnnError], str, tuple[Any, ...]]] = {
    "x of two dimensions": (ShapeError, "x", (X[0], Y)),
    "no sequences": (ShapeError, "x", (X[:0], Y[:0])),
    "no steps": (ShapeError, "x", (X[:, :0], Y)),
    "no features": (ShapeError, "x", (X[..., :0], Y)),
    "x of integers": (DTypeError, "x", (X.astype(np.int64), Y)),
    "x of half precision": (DTypeError, "x", (X.astype(np.float16), Y)),
    "x a list": (ArgumentError, "x", ([[[0.0]]], Y)),
    "other rows in y": (ShapeError, "y", (X, Y[:3])),
    "y a number": (ShapeError, "y", (X, np.zeros((), np.float32))),
    "y of one dimension": (ShapeError, "y", (X, Y[:, 0])),
    "y of four": (ShapeError, "y", (X, Y[:, None, None])),
    "other steps in y": (ShapeError, "y", (X, np.zeros((4, 6, 3), np.float32))),
    "y of another precision": (DTypeError, "y", (X, Y.astype(np.float64))),
    "y of truth values": (DTypeError, "y", (X, Y > 0)),
    "labels in two columns": (ShapeError, "y", (X, np.zeros((4, 1), np.int64))),
    "lengths of another count": (ShapeError, "lengths", (X, Y, np.array([1, 2, 3]))),
    "lengths of floats": (DTypeError, "lengths", (X, Y, np.ones(4))),
    "a negative length": (ArgumentError, "lengths", (X, Y, np.array([1, 2, 3, -1]))),
    "a length beyond T": (ArgumentError, "lengths", (X, Y, np.array([1, 2, 3, 6]))),
    "lengths a list": (ArgumentError, "lengths", (X, Y, [1, 2, 3, 4])),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_named(case: str) -> None:
    error, argument, arrays = BAD[case]
    with pytest.raises(error) as caught:
        Sequences(*arrays)
    assert caught.value.argument == argument  # type: ignore[attr-defined]


def test_a_flat_target_is_told_how_to_be_reshaped() -> None:
    with pytest.raises(ShapeError, match=r"Reshape it to \(4, 1\)"):
        Sequences(X, Y[:, 0])


@pytest.mark.parametrize(
    ("y", "labels", "per_step"),
    [
        (Y, False, False),
        (np.zeros((4, 5, 1), np.float32), False, True),
        (np.zeros(4, np.int64), True, False),
        (np.zeros((4, 5), np.uint8), True, True),
    ],
)
def test_the_kinds_of_target_are_told_apart(y: Any, labels: bool, per_step: bool) -> None:
    data = Sequences(X, y)
    assert data.is_labels is labels
    assert data.per_step is per_step


def numbered(n: int) -> Sequences:
    x = np.arange(n, dtype=np.float64)[:, None, None] * np.ones((1, 3, 1))
    return Sequences(x, x[:, 0], np.arange(n) % 4)


def test_batches_in_order_cover_everything_once() -> None:
    batches = list(numbered(7).batches(3))
    assert [len(batch) for batch in batches] == [3, 3, 1]
    assert np.concatenate([batch.y[:, 0] for batch in batches]).tolist() == list(range(7))


def test_shuffled_batches_keep_rows_together_and_cover_everything_once() -> None:
    batches = list(numbered(50).batches(8, np.random.default_rng(0)))
    order = np.concatenate([batch.y[:, 0] for batch in batches])
    assert order.tolist() != list(range(50))
    assert sorted(order) == list(range(50))
    for batch in batches:
        np.testing.assert_array_equal(batch.x[:, 2, 0], batch.y[:, 0])
        np.testing.assert_array_equal(batch.lengths, batch.y[:, 0] % 4)


def test_tuples_are_accepted_as_sequences() -> None:
    assert len(as_sequences((X, Y), "train")) == 4
    assert as_sequences((X, Y, np.array([1, 2, 3, 4])), "train").lengths is not None
    data = numbered(3)
    assert as_sequences(data, "train") is data


@pytest.mark.parametrize("data", [None, X, (X,), (X, Y, None, None), {"x": X}])
def test_anything_else_is_named(data: Any) -> None:
    with pytest.raises(ArgumentError, match="validation: got"):
        as_sequences(data, "validation")
