"""Kernels of the tests' own, compiled once: `library(text)`."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import compile_cpp
import pytest
from launch import Library

_folder = tempfile.TemporaryDirectory(prefix="minirnn-")

needs_compiler = pytest.mark.skipif(
    compile_cpp.find_compiler() is None, reason="no C++ compiler was found"
)


@functools.cache
def compiler() -> compile_cpp.EmulatedCompiler:
    return compile_cpp.EmulatedCompiler()


def module(text: str) -> str:
    """The text as build.py hands it over."""
    return f"// begin machine.cuh\n#error the model was to come here\n// end machine.cuh\n{text}"


@functools.cache
def library(text: str) -> Library:
    path = Path(tempfile.mkdtemp(dir=_folder.name), "kernels.so")
    path.write_bytes(compiler().compile(module(text), "sm_90"))
    return Library(path)
