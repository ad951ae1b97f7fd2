"""The modules that take CuPy's place in `sys.modules`."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
import types
from pathlib import Path

import numpy as np

from . import array, device, errors, functions, interchange, kernels, memory, names, streams


def modules() -> dict[str, types.ModuleType]:
    """The model's modules by the name they are imported by."""
    cupy = types.ModuleType("cupy", "A model of CuPy: see tests/emulator/cupy_model.")
    cupy.__path__ = []  # a package, so that its submodules can be imported
    cupy.__version__ = "14.2.0"
    for name, value in array.namespace.items():
        setattr(cupy, name, value)
    cupy.from_dlpack = interchange.from_dlpack
    cupy.RawModule, cupy.RawKernel = kernels.RawModule, kernels.RawKernel
    made = {"cupy": cupy}
    for name, table in (("linalg", names.LINALG), ("fft", names.FFT)):
        made[f"cupy.{name}"] = functions.submodule(name, table, getattr(np, name))
    made |= _machine()
    for name, module in made.items():
        parent, _, child = name.rpartition(".")
        # find_spec("cupy") has to find it, too
        module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=not parent)
        if parent:
            setattr(made[parent], child, module)
    return made


def _machine() -> dict[str, types.ModuleType]:
    cuda = types.ModuleType("cupy.cuda")
    cuda.__path__ = []
    cuda.Device, cuda.Stream, cuda.Event = device.Device, streams.Stream, streams.Event
    cuda.MemoryPointer, cuda.MemoryPool = memory.MemoryPointer, memory.MemoryPool
    cuda.Memory, cuda.UnownedMemory, cuda.alloc = memory.Memory, memory.UnownedMemory, memory.alloc
    cuda.get_allocator, cuda.set_allocator = memory.get_allocator, memory.set_allocator
    cuda.get_current_stream = streams.get_current_stream
    cuda.get_elapsed_time = streams.get_elapsed_time
    cuda.get_device_id = lambda: 0
    cuda.get_local_runtime_version = lambda: 13000
    cuda.is_available = lambda: True
    driver = types.ModuleType("cupy.cuda.driver")
    driver.CUDADriverError = errors.CUDADriverError
    driver.occupancyMaxActiveBlocksPerMultiprocessor = kernels.occupancy
    driver.get_build_version = lambda: 13000
    return {
        "cupy.cuda": cuda,
        "cupy.cuda.driver": driver,
        "cupy.cuda.memory": memory.module(),
        "cupy.cuda.nvtx": streams.nvtx(),
        "cupy.cuda.runtime": device.runtime(),
    }


def install() -> None:
    """Put the model in CuPy's place. Raises: RuntimeError if the real one is loaded already."""
    loaded = sys.modules.get("cupy")
    if loaded is not None and not is_model(loaded):
        raise RuntimeError("the real cupy is loaded already: install the emulator before")
    if loaded is None:
        sys.modules.update(modules())
        environment = _environment()
        if environment is not None:
            sys.modules["cupy"]._environment = sys.modules["cupy._environment"] = environment


def _environment() -> types.ModuleType | None:
    """The real CuPy's module that finds CUDA's libraries, without the rest of it.

    NVRTC, which needs no GPU, is reached through `cupy_backends`, and that asks for this one: so
    kernels can be compiled for a real GPU in the process that emulates one.
    """
    real = importlib.machinery.PathFinder.find_spec("cupy")
    for folder in (real.submodule_search_locations or ()) if real is not None else ():
        path = Path(folder) / "_environment.py"
        if path.is_file():
            spec = importlib.util.spec_from_file_location("cupy._environment", path)
            made = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(made)
            return made
    return None


def is_model(module: types.ModuleType) -> bool:
    return getattr(module, "ndarray", None) is array.ndarray
