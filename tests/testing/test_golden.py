"""The golden vectors are what the reference gives, and what they say they are."""

from __future__ import annotations

import json
import struct
import sys

import make_golden
import numpy as np
import pytest
from someones_cell import Someones

from minirnn.errors import ArgumentError, CheckpointError
from minirnn.testing import assert_matches_reference, golden, reference
from minirnn.testing.golden import PATH


def test_the_reference_gives_them_again():
    assert make_golden.differences() == []
    for _, inputs, expected in golden():
        assert_matches_reference(expected, reference(**inputs))


def test_a_change_of_any_array_is_told(monkeypatch):
    name, inputs, expected = next(golden("lstm"))
    for key in expected:
        changed = {**expected, key: expected[key] + 1e-9}
        monkeypatch.setattr(make_golden, "golden", lambda c=changed: [(name, inputs, c)])
        assert make_golden.differences() == [f"{name}/{key}"]
    lacking = {k: v for k, v in expected.items() if k != "output"}
    monkeypatch.setattr(make_golden, "golden", lambda: [(name, inputs, lacking)])
    assert make_golden.differences() == [f"{name}/output"]


def test_the_script_writes_the_arrays_that_are_there():
    arrays, metadata = make_golden.build()
    raw = PATH.read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + size])
    assert header.pop("__metadata__") == metadata
    assert {n: tuple(h["shape"]) for n, h in header.items()} == {
        n: a.shape for n, a in arrays.items()
    }
    assert {h["dtype"] for h in header.values()} == {"F64", "I64"}
    assert len(raw) < 300_000


def test_every_cell_and_condition_is_there():
    names = [name for name, _, _ in golden()]
    assert len(names) == len(set(names)) == len(make_golden.CELLS) * len(make_golden.CASES)
    assert {n.split("/")[0] for n in names} == set(make_golden.CELLS)
    lengths = [inputs["lengths"] for _, inputs, _ in golden() if inputs["lengths"] is not None]
    assert all(0 in given and given.max() == 5 for given in lengths)
    assert any(inputs["reverse"] for _, inputs, _ in golden())


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_someones_own_cell_is_checked_against_them_without_the_reference(kind):
    for name, inputs, expected in golden(kind):
        if "relu" in name or "before" in name:
            continue
        mine = Someones(kind)
        options = {"lengths": inputs["lengths"], "reverse": inputs["reverse"]}
        x, state, weights = inputs["x"], inputs["state"], inputs["weights"]
        output, _, saved = mine.forward(x, state, weights, **options)
        np.testing.assert_allclose(output, expected["output"], rtol=0, atol=1e-13)
        dx, *_ = mine.backward(inputs["doutput"], inputs["dstate"], saved)
        np.testing.assert_allclose(dx, expected["grad.x"], rtol=0, atol=1e-12)


def test_another_cell_or_version_is_refused(monkeypatch):
    with pytest.raises(ArgumentError, match="cell"):
        next(golden("lstm-peephole"))
    monkeypatch.setattr(sys.modules["minirnn.testing.golden"], "VERSION", "2")
    with pytest.raises(CheckpointError, match="version 1"):
        next(golden())
