"""Recording layers that run on a GPU: the traces that the CPU leaves, where the layer ran."""

from __future__ import annotations

import networks
import numpy as np
import pytest

import minirnn as mr
from minirnn.device import device_of, to_device
from minirnn.inspect.host import on_host
from minirnn.testing.tolerances import FLOAT64_WHOLE_RUN

LENGTHS = np.array([5, 2, 0])


def both(kind, device, *, lengths=None, **options):
    """The traces of one layer on the CPU, and of the same on `device`."""
    layer, x = networks.layer(kind, **options), networks.batch()
    here = networks.run(layer, x, lengths=lengths)
    there = networks.run(layer.to(device), to_device(x, device), lengths=lengths)
    return here, there


@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("kind", networks.LAYERS)
def test_a_layer_leaves_the_same_trace_on_either_device(kind, lengths, device):
    here, there = both(kind, device, lengths=lengths, bidirectional=True)
    assert len(here) == len(there) == 2
    for mine, theirs in zip(here, there, strict=True):
        assert theirs.device == device
        assert theirs.name == mine.name
        found = mine.compare(theirs)
        assert found.gradients
        assert found.difference <= FLOAT64_WHOLE_RUN, str(found)
        assert {device_of(a) for a in (theirs.hidden, theirs.inputs, theirs.valid)} == {device}


def test_a_cell_of_ones_own_is_seen_on_either_device(device):
    layer, x = mr.Recurrent(networks.minimal, 3, 4, dtype="float64", rng=1), networks.batch()
    (here,) = networks.run(layer, x)
    (there,) = networks.run(layer.to(device), to_device(x, device))
    assert here.compare(there).difference <= FLOAT64_WHOLE_RUN
    for name, z in there.preactivations.items():
        np.testing.assert_allclose(on_host(z), here.preactivations[name], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(on_host(there.jacobian(2)), here.jacobian(2), rtol=1e-10, atol=1e-12)


def test_what_was_recorded_stays_when_weights_and_inputs_are_written_over(device):
    layer = networks.layer("gru").to(device)
    x = to_device(networks.batch(), device)
    (trace,) = networks.run(layer, x)
    before = trace.numpy()
    layer.weight_hh_l0.data[...] = 0
    x[...] = 0
    for path, array in trace.numpy().items():
        np.testing.assert_array_equal(array, before[path], err_msg=path)


def test_recording_costs_no_array_crossing(emulated):
    layer = networks.layer("lstm").to("cuda")
    x = to_device(networks.batch(), "cuda")
    networks.run(layer, x)  # compiles
    with emulated.transfers() as log, mr.record() as recording:
        for _ in range(2):  # the second call finds the copies of the first
            output, _ = layer(x)
            (output * output).sum().backward()
    assert len(recording.traces) == 2
    assert recording.traces[0].weights.weight_hh is recording.traces[1].weights.weight_hh
    arrays = [one for one in log.arrays if one.direction == "to host"]
    assert [one.place.partition(":")[0] for one in arrays] == ["minirnn/inspect/host.py"]


def test_bytes_are_counted_on_either_device(device):
    _, (trace,) = both("lstm", device)
    T, B, H = trace.shape
    assert trace.nbytes >= 8 * T * B * H * 12  # gates and states, and their gradients


def test_a_probe_measures_where_the_model_is(device):
    options = {"input_size": 3, "hidden_size": 4, "output_size": 2, "dtype": "float64", "rng": 0}
    model = mr.SequenceModel("lstm", **options)
    x, y = networks.batch(6, 5), np.ones((5, 2))
    lengths = np.array([6, 3, 0, 1, 6])
    here = mr.inspect.gradient_probe(model, x, y, lengths=lengths)
    model.to(device)
    moved = to_device(x, device), to_device(y, device)
    there = mr.inspect.gradient_probe(model, *moved, lengths=lengths)
    assert device_of(there.prediction) == device
    assert type(there.loss) is float
    close = {"rel": 1e-9}  # two engines in float64, see the promises of the design
    assert there.loss == pytest.approx(here.loss, **close)
    assert there.parameters == pytest.approx(here.parameters, **close)
    for name, norms in there.gradient_norms("cell").items():
        np.testing.assert_allclose(
            on_host(norms), here.gradient_norms("cell")[name], rtol=1e-9, atol=1e-15
        )
    assert there.half_lives() == pytest.approx(here.half_lives(), **close)
