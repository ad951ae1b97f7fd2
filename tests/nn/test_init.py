"""Initialisers have the distributions of their sources."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minirnn as mr
from minirnn import init
from minirnn.errors import ArgumentError, DTypeError, ShapeError

ROWS, COLUMNS = 300, 200


def filled(fill, shape=(ROWS, COLUMNS), dtype=np.float64, **options) -> np.ndarray:
    parameter = mr.Tensor(np.full(shape, np.nan, dtype), requires_grad=True)
    array = parameter.data
    fill(parameter, **options)
    assert parameter.data is array
    return array


@pytest.mark.parametrize(
    ("fill", "variance"),
    [
        (init.glorot_uniform, 2 / (ROWS + COLUMNS)),
        (init.glorot_normal, 2 / (ROWS + COLUMNS)),
        (init.he_uniform, 2 / COLUMNS),
        (init.he_normal, 2 / COLUMNS),
    ],
)
def test_variance_is_the_sources(fill, variance: float) -> None:
    values = filled(fill, rng=0)
    # 60,000 values: the standard error of the variance is below 0.6%
    assert values.var() == pytest.approx(variance, rel=0.02)
    assert abs(values.mean()) < 4 * math.sqrt(variance / values.size)
    bound = math.sqrt(3 * variance)
    if "uniform" in fill.__name__:
        assert 0.99 * bound < np.abs(values).max() <= bound
    else:
        assert np.abs(values).max() > 1.8 * bound
        assert (np.abs(values) < math.sqrt(variance)).mean() == pytest.approx(0.683, abs=0.01)
    gained = filled(fill, rng=0, gain=2.0)
    default_gain = math.sqrt(2) if fill.__name__.startswith("he") else 1.0
    np.testing.assert_allclose(gained, values * 2.0 / default_gain, rtol=0, atol=1e-15)


@pytest.mark.parametrize("fill", [init.glorot_uniform, init.glorot_normal])
def test_blocks_count_the_rows_of_one_gate(fill) -> None:
    values = filled(fill, blocks=3, rng=0)
    assert values.var() == pytest.approx(2 / (ROWS / 3 + COLUMNS), rel=0.02)


@pytest.mark.parametrize("shape", [(6, 6), (9, 4), (4, 9), (1, 1)])
def test_orthogonal_has_orthonormal_rows_or_columns(shape: tuple[int, int]) -> None:
    q = filled(init.orthogonal, shape, rng=0)
    gram = q.T @ q if shape[0] >= shape[1] else q @ q.T
    np.testing.assert_allclose(gram, np.eye(min(shape)), atol=1e-14)
    np.testing.assert_allclose(filled(init.orthogonal, shape, rng=0, gain=3.0), 3.0 * q)


def test_orthogonal_treats_each_block_by_itself() -> None:
    blocks = filled(init.orthogonal, (12, 4), blocks=3, rng=0).reshape(3, 4, 4)
    for block in blocks:
        np.testing.assert_allclose(block @ block.T, np.eye(4), atol=1e-14)
    assert np.abs(blocks[0] - blocks[1]).max() > 0.1


def test_orthogonal_is_uniform_over_the_group() -> None:
    """The mean of a uniform orthogonal matrix is zero; without the signs the diagonal's is not."""
    rng = np.random.default_rng(0)
    draws = np.stack([filled(init.orthogonal, (3, 3), rng=rng) for _ in range(2000)])
    assert np.abs(draws.mean(axis=0)).max() < 5 / math.sqrt(3 * 2000)
    assert 0.4 < (np.linalg.det(draws) > 0).mean() < 0.6


def test_identity_fills_each_block() -> None:
    values = filled(init.identity, (6, 3), blocks=2, gain=0.5)
    assert np.array_equal(values, np.concatenate([0.5 * np.eye(3)] * 2))


def test_uniform_normal_constant_and_zeros() -> None:
    values = filled(init.uniform, low=-1.0, high=3.0, rng=0)
    assert values.min() >= -1.0
    assert values.max() < 3.0
    assert values.mean() == pytest.approx(1.0, abs=0.02)
    assert values.var() == pytest.approx(16 / 12, rel=0.02)
    values = filled(init.normal, mean=2.0, std=0.5, rng=0)
    assert values.mean() == pytest.approx(2.0, abs=0.01)
    assert values.std() == pytest.approx(0.5, rel=0.02)
    assert np.array_equal(filled(init.constant, (2, 2), value=0.25), np.full((2, 2), 0.25))
    assert np.array_equal(filled(init.zeros, (3,)), np.zeros(3))


