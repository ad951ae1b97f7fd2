"""LSTM with a projection; test_layers_beside_torch.py compares it with PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minirnn as mr
from minirnn.inspect.host import on_host
from minirnn.testing import gradcheck


def random_layer(rng: Any, **options: Any) -> Any:
    return mr.LSTM(4, 5, proj_size=3, dtype="float64", rng=rng, **options)


def arguments(layer: Any, T: int = 7, B: int = 3) -> tuple[Any, Any, Any]:
    """x, h and c."""
    rng = np.random.default_rng(T)
    levels = layer.num_layers * layer.num_directions
    x = rng.normal(size=(T, B, layer.input_size))
    return x, rng.normal(size=(levels, B, 3)), rng.normal(size=(levels, B, 5))


def test_parameters_are_named_and_shaped_as_pytorch_s() -> None:
    layer = mr.LSTM(4, 5, 2, proj_size=3, bidirectional=True, rng=0)
    shapes = {name: p.shape for name, p in layer.named_parameters()}
    assert shapes["weight_ih_l0"] == (20, 4)
    assert shapes["weight_ih_l1_reverse"] == (20, 6)
    assert shapes["weight_hh_l1"] == (20, 3)
    assert shapes["weight_hr_l0_reverse"] == (3, 5)
    assert len(shapes) == 20
    assert layer.output_size == 3
    assert repr(layer).endswith("proj_size=3)")


@pytest.mark.parametrize("size", [5, 6, -1, 1.5, True, None])
def test_a_projection_is_smaller_than_the_units(size: Any) -> None:
    with pytest.raises(mr.ArgumentError, match="proj_size: got"):
        mr.LSTM(4, 5, proj_size=size)


def test_h_and_c_have_sizes_of_their_own() -> None:
    layer = random_layer(0)
    x, h, c = arguments(layer)
    with pytest.raises(mr.ShapeError, match=r"state 'h': got shape .* wanted \(1, 3, 3\)"):
        layer(x, (c, c))
    with pytest.raises(mr.ShapeError, match=r"state 'c': got shape .* wanted \(1, 3, 5\)"):
        layer(x, (h, h))


def test_a_projected_layer_has_no_stream() -> None:
    with pytest.raises(mr.ArgumentError, match=r"layer: got LSTM\(.* with proj_size=0"):
        random_layer(0).stream()


@pytest.mark.parametrize("given", [False, True], ids=["zeros", "state"])
@pytest.mark.parametrize("lengths", [None, [4, 0, 2]], ids=["full", "lengths"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_gradients_reach_everything(bidirectional: bool, lengths: Any, given: bool) -> None:
    layer = random_layer(0, bidirectional=bidirectional)
    x, h, c = arguments(layer, T=4)
    names = [name for name, _ in layer.named_parameters()]

    def loss(*values: mr.Tensor) -> Any:
        for name, value in zip(names, values[3:], strict=True):
            layer.__dict__[name] = value
        state = values[1:3] if given else None
        output, (last_h, last_c) = layer(values[0], state, lengths)
        return output, last_h, last_c

    parameters = [p.data.copy() for _, p in layer.named_parameters()]
    assert gradcheck(loss, [x, h, c, *parameters]) <= 1.0


def test_a_sequence_of_no_steps_keeps_its_state() -> None:
    layer = random_layer(0, bidirectional=True)
    x, h, c = arguments(layer)
    output, (last_h, last_c) = layer(x, (h, c), [7, 0, 3])
    assert not output.data[:, 1].any()
    assert (last_h.data[:, 1] == h[:, 1]).all()
    assert (last_c.data[:, 1] == c[:, 1]).all()
    _, (last_h, last_c) = layer(x[:0], (h, c))
    assert (last_h.data == h).all()
    assert (last_c.data == c).all()


def test_a_trace_shows_what_is_projected() -> None:
    layer = random_layer(0)
    x, h, c = arguments(layer)
    with mr.record() as recording:
        output, _ = layer(x, (h, c))
        output.sum().backward()
    trace = recording.traces[0]
    hidden = trace.gates["output"] * np.tanh(trace.cell_state)
    np.testing.assert_allclose(trace.hidden, hidden, rtol=1e-13)
    np.testing.assert_allclose(trace.hidden @ layer.weight_hr_l0.data.T, output.data, rtol=1e-13)
    assert trace.inputs.shape == (7, 3, 4 + 3)
    assert (trace.inputs[0, :, 4:] == h[0]).all()
    assert not trace.inputs[1:, :, 4:].any()
    effective = layer.weight_hh_l0.data @ layer.weight_hr_l0.data
    np.testing.assert_allclose(trace.weights.weight_hh, effective, rtol=1e-13)


def test_an_infinite_state_of_one_sequence_stays_in_it() -> None:
    layer = random_layer(0)
    x, h, c = arguments(layer)
    h[0, 1] = np.inf
    output, _ = layer(x, (h, c))
    assert np.isfinite(output.data[:, [0, 2]]).all()


def run(layer: Any, device: str) -> list[Any]:
    """Outputs, last states and gradients of a layer on a device, as NumPy arrays."""
    layer = layer.to(device)
    rng = np.random.default_rng(0)
    sizes = (4, 3, 3), (4, 3, 2), (4, 3, 4)
    x, h, c = (mr.Tensor(rng.normal(size=size)).to(device) for size in sizes)
    output, last = layer(x, (h, c), [4, 0, 2])
    (output.sum() + last[0].sum() + last[1].sum()).backward()
    gradients = [on_host(p.grad) for p in layer.parameters()]
    return [output.numpy(), *(s.numpy() for s in last), *gradients]


def test_it_runs_on_every_device_alike(device: str) -> None:
    def made() -> Any:
        return mr.LSTM(3, 4, 2, proj_size=2, bidirectional=True, dtype="float64", rng=0)

    wanted, found = run(made(), "cpu"), run(made(), device)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12 * max(1.0, np.abs(b).max()))
