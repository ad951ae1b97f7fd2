"""python -m bench.apart.training_memory recompute 100000 8 16 128

Two training steps of an LSTM (T, B, I, H) with a linear head on the last state, in a fresh process:
losses, seconds of the second step, and the process's peak resident memory before and after. The
side is "recompute", "plain" (both minirnn) or "torch"; all have the same weights and data.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import minirnn as mr

THREADS = 2
RATE = 0.1
STEPS = 2
MIB = 2**20


def peak_mib() -> float:
    """Peak resident memory of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage tells is, on Linux, never less than the parent's
        text = status.read_text(encoding="ascii")
        return float(text.split("VmHWM:")[1].split()[0]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB; macOS: bytes
    return peak / MIB if sys.platform == "darwin" else peak / 1024


def data(T: int, B: int, I: int) -> tuple[Any, Any]:  # noqa: E741
    """Inputs, and a target for every sequence that depends on all of it."""
    x = np.random.default_rng(0).standard_normal((T, B, I), dtype=np.float32)
    return x, x.mean(axis=(0, 2))[:, None] * np.float32(T**0.5)


def ours(x: Any, target: Any, H: int, **options: Any) -> Callable[[], float]:
    """One step of gradient descent with minirnn."""
    mr.set_num_threads(THREADS)
    layer = mr.LSTM(x.shape[2], H, rng=0, **options)
    head = mr.Linear(H, 1, rng=1)
    optimizer = mr.optim.SGD([*layer.parameters(), *head.parameters()], RATE)

    def step() -> float:
        optimizer.zero_grad()
        _, (h, _) = layer(x)
        loss = mr.mse_loss(head(h[0]), target)
        loss.backward()
        optimizer.step()
        return float(loss.item())

    return step


def theirs(x: Any, target: Any, H: int) -> Callable[[], float]:
    """The same with PyTorch."""
    import torch

    torch.set_num_threads(THREADS)
    layer, head = torch.nn.LSTM(x.shape[2], H), torch.nn.Linear(H, 1)
    for module, twin in ((layer, mr.LSTM(x.shape[2], H, rng=0)), (head, mr.Linear(H, 1, rng=1))):
        module.load_state_dict({k: torch.from_numpy(v) for k, v in twin.state_dict().items()})
    optimizer = torch.optim.SGD([*layer.parameters(), *head.parameters()], RATE)
    inputs, targets = torch.from_numpy(x), torch.from_numpy(target)

    def step() -> float:
        optimizer.zero_grad()
        _, (h, _) = layer(inputs)
        loss: Any = torch.nn.functional.mse_loss(head(h[0]), targets)
        loss.backward()
        optimizer.step()
        return float(loss.item())

    return step


def main(side: str, T: int, B: int, I: int, H: int) -> None:  # noqa: E741
    """Train and print what it took as JSON."""
    x, target = data(T, B, I)
    if side == "torch":
        step = theirs(x, target, H)
    else:
        step = ours(x, target, H, recompute=side == "recompute")
    before = peak_mib()
    losses, seconds = [], 0.0
    for _ in range(STEPS):
        start = time.perf_counter()
        losses.append(step())
        seconds = time.perf_counter() - start
    print(json.dumps({"losses": losses, "seconds": seconds, "before": before, "peak": peak_mib()}))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
