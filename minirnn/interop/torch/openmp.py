"""PyTorch's OpenMP threads, and how they make room for ours.

After an operation of PyTorch's that ran on several threads, libgomp's workers do not sleep: they
spin for some milliseconds, in case there is more to do. They then take half the processor from the
threads that run our kernels next (a GRU of 128 units took 1.7 times as long on two cores). OpenMP
has a call for that, omp_pause_resource_all (OpenMP 5.0, section 3.2.44): the workers end, and the
next parallel operation begins them anew. Both together cost some 0.1 to 0.2 ms, so it is done
before large runs only.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from minirnn.kernels.contract import Weights

__all__ = ["make_room"]

SOFT = 1  # omp_pause_soft: settings stay, such as the number of threads
# Multiply-adds from which on it pays: a millisecond or so of two cores with AVX2.
LARGE = 5e7


def make_room(x: Tensor, weights: Weights) -> None:
    """Let PyTorch's idle threads end, before a run over x (T, B, I) large enough for it to pay.

    Nothing on a GPU, where PyTorch has one thread, or an OpenMP library without that call, or
    within one of its parallel operations.
    """
    T, B, _ = x.shape
    if x.is_cuda or T * B * (weights.weight_ih.numel() + weights.weight_hh.numel()) < LARGE:
        return
    pause = _pause()
    if pause is not None and torch.get_num_threads() > 1:
        pause(SOFT)


@cache
def _pause() -> Callable[[int], int] | None:
    """The call of the OpenMP library that PyTorch has loaded, or None."""
    for path in _loaded():
        try:
            function = ctypes.CDLL(path).omp_pause_resource_all
        except (OSError, AttributeError):  # an older OpenMP
            continue
        function.restype, function.argtypes = ctypes.c_int, [ctypes.c_int]
        call: Callable[[int], int] = function
        return call
    return None


def _loaded() -> list[str]:
    """Paths of the OpenMP libraries in this process, PyTorch's own first; none but on Linux."""
    try:
        mapped = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    paths = {line.split(maxsplit=5)[-1] for line in mapped.splitlines() if ".so" in line}
    found = sorted(path for path in paths if re.search(r"/lib[a-z]*omp[-.\w]*$", path))
    own = str(Path(torch.__file__).parent)
    return sorted(found, key=lambda path: not path.startswith(own))
