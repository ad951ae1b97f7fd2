"""Arrays of other libraries come in, and tensors go out, without a copy, on both devices."""

from __future__ import annotations

import numpy as np
import pytest
from devices import to_device, to_numpy

import minirnn as mr
from minirnn.device import device_of
from minirnn.errors import ArgumentError, DeviceError, DTypeError, TapeError
from minirnn.tensor import Tensor

CPU, CUDA, TPU = (1, 0), (2, 0), (12, 0)


class ByDLPack:
    """Another library's array that offers DLPack alone; it remembers which stream it was asked for.

    `error` is what it raises when its memory is asked for; `where` may say that it is elsewhere.
    """

    def __init__(self, array, *, error=None, where=None, **attributes):
        self._array, self._error, self._where = array, error, where
        self.streams = []
        vars(self).update(attributes)

    def __dlpack__(self, *, stream=None, **options):
        self.streams.append(stream)
        if self._error is not None:
            raise self._error
        return self._array.__dlpack__(stream=stream, **options)

    def __dlpack_device__(self):
        if isinstance(self._where, Exception):
            raise self._where
        return self._where or self._array.__dlpack_device__()


class ByCudaInterface:
    """Another library's array on the GPU that offers `__cuda_array_interface__` alone."""

    def __init__(self, array):
        self._array = array

    @property
    def __cuda_array_interface__(self):
        return self._array.__cuda_array_interface__


class Unwilling:
    """As a PyTorch tensor on the GPU that requires a gradient."""

    requires_grad = True

    @property
    def __cuda_array_interface__(self):
        raise RuntimeError("Can't get __cuda_array_interface__ on Variable that requires grad")


def numbers(device, dtype=np.float32):
    return to_device(np.arange(6, dtype=dtype).reshape(2, 3), device)


class TestIn:
    def test_a_dlpack_array_shares_its_memory(self, device):
        source = numbers(device)
        tensor = Tensor(ByDLPack(source))
        assert tensor.device == device
        assert tensor.dtype == np.float32
        source[0, 1] = 77
        assert tensor.numpy()[0, 1] == 77

    def test_on_the_gpu_the_producer_is_told_the_current_stream(self, cuda):
        import cupy

        array = ByDLPack(numbers(cuda))
        stream = cupy.cuda.Stream()
        with stream:
            Tensor(array)
        assert array.streams == [stream.ptr]

    def test_an_array_with_the_cuda_interface_alone_shares_its_memory(self, cuda):
        source = numbers(cuda)
        tensor = Tensor(ByCudaInterface(source))
        source[1, 2] = 77
        assert tensor.numpy()[1, 2] == 77

    def test_a_cupy_array_is_held_as_it_is(self, cuda):
        source = numbers(cuda)
        assert Tensor(source).data is source

    @pytest.mark.parametrize("kind", [ByDLPack, ByCudaInterface])
    def test_layers_take_them(self, cuda, kind):
        x = numbers(cuda)
        layer = mr.Linear(3, 2, rng=0, device=cuda)
        np.testing.assert_array_equal(layer(kind(x)).numpy(), layer(x).numpy())

    def test_a_view_keeps_its_strides(self, device):
        source = numbers(device).T
        np.testing.assert_array_equal(Tensor(ByDLPack(source)).numpy(), to_numpy(source))

    def test_numbers_of_a_subclass_of_numpys_arrays_are_numpys_business(self, tmp_path):
        mapped = np.memmap(tmp_path / "x", np.float32, "w+", shape=(2,))
        tensor = Tensor(mapped)
        mapped[0] = 5
        assert tensor.data[0] == 5


class TestRefused:
    def test_one_that_requires_a_gradient_in_its_own_library(self):
        with pytest.raises(ArgumentError, match=r"requires a gradient.*\.detach\(\)") as caught:
            Tensor(ByDLPack(np.ones(2), requires_grad=True))
        assert caught.value.argument == "data"
        with pytest.raises(ArgumentError, match=r"requires a gradient.*\.detach\(\)"):
            Tensor(Unwilling())

    def test_a_dtype_that_no_tensor_has(self):
        with pytest.raises(DTypeError, match="bfloat16"):
            Tensor(ByDLPack(np.ones(2), dtype="torch.bfloat16"))
        with pytest.raises(DTypeError, match="float16"):
            Tensor(ByDLPack(np.ones(2, np.float16)))

    def test_a_device_that_is_neither_cpu_nor_nvidias(self):
        with pytest.raises(DeviceError, match="DLPack's 12"):
            Tensor(ByDLPack(np.ones(2), where=TPU))
        unknown = ValueError("Unknown device type meta for Dlpack")
        with pytest.raises(ArgumentError, match="meta"):
            Tensor(ByDLPack(np.ones(2), where=unknown))

    def test_what_its_library_will_not_share(self):
        error = BufferError("a sparse tensor has no memory of its own")
        with pytest.raises(ArgumentError, match="sparse"):
            Tensor(ByDLPack(np.ones(2), error=error))

    def test_a_gpus_array_without_cupy(self, monkeypatch):
        monkeypatch.setitem(__import__("sys").modules, "cupy", None)
        with pytest.raises(DeviceError, match="CuPy is not installed") as caught:
            Tensor(ByDLPack(np.ones(2), where=CUDA))
        assert caught.value.argument == "data"


