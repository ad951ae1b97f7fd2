"""Comparing two traces: where they differ most."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from networks import batch, layer, run, trace_of

import minirnn as mr
from minirnn.errors import ArgumentError, ShapeError


def edited(trace, group, key, at, value):
    """A trace that differs from the given one in a single stored number."""
    changed = trace_of(backward=trace.has_gradients)
    record = changed._read(gradients=True)
    arrays = dict(getattr(record, group))
    array = arrays[key].copy()
    array[at] = value
    arrays[key] = array
    changed._record = dataclasses.replace(record, **{group: arrays})
    changed._tape = None
    return changed


def test_a_trace_equals_itself_and_its_like():
    for other in (trace_of(), trace_of()):
        result = trace_of().compare(other)
        assert result.equal
        assert result.array is None
        assert str(result) == "no difference in values and gradients"


@pytest.mark.parametrize(
    ("group", "key", "told"),
    [
        ("gates", "forget", 'gates["forget"]'),
        ("states", "c", 'states["c"]'),
        ("grad_states", "h", 'grad_states["h"]'),
        ("grad_slots", "output", 'grad_slots["output"]'),
    ],
)
def test_the_place_of_a_single_difference_is_named(group, key, told):
    trace = trace_of()
    result = trace.compare(edited(trace, group, key, (3, 1, 2), 7.5))
    assert (result.array, result.step, result.sequence, result.unit) == (told, 3, 1, 2)
    assert result.theirs == 7.5
    assert [name for name, value in result.differences.items() if value > 0] == [told]
    for part in (told, "step 3", "sequence 1", "unit 2", "7.5"):
        assert part in str(result)


def test_the_worst_is_relative_to_each_arrays_size():
    trace = trace_of()
    gradient = trace.grad_slots["cell"]
    small = gradient[2, 0, 1] + 0.5 * np.abs(gradient).max()
    result = trace.compare(edited(trace, "grad_slots", "cell", (2, 0, 1), small))
    assert result.difference == pytest.approx(0.5, rel=0.5)


def test_what_is_not_finite_in_one_alone_is_an_infinite_difference():
    trace = trace_of()
    for value in (np.nan, np.inf):
        other = edited(trace, "states", "h", (1, 1, 1), value)
        assert trace.compare(other).difference == np.inf
        assert other.compare(trace).array == 'states["h"]'
        assert other.compare(other).equal


def test_gradients_are_compared_only_if_both_have_them():
    result = trace_of().compare(trace_of(backward=False))
    assert result.equal
    assert not result.gradients
    assert "no gradients" in str(result)


def test_runs_of_two_dtypes_can_be_compared():
    double = trace_of()
    single = run(layer(dtype="float32"), batch().astype("float32"))[0]
    assert 0.0 < double.compare(single).difference < 1e-5


@pytest.mark.parametrize(
    ("other", "error", "words"),
    [
        (lambda: trace_of("gru"), ArgumentError, "name 'gru'"),
        (lambda: trace_of(T=4), ShapeError, r"\(4, 3, 4\)"),
        (lambda: trace_of(lengths=np.array([5, 5, 1])), ShapeError, "lengths"),
        (lambda: run(layer(bidirectional=True), batch())[1], ArgumentError, "reverse"),
    ],
)
def test_traces_that_cannot_be_compared_are_refused(other, error, words):
    with pytest.raises(error, match=words):
        trace_of().compare(other())


def test_a_cell_with_other_slots_is_refused():
    @mr.cell(states=("h", "c"), input="xh", forget="xh", cell="xh", output="x")
    def lstm(z, last):
        i, f = mr.cells.sigmoid(z.input), mr.cells.sigmoid(z.forget)
        g, o = mr.cells.tanh(z.cell), mr.cells.sigmoid(z.output)
        c = f * last.c + i * g
        return {"h": o * c, "c": c}, {"input": i, "forget": f, "cell": g, "output": o}

    other = run_cell(lstm)
    with pytest.raises(ArgumentError, match="slots"):
        trace_of().compare(other)


def run_cell(cell):
    with mr.record() as recording:
        mr.Recurrent(cell, 3, 4, dtype="float64", rng=1)(batch())
    return recording.traces[0]
