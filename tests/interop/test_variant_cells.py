"""Cells with any activations, clip, coupling and peepholes, held to ONNX's equations by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from onnx_specification import Call, functions, specified, step

import minirnn as mr
from minirnn.cells import gru, lstm, rnn
from minirnn.interop.activations import activation, parsed
from minirnn.interop.cells import gru_variant, lstm_variant, rnn_variant
from minirnn.interop.peepholes import PeepholeLSTM
from minirnn.kernels.cells import Cell, vocabulary

H, I, BATCH = 4, 3, 6  # noqa: E741
LEAKY, SCALED, HARD = ("LeakyRelu", 0.125), ("ScaledTanh", 1.5, 0.5), ("HardSigmoid", 0.25, 0.375)
AFFINE, THRESHOLD = ("Affine", 0.75, 0.125), ("ThresholdedRelu", 0.25)
SPECS = ["Tanh", "Sigmoid", "Relu", AFFINE, LEAKY, THRESHOLD, SCALED, HARD]
SPECS += ["Elu", "Softsign", "Softplus"] if hasattr(vocabulary, "divide") else []
# What our slots are called, in ONNX's order of blocks.
SLOTS = {
    "RNN": ("new",),
    "GRU": ("update", "reset", "new"),
    "LSTM": ("input", "output", "forget", "cell"),
}

VARIANTS: list[tuple[str, dict[str, Any], list[Any]]] = [
    *[("RNN", {}, [spec]) for spec in SPECS],
    *[("RNN", {"clip": 0.5}, [spec]) for spec in SPECS],
    ("GRU", {}, ["Sigmoid", "Tanh"]),
    ("GRU", {}, [HARD, LEAKY]),
    ("GRU", {"clip": 0.5}, [SCALED, "Tanh"]),
    ("LSTM", {}, ["Sigmoid", "Tanh", "Tanh"]),
    ("LSTM", {}, [HARD, "Tanh", "Tanh"]),
    ("LSTM", {}, [LEAKY, SCALED, AFFINE]),
    ("LSTM", {"clip": 0.5}, ["Sigmoid", "Tanh", "Tanh"]),
    ("LSTM", {"coupled": True}, ["Sigmoid", "Tanh", "Tanh"]),
    ("LSTM", {"peepholes": True}, ["Sigmoid", "Tanh", "Tanh"]),
    ("LSTM", {"peepholes": True, "coupled": True, "clip": 0.5}, [SCALED, LEAKY, "Relu"]),
]


def make(op: str, options: dict[str, Any], functions: list[Any]) -> Cell:
    factory = {"RNN": rnn_variant, "GRU": gru_variant, "LSTM": lstm_variant}[op]
    return factory(*functions, **options)


def call_of(op: str, options: dict[str, Any], functions: list[Any], seed: int) -> Call:
    """The same for the specification."""
    rng = np.random.default_rng(seed)
    G = len(SLOTS[op])
    parts = [f if isinstance(f, tuple) else (f,) for f in functions]
    attributes: dict[str, Any] = {
        "activations": [part[0] for part in parts],
        "activation_alpha": [part[1] for part in parts if len(part) > 1],
        "activation_beta": [part[2] for part in parts if len(part) > 2],
        "linear_before_reset": int(options.get("reset") != "before"),
        "input_forget": int(options.get("coupled", False)),
    }
    if "clip" in options:
        attributes["clip"] = options["clip"]
    return Call(
        op=op,
        X=rng.normal(size=(1, BATCH, I)),
        W=rng.normal(size=(1, G * H, I)),
        R=rng.normal(size=(1, G * H, H)),
        B=rng.normal(size=(1, 2 * G * H)),
        initial_h=rng.normal(size=(1, BATCH, H)),
        initial_c=rng.normal(size=(1, BATCH, H)),
        P=rng.normal(size=(1, 3 * H)) if options.get("peepholes") else None,
        attributes=attributes,
    )


def slots_and_states(call: Call, cell: Cell) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the products give to the cell's slots, and its last states, in NumPy."""
    names, G = SLOTS[call.op], len(SLOTS[call.op])
    x, h = call.X[0], call.initial_h[0]
    slots = {}
    for k, name in enumerate(names):
        at, bias = slice(k * H, (k + 1) * H), call.B[0].reshape(2, G, H)[:, k]
        from_x, from_h = x @ call.W[0, at].T + bias[0], h @ call.R[0, at].T + bias[1]
        if call.op == "GRU" and name == "new" and cell.operand is not None:
            r = functions(call, 0)[0](slots["reset"])
            slots["new"] = from_x + (r * h) @ call.R[0, at].T + bias[1]
        elif call.op == "GRU" and name == "new":
            slots |= {"new": from_x, "recurrent_new": from_h}
        else:
            slots[name] = from_x + from_h
    last = {"h": h, "c": call.initial_c[0]}
    if call.P is not None:
        vectors = call.P[0].reshape(3, H)
        for k, gate in enumerate(("input", "output", "forget")):
            last[f"peephole_{gate}"] = np.tile(vectors[k], (BATCH, 1))
    return {s: slots[s] for s in cell.slots}, {s: last[s] for s in cell.states}


