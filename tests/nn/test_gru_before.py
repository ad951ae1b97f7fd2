"""GRU with the reset gate before the product, as a layer: its traces, checkpoints and devices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minirnn as mr
from minirnn.inspect.host import on_host
from minirnn.kernels import reference

T, B, I, H = 6, 3, 4, 5  # noqa: E741
LENGTHS = [6, 0, 4]


def layer_of(dtype: str = "float64", **options: Any) -> mr.GRU:
    return mr.GRU(I, H, reset_after=False, dtype=dtype, rng=0, **options)


def noise(*shape: int) -> Any:
    return np.random.default_rng(7).normal(size=shape)


def recorded(layer: mr.GRU, **arguments: Any) -> Any:
    """Traces of a call with a loss that tells all outputs apart, after backward."""
    x = mr.Tensor(noise(T, B, I), requires_grad=True)
    with mr.record() as recording:
        output, last = layer(x, **arguments)
        ((output * noise(*output.shape)).sum() + (last * last).sum()).backward()
    return recording.traces


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_the_jacobian_is_that_of_the_reference(reverse: bool) -> None:
    layer = layer_of(bidirectional=True)
    trace = recorded(layer, lengths=LENGTHS)[int(reverse)]
    weights = trace.weights
    for t in (0, 3):
        h = trace._before("h")[t].astype(np.complex128)
        x = trace.inputs[t : t + 1].astype(np.complex128)
        complex_weights = type(weights)(*(w.astype(np.complex128) for w in weights))

        def step(x: Any, h: Any, complex_weights: Any = complex_weights) -> Any:
            output, _, _ = reference.forward(layer.cell, x, [h], complex_weights)
            return output[0].imag / 1e-30

        by_h, by_x = np.empty((B, H, H)), np.empty((B, H, I))
        for k in range(H):
            by_h[:, :, k] = step(x, h + 1e-30j * (np.arange(H) == k))
        for k in range(I):
            by_x[:, :, k] = step(x + 1e-30j * (np.arange(I) == k), h)
        ended = np.array(LENGTHS) <= t
        by_h[ended], by_x[ended] = np.eye(H), 0.0
        np.testing.assert_allclose(trace.jacobian(t), by_h, rtol=0, atol=1e-13)
        np.testing.assert_allclose(trace.input_jacobian(t), by_x, rtol=0, atol=1e-13)
        rows = noise(B, 2, H)
        before, into_x = trace.carry_back(t, {"h": rows})
        np.testing.assert_allclose(before["h"], rows @ by_h, rtol=0, atol=1e-12)
        np.testing.assert_allclose(into_x, rows @ by_x, rtol=0, atol=1e-12)


def test_what_follows_from_a_trace_fits_the_layer_s_gradients() -> None:
    layer = layer_of()
    (trace,) = recorded(layer, lengths=LENGTHS)
    assert list(trace.gates) == ["reset", "update", "new"]
    assert not trace.slots
    pre = trace.preactivations
    valid = trace.valid[:, :, None]
    for gate, f in (("reset", sigmoid), ("update", sigmoid), ("new", np.tanh)):
        wanted = np.where(valid, f(pre[gate]), 0.0)
        np.testing.assert_allclose(trace.gates[gate], wanted, rtol=0, atol=1e-14)
    taken, dz = trace._taken(), trace.grad_slots
    shares = [np.concatenate([dz[s][t].T @ taken[s][t] for s in taken]) for t in range(T)]
    np.testing.assert_allclose(sum(shares), layer.weight_hh_l0.grad, rtol=0, atol=1e-12)
    norms = [np.linalg.norm(share) for share in shares]
    np.testing.assert_allclose(trace.weight_gradient_norms("weight_hh"), norms, rtol=1e-12)
    np.testing.assert_array_equal(taken["update"][1, 0], trace.hidden[0, 0])
    operand = trace.gates["reset"][1, 0] * trace.hidden[0, 0]
    np.testing.assert_allclose(taken["new"][1, 0], operand, rtol=1e-15)


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def test_a_trace_comes_back_from_a_file(tmp_path: Any) -> None:
    (trace,) = recorded(layer_of())
    trace.save(tmp_path / "t.safetensors")
    back = mr.Trace.load(tmp_path / "t.safetensors")
    assert back.compare(trace).equal
    np.testing.assert_array_equal(back.jacobian(2), trace.jacobian(2))

    @mr.cell(states=("h",), reset="xh", update="xh", new="xh")
    def own(z: Any, last: Any) -> Any:  # the same equations under another name
        r, u, n = mr.cells.sigmoid(z.reset), mr.cells.sigmoid(z.update), mr.cells.tanh(z.new)
        h = (1 - u) * n + u * last.h
        return {"h": h}, {"reset": r, "update": u, "new": n}, {"new": r * last.h}

    layer = mr.Recurrent(own, I, H, dtype="float64", rng=0)
    with mr.record() as recording:
        layer(noise(T, B, I))[0].sum().backward()
    recording.traces[0].save(tmp_path / "own.safetensors")
    names = mr.Trace.load(tmp_path / "own.safetensors")
    with pytest.raises(mr.TraceError, match="needs the equations of the cell 'own'"):
        names.weight_gradient_norms("weight_hh")
    found = mr.Trace.load(tmp_path / "own.safetensors", cell=own).weight_gradient_norms()
    np.testing.assert_array_equal(found, recording.traces[0].weight_gradient_norms())


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "lengths"])
def test_checkpoints_give_the_same_bits(lengths: Any) -> None:
    gradients = []
    for recompute in (False, True):
        layer = layer_of("float32", num_layers=2, bidirectional=True, recompute=recompute)
        x = mr.Tensor(noise(T, B, I).astype("float32"), requires_grad=True)
        output, last = layer(x, lengths=lengths)
        ((output * output).sum() + last.sum()).backward()
        gradients.append([x.grad, *(p.grad for p in layer.parameters())])
    for kept, rebuilt in zip(*gradients, strict=True):
        assert kept.tobytes() == rebuilt.tobytes()


def test_every_device_records_the_same(device: str) -> None:
    def traces(where: str) -> Any:
        layer = layer_of(bidirectional=True).to(where)
        x = mr.Tensor(noise(T, B, I)).to(where)
        with mr.record() as recording:
            output, last = layer(x, lengths=LENGTHS)
            ((output * output).sum() + (last * last).sum()).backward()
        return recording.traces, [on_host(p.grad) for p in layer.parameters()]

    (here, wanted), (there, found) = traces("cpu"), traces(device)
    for a, b in zip(there, here, strict=True):
        assert a.compare(b).difference <= 1e-12
        np.testing.assert_allclose(on_host(a.jacobian(2)), b.jacobian(2), rtol=0, atol=1e-12)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12 * np.abs(b).max())


def test_it_tells_what_it_is() -> None:
    assert repr(layer_of()) == "GRU(4, 5, reset_after=False)"
    assert not layer_of().reset_after
    assert mr.GRU(2, 3).reset_after
    assert repr(mr.GRU(2, 3)) == "GRU(2, 3)"
    with pytest.raises(mr.ArgumentError, match="reset_after: got 'before'"):
        mr.GRU(2, 3, reset_after="before")  # type: ignore[arg-type]
    with pytest.raises(mr.ArgumentError, match="reset: got 'during'; wanted 'after' or 'before'"):
        mr.cells.gru(reset="during")


def test_models_and_initialisers_take_it() -> None:
    model = mr.SequenceModel(
        mr.cells.gru(reset="before"), input_size=I, hidden_size=H, output_size=2,
        dtype="float64", rng=0,
    )  # fmt: skip
    mr.init.apply(model, recurrent="orthogonal", bias="zeros", rng=1)
    y = model(noise(T, B, I), lengths=LENGTHS)
    (y * y).sum().backward()
    assert all(np.isfinite(p.grad).all() and p.grad.any() for p in model.parameters())