def test_seeds_repeat_and_generators_move_on() -> None:
    first, second = (filled(init.glorot_normal, rng=4) for _ in "ab")
    assert np.array_equal(first, second)
    rng = np.random.default_rng(4)
    first, second = (filled(init.glorot_normal, rng=rng) for _ in "ab")
    assert not np.array_equal(first, second)
    narrow = filled(init.glorot_normal, dtype=np.float32, rng=4)
    assert np.array_equal(narrow, filled(init.glorot_normal, rng=4).astype(np.float32))


def gate_bias(layer: mr.Recurrent, slot: str, which: tuple[int, bool] = (0, False)) -> np.ndarray:
    """The sum of both biases of a gate."""
    weights = layer.weights(which[0], reverse=which[1])
    rows = layer.cell.input_slots.index(slot) * layer.hidden_size
    of_h = layer.cell.hidden_slots.index(slot) * layer.hidden_size
    H = layer.hidden_size
    return weights.bias_ih.data[rows : rows + H] + weights.bias_hh.data[of_h : of_h + H]


LEVELS = [(0, False), (0, True), (1, False), (1, True)]


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_chrono_spreads_memories_evenly_up_to_the_longest(kind: str) -> None:
    layer = getattr(mr, kind)(2, 500, 2, bidirectional=True, dtype="float64", rng=0)
    before = layer.state_dict()
    init.chrono(layer, 101.0, rng=0)
    keeping = "forget" if kind == "LSTM" else "update"
    for which in LEVELS:
        memory = np.exp(gate_bias(layer, keeping, which))
        assert memory.min() >= 1.0
        assert memory.max() < 100.0
        # uniform: every tenth of the range holds a tenth of the units, within 5 standard errors
        counts, _ = np.histogram(memory, bins=10, range=(1.0, 100.0))
        assert np.abs(counts - 50).max() < 5 * math.sqrt(500 * 0.1 * 0.9)
        if kind == "LSTM":
            forget, gate_in = gate_bias(layer, "forget", which), gate_bias(layer, "input", which)
            assert np.array_equal(gate_in, -forget)
    changed = {"input", "forget"} if kind == "LSTM" else {"update"}
    H = layer.hidden_size
    for name, value in layer.state_dict().items():
        if name.startswith("weight"):
            assert np.array_equal(value, before[name])
            continue
        slots = layer.cell.input_slots if "_ih_" in name else layer.cell.hidden_slots
        for index, slot in enumerate(slots):
            rows = slice(index * H, (index + 1) * H)
            assert np.array_equal(value[rows], before[name][rows]) is (slot not in changed)


def test_chrono_makes_gates_that_remember() -> None:
    """A unit of memory u keeps 1/e of its state after about u steps, with zero inputs."""
    layer = mr.GRU(1, 50, dtype="float64", rng=0)
    for parameter in layer.parameters():
        init.zeros(parameter)
    init.chrono(layer, 60, rng=0)
    memory = np.exp(gate_bias(layer, "update"))
    output, _ = layer(np.zeros((200, 1, 1)), np.ones((1, 1, 50)))
    fallen = (output.data[:, 0] > 1 / math.e).sum(axis=0) + 1
    # exactly 1 / log(1 + 1/u), which lies between u and u + 1/2; counted in whole steps
    assert np.abs(fallen - memory).max() <= 1.5


def test_forget_bias_sets_the_sum_of_both_biases_and_nothing_else() -> None:
    layer = mr.LSTM(2, 3, 2, bidirectional=True, rng=0)
    before = layer.state_dict()
    init.forget_bias(layer, 1.5)
    for which in LEVELS:
        assert np.array_equal(gate_bias(layer, "forget", which), np.full(3, 1.5, np.float32))
    for name, value in layer.state_dict().items():
        rows = np.r_[0:3, 6:12] if name.startswith("bias") else np.arange(len(value))
        assert np.array_equal(value[rows], before[name][rows])


