"""Traces on a GPU: what is measured on them is measured there, and is what the CPU measures."""

from __future__ import annotations

import json

import networks
import numpy as np
import pytest
from moved import moved

import minirnn as mr
from minirnn import inspect
from minirnn.device import array_namespace, device_of
from minirnn.errors import TraceError
from minirnn.inspect.host import fetch, on_host
from minirnn.inspect.source import snapshots

LENGTHS = [5, 2, 0]
# Sums of at most T B S terms in float64, in whatever order a device adds them.
CLOSE = {"rtol": 1e-12, "atol": 1e-13}


def measures(trace):
    """Every array that a trace gives or that is computed from one, by name."""
    H, S = trace.shape[2], trace.shape[2] * len(trace.cell.states)
    xp = array_namespace(trace.hidden)
    rows = {name: xp.ones((trace.shape[1], 2, H), trace.dtype) for name in trace.cell.states}
    before, into_x = trace.carry_back(1, rows)
    saturation = inspect.gate_saturation(trace, low=0.45, high=0.55)
    spread = inspect.spread_between_sequences(trace)
    found = {
        "valid": trace.valid,
        "inputs": trace.inputs,
        "grad_input": trace.grad_input,
        "direct_grad_hidden": trace.direct_grad_hidden,
        "jacobian": trace.jacobian(1),
        "jacobian at the end": trace.jacobian(-1),
        "input_jacobian": trace.input_jacobian(2),
        "carried to x": into_x,
        "sensitivity": inspect.input_sensitivity(trace),
        "spread": spread.by_step,
    }
    assert found["jacobian"].shape[1:] == (S, S)
    for group in ("gates", "slots", "states", "grad_states", "grad_slots", "preactivations"):
        found |= {f"{group}.{name}": array for name, array in getattr(trace, group).items()}
    for state in trace.cell.states:
        found[f"norms of {state}"] = trace.gradient_norms(state)
        found[f"decay of {state}"] = trace.gradient_decay(state)
        found[f"carried to {state}"] = before[state]
    for weight in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        found[f"share of {weight}"] = trace.weight_gradient_norms(weight)
    for gate, ends in saturation.items():
        found |= {f"{gate} left": ends.left, f"{gate} right": ends.right}
    return found


def numbers(trace):
    """Everything that is a Python number, by name."""
    spread = inspect.spread_between_sequences(trace)
    found = {f"half life of {state}": trace.half_life(state) for state in trace.cell.states}
    found |= {
        "effective rank": inspect.effective_rank(trace),
        "participation ratio": inspect.participation_ratio(trace),
        "at end": spread.at_end,
        "size": spread.size,
        "relative": spread.relative,
    }
    for gate, ends in inspect.gate_saturation(trace, low=0.45, high=0.55).items():
        found[f"share of {gate}"] = ends.share
    return found


def _cases():
    for kind in networks.LAYERS:
        for reverse in (False, True):
            for lengths in (None, LENGTHS):
                yield pytest.param(kind, reverse, lengths, id=f"{kind}-{reverse}-{lengths}")


CASES = list(_cases())


def traced(kind, reverse, lengths):
    lengths = None if lengths is None else np.array(lengths)
    layer = networks.layer(kind, bidirectional=reverse)
    return networks.run(layer, networks.batch(), lengths=lengths)[-1]


@pytest.mark.parametrize(("kind", "reverse", "lengths"), CASES)
def test_what_is_measured_lies_where_the_trace_lies(kind, reverse, lengths, cuda):
    here = traced(kind, reverse, lengths)
    trace = moved(here, cuda)
    assert trace.device == cuda
    wanted = measures(here)
    for name, array in measures(trace).items():
        assert device_of(array) == cuda, name
        assert array.dtype == wanted[name].dtype, name
        np.testing.assert_allclose(on_host(array), wanted[name], **CLOSE, err_msg=name)


@pytest.mark.parametrize(("kind", "reverse", "lengths"), CASES)
def test_numbers_are_pythons_on_either_device(kind, reverse, lengths, device):
    here = traced(kind, reverse, lengths)
    wanted = numbers(here)
    for name, number in numbers(moved(here, device)).items():
        assert type(number) is float, name
        np.testing.assert_allclose(number, wanted[name], **CLOSE, err_msg=name)


