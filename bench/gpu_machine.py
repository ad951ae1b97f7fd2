"""The GPU and the versions that a run was made with."""

from __future__ import annotations

import re
import subprocess
from typing import Any

from bench import machine

PACKAGES = ("cupy", "numpy", "numba", "torch", "triton")


def describe() -> dict[str, Any]:
    """What `bench.machine.describe` tells, and the GPU's name, driver and size; the same each time.

    Raises: DeviceError without a GPU.
    """
    from minirnn.gpu import gpu_library

    cupy = gpu_library()
    runtime = cupy.cuda.runtime
    properties = runtime.getDeviceProperties(runtime.getDevice())
    described = machine.describe()
    described["versions"] = {name: _version(name) for name in PACKAGES}
    return described | {
        "gpu": properties["name"].decode(),
        "compute_capability": f"{properties['major']}.{properties['minor']}",
        "multiprocessors": properties["multiProcessorCount"],
        "gpu_memory_gib": round(properties["totalGlobalMem"] / 2**30, 1),
        "l2_mib": round(properties["l2CacheSize"] / 2**20, 1),
        "driver": _driver(),
        "cuda_driver": _cuda(runtime.driverGetVersion()),
        "cuda_runtime": _cuda(runtime.runtimeGetVersion()),
    }


def short_name(described: dict[str, Any]) -> str:
    """A file's name for a GPU: "nvidia-h100-80gb-hbm3"; all of them begin alike."""
    name = re.sub(r"[^a-z0-9]+", "-", described["gpu"].lower()).strip("-")
    return name if name.startswith("nvidia-") else f"nvidia-{name}"


def _cuda(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def _driver() -> str | None:
    """The driver's own version, which nvidia-smi tells; None without it."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.splitlines()[0].strip() if done.stdout.strip() else None


def _version(package: str) -> str | None:
    """A package's version; CuPy's wheels are named after the CUDA that they are for."""
    names = [package] if package != "cupy" else ["cupy-cuda13x", "cupy-cuda12x", "cupy"]
    found = [version for name in names if (version := machine.version(name))]
    return found[0] if found else None
