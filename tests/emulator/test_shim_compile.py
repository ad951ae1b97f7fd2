"""From a module's text to a library: compilers, entry points, messages, arguments."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import compile_cpp
import numpy as np
import pytest
from compile_cpp import EmulatedCompiler, entry_points, find_compiler
from launch import Library
from shim_library import library, module, needs_compiler

pytestmark = needs_compiler

SOURCE = """
constexpr int THREADS = 64;
template <typename T> __device__ __forceinline__ T twice(T x) { return x + x; }

extern "C" __global__ void __launch_bounds__(THREADS, 1) all_kinds(
    double* to, const float* __restrict__ from, long long n, unsigned u, float f,
    unsigned long long address) {
    to[0] = from[0];
    to[1] = static_cast<double>(n);
    to[2] = u;
    to[3] = twice(f);
    to[4] = from == nullptr;
}
extern "C" __global__ void
nothing() {}
"""


def test_the_compiler_is_the_named_one_or_the_first_that_is_found(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CXX", "ccache some-c++ -m64")
    has_zig = importlib.util.find_spec("ziglang") is not None
    zig = [sys.executable, "-m", "ziglang", "c++"]
    assert find_compiler() == (zig if has_zig else None)
    for name in ("clang++", "g++", "c++"):  # each goes before the last
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
        assert find_compiler() == [str(tmp_path / name)]
    (tmp_path / "ccache").write_text("#!/bin/sh\n")
    (tmp_path / "ccache").chmod(0o755)
    assert find_compiler() == ["ccache", "some-c++", "-m64"]
    monkeypatch.setattr(os, "name", "nt")
    assert find_compiler() is None


def test_without_a_compiler_there_is_an_error_that_says_so(monkeypatch):
    monkeypatch.setattr(compile_cpp, "find_compiler", lambda: None)
    with pytest.raises(RuntimeError, match=r"no C\+\+ compiler was found"):
        EmulatedCompiler()


def test_the_entry_points_are_those_of_the_text():
    found = entry_points(SOURCE)
    assert [one.name for one in found] == ["all_kinds", "nothing"]
    assert found[0].parameters == ("to", "from", "n", "u", "f", "address")
    assert found[0].bounds == "THREADS, 1"
    assert found[1].parameters == ()


def test_parameters_have_the_size_and_kind_that_the_compiler_gives_them():
    found = library(SOURCE).parameters("all_kinds")
    assert [tuple(one) for one in found] == [
        ("to", 8, True), ("from", 8, True), ("n", 8, False), ("u", 4, False), ("f", 4, False),
        ("address", 8, False),
    ]  # fmt: skip
    assert library(SOURCE).parameters("nothing") == []
    assert library(SOURCE).static_shared("nothing") == 0
    for name in ("nothing_else", "twice"):
        with pytest.raises(KeyError, match=name):
            library(SOURCE).parameters(name)


def test_arguments_may_be_given_in_every_way():
    from_ = np.array([7], np.float32)
    for n, u, f in (
        (np.int64(-5), np.uint32(3), np.float32(1.5)),
        (-5, 3, ctypes.c_float(1.5)),
        ((-5).to_bytes(8, "little", signed=True), b"\3\0\0\0", np.float32(1.5).tobytes()),
    ):
        to = np.zeros(5)
        library(SOURCE).launch("all_kinds", (1,), (1,), (to, from_.ctypes.data, n, u, f, 0))
        assert to.tolist() == [7, -5, 3, 3, 0]
    library(SOURCE).launch("nothing", (3, 2, 1), (4, 2), ())


def test_arguments_that_do_not_fit_are_refused():
    to, from_ = np.zeros(5), np.zeros(1, np.float32)
    good = (to, from_, np.int64(1), np.uint32(1), np.float32(1), np.uint64(0))
    library(SOURCE).launch("all_kinds", (1,), (1,), good)
    with pytest.raises(TypeError, match="takes 6 arguments, 5 were given"):
        library(SOURCE).launch("all_kinds", (1,), (1,), good[:-1])
    with pytest.raises(TypeError, match="n of all_kinds has 8 bytes, 4 were given"):
        library(SOURCE).launch("all_kinds", (1,), (1,), (*good[:2], np.int32(1), *good[3:]))
    with pytest.raises(OverflowError):
        library(SOURCE).launch("all_kinds", (1,), (1,), (*good[:3], 1 << 32, *good[4:]))


# --- texts that do not compile --------------------------------------------------------------------


def test_an_error_has_the_compiler_s_words_and_the_line_of_the_text():
    wrong = module(SOURCE.replace("x + x", "x + unknown"))
    line = next(n for n, text in enumerate(wrong.splitlines(), 1) if "unknown" in text)
    with pytest.raises(RuntimeError, match=rf"kernels\.cu:{line}:.*\n?.*unknown"):
        EmulatedCompiler().compile(wrong, "sm_90")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (SOURCE, "no part between"),
        (module("int x;"), "has no kernel"),
        (module("__shared__ float x;" + SOURCE), "__shared__"),
    ],
)
def test_a_text_that_is_not_as_agreed_is_refused(text, words):
    with pytest.raises(RuntimeError, match=words):
        EmulatedCompiler().compile(text, "sm_90")


def test_no_warning_comes_from_the_model():
    strict = ["-Wall", "-Wextra", "-Werror"]
    command = find_compiler()
    assert command is not None
    text = module(SOURCE)
    for check in (False, True):
        compiler = EmulatedCompiler([*command, *strict], check=check)
        with pytest.raises(RuntimeError, match="unused"):
            compiler.compile(text, "sm_90")  # the parameter `address`
        compiler.compile(text.replace("long long address", "long long"), "sm_90")


def test_the_pragmas_of_cuda_are_accepted():
    text = """