def test_measuring_brings_over_no_array_but_a_few_numbers_together(emulated):
    trace = moved(traced("lstm", False, LENGTHS), "cuda")
    with emulated.transfers() as log:
        measures(trace)
        numbers(trace)
        trace.compare(moved(traced("lstm", False, LENGTHS), "cuda"))
    over = [one for one in log.arrays if one.direction == "to host"]
    assert over
    for one in over:
        assert one.place.startswith("minirnn/inspect/host.py"), str(one)
        assert one.shape[0] <= 4, str(one)
        assert len(one.shape) == 1, str(one)


def test_traces_of_two_devices_are_compared(device):
    here = traced("gru", False, LENGTHS)
    there = moved(here, device)
    for mine, other in ((here, there), (there, here), (there, there)):
        found = mine.compare(other)
        assert found.equal
        assert found.gradients


def test_where_two_devices_differ_is_told(cuda):
    here = traced("lstm", False, None)
    other = moved(here, cuda)
    other._read(gradients=True).gates["forget"][3, 1, 2] += 0.25
    for mine, theirs in ((here, other), (other, here)):
        found = mine.compare(theirs)
        assert found.array == 'gates["forget"]'
        assert (found.step, found.sequence, found.unit) == (3, 1, 2)
        assert abs(found.mine - found.theirs) == pytest.approx(0.25)


def test_a_file_is_the_same_from_either_device(tmp_path, device):
    here = traced("lstm", True, LENGTHS)
    moved(here, device).save(tmp_path / "trace")
    again = mr.Trace.load(tmp_path / "trace")
    assert again.device == "cpu"
    assert again.compare(here).equal


def test_numpy_and_the_summary_are_of_the_host(device):
    here = traced("gru", False, LENGTHS)
    there = moved(here, device)
    wanted = here.numpy()
    for path, array in there.numpy().items():
        assert type(array) is np.ndarray, path
        np.testing.assert_array_equal(array, wanted[path], err_msg=path)
    summary, expected = there.to_dict(), here.to_dict()
    json.dumps(summary, allow_nan=False)
    for state in ("h",):
        np.testing.assert_allclose(
            summary["gradient_norms"][state], expected["gradient_norms"][state], **CLOSE
        )
    for group in ("gates", "states"):
        assert summary[group].keys() == expected[group].keys()
        for name, told in summary[group].items():
            assert told == pytest.approx(expected[group][name], rel=1e-12), name


def test_lengths_are_the_hosts_on_either_device(device):
    trace = moved(traced("lstm", False, LENGTHS), device)
    assert type(trace.lengths) is np.ndarray
    assert trace.lengths.tolist() == LENGTHS


def test_numbers_come_over_in_one_transfer(emulated):
    import cupy

    values = [cupy.asarray(2.5, dtype="float32"), cupy.asarray([1, 2]), cupy.asarray(True)]
    with emulated.transfers() as log:
        assert fetch(*values) == [2.5, 1.0, 2.0, 1.0]
    assert [one.shape for one in log.to_host] == [(4,)]
    assert fetch() == []


def test_copies_are_shared_while_they_are_equal(device):
    xp = np if device == "cpu" else pytest.importorskip("cupy")
    first, second = xp.arange(6.0), xp.zeros((2, 3))
    copies = snapshots([first, None, second])
    assert copies[1] is None
    second[1, 2] = 1.0
    again = snapshots([first, None, second])
    assert again[0] is copies[0]
    assert again[2] is not copies[2]
    assert float(copies[2].sum()) == 0.0
    assert float(again[2].sum()) == 1.0


def test_unchanged_weights_are_recognised_in_one_transfer(emulated):
    import cupy

    weights = [cupy.ones((4, 3)), cupy.zeros(5)]
    kept = snapshots(weights)
    with emulated.transfers() as log:
        again = snapshots(weights)
    assert [a is b for a, b in zip(kept, again, strict=True)] == [True, True]
    assert [one.shape for one in log.to_host] == [(2,)]


def test_measures_of_states_take_plain_arrays_of_either_device(device):
    states = np.random.default_rng(0).normal(size=(7, 3))
    xp = np if device == "cpu" else pytest.importorskip("cupy")
    for measure in (inspect.effective_rank, inspect.participation_ratio):
        assert measure(xp.asarray(states)) == pytest.approx(measure(states), rel=1e-12)
        assert measure(xp.zeros((7, 3))) == 0.0
        assert np.isnan(measure(xp.full((7, 3), xp.nan)))
        assert measure(xp.zeros((0, 3))) == 0.0


def test_without_gradients_a_trace_on_a_gpu_says_so(cuda):
    trace = moved(networks.trace_of(backward=False), cuda)
    assert not trace.has_gradients
    with pytest.raises(TraceError, match="no gradients yet"):
        trace.gradient_norms()
