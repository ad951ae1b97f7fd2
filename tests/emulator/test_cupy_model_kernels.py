"""What CUDA and CuPy refuse of a launch; the kernels themselves are stood in for."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from types import ModuleType

import emulator
import numpy as np
import pytest
from cupy_model import kernels, module

cupy = module.modules()["cupy"]
DriverError = cupy.cuda.driver.CUDADriverError


@dataclass
class Parameter:
    name: str
    size: int
    is_pointer: bool


@dataclass
class Library:
    """In place of launch.Library: one kernel `scale(float* x, int64 n, float factor)`."""

    path: str
    launches: list = field(default_factory=list)
    beyond: object = None

    def parameters(self, name):
        return {
            "scale": [Parameter("x", 8, True), Parameter("n", 8, False), Parameter("f", 4, False)]
        }[name]

    def static_shared(self, name):
        return 1024

    def launch(self, name, grid, block, arguments, shared, *, cooperative):
        self.launches.append((grid, block, arguments, shared, cooperative))
        if self.beyond is not None:
            self.beyond()


@pytest.fixture(autouse=True)
def stand_in(monkeypatch):
    launch = ModuleType("launch")
    launch.Library = Library
    monkeypatch.setitem(sys.modules, "launch", launch)
    monkeypatch.setitem(sys.modules, "cupy", cupy)


@pytest.fixture
def scale():
    return cupy.RawModule(path="scale.cubin").get_function("scale")


@pytest.fixture
def cooperative():
    made = cupy.RawModule(path="scale.cubin", enable_cooperative_groups=True)
    return made.get_function("scale")


def arguments(n: int = 4):
    return (cupy.zeros(n, "float32"), np.int64(n), np.float32(2))


def test_a_launch_passes_the_bytes_of_its_arguments(scale):
    x, n, factor = given = arguments()
    scale((2,), (32, 2), given, shared_mem=512)
    grid, block, packed, shared, cooperative = scale._library.launches[0]
    assert (grid, block, shared, cooperative) == ((2, 1, 1), (32, 2, 1), 512, False)
    assert packed == [x.data.ptr.to_bytes(8, "little"), n.tobytes(), factor.tobytes()]


def test_a_null_pointer_is_none_or_a_zero_of_the_size_of_a_pointer(scale):
    for null in (None, np.uintp(0)):
        scale((1,), (32,), (null, np.int64(0), np.float32(0)))
    assert [one[2][0] for one in scale._library.launches] == [bytes(8)] * 2


@pytest.mark.parametrize(
    ("number", "wrong", "words"),
    [
        (0, np.zeros(4, "float32"), "array of the host"),
        (0, np.int64(5), "is a pointer"),
        (1, cupy.zeros(2), "is a number"),
        (1, np.int32(4), "8 bytes, and 4"),
        (2, 2.0, "4 bytes, and 8"),  # a Python float is passed as a double
        (2, np.float64(2), "4 bytes, and 8"),
        (2, "2", "Unsupported type"),
    ],
)
def test_an_argument_of_another_kind_or_size_is_refused(scale, number, wrong, words):
    given = list(arguments())
    given[number] = wrong
    with pytest.raises(TypeError, match=words):
        scale((1,), (32,), tuple(given))
    assert not scale._library.launches


def test_the_number_of_arguments_has_to_match(scale):
    with pytest.raises(TypeError, match="takes 3 arguments, 2 were given"):
        scale((1,), (32,), arguments()[:2])


@pytest.mark.parametrize(
    ("grid", "block"),
    [((1,), (1025,)), ((1,), (1, 1, 65)), ((1, 65536), (32,)), ((1 << 31,), (32,))],
)
def test_a_grid_or_a_block_too_large_is_an_invalid_value(scale, grid, block):
    with pytest.raises(DriverError, match="CUDA_ERROR_INVALID_VALUE"):
        scale(grid, block, arguments())


def test_more_shared_memory_than_48_kib_has_to_be_asked_for(scale):
    assert scale.shared_size_bytes == 1024
    assert scale.max_dynamic_shared_size_bytes == 48 * 1024 - 1024
    scale((1,), (32,), arguments(), shared_mem=47 * 1024)
    with pytest.raises(DriverError, match="INVALID_VALUE"):
        scale((1,), (32,), arguments(), shared_mem=47 * 1024 + 1)
    scale.max_dynamic_shared_size_bytes = 100_000
    scale((1,), (32,), arguments(), shared_mem=100_000)
    with pytest.raises(DriverError, match="INVALID_VALUE"):
        scale.max_dynamic_shared_size_bytes = 232448 - 1023
    assert scale.max_dynamic_shared_size_bytes == 100_000


def test_each_kernel_of_a_module_has_attributes_of_its_own():
    made = cupy.RawModule(path="scale.cubin")
    first, second = made.get_function("scale"), made.get_function("scale")
    first.max_dynamic_shared_size_bytes = 60_000
    assert second.max_dynamic_shared_size_bytes == 48 * 1024 - 1024


def test_a_cooperative_launch_has_to_be_resident_as_a_whole(cooperative):
    resident = cupy.cuda.driver.occupancyMaxActiveBlocksPerMultiprocessor(
        cooperative.kernel.ptr, 256, 40_000
    )
    assert resident == 4  # 64 registers to a thread
    with emulator.device_properties(multiProcessorCount=3):
        cooperative((12,), (256,), arguments(), shared_mem=40_000)
        with pytest.raises(DriverError, match="COOPERATIVE_LAUNCH_TOO_LARGE"):
            cooperative((13,), (256,), arguments(), shared_mem=40_000)
    assert [one[4] for one in cooperative._library.launches] == [True]


def test_a_device_without_cooperative_launches_refuses_them(scale, cooperative):
    with emulator.device_properties(cooperativeLaunch=0):
        scale((100,), (256,), arguments())
        with pytest.raises(DriverError, match="NOT_SUPPORTED"):
            cooperative((1,), (256,), arguments())


def test_too_many_registers_for_a_block_are_too_many_resources(scale, monkeypatch):
    monkeypatch.setattr(kernels, "REGISTERS", 128)
    with pytest.raises(DriverError, match="OUT_OF_RESOURCES"):
        scale((1,), (1024,), arguments())


def test_a_kernel_that_writes_outside_its_arguments_is_found_out(scale):
    from cupy_model.memory import array_at

    given = arguments()
    beyond = array_at(given[0].data.ptr + 16, (1,), np.dtype(np.float32))
    scale._library.beyond = lambda: beyond.fill(1)
    with pytest.raises(AssertionError, match="outside the memory of its argument 0"):
        scale((1,), (32,), given)


def test_a_name_that_the_module_lacks_is_not_found():
    with pytest.raises(DriverError, match="NOT_FOUND"):
        cupy.RawModule(path="scale.cubin").get_function("shrink")


def test_a_module_is_loaded_from_a_file_that_the_emulator_s_compiler_made():
    with pytest.raises(TypeError, match="Exactly one"):
        cupy.RawModule()
    with pytest.raises(NotImplementedError):
        cupy.RawModule(code="__global__ void f() {}")