RESET_BEFORE: list[tuple[str, dict[str, Any], list[Any]]] = [
    ("GRU", {"reset": "before"}, ["Sigmoid", "Tanh"]),
    ("GRU", {"reset": "before"}, [HARD, LEAKY]),
    ("GRU", {"reset": "before", "clip": 0.5}, [SCALED, "Tanh"]),
]


@pytest.mark.parametrize("variant", VARIANTS + RESET_BEFORE, ids=str)
def test_a_step_is_the_specification_s(variant: Any) -> None:
    call, cell = call_of(*variant, seed=0), make(*variant)
    slots, last = slots_and_states(call, cell)
    got = cell.evaluate(slots, last).states
    for b in range(BATCH):
        want = step(call, 0, call.X[0, b], call.initial_h[0, b], call.initial_c[0, b])
        for name, value in zip(("h", "c"), want, strict=True):
            if name in got:
                np.testing.assert_allclose(got[name][b], value, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_the_derived_backward_is_the_step_s_derivative(variant: Any) -> None:
    cell = make(*variant)
    slots, last = slots_and_states(call_of(*variant, seed=1), cell)
    rng = np.random.default_rng(2)
    seeds = {s: rng.normal(size=(BATCH, H)) for s in cell.states}

    def loss(slots: Any, last: Any) -> float:
        states = cell.evaluate(slots, last).states
        return float(sum((seeds[s] * states[s]).sum() for s in cell.states))

    done = cell.evaluate(slots, last)
    _, to_slots, to_last = cell.backward_step(done.gates, done.states, last, seeds)
    move = {name: rng.normal(size=(BATCH, H)) for name in (*slots, *last)}
    eps = 1e-6
    ends = [
        loss(
            {name: value + sign * eps * move[name] for name, value in slots.items()},
            {name: value + sign * eps * move[name] for name, value in last.items()},
        )
        for sign in (1, -1)
    ]
    along = sum(float((np.asarray(g) * move[name]).sum()) for name, g in to_slots.items())
    along += sum(float((np.asarray(g) * move[name]).sum()) for name, g in to_last.items())
    # Central differences: their error is eps^2 of truncation and machine epsilon / eps of rounding.
    assert along == pytest.approx((ends[0] - ends[1]) / (2 * eps), rel=1e-7, abs=1e-7)


def test_what_does_not_differ_from_a_built_in_cell_is_that_cell() -> None:
    assert rnn_variant("Relu") is rnn("relu")
    assert rnn_variant(("Affine", 1.0, 0.0)) is rnn_variant("linear") is rnn("identity")
    assert lstm_variant("sigmoid", "relu", "relu") is lstm("relu")
    assert gru_variant() is gru()
    assert gru_variant(reset="before") is gru(reset="before")
    assert lstm_variant(clip=1.0) is lstm_variant(clip=1.0)
    assert lstm_variant("sigmoid", "tanh", "relu") is not lstm("tanh")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("Swoosh", "got 'Swoosh'; wanted one of tanh"),
        (("Affine",), "affine with alpha None; wanted a finite alpha"),
        (("LeakyRelu", math.nan), "wanted a finite alpha"),
        (("ScaledTanh", 1.0), "wanted a finite beta"),
        ((1.0, 2.0), "a name, or"),
        (None, "a name, or"),
    ],
)
def test_an_activation_that_cannot_be_is_refused_by_name(spec: Any, message: str) -> None:
    with pytest.raises(mr.ArgumentError, match=message):
        rnn_variant(spec)


