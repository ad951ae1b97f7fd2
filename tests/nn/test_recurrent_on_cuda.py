"""Recurrent layers on the GPU: what they compute on the CPU, without a transfer or a wait."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from devices import to_device, to_numpy

import minirnn as mr
from minirnn.errors import ArgumentError, DeviceError

T, B, WIDTH, H = 6, 3, 4, 5
X = np.random.default_rng(0).standard_normal((T, B, WIDTH))
OPTIONS: list[dict[str, Any]] = [
    {},
    {"num_layers": 2, "bidirectional": True},
    {"batch_first": True, "bias": False},
    {"num_layers": 2, "recompute": True},
]


def flat(result: Any) -> list[mr.Tensor]:
    return [result] if isinstance(result, mr.Tensor) else [t for part in result for t in flat(part)]


def run(kind: str, device: str, lengths: Any, options: dict[str, Any]) -> list[np.ndarray]:
    """Output, last states, and the gradients of x and of every parameter."""
    layer = getattr(mr, kind)(WIDTH, H, dtype="float64", rng=0, device=device, **options)
    data = X.swapaxes(0, 1) if options.get("batch_first") else X
    x = mr.Tensor(to_device(data, device), requires_grad=True)
    results = flat(layer(x, lengths=lengths))
    sum((result * result).sum() for result in results).backward()
    leaves = [x, *layer.parameters()]
    assert {mr.Tensor(leaf.grad).device for leaf in leaves} == {device}
    return [r.numpy() for r in results] + [to_numpy(leaf.grad) for leaf in leaves]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: ", ".join(options) or "plain")
@pytest.mark.parametrize("lengths", [None, [6, 0, 3]], ids=["whole", "lengths"])
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_values_and_gradients_are_those_of_the_cpu(kind, lengths, options, cuda) -> None:
    here, there = run(kind, "cpu", lengths, options), run(kind, cuda, lengths, options)
    for mine, other in zip(here, there, strict=True):
        # Both are within 1e-12 of the reference, which tests/kernels holds them to.
        np.testing.assert_allclose(other, mine, rtol=0, atol=1e-12 * max(1.0, np.abs(mine).max()))


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: ", ".join(options) or "plain")
def test_forward_and_backward_move_and_fetch_nothing(options, emulated) -> None:
    layer = mr.LSTM(WIDTH, H, dtype="float64", rng=0, device="cuda", **options)
    x = to_device(X.swapaxes(0, 1) if options.get("batch_first") else X, "cuda")
    with emulated.transfers() as log:
        output, _ = layer(x)
        (output * output).mean().backward()
    assert not list(log), str(log)


def test_lengths_on_the_cpu_are_never_fetched(emulated) -> None:
    layer = mr.GRU(WIDTH, H, dtype="float64", rng=0, device="cuda")
    x = to_device(X, "cuda")
    with emulated.transfers() as log:
        layer(x, lengths=np.array([6, 0, 3]))
    assert not log.to_host, str(log)
    with emulated.transfers() as log:
        layer(x, lengths=to_device(np.array([6, 0, 3]), "cuda"))
    assert [one.shape for one in log.to_host] == [(3,)]


def test_lengths_on_the_gpu_are_checked_too(cuda) -> None:
    layer = mr.GRU(WIDTH, H, dtype="float64", rng=0, device=cuda)
    with pytest.raises(ArgumentError, match="lengths: got a length of 7"):
        layer(to_device(X, cuda), lengths=to_device(np.array([6, 7, 3]), cuda))


def test_work_runs_on_cupys_current_stream(cuda) -> None:
    import cupy

    layer = mr.LSTM(WIDTH, H, dtype="float64", rng=0, device=cuda)
    x = to_device(X, cuda)
    wanted = layer(x)[0].numpy()
    cupy.cuda.get_current_stream().synchronize()
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        output, _ = layer(x)
        doubled = (output * 2.0).data
    stream.synchronize()
    np.testing.assert_array_equal(to_numpy(doubled), 2 * wanted)


class TestTooLittleMemory:
    """A DeviceError with the bytes, wherever the memory was asked for."""

    SHAPE = (200, 16, 8)

    def test_in_forward(self, emulated) -> None:
        layer = mr.LSTM(8, 64, rng=0, device="cuda")
        x = to_device(np.ones(self.SHAPE, np.float32), "cuda")
        with emulated.memory_limit(100_000), pytest.raises(DeviceError, match="bytes at once"):
            layer(x)

    def test_in_backward(self, emulated) -> None:
        layer = mr.LSTM(8, 64, rng=0, device="cuda")
        output, _ = layer(to_device(np.ones(self.SHAPE, np.float32), "cuda"))
        gradient = to_device(np.ones(output.shape, np.float32), "cuda")
        with emulated.memory_limit(100_000), pytest.raises(DeviceError, match="bytes at once"):
            output.backward(gradient)

    def test_in_what_stands_around_it(self, emulated) -> None:
        head = mr.Linear(8, 64, rng=0, device="cuda")
        x = to_device(np.ones(self.SHAPE, np.float32), "cuda")
        loss = head(x).sum()
        with emulated.memory_limit(100_000):
            with pytest.raises(DeviceError, match="bytes at once"):
                head(x)
            with pytest.raises(DeviceError, match="bytes at once"):
                loss.backward()

    def test_in_an_optimiser(self, emulated) -> None:
        parameters = mr.Linear(256, 256, rng=0, device="cuda").parameters()
        with emulated.memory_limit(100_000), pytest.raises(DeviceError, match="bytes at once"):
            mr.optim.Adam(parameters)
        optimizer = mr.optim.SGD(parameters, 0.1)
        for parameter in parameters:
            parameter.grad = parameter.data.copy()
        with emulated.memory_limit(100_000), pytest.raises(DeviceError, match="bytes at once"):
            optimizer.step()


def test_another_precision_is_another_result_and_only_on_the_gpu(cuda) -> None:
    x = X.astype(np.float32)
    layers = {name: mr.GRU(WIDTH, H, rng=0, device=name) for name in ("cpu", cuda)}
    exact = {name: layer(to_device(x, name))[0].numpy() for name, layer in layers.items()}
    assert mr.get_matmul_precision() == "float32"
    mr.set_matmul_precision("bfloat16")
    try:
        rounded = {name: layer(to_device(x, name))[0].numpy() for name, layer in layers.items()}
    finally:
        mr.set_matmul_precision("float32")
    np.testing.assert_array_equal(rounded["cpu"], exact["cpu"])
    # By how much is told, and held to its bound, in tests/kernels.
    assert (rounded[cuda] != exact[cuda]).any()


class TestStream:
    @pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
    def test_its_steps_are_the_layers(self, kind: str, cuda: str) -> None:
        layer = getattr(mr, kind)(WIDTH, H, 2, dtype="float64", rng=0, device=cuda)
        x = to_device(X, cuda)
        output, last = layer(x)
        stream = layer.stream(B)
        steps = [to_numpy(stream.step(each)).copy() for each in x]
        np.testing.assert_allclose(np.stack(steps), output.numpy(), rtol=0, atol=1e-13)
        for mine, other in zip(
            stream.state if kind == "LSTM" else (stream.state,), flat(last), strict=True
        ):
            assert mr.Tensor(mine).device == cuda
            np.testing.assert_allclose(to_numpy(mine), other.numpy(), rtol=0, atol=1e-13)

    def test_a_step_moves_and_fetches_nothing(self, emulated) -> None:
        stream = mr.LSTM(WIDTH, H, 2, dtype="float64", rng=0, device="cuda").stream(B)
        x = to_device(X, "cuda")
        stream.step(x[0])
        with emulated.transfers() as log:
            stream.step(x[1])
        assert not list(log), str(log)

    def test_samples_and_states_have_to_be_there(self, cuda: str) -> None:
        layer = mr.GRU(WIDTH, H, dtype="float64", rng=0, device=cuda)
        stream = layer.stream(B)
        with pytest.raises(DeviceError, match="x: got an array on 'cpu'"):
            stream.step(X[0])
        with pytest.raises(DeviceError, match="state: got an array on 'cpu'"):
            layer.stream(B, np.zeros((1, B, H)))
        with pytest.raises(ArgumentError, match="x: got list"):
            stream.step(X[0].tolist())
        with pytest.raises(DeviceError, match="x: got an array on 'cuda'"):
            mr.GRU(WIDTH, H, dtype="float64").stream(B).step(to_device(X[0], cuda))

    def test_a_strided_sample_is_copied(self, cuda: str) -> None:
        layer = mr.GRU(WIDTH, H, dtype="float64", rng=0, device=cuda)
        x = to_device(np.ascontiguousarray(X[0].T), cuda).T
        first, second = layer.stream(B), layer.stream(B)
        wanted = to_numpy(first.step(to_device(X[0], cuda)))
        np.testing.assert_array_equal(to_numpy(second.step(x)), wanted)

    def test_a_moved_layer_needs_a_new_stream(self, cuda: str) -> None:
        layer = mr.GRU(WIDTH, H, dtype="float64", rng=0, device=cuda)
        stream = layer.stream(B)
        layer.to("cpu")
        with pytest.raises(DeviceError, match="weight_ih"):
            stream.refresh()
        stream.step(to_device(X[0], cuda))  # goes on with what it had


def test_a_model_moves_back_and_forth_and_answers_the_same(cuda: str) -> None:
    model = mr.SequenceModel(
        "lstm", input_size=WIDTH, hidden_size=H, output_size=2, num_layers=2, rng=0, dtype="float64"
    )
    here = model(X).numpy()
    there = model.to(cuda)(to_device(X, cuda)).numpy()
    np.testing.assert_allclose(there, here, rtol=0, atol=1e-13)
    np.testing.assert_array_equal(model.to("cpu")(X).numpy(), here)
