"""The machine and the versions that a run was made with."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

PACKAGES = ("numpy", "numba", "llvmlite", "torch")


def describe() -> dict[str, Any]:
    """Processor, cores, memory, vector width, system and versions. The same on every call."""
    import llvmlite.binding as llvm

    from minirnn.kernels.cpu.vector import vector_bytes

    return {
        "processor": processor(),
        "architecture": llvm.get_host_cpu_name(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "vector_bytes": vector_bytes(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def processor() -> str:
    """The processor's name as it tells it itself."""
    if sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        found = re.search(r"^model name\s*: (.+)$", info.read_text(encoding="utf-8"), re.MULTILINE)
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()


def short_name(machine: dict[str, Any]) -> str:
    """A file's name for a processor: "amd-epyc-znver4"."""
    text = f"{machine['processor']} {machine['architecture']}".lower()
    text = re.sub(r"\((r|tm)\)|@.*?ghz|\b(cpu|processor)\b", " ", text)
    return re.sub(r"[^a-z0-9]+", "-", text).strip("-")


def commit() -> str:
    """The commit that is measured, with "+" if its sources were edited; "unknown" without git."""
    edited = _git("status", "--porcelain", "--", "kernels", "minirnn", "bench/*.py")
    head = _git("rev-parse", "--short", "HEAD")
    return "unknown" if head is None else f"{head}+" if edited else head


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(Path(__file__).parents[1]), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def version(package: str) -> str | None:
    """The version of an installed package; None if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
