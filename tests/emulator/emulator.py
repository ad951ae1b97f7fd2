"""An emulated GPU: CuPy's model, and the project's CUDA sources compiled as C++.

`install()` puts the model in CuPy's place, before anything imports the real one, and hands the
kernels to the C++ compiler. After it the device "cuda" works without a GPU; the numbers are those
that the kernels compute, and what would fail, wait or move data on a GPU does so here.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Iterator

from cupy_model import memory, module, properties
from cupy_model import transfers as _transfers

Log = _transfers.Log
Transfer = _transfers.Transfer


def available() -> str | None:
    """None if the emulator can run here, else the reason why it cannot."""
    loaded = sys.modules.get("cupy")
    if loaded is not None and not module.is_model(loaded):
        return "the real cupy is imported already"
    if importlib.util.find_spec("compile_cpp") is None:
        return "tests/emulator/compile_cpp.py is missing"
    import compile_cpp

    if compile_cpp.find_compiler() is None:
        return "no C++ compiler was found (g++ or clang++, or set CXX)"
    return None


def install(kernels: bool = True) -> None:
    """Emulate from now on, in this process. Calling it again does no harm.

    Without `kernels` only CuPy's place is taken, and none of the project is imported.

    Raises: RuntimeError if the real CuPy is loaded.
    """
    module.install()
    if (
        kernels
        and _exists("minirnn.kernels.cuda.build")
        and importlib.util.find_spec("compile_cpp")
    ):
        from compile_cpp import EmulatedCompiler

        build = importlib.import_module("minirnn.kernels.cuda.build")
        if not isinstance(build.compiler, EmulatedCompiler):
            build.compiler = EmulatedCompiler()


def _exists(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def is_emulated() -> bool:
    """Whether `cupy` is the model."""
    loaded = sys.modules.get("cupy")
    return loaded is not None and module.is_model(loaded)


@contextlib.contextmanager
def transfers() -> Iterator[Log]:
    """What crosses between host and device inside: `with transfers() as log: ...`."""
    log = _transfers.open_log()
    try:
        yield log
    finally:
        _transfers.close_log(log)


@contextlib.contextmanager
def device_properties(**values: object) -> Iterator[None]:
    """Another device inside: `with device_properties(multiProcessorCount=2, cooperativeLaunch=0)`.

    What the kernels remember of the device is forgotten on either side.

    Raises: KeyError if getDeviceProperties of CuPy has no such key.
    """
    with properties.changed(**values):
        _forget()
        try:
            yield
        finally:
            _forget()


def _forget() -> None:
    for name, loaded in list(sys.modules.items()):
        if name.startswith("minirnn.kernels.cuda"):
            for value in vars(loaded).values():
                if hasattr(value, "cache_clear"):
                    value.cache_clear()


def memory_limit(size: int) -> contextlib.AbstractContextManager[None]:
    """Inside, the device has room for `size` bytes beyond those in use."""
    return memory.limited(size)
