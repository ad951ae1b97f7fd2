"""Kernels of the tests' own, compiled once: `library(text)`."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

import compile_cpp
import pytest
from launch import Library

_folder = tempfile.mkdtemp(prefix="minirnn-")
atexit.register(shutil.rmtree, _folder, ignore_errors=True)

needs_compiler = pytest.mark.skipif(
    compile_cpp.find_compiler() is None, reason="no C++ compiler was found"
)


@functools.cache
def compiler(check: bool = False) -> compile_cpp.EmulatedCompiler:
    return compile_cpp.EmulatedCompiler(check=check)


def module(text: str) -> str:
    """The text as build.py hands it over: its first line becomes line 4."""
    return f"// begin machine.cuh\n#error the model was to come here\n// end machine.cuh\n{text}"


@functools.cache
def library(text: str, check: bool = False) -> Library:
    path = Path(tempfile.mkdtemp(dir=_folder), "kernels.so")
    path.write_bytes(compiler(check).compile(module(text), "sm_90"))
    return Library(path)