extern "C" __global__ void unrolled(int* to) {
    int sum = 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) sum += i;
#pragma unroll 1
    for (int i = 0; i < 4; ++i) sum += i;
    to[0] = sum;
}
"""
    to = np.zeros(1, np.int32)
    library(text).launch("unrolled", (1,), (1,), (to,))
    assert to[0] == 12


# --- what decides the machine code ----------------------------------------------------------------


def test_the_identity_changes_with_all_that_decides_the_machine_code(monkeypatch, tmp_path):
    found = {
        EmulatedCompiler().identity,
        EmulatedCompiler(optimisation="-O0").identity,
        EmulatedCompiler(check=True).identity,
        EmulatedCompiler([*(find_compiler() or ()), "-DOTHER"]).identity,
    }
    assert len(found) == 4
    assert EmulatedCompiler().identity in found
    monkeypatch.setenv("MINIRNN_EMULATION_OPTIMISATION", "-O0")
    assert EmulatedCompiler().identity == EmulatedCompiler(optimisation="-O0").identity
    monkeypatch.setenv("MINIRNN_EMULATION_CHECK", "1")
    assert EmulatedCompiler().check
    assert not EmulatedCompiler(check=False).check
    copy = tmp_path / "emulator"
    shutil.copytree(compile_cpp.FOLDER, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(compile_cpp, "FOLDER", copy)
    before = EmulatedCompiler().identity
    for name in ("shim.h", "machine.cuh", "runtime/order.h"):
        with (copy / name).open("a") as file:
            file.write("// changed\n")
        assert EmulatedCompiler().identity != before
        before = EmulatedCompiler().identity


def test_optimisation_does_not_change_a_bit(tmp_path):
    text = module("""
extern "C" __global__ void chain(float* to, const float* from, int n) {
    float sum = 0, fused = 0, largest = 0;
    for (int i = 0; i < n; ++i) {
        sum = sum * from[i] + exp(from[i]);
        fused = fma(fused, from[i], tanh(from[i])) / 3;
        largest = from[i] > largest ? from[i] : largest;
    }
    to[0] = sum, to[1] = fused, to[2] = largest;
}
""")
    from_ = np.random.default_rng(0).random(100, np.float32)
    found = set()
    for level in ("-O0", "-O1", "-O3"):
        path = tmp_path / f"{level}.so"
        path.write_bytes(EmulatedCompiler(optimisation=level).compile(text, "sm_90"))
        to = np.zeros(3, np.float32)
        Library(path).launch("chain", (1,), (1,), (to, from_, np.int32(100)))
        found.add(to.tobytes())
    assert len(found) == 1


# --- the model and the machine --------------------------------------------------------------------

_FUNCTION = re.compile(r"__device__ __forceinline__ (.+?)\((.*?)\) \{", re.DOTALL)


def functions(path: Path) -> set[str]:
    """The declarations of a machine.cuh, without how they are laid out in lines."""
    text = re.sub(r"//.*", "", path.read_text(encoding="utf-8"))
    found = (" ".join(f"{m[1]}({m[2]})".split()) for m in _FUNCTION.finditer(text))
    return {one.replace(", int line = __builtin_LINE()", "") for one in found}


def test_the_model_has_the_functions_of_the_machine():
    spec = importlib.util.find_spec("minirnn.kernels.cuda")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    (folder,) = spec.submodule_search_locations
    machine = functions(Path(folder, "machine.cuh"))
    assert len(machine) >= 11
    assert functions(compile_cpp.FOLDER / "machine.cuh") == machine


def test_the_seeds_of_a_session_begin_where_the_environment_says():
    program = """
import sys, launch
from shim_library import library
lib = library('extern "C" __global__ void f(int* x) { if (threadIdx.x) __syncthreads(); }')
for _ in range(2):
    try:
        lib.launch("f", (1,), (2,), (0,))
    except launch.EmulationError as error:
        print(str(error).split("(seed ")[1].split(")")[0])
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=compile_cpp.FOLDER,
        env={**os.environ, "MINIRNN_EMULATION_SEED": "1000"},
    )  # fmt: skip
    assert ran.stdout.split() == ["1000", "1001"], ran.stderr