class TestOut:
    def test_another_library_shares_a_tensors_memory(self, device):
        tensor = Tensor(numbers(device))
        library = np if device == "cpu" else __import__("cupy")
        taken = library.from_dlpack(tensor)
        assert device_of(taken) == device
        tensor.data[0, 0] = 77
        assert to_numpy(taken)[0, 0] == 77

    def test_the_device_is_told(self, device):
        assert Tensor(numbers(device)).__dlpack_device__() == (CPU if device == "cpu" else CUDA)

    def test_the_consumers_stream_is_handed_on(self, cuda, monkeypatch):
        import cupy

        consumer, producer = cupy.cuda.Stream(), cupy.cuda.Stream()
        with producer:
            tensor = Tensor(numbers(cuda)) * 2.0
        with consumer:
            taken = cupy.from_dlpack(tensor.detach())
            doubled = taken * 1.0
        consumer.synchronize()
        np.testing.assert_array_equal(doubled.get(), 2 * np.arange(6).reshape(2, 3))

    def test_the_cuda_interface_is_the_gpus_alone(self, device):
        tensor = Tensor(numbers(device))
        assert hasattr(tensor, "__cuda_array_interface__") == (device == "cuda")
        if device == "cuda":
            import cupy

            taken = cupy.asarray(tensor)
            tensor.data[0, 0] = 77
            assert taken.get()[0, 0] == 77

    def test_one_that_requires_a_gradient_stays(self, device):
        tensor = Tensor(numbers(device), requires_grad=True)
        with pytest.raises(TapeError, match=r"detach"):
            tensor.__dlpack__()
        if device == "cuda":
            with pytest.raises(TapeError, match=r"detach"):
                _ = tensor.__cuda_array_interface__
        with mr.no_grad():
            tensor.__dlpack__()

    def test_numpy_takes_a_gpus_tensor_only_when_it_is_said(self, cuda):
        tensor = Tensor(numbers(cuda))
        with pytest.raises(DeviceError, match=r"\.numpy\(\)"):
            np.asarray(tensor)
        np.testing.assert_array_equal(tensor.numpy(), np.arange(6).reshape(2, 3))


class TestPyTorch:
    """The same with the library that most will come from."""

    def test_a_tensor_comes_in_and_goes_out_with_its_memory(self):
        torch = pytest.importorskip("torch")
        source = torch.arange(6.0).reshape(2, 3)
        tensor = Tensor(source)
        tensor.data[0, 0] = 77
        assert source[0, 0] == 77
        back = torch.from_dlpack(tensor)
        back[1, 1] = 55
        assert tensor.data[1, 1] == 55

    def test_what_it_cannot_hand_over_is_named(self):
        torch = pytest.importorskip("torch")
        with pytest.raises(ArgumentError, match=r"torch Tensor that requires a gradient.*detach"):
            Tensor(torch.ones(2, requires_grad=True))
        with pytest.raises(DTypeError, match="bfloat16"):
            Tensor(torch.ones(2, dtype=torch.bfloat16))
        with pytest.raises(ArgumentError, match="torch Tensor"):
            Tensor(torch.ones(2).to_sparse())

    def test_a_gpus_tensor_keeps_its_memory(self):
        torch = pytest.importorskip("torch")
        if not torch.cuda.is_available():
            pytest.skip("PyTorch sees no GPU")
        source = torch.arange(6.0, device="cuda").reshape(2, 3)
        tensor = Tensor(source)
        assert tensor.device == "cuda"
        source[0, 0] = 77
        assert tensor.numpy()[0, 0] == 77
        assert torch.from_dlpack(tensor).data_ptr() == source.data_ptr()