@pytest.mark.parametrize("clip", [0.0, -1.0, math.nan, math.inf, "much"])
def test_clip_is_a_positive_number(clip: Any) -> None:
    with pytest.raises(mr.ArgumentError, match="clip: got"):
        gru_variant(clip=clip)


@pytest.mark.parametrize("spec", SPECS)
def test_options_tell_the_activation_to_the_last_bit(spec: Any) -> None:
    chosen = activation(spec)
    assert parsed(str(chosen)) == chosen


def test_peepholes_are_parameters_that_learn() -> None:
    """Outputs and every gradient of a layer, in both directions, against the equations."""
    T, lengths = 5, np.array([5, 2, 3, 1, 4, 5])
    rng = np.random.default_rng(0)
    layer = PeepholeLSTM(I, H, bidirectional=True, dtype="float64", rng=0)
    x = rng.normal(size=(T, BATCH, I))
    seed = rng.normal(size=(T, BATCH, 2 * H))
    output, (h, c) = layer(x, lengths=lengths)
    ((output * seed).sum() + h.sum() + (c * c).sum()).backward()
    blocks = {"weight": ([0, 3, 1, 2], 4), "weight_peephole": ([0, 2, 1], 3)}

    def onnx(name: str, kind: str) -> Any:
        """A parameter of both directions with the rows where ONNX has them."""
        order, count = blocks[kind]
        both = [getattr(layer, f"{name}_l0{end}").data for end in ("", "_reverse")]
        return np.stack([
            np.concatenate([p.reshape(count, H, -1)[k] for k in order]).reshape(p.shape)
            for p in both
        ])  # fmt: skip

    call = Call(
        op="LSTM",
        X=x,
        W=onnx("weight_ih", "weight"),
        R=onnx("weight_hh", "weight"),
        B=np.concatenate([onnx("bias_ih", "weight"), onnx("bias_hh", "weight")], axis=1),
        P=onnx("weight_peephole", "weight_peephole"),
        sequence_lens=lengths,
        attributes={"direction": "bidirectional"},
    )

    def loss(call: Call) -> Any:
        Y, Y_h, Y_c = specified(call)
        return (
            (Y.transpose(0, 2, 1, 3).reshape(seed.shape) * seed).sum()
            + Y_h.sum()
            + (Y_c * Y_c).sum()
        )

    Y, Y_h, Y_c = specified(call)
    np.testing.assert_allclose(output.data, Y.transpose(0, 2, 1, 3).reshape(seed.shape), atol=1e-12)
    np.testing.assert_allclose(h.data, Y_h, atol=1e-12)
    np.testing.assert_allclose(c.data, Y_c, atol=1e-12)
    vectors = call.P.astype(complex)
    for end, d in (("", 0), ("_reverse", 1)):
        grad = getattr(layer, f"weight_peephole_l0{end}").grad
        for ours, theirs in enumerate((0, 2, 1)):  # input, forget, output in ONNX's order
            for unit in range(H):
                moved = vectors.copy()
                moved[d, theirs * H + unit] += 1e-30j
                call.P = moved
                want = np.imag(loss(call)) / 1e-30
                assert grad[ours * H + unit] == pytest.approx(want, rel=1e-9, abs=1e-12)


def test_a_stream_with_peepholes_gives_the_layer_s_bits() -> None:
    layer = PeepholeLSTM(I, H, 2, dtype="float64", rng=0)
    x = np.random.default_rng(1).normal(size=(4, 2, I))
    stream = layer.stream(batch=2)
    steps = [stream.step(each).copy() for each in x]
    output, (h, c) = layer(x)
    assert np.array_equal(np.stack(steps), output.data)
    assert all(np.array_equal(a, b.data) for a, b in zip(stream.state, (h, c), strict=True))
    layer.weight_peephole_l0.data[...] *= 2.0
    stream.refresh()
    want, _ = layer(x[:1], stream.state)
    assert np.array_equal(stream.step(x[0]), want.data[0])
    stream.state = None
    assert np.array_equal(stream.step(x[0]), layer(x[:1])[0].data[0])


def test_a_layer_with_peepholes_takes_only_a_cell_with_peepholes() -> None:
    with pytest.raises(mr.ArgumentError, match="cell: got"):
        PeepholeLSTM(2, 3, cell=lstm())
