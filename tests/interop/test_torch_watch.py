"""`watch`: a PyTorch model's own loop runs as ever, and every step of it can be looked at."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

# ruff: noqa: E402 (PyTorch may be missing)
import torch_configurations as drawn
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.checkpoint import checkpoint

import minirnn as mr
from minirnn.interop.torch import accelerate, from_torch, watch

LENGTHS = [3, 6, 2, 5]


class Model(nn.Module):
    """A recurrent layer, a cell stepped over its output, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.LSTM(3, 5, num_layers=2, bidirectional=True, batch_first=True)
        self.cell = nn.LSTMCell(10, 4)
        self.head = nn.Linear(4, 1)

    def forward(self, x: Any) -> Any:
        output, _ = self.encoder(x)
        state = None
        for step in output.unbind(1):
            state = self.cell(step, state)
        return self.head(state[0])


@pytest.fixture
def model() -> Any:
    torch.manual_seed(0)
    return Model().double()


@pytest.fixture
def x() -> Any:
    torch.manual_seed(1)
    return torch.randn(4, 6, 3, dtype=torch.float64)


def step(model: Any, x: Any) -> list[Any]:
    model.zero_grad()
    loss = model(x).pow(2).mean()
    loss.backward()
    return [loss.detach(), *(p.grad.clone() for p in model.parameters())]


def test_gradients_of_a_watched_model_are_pytorchs(model: Any, x: Any) -> None:
    theirs = step(model, x)
    with watch(model) as seen:
        ours = step(model, x)
    assert seen.swapped == ("encoder", "cell")
    for mine, other in zip(ours, theirs, strict=True):
        assert float((mine - other).abs().max()) <= drawn.TOLERANCE * float(other.abs().max())


def same(ours: dict[str, Any], theirs: dict[str, Any], tolerance: float = 1e-12) -> None:
    assert ours.keys() == theirs.keys()
    for path, wanted in theirs.items():
        scale = np.abs(wanted).max(initial=0.0)
        assert np.abs(ours[path] - wanted).max(initial=0.0) <= tolerance * scale, path


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_traces_are_those_of_a_minirnn_layer_with_the_same_weights(kind: Any) -> None:
    torch.manual_seed(0)
    layer = kind(3, 5, num_layers=2, bidirectional=True, dtype=torch.float64)
    x = torch.randn(6, 4, 3, dtype=torch.float64)
    packed = pack_padded_sequence(x, LENGTHS, enforce_sorted=False)
    with watch(layer) as seen:
        _, last = layer(packed)
        drawn.states_of(last)[0].pow(2).sum().backward()
    own = from_torch(layer)
    order = packed.sorted_indices
    with mr.record() as recording:
        _, last = own(x[:, order].numpy(), lengths=np.array(LENGTHS)[order])
        (drawn.states_of(last)[0] ** 2).sum().backward()
    assert [t.name for t in seen.recording.traces] == [t.name for t in recording.traces]
    for ours, theirs in zip(seen.recording.traces, recording.traces, strict=True):
        assert ours.has_gradients
        same(ours.numpy(), theirs.numpy())


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_a_cell_stepped_in_a_loop_leaves_the_trace_of_a_sequence(kind: str) -> None:
    torch.manual_seed(0)
    cell = getattr(nn, f"{kind}Cell")(3, 5, dtype=torch.float64)
    x = torch.randn(6, 4, 3, dtype=torch.float64)

    def loss(outputs: Any) -> Any:
        return (outputs[2] ** 2).sum() + (outputs[5] ** 3).sum()

    with watch(cell) as seen:
        state, outputs = None, []
        for row in x:
            state = cell(row, state)
            outputs.append(drawn.states_of(state)[0])
        (partial,) = seen.recording.traces
        assert partial.shape == (6, 4, 5)
        assert not partial.has_gradients
        loss(outputs).backward()
    (trace,) = seen.recording.traces
    layer = getattr(mr, kind)(3, 5, dtype="float64")
    layer.load_state_dict({f"{n}_l0": p.detach() for n, p in cell.named_parameters()})
    with mr.record() as recording:
        loss(layer(x.numpy())[0]).backward()
    same(trace.numpy(), recording.traces[0].numpy())
    np.testing.assert_array_equal(np.flatnonzero(trace.direct_grad_hidden.any((1, 2))), [2, 5])


def test_sequences_of_a_cell_are_told_apart(model: Any) -> None:
    cell = model.cell
    rows = torch.randn(9, 2, 10, dtype=torch.float64)
    with watch(model, keep_last=None) as seen:
        one = two = None
        for row in rows[:3]:  # two that take turns
            one, two = cell(row, one), cell(-row, two)
        cut = tuple(s.detach() for s in one)
        for row in rows[3:5]:  # a chunk of truncated BPTT
            cut = cell(row, cut)
        masked = (cut[0] * 0.5, cut[1])
        masked = cell(rows[5], masked)  # not what the cell gave
        with torch.no_grad():
            cell.weight_hh.mul_(0.5)
        cell(rows[6], masked)  # other weights
    traces = seen.recording.traces
    assert [t.shape[0] for t in traces] == [3, 3, 2, 1, 1]
    assert [t.truncated for t in traces] == [False, False, True, False, False]
    np.testing.assert_allclose(traces[0].inputs, rows[:3].numpy())
    np.testing.assert_allclose(traces[1].inputs, -rows[:3].numpy())


def test_every_trace_has_its_modules_name(model: Any, x: Any) -> None:
    with watch(model) as seen:
        step(model, x)
    named = [(seen.names[t.call], t.name) for t in seen.recording.traces]
    assert named == [
        ("encoder", "LSTM.l0"),
        ("encoder", "LSTM.l0_reverse"),
        ("encoder", "LSTM.l1"),
        ("encoder", "LSTM.l1_reverse"),
        ("cell", "LSTMCell.l0"),
    ]


