"""A kernel compiled as C++ runs on the model's arrays, as it would on a GPU's."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from compile_cpp import EmulatedCompiler, find_compiler
from cupy_model import module
from launch import EmulationError

cupy = module.modules()["cupy"]

SOURCE = """
// begin machine.cuh
// end machine.cuh
extern "C" __global__ void scale(float* to, const float* from, long long n, float factor) {
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i < n) to[i] = factor * from[i];
}
"""

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler")


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("image") / "scale.cubin"
    compiler = EmulatedCompiler()
    path.write_bytes(compiler.compile(SOURCE, "sm_90"))
    return path


@pytest.fixture
def scale(image, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    return cupy.RawModule(path=str(image)).get_function("scale")


def test_it_computes_on_memory_of_the_device(scale):
    a = cupy.arange(1000, dtype="float32")
    to = cupy.empty_like(a)
    scale((8,), (128,), (to, a, np.int64(1000), np.float32(3)))
    assert (to == 3 * a).all()


def test_a_view_is_passed_by_where_it_begins(scale):
    a = cupy.arange(8, dtype="float32")
    scale((1,), (32,), (a[4:], a, np.int64(4), np.float32(10)))
    assert a.tolist() == [0, 1, 2, 3, 0, 10, 20, 30]


def test_what_no_thread_writes_stays_poison(scale):
    to = cupy.empty(4, "float32")
    scale((1,), (32,), (to, cupy.ones(4, "float32"), np.int64(3), np.float32(2)))
    assert cupy.isnan(to).tolist() == [False, False, False, True]


def test_one_element_too_many_is_found_out(scale):
    to = cupy.zeros(4, "float32")
    with pytest.raises((AssertionError, EmulationError), match="scale"):
        scale((1,), (32,), (to, cupy.ones(8, "float32"), np.int64(5), np.float32(2)))


def test_the_parameters_are_those_of_the_text(scale):
    a = cupy.zeros(4, "float32")
    with pytest.raises(TypeError, match=r"argument 2 of scale \(n\) is of 8 bytes"):
        scale((1,), (32,), (a, a, np.int32(4), np.float32(2)))
    with pytest.raises(TypeError, match=r"argument 1 of scale \(from\) is a pointer"):
        scale((1,), (32,), (a, np.int64(0), np.int64(4), np.float32(2)))


def test_a_name_that_is_not_in_the_text_is_not_found(image):
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match="NOT_FOUND"):
        cupy.RawModule(path=str(image)).get_function("shrink")
