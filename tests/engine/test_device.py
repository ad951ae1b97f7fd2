"""Which device an array is on, and what is said where "cuda" cannot be had."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from devices import to_device

import minirnn as mr
from minirnn.device import array_namespace, check_device, device_of
from minirnn.errors import DeviceError


class RuntimeProblemError(RuntimeError):
    """Stands in for CuPy's CUDARuntimeError."""


def cupy_that(count: int | str, driver: int = 13020, built_for: int = 13020) -> SimpleNamespace:
    """As much of CuPy as is asked whether it can reach a GPU; `count` may be its error."""

    def get_device_count() -> int:
        if isinstance(count, str):
            raise RuntimeProblemError(count)
        return count

    runtime = SimpleNamespace(
        CUDARuntimeError=RuntimeProblemError,
        getDeviceCount=get_device_count,
        driverGetVersion=lambda: driver,
        runtimeGetVersion=lambda: built_for,
    )
    return SimpleNamespace(cuda=SimpleNamespace(runtime=runtime))


def test_numpy_arrays_and_scalars_are_numpys():
    assert array_namespace(np.zeros(2)) is np
    assert array_namespace(np.float32(1)) is np
    assert device_of(np.zeros(2)) == "cpu"


def test_an_array_from_the_gpu_library_brings_its_own_module(cuda):
    array = to_device(np.zeros(2), cuda)
    assert array_namespace(array) is sys.modules["cupy"]
    assert device_of(array) == "cuda"


def test_other_objects_are_refused():
    with pytest.raises(DeviceError, match="list"):
        array_namespace([1.0])


@pytest.mark.parametrize("name", ["gpu", "CUDA", "CPU", None, 0])
def test_an_unknown_device_names_those_there_are(name):
    assert check_device("cpu") == "cpu"
    with pytest.raises(DeviceError, match="'cpu' or 'cuda'"):
        check_device(name)


def test_a_numbered_gpu_is_refused_and_told_how_to_choose():
    with pytest.raises(DeviceError, match=r"cupy\.cuda\.Device\(n\)\.use\(\)"):
        check_device("cuda:1")


def test_without_cupy_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    for act in (
        lambda: mr.GRU(2, 3, device="cuda"),
        lambda: mr.GRU(2, 3).to("cuda"),
        lambda: mr.Tensor([1.0]).to("cuda"),
    ):
        with pytest.raises(DeviceError, match=r"CuPy is not installed.*'cuda13' of minirnn"):
            act()


@pytest.mark.parametrize(
    ("library", "words"),
    [
        (cupy_that("cudaErrorInsufficientDriver", driver=0), r"no NVIDIA driver.*its driver"),
        (cupy_that("cudaErrorInsufficientDriver", driver=12080),
         r"the driver is of CUDA 12\.8 and CuPy is built for 13\.2.*Update.*cuda12"),
        (cupy_that("cudaErrorNoDevice"), r"no GPU is visible.*CUDA_VISIBLE_DEVICES"),
        (cupy_that(0), r"no GPU is visible.*CUDA_VISIBLE_DEVICES"),
        (cupy_that("cudaErrorUnknown"), r"the driver says: cudaErrorUnknown.*nvidia-smi"),
    ],
)  # fmt: skip
def test_what_keeps_cupy_from_the_gpu_is_told(monkeypatch, library, words):
    monkeypatch.setitem(sys.modules, "cupy", library)
    with pytest.raises(DeviceError, match=words) as caught:
        mr.LSTM(2, 3, device="cuda")
    assert caught.value.argument == "device"


def test_a_cupy_that_cannot_be_imported_is_told_apart_from_none(monkeypatch, tmp_path):
    broken = tmp_path / "cupy.py"
    broken.write_text("raise ImportError('libcublas.so.13: cannot open shared object file')\n")
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DeviceError, match=r"importing CuPy failed: libcublas\.so\.13.*cuda13"):
        check_device("cuda")


def test_too_little_memory_is_told_with_the_bytes_wanted_and_free(emulated):
    model = mr.Linear(1024, 1024, rng=0)
    before = model.weight.data
    import cupy

    with emulated.memory_limit(1_000_000):
        free, total = cupy.cuda.runtime.memGetInfo()
        with pytest.raises(DeviceError) as caught:
            model.to("cuda")
    text = str(caught.value)
    assert "wanted 4,194,304 bytes at once" in text
    assert f"{free:,} bytes of {total:,} free" in text
    assert "free_all_blocks" in text
    assert model.weight.data is before  # nothing was moved
