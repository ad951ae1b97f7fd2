"""The emulated device: properties, memory, streams, and the bounds on what is resident."""

from __future__ import annotations

import gc
import subprocess
import sys
from importlib.machinery import PathFinder
from pathlib import Path

import emulator
import numpy as np
import pytest
from cupy_model import device, kernels, module

MODULES = module.modules()
cupy = MODULES["cupy"]
runtime = cupy.cuda.runtime


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", cupy)


def test_the_device_is_told_the_same_in_every_way():
    one = cupy.cuda.Device()
    told = runtime.getDeviceProperties(0)
    assert one.compute_capability == "90" == f"{told['major']}{told['minor']}"
    assert one.attributes["MultiProcessorCount"] == told["multiProcessorCount"]
    number = runtime.cudaDevAttrMaxSharedMemoryPerBlockOptin
    assert runtime.deviceGetAttribute(number, 0) == told["sharedMemPerBlockOptin"]
    assert told["name"] == b"Emulated GPU"
    assert runtime.getDeviceCount() == 1
    with pytest.raises(runtime.CUDARuntimeError, match="cudaErrorInvalidDevice"):
        runtime.getDeviceProperties(1)
    with pytest.raises(runtime.CUDARuntimeError), cupy.cuda.Device(1):
        pass


def test_another_device_can_be_had_for_a_while():
    before = runtime.getDeviceProperties(0)
    with emulator.device_properties(multiProcessorCount=2, cooperativeLaunch=0, major=8):
        assert runtime.getDeviceProperties(0)["multiProcessorCount"] == 2
        assert cupy.cuda.Device().compute_capability == "80"
        assert cupy.cuda.Device().attributes["CooperativeLaunch"] == 0
    assert runtime.getDeviceProperties(0) == before
    with (
        pytest.raises(KeyError, match="numberOfCores"),
        emulator.device_properties(numberOfCores=1),
    ):
        pass


def test_what_a_kernel_remembers_of_the_device_is_forgotten_with_it(monkeypatch):
    from functools import cache
    from types import ModuleType

    made = ModuleType("minirnn.kernels.cuda.stand_in")
    made.count = cache(lambda: runtime.getDeviceProperties(0)["multiProcessorCount"])
    monkeypatch.setitem(sys.modules, made.__name__, made)
    assert made.count() == 6
    with emulator.device_properties(multiProcessorCount=2):
        assert made.count() == 2
    assert made.count() == 6


# --- memory ---------------------------------------------------------------------------------------


def test_the_pool_counts_what_is_in_use_and_keeps_what_is_freed():
    pool = cupy.get_default_memory_pool()
    gc.collect()
    pool.free_all_blocks()
    before = pool.used_bytes()
    a = cupy.zeros(1000, "float32")
    assert pool.used_bytes() == before + 4096
    view = a[2:]
    del a
    assert pool.used_bytes() == before + 4096, "a view keeps the block"
    del view
    assert pool.used_bytes() == before
    assert pool.free_bytes() == 4096
    assert pool.total_bytes() == before + 4096
    free, total = runtime.memGetInfo()
    assert total - free == pool.total_bytes()
    cupy.zeros(500, "float32")
    assert pool.total_bytes() == before + 4096, "freed memory serves again"
    pool.free_all_blocks()
    assert pool.total_bytes() == before


def test_an_allocator_of_the_callers_takes_the_pools_place():
    asked, before = [], cupy.cuda.get_allocator()

    def counting(size):
        asked.append(size)
        return before(size)

    cupy.cuda.set_allocator(counting)
    try:
        cupy.empty(3, "float32")
        cupy.cuda.set_allocator(None)
        used = cupy.get_default_memory_pool().used_bytes()
        kept = cupy.empty(3, "float32")
        assert cupy.get_default_memory_pool().used_bytes() == used
        assert kept.shape == (3,)
    finally:
        cupy.cuda.set_allocator(before)
    assert asked == [12]


def test_too_little_memory_is_an_error_that_tells_the_bytes():
    with emulator.memory_limit(10_000):
        kept = cupy.zeros(1000, "float32")
        with pytest.raises(cupy.cuda.memory.OutOfMemoryError, match="allocating 8,192 bytes"):
            cupy.zeros(2000, "float32")
        assert runtime.memGetInfo()[0] < 8192
        del kept
        cupy.zeros(2000, "float32")
    cupy.zeros(100_000, "float32")


