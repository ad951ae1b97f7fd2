"""Models on the GPU: the same start as on the CPU, moved as a whole, trained, saved and loaded."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
from devices import to_device, to_numpy

import minirnn as mr
from minirnn.errors import DeviceError
from minirnn.nn.module import device_of_module
from minirnn.tensor import Tensor

OTHER = {"cpu": "cuda", "cuda": "cpu"}

MODELS: dict[str, Callable[..., mr.Module]] = {
    "linear": lambda **o: mr.Linear(3, 2, rng=0, **o),
    "rnn": lambda **o: mr.RNN(3, 4, rng=0, **o),
    "gru": lambda **o: mr.GRU(3, 4, 2, bidirectional=True, rng=0, **o),
    "lstm": lambda **o: mr.LSTM(3, 4, 2, bias=False, rng=0, dtype="float64", **o),
    "model": lambda **o: mr.SequenceModel(
        "lstm", input_size=3, hidden_size=4, output_size=2, rng=0, **o
    ),
}


def network(device: str = "cpu") -> mr.Sequential:
    """Two Linear layers, which need no recurrent kernel."""
    options = {"dtype": "float64", "device": device}
    return mr.Sequential(mr.Linear(3, 5, rng=0, **options), mr.Linear(5, 2, rng=1, **options))


def values(model: mr.Module) -> dict[str, np.ndarray]:
    return {name: parameter.numpy() for name, parameter in model.named_parameters()}


def assert_same(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> None:
    assert list(first) == list(second)
    for name, value in first.items():
        np.testing.assert_array_equal(to_numpy(value), to_numpy(second[name]), err_msg=name)


class TestStart:
    @pytest.mark.parametrize("kind", MODELS)
    def test_a_seed_gives_the_same_model_on_both_devices(self, kind: str, cuda: str) -> None:
        here, there = MODELS[kind](), MODELS[kind](device=cuda)
        assert {parameter.device for parameter in there.parameters()} == {cuda}
        assert_same(values(here), values(there))

    @pytest.mark.parametrize(
        "fill",
        [
            lambda m: mr.init.apply(m, kernel="glorot_uniform", recurrent="orthogonal",
                                    bias="zeros", forget_bias=1.0, rng=3),
            lambda m: mr.init.apply(m, kernel="he_normal", recurrent="identity", rng=3),
            lambda m: mr.init.apply(m, kernel="glorot_normal", recurrent="he_uniform", rng=3),
            lambda m: mr.init.chrono(m.recurrent, 20, rng=3),
            lambda m: mr.init.uniform(m.head.weight, -1, 1, rng=3),
            lambda m: mr.init.normal(m.head.weight, 0, 1, rng=3),
            lambda m: mr.init.constant(m.head.bias.data, 2.5),
        ],
    )  # fmt: skip
    def test_an_initialiser_gives_the_same_numbers(self, fill, cuda: str) -> None:
        here, there = MODELS["model"](), MODELS["model"](device=cuda)
        fill(here)
        fill(there)
        assert_same(values(here), values(there))
        assert any((v != w).any() for v, w in zip(
            values(here).values(), values(MODELS["model"]()).values(), strict=True))  # fmt: skip


class TestTo:
    @pytest.mark.parametrize("here", ["cpu", "cuda"])
    def test_the_parameters_stay_the_same_tensors_and_take_their_gradients(
        self, here: str, cuda: str
    ) -> None:
        model, there = network(here), OTHER[here]
        parameters, before = model.parameters(), values(model)
        parameters[0].grad = to_device(np.ones((5, 3)), here)
        assert model.to(there) is model
        assert all(mine is was for mine, was in zip(model.parameters(), parameters, strict=True))
        assert {parameter.device for parameter in parameters} == {there}
        assert Tensor(parameters[0].grad).device == there
        assert parameters[1].grad is None
        assert model[0].device == there
        assert_same(values(model), before)

    def test_tied_weights_stay_tied(self, cuda: str) -> None:
        first = mr.Linear(3, 3, rng=0)
        model = mr.Sequential(first, mr.Linear(3, 3, rng=1), first)
        model[1].weight = first.weight
        model.to(cuda)
        assert model[1].weight is first.weight
        assert model[1].weight.device == cuda

    def test_a_layer_tells_where_it_is(self, device: str) -> None:
        for make in MODELS.values():
            model = make(device=device)
            assert device_of_module(model) == device
            if not isinstance(model, mr.SequenceModel):
                assert model.device == device

    def test_a_model_on_both_devices_is_refused(self, cuda: str) -> None:
        model = network()
        model[1].to(cuda)
        with pytest.raises(DeviceError, match=r"on 'cpu' and on 'cuda'.*\.to\(device\)"):
            device_of_module(model)
        with pytest.raises(DeviceError):
            model(np.ones((4, 3)))

    def test_a_copy_stays_on_the_device(self, cuda: str) -> None:
        model = network(cuda)
        twin = copy.deepcopy(model)
        twin[0].weight.data[...] = 0.0
        assert device_of_module(twin) == cuda
        assert np.abs(model[0].weight.numpy()).max() > 0


class TestStateDict:
    @pytest.mark.parametrize("here", ["cpu", "cuda"])
    def test_it_lies_with_the_model_and_loads_on_either_device(self, here: str, cuda: str) -> None:
        source, target = network(here), network(OTHER[here])
        mr.init.uniform(source[0].weight, -1, 1, rng=9)
        state = source.state_dict()
        assert {Tensor(array).device for array in state.values()} == {here}
        arrays = [parameter.data for parameter in target.parameters()]
        target.load_state_dict(state)
        assert_same(values(target), values(source))
        # In place, and without a tie between the two.
        assert all(p.data is array for p, array in zip(target.parameters(), arrays, strict=True))
        source[0].weight.data[...] = 0.0
        assert np.abs(target[0].weight.numpy()).max() > 0

    def test_what_does_not_fit_is_listed_for_arrays_of_the_other_device(self, cuda: str) -> None:
        model = network()
        state = network(cuda).state_dict()
        state["0.bias"] = to_device(np.ones(4), cuda)
        with pytest.raises(mr.ShapeError, match=r"'0\.bias' \(4,\) instead of \(5,\)"):
            model.load_state_dict(state)


class TestDropout:
    def test_masks_are_drawn_on_the_gpu_and_repeat_with_the_seed(self, emulated) -> None:
        x = to_device(np.ones((20, 30), np.float32), "cuda")
        with emulated.transfers() as log:
            first, second = (mr.Dropout(0.5, rng=4)(x) for _ in range(2))
        assert not list(log), str(log)
        np.testing.assert_array_equal(first.numpy(), second.numpy())
        assert 0.4 < float((first.numpy() == 0).mean()) < 0.6

    def test_the_gradient_passes_where_the_value_did(self, device: str) -> None:
        x = Tensor(to_device(np.ones((20, 30)), device), requires_grad=True)
        y = mr.Dropout(0.3, rng=4)(x)
        y.sum().backward()
        np.testing.assert_array_equal(to_numpy(x.grad), y.numpy())


def test_numpy_arrays_are_not_moved_unasked(cuda: str) -> None:
    x = np.ones((4, 2, 3), np.float32)
    for kind in ("linear", "rnn", "gru", "model"):
        with pytest.raises(DeviceError, match=r"cupy\.asarray\(x\)") as caught:
            MODELS[kind](device=cuda)(x)
        assert caught.value.argument == "x"
    assert MODELS["linear"](device=cuda)(to_device(x, cuda)).device == cuda
    lists = x.tolist()  # lists have no device of their own
    assert MODELS["linear"](device=cuda)(lists).device == cuda