def test_the_last_calls_of_each_module_and_kind_are_kept(model: Any, x: Any) -> None:
    with watch(model, keep_last=2) as seen:
        sizes = []
        for _ in range(5):
            step(model, x)
            with torch.no_grad():
                for _ in range(3):
                    model(x)
            sizes.append(seen.recording.nbytes)
    kept = [(seen.names[t.call], t.has_gradients) for t in seen.recording.traces if t.layer == 0]
    assert kept.count(("cell", True)) == kept.count(("cell", False)) == 2
    assert kept.count(("encoder", True)) == 2 * 2  # directions
    assert sizes[-1] <= 1.01 * sizes[1]  # bounded: but for copies that happen to be shared
    assert len(seen.names) == 8
    assert seen.recording.calls == 5 * 4 * 2


def test_a_chunk_of_truncated_bptt_is_marked() -> None:
    layer = nn.GRU(3, 5)
    x = torch.randn(6, 4, 3)
    with watch(layer) as seen:
        _, h = layer(x)
        _, h = layer(x, h)
        _, h = layer(x, h.detach())
        layer(x, h.detach().clone())
    assert [t.truncated for t in seen.recording.traces] == [False, False, True, True]


def test_writing_into_the_output_does_not_change_the_trace() -> None:
    layer = nn.GRU(3, 5)
    with watch(layer) as seen:
        output, _ = layer(torch.randn(6, 4, 3))
        before = output.detach().clone()
        torch.relu_(output).sum().backward()
    (trace,) = seen.recording.traces
    np.testing.assert_array_equal(trace.hidden, before.numpy())
    np.testing.assert_array_equal(trace.direct_grad_hidden, (before > 0).numpy().astype(np.float32))


def test_the_end_of_the_block_restores_whatever_happens(model: Any, x: Any) -> None:
    with pytest.raises(RuntimeError, match="input"), watch(model):
        model(x[..., :2])
    assert "forward" not in vars(model.encoder)
    with accelerate(model):
        with watch(model) as seen:
            step(model, x)
        assert "forward" in vars(model.encoder)
        calls = seen.recording.calls
        model(x)
        assert seen.recording.calls == calls
    assert "forward" not in vars(model.encoder)


def test_a_watch_opens_again_but_not_twice_at_once(model: Any, x: Any) -> None:
    seen = watch(model)
    for _ in range(2):
        with seen:
            model(x)
            with pytest.raises(mr.TraceError, match="already open"):
                seen.start()
    assert seen.recording.calls == 4


def test_two_watches_both_see(model: Any, x: Any) -> None:
    with watch(model) as outer, watch(model.encoder) as inner:
        step(model, x)
    assert set(outer.names.values()) == {"encoder", "cell"}
    assert set(inner.names.values()) == {""}
    assert all(t.has_gradients for t in (*outer.recording.traces, *inner.recording.traces))


def test_a_recording_sees_an_accelerated_model(model: Any, x: Any) -> None:
    with accelerate(model, cells=True), mr.record() as recording:
        step(model, x)
    assert len(recording.traces) == 4 + 6  # levels of the layer, steps of the cell
    assert all(t.has_gradients for t in recording.traces)


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_checkpointed_call_leaves_a_trace_with_gradients(reentrant: bool) -> None:
    layer = nn.GRU(3, 5)
    x = torch.randn(6, 4, 3, requires_grad=True)
    with watch(layer) as seen:
        output = checkpoint(lambda t: layer(t)[0], x, use_reentrant=reentrant)
        output.sum().backward()
    whole = [t for t in seen.recording.traces if t.has_gradients]
    assert len(whole) == 1
    assert len(seen.recording.traces) == seen.recording.calls == (2 if reentrant else 1)


def test_the_trace_keeps_the_gradients_of_the_first_backward() -> None:
    layer = nn.GRU(3, 5, dtype=torch.float64)
    x = torch.randn(6, 4, 3, dtype=torch.float64)
    with watch(layer) as seen:
        loss = layer(x)[0].sum()
        loss.backward(retain_graph=True)
        before = seen.recording.traces[0].numpy()
        (2 * loss).backward()
    same(seen.recording.traces[0].numpy(), before, 0.0)
    with watch(layer) as seen:
        torch.autograd.grad(layer(x)[0].sum(), layer.weight_hh_l0, create_graph=True)
    same({"hidden": seen.recording.traces[0].grad_hidden}, {"hidden": before["grad_states.h"]})


def test_a_projected_layer_shows_the_state_before_projection() -> None:
    torch.manual_seed(0)
    layer = nn.LSTM(3, 5, proj_size=2, dtype=torch.float64)
    with watch(layer) as seen:
        output, _ = layer(torch.randn(6, 4, 3, dtype=torch.float64))
        output.sum().backward()
    (trace,) = seen.recording.traces
    assert trace.shape == (6, 4, 5)
    projected = trace.hidden @ layer.weight_hr_l0.detach().numpy().T
    np.testing.assert_allclose(projected, output.detach().numpy(), atol=1e-14)
    np.testing.assert_allclose(
        trace.weights.weight_hh, (layer.weight_hh_l0 @ layer.weight_hr_l0).detach().numpy()
    )


def test_a_bad_keep_last_is_refused(model: Any) -> None:
    with pytest.raises(mr.ArgumentError, match="keep_last"):
        watch(model, keep_last=0)
    with pytest.raises(mr.ArgumentError, match="model"):
        watch(None)