def test_a_limit_of_the_pool_is_told_with_the_error():
    pool = cupy.get_default_memory_pool()
    pool.free_all_blocks()
    pool.set_limit(size=pool.used_bytes() + 4096)
    try:
        with pytest.raises(cupy.cuda.memory.OutOfMemoryError, match="limit set to"):
            cupy.zeros(2000, "float32")
        cupy.zeros(1000, "float32")
    finally:
        pool.set_limit(size=0)
    assert pool.get_limit() == 0
    cupy.zeros(2000, "float32")


def test_the_device_ends_where_its_memory_ends():
    with (
        emulator.device_properties(totalGlobalMem=1 << 20),
        pytest.raises(cupy.cuda.memory.OutOfMemoryError) as caught,
    ):
        cupy.zeros(1 << 20, "float32")
    assert isinstance(caught.value, MemoryError)
    assert type(caught.value).__module__.startswith("cupy")


def test_a_pointer_reaches_no_further_than_its_block():
    pointer = cupy.cuda.alloc(64)
    with pytest.raises(RuntimeError, match="invalid argument"):
        (pointer + 32).memset(0, 33)
    (pointer + 32).memset(0, 32)
    a = cupy.ndarray((8,), "float32", pointer + 32)
    assert a.tolist() == [0] * 8
    assert int(a.data) == pointer.ptr + 32


def test_bytes_written_beside_a_block_are_seen():
    a = cupy.zeros(3, "float32")
    assert a.data.mem.intact()
    from cupy_model.memory import array_at

    array_at(a.data.ptr + a.nbytes, (1,), np.dtype(np.float32))[...] = 0
    assert not a.data.mem.intact()


# --- streams and events ---------------------------------------------------------------------------


def test_the_current_stream_is_the_innermost():
    null = cupy.cuda.get_current_stream()
    assert null == cupy.cuda.Stream.null
    assert null.ptr == 0
    with cupy.cuda.Stream(non_blocking=True) as outer:
        with cupy.cuda.Stream() as inner:
            assert cupy.cuda.get_current_stream() == inner != outer
        assert cupy.cuda.get_current_stream() == outer
    assert cupy.cuda.get_current_stream() == null


def test_events_time_what_lies_between():
    start, end = cupy.cuda.Event(), cupy.cuda.Event()
    with pytest.raises(runtime.CUDARuntimeError, match="InvalidResourceHandle"):
        cupy.cuda.get_elapsed_time(start, end)
    start.record()
    end.record()
    end.synchronize()
    assert 0 <= cupy.cuda.get_elapsed_time(start, end) < 1000


def test_ranges_for_a_profiler_have_to_be_closed():
    nvtx = cupy.cuda.nvtx
    nvtx.RangePush("forward")
    assert nvtx._open_ranges == ["forward"]
    nvtx.RangePop()
    with pytest.raises(RuntimeError):
        nvtx.RangePop()


# --- how many blocks are resident -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("threads", "registers", "shared", "blocks"),
    [
        (256, 32, 0, 8),  # 2048 threads
        (256, 64, 0, 4),  # 65536 registers
        (256, 65, 0, 3),  # 72 to a thread: a warp has them 256 at a time
        (256, 32, 100_000, 2),  # 228 KiB of shared memory, and 1 KiB of the system's to a block
        (256, 32, 113_000, 2),
        (256, 32, 116_000, 1),
        (32, 16, 0, 32),  # at most 32 blocks
        (1024, 128, 0, 0),  # too many registers for a single block
    ],
)
def test_threads_registers_and_shared_memory_bound_the_resident_blocks(
    threads, registers, shared, blocks
):
    assert device.blocks_per_multiprocessor(threads, registers, shared) == blocks


def test_an_unknown_kernel_has_no_occupancy():
    with pytest.raises(cupy.cuda.driver.CUDADriverError):
        kernels.occupancy(1, 256, 0)


def test_nvrtc_compiles_for_a_real_gpu_beside_the_emulated_one():
    program = """
import emulator
emulator.install(kernels=False)
from cupy_backends.cuda.libs import nvrtc
one = nvrtc.createProgram('extern "C" __global__ void f(float* x) { *x = 1; }', "f.cu", (), ())
nvrtc.compileProgram(one, ("--gpu-architecture=sm_90",))
print(len(nvrtc.getCUBIN(one)))
"""
    if PathFinder.find_spec("cupy_backends") is None:
        pytest.skip("the real CuPy is not installed")
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=Path(__file__).parent
    )
    if "libnvrtc" in ran.stderr:
        pytest.skip("NVRTC is not installed")
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) > 1000
