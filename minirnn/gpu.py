"""CuPy, which the GPU's arrays belong to: found when it is first needed, and what it may lack."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

from minirnn.errors import DeviceError

INSTALL = (
    "pip install 'cupy-cuda13x[ctk]', which the extra 'cuda13' of minirnn brings; for a driver of "
    "CUDA 12 'cupy-cuda12x[ctk]', its extra 'cuda12'"
)


def cupy_array(array: object) -> bool:
    """Whether `array` is CuPy's. Does not import CuPy: without it there is no such array."""
    library = sys.modules.get("cupy")
    return library is not None and isinstance(array, getattr(library, "ndarray", ()))


def gpu_library(argument: str = "device") -> ModuleType:
    """CuPy, on a machine where it can reach a GPU.

    Raises: DeviceError that names `argument`, says what is missing (CuPy, NVIDIA's driver, a new
    enough one, a GPU), and what to do about it.
    """
    wanted = "an NVIDIA GPU, its driver, and CuPy"
    try:
        library = importlib.import_module("cupy")
    except ModuleNotFoundError as error:
        if error.name != "cupy":
            raise DeviceError(argument, f"'cuda', but CuPy lacks {error.name}", wanted) from error
        came = "'cuda', but CuPy is not installed"
        raise DeviceError(argument, came, wanted, f"Install it: {INSTALL}") from None
    except ImportError as error:  # CuPy is there, and does not find a library of CUDA's
        hint = f"Install it with CUDA's libraries: {INSTALL}"
        raise DeviceError(argument, f"'cuda', but importing CuPy failed: {error}", wanted, hint) \
            from error  # fmt: skip
    runtime = library.cuda.runtime
    try:
        count = runtime.getDeviceCount()
    except runtime.CUDARuntimeError as error:
        came, hint = _missing(runtime, error)
        raise DeviceError(argument, f"'cuda', but {came}", wanted, hint) from None
    if count == 0:
        hint = "If there is one, look at CUDA_VISIBLE_DEVICES"
        raise DeviceError(argument, "'cuda', but no GPU is visible", wanted, hint)
    return library


def _missing(runtime: Any, error: Exception) -> tuple[str, str]:
    """What keeps CuPy from the GPU, and what to do, in words."""
    driver, built_for = runtime.driverGetVersion(), runtime.runtimeGetVersion()
    if driver == 0:
        return (
            "there is no NVIDIA driver",
            "Where there is an NVIDIA GPU, install its driver (nvidia.com/drivers) or give the "
            "container access to it (docker: --gpus all); elsewhere use 'cpu'",
        )
    if driver // 1000 < built_for // 1000:
        return (
            f"the driver is of CUDA {_version(driver)} and CuPy is built for {_version(built_for)}",
            f"Update the driver, or install CuPy for CUDA {driver // 1000}: {INSTALL}",
        )
    if "cudaErrorNoDevice" in str(error):
        return "no GPU is visible", "If there is one, look at CUDA_VISIBLE_DEVICES"
    return f"the driver says: {error}", "See whether nvidia-smi lists the GPU"


def _version(number: int) -> str:
    """CUDA's way of writing 13.2 is 13020."""
    return f"{number // 1000}.{number % 1000 // 10}"


def memory_error(error: MemoryError) -> MemoryError | DeviceError:
    """What to raise for `error`: itself, or, where the GPU's memory ran out, that in full.

    Use: `except MemoryError as error: raise memory_error(error) from None`.
    """
    if type(error).__module__.partition(".")[0] != "cupy":
        return error
    library = sys.modules["cupy"]
    free, total = library.cuda.runtime.memGetInfo()
    idle = library.get_default_memory_pool().free_bytes()
    wanted = getattr(error, "_size", None)
    return DeviceError(
        "device",
        f"'cuda' with {free:,} bytes of {total:,} free, and {idle:,} idle in CuPy's pool ({error})",
        "the bytes that were asked for" if wanted is None else f"{wanted:,} bytes at once",
        "Take a smaller batch, cut the sequences into shorter pieces, train with recompute=True, "
        "or free what is idle with cupy.get_default_memory_pool().free_all_blocks()",
    )
