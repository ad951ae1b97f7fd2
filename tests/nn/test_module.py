"""A module knows its parameters and children, once each, and moves their values by name."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import minirnn as mr
from minirnn.errors import ArgumentError, DeviceError, DTypeError, ShapeError


class Scale(mr.Module):
    def __init__(self, value: float = 1.0) -> None:
        self.factor = mr.Tensor(np.full((2,), value), requires_grad=True)
        self.constant = mr.Tensor(np.ones(2))

    def forward(self, x: mr.Tensor) -> mr.Tensor:
        return x * self.factor


class Pair(mr.Module):
    def __init__(self) -> None:
        self.first = Scale(1.0)
        self.own = mr.Tensor(np.zeros(3), requires_grad=True)
        self.second = Scale(2.0)


def names(module: mr.Module) -> list[str]:
    return [name for name, _ in module.named_parameters()]


def test_parameters_and_modules_are_named_by_their_attributes() -> None:
    pair = Pair()
    assert names(pair) == ["own", "first.factor", "second.factor"]
    assert [name for name, _ in pair.named_modules()] == ["", "first", "second"]
    assert [id(p) for p in pair.parameters()] == [
        id(pair.own),
        id(pair.first.factor),
        id(pair.second.factor),
    ]


def test_a_subclass_need_not_call_the_init_of_module() -> None:
    assert names(Scale()) == ["factor"]


def test_a_frozen_parameter_stays_a_parameter() -> None:
    scale = Scale()
    scale.factor.requires_grad = False
    assert names(scale) == ["factor"]
    scale.factor = mr.Tensor(np.ones(2))
    assert names(scale) == ["factor"]


def test_results_of_operations_are_no_parameters() -> None:
    scale = Scale()
    scale.remembered = scale(mr.Tensor(np.ones(2)))
    assert scale.remembered.requires_grad
    assert names(scale) == ["factor"]


def test_assignment_and_deletion_change_what_is_registered() -> None:
    pair = Pair()
    pair.first = None
    assert names(pair) == ["own", "second.factor"]
    del pair.own
    assert names(pair) == ["second.factor"]
    pair.second = mr.Tensor(np.ones(1), requires_grad=True)
    assert names(pair) == ["second"]
    pair.second = Scale()
    assert names(pair) == ["second.factor"]


@pytest.mark.parametrize("container", [list, tuple, lambda parts: {"part": parts[0]}])
@pytest.mark.parametrize("part", [Scale, lambda: mr.Tensor(np.ones(2), requires_grad=True)])
def test_members_of_containers_would_go_unseen_and_are_refused(container, part) -> None:
    with pytest.raises(ArgumentError, match="parts"):
        Scale().parts = container([part()])
    Scale().parts = container([1.0])


def test_what_is_shared_counts_once_and_cycles_end() -> None:
    pair = Pair()
    pair.second.factor = pair.first.factor  # tied weights
    pair.third = pair.first  # a shared module
    pair.third.parent = pair  # a cycle
    assert names(pair) == ["own", "first.factor"]
    assert len(pair.modules()) == 3
    assert list(pair.state_dict()) == ["own", "first.factor"]
    pair.eval()
    assert not any(module.training for module in pair.modules())
    assert "parent: Pair" in repr(pair)


def test_a_long_chain_of_modules_needs_no_deep_recursion() -> None:
    first = module = Scale()
    for _ in range(3000):
        module.next = Scale()
        module = module.next
    assert len(first.parameters()) == 3001
    first.eval()
    assert not module.training


def test_train_and_eval_reach_everything_and_return_the_module() -> None:
    pair = Pair()
    assert pair.training
    assert pair.eval() is pair
    assert not pair.second.training
    assert pair.train() is pair
    assert pair.second.training


def test_a_state_dict_is_a_copy() -> None:
    pair = Pair()
    state = pair.state_dict()
    pair.own.data += 1.0
    assert np.array_equal(state["own"], np.zeros(3))
    pair.load_state_dict(state)
    state["own"] += 5.0
    assert np.array_equal(pair.own.data, np.zeros(3))


def test_loading_writes_into_the_arrays_that_optimisers_hold() -> None:
    pair, other = Pair(), Pair()
    other.own.data[...] = 7.0
    array = pair.own.data
    pair.load_state_dict(other.state_dict())
    assert pair.own.data is array
    assert np.array_equal(array, np.full(3, 7.0))


def test_a_state_dict_may_hold_tensors() -> None:
    pair = Pair()
    pair.load_state_dict(dict(pair.named_parameters()))


def test_all_that_is_wrong_with_a_state_dict_is_listed_and_nothing_changes() -> None:
    pair = Pair()
    before = pair.state_dict()
    with pytest.raises(ArgumentError) as caught:
        pair.load_state_dict(
            {"own": np.zeros(4), "first.factor": np.ones(2, np.float32), "third": np.zeros(1)}
        )
    message = str(caught.value)
    for part in ("missing: 'second.factor'", "unexpected: 'third'", "'own' (4,)", "float32"):
        assert part in message
    own = np.full(3, 9.0)
    cases: list[tuple[object, type[ArgumentError]]] = [
        ({**before, "own": np.zeros((1, 3))}, ShapeError),
        ({**before, "own": np.zeros(3, np.float32)}, DTypeError),
        ({**before, "own": [0.0, 0.0, 0.0]}, DTypeError),
        ({**before, "own": None}, DTypeError),
        ({"own": own, "first.factor": before["first.factor"]}, ArgumentError),
        ({**before, "own": own, "more": own}, ArgumentError),
        ([("own", own)], ArgumentError),
    ]
    for state, error in cases:
        with pytest.raises(error, match="state_dict") as caught:
            pair.load_state_dict(state)
        assert type(caught.value) is error
        for name, value in pair.state_dict().items():
            assert np.array_equal(value, before[name])


def test_devices_are_checked() -> None:
    pair = Pair()
    assert pair.to("cpu") is pair
    for device in ("cuda:0", "abacus", None):
        with pytest.raises(DeviceError, match="device"):
            pair.to(device)


def test_zero_grad_forgets_every_gradient() -> None:
    pair = Pair()
    for parameter in pair.parameters():
        parameter.grad = np.ones_like(parameter.data)
    pair.zero_grad()
    assert all(parameter.grad is None for parameter in pair.parameters())


def test_a_copied_model_is_whole_and_independent() -> None:
    model = mr.SequenceModel("gru", input_size=2, hidden_size=3, output_size=1, rng=0)
    twin = copy.deepcopy(model)
    x = np.random.default_rng(0).normal(size=(4, 2, 2)).astype(np.float32)
    assert np.array_equal(twin(x).data, model(x).data)
    for parameter in twin.parameters():
        parameter.data[...] = 0.0
    assert twin.recurrent.weight_ih_l0 is twin.parameters()[0]
    assert np.abs(model.recurrent.weight_ih_l0.data).max() > 0.0
    assert np.array_equal(twin(x).data, np.zeros((2, 1), np.float32))