def test_apply_initialises_a_whole_model_as_a_recipe_says() -> None:
    model = mr.SequenceModel(
        "lstm", input_size=2, hidden_size=4, output_size=3, num_layers=2, dtype="float64", rng=0
    )
    init.apply(
        model, kernel="identity", recurrent="orthogonal", bias="zeros", forget_bias=1.0, rng=0
    )
    for layer in range(2):
        weights = model.recurrent.weights(layer)
        width = weights.weight_ih.shape[1]
        expected = np.concatenate([np.eye(4, width)] * 4)
        assert np.array_equal(weights.weight_ih.data, expected)
        for block in np.split(weights.weight_hh.data, 4):
            np.testing.assert_allclose(block @ block.T, np.eye(4), atol=1e-14)
        forget = np.zeros(16)
        forget[4:8] = 1.0
        assert np.array_equal(weights.bias_ih.data, forget)
        assert np.array_equal(weights.bias_hh.data, np.zeros(16))
    assert np.array_equal(model.head.weight.data, np.eye(3, 4))
    assert np.array_equal(model.head.bias.data, np.zeros(3))


def test_apply_leaves_alone_what_it_is_not_told() -> None:
    layer = mr.GRU(2, 3, rng=0)
    before = layer.state_dict()
    init.apply(layer)
    init.apply(layer, forget_bias=1.0)  # a GRU has no forget gate
    after = layer.state_dict()
    assert all(np.array_equal(after[name], before[name]) for name in before)
    init.apply(layer, recurrent="glorot_uniform", rng=0)
    changed = [n for n, value in layer.state_dict().items() if not np.array_equal(value, before[n])]
    assert changed == ["weight_hh_l0"]


def matrix() -> np.ndarray:
    return np.zeros((4, 4))


REFUSED = [
    ("parameter", ArgumentError, lambda: init.zeros([1.0])),
    ("parameter", DTypeError, lambda: init.zeros(np.zeros(3, int))),
    ("parameter", ShapeError, lambda: init.orthogonal(np.zeros(3))),
    ("parameter", ShapeError, lambda: init.glorot_uniform(matrix(), blocks=3)),
    ("blocks", ArgumentError, lambda: init.glorot_uniform(matrix(), blocks=0)),
    ("gain", ArgumentError, lambda: init.he_normal(matrix(), gain=-1.0)),
    ("gain", ArgumentError, lambda: init.identity(matrix(), gain=math.nan)),
    ("std", ArgumentError, lambda: init.normal(matrix(), 0.0, 0.0)),
    ("high", ArgumentError, lambda: init.uniform(matrix(), 1.0, 1.0)),
    ("value", ArgumentError, lambda: init.constant(matrix(), math.inf)),
    ("rng", ArgumentError, lambda: init.glorot_normal(matrix(), rng="seed")),
    ("T_max", ArgumentError, lambda: init.chrono(mr.LSTM(1, 1), 2)),
    ("layer", ArgumentError, lambda: init.chrono(mr.RNN(1, 1), 10)),
    ("layer", ArgumentError, lambda: init.chrono(mr.LSTM(1, 1, bias=False), 10)),
    ("layer", ArgumentError, lambda: init.chrono(mr.Linear(1, 1), 10)),
    ("layer", ArgumentError, lambda: init.forget_bias(mr.GRU(1, 1))),
    ("layer", ArgumentError, lambda: init.forget_bias(mr.LSTM(1, 1, bias=False))),
    ("value", ArgumentError, lambda: init.forget_bias(mr.LSTM(1, 1), "open")),
    ("kernel", ArgumentError, lambda: init.apply(mr.LSTM(1, 1), kernel="xavier")),
    ("recurrent", ArgumentError, lambda: init.apply(mr.LSTM(1, 1), recurrent=1.0)),
    ("bias", ArgumentError, lambda: init.apply(mr.LSTM(1, 1), bias="ones")),
]


@pytest.mark.parametrize(("argument", "error", "call"), REFUSED)
def test_what_cannot_be_filled_is_refused_by_name(argument: str, error: type, call) -> None:
    with pytest.raises(error) as caught:
        call()
    assert type(caught.value) is error
    assert caught.value.argument == argument
