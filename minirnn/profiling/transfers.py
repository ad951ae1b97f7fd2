"""What it takes to bring a network's arrays to the GPU, and its answer back."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from minirnn.device import to_device
from minirnn.profiling.result import Transfer
from minirnn.profiling.subject import Subject
from minirnn.tensor import Tensor

REPEATS = 5


def measure_transfers(subject: Subject) -> tuple[Transfer, ...]:
    """Time them one by one, for a subject on a GPU; in the host's ordinary memory, as NumPy has it.

    The host waits for each, so its own clock tells the time.
    """
    weights = [parameter.data for parameter in subject.model.parameters()]
    groups = (
        ("weights", True, weights),
        ("inputs", True, inputs_of(subject)),
        ("output", False, [subject.infer().data]),
    )
    return tuple([_transfer(subject, *group) for group in groups])


def inputs_of(subject: Subject) -> list[Any]:
    """The arrays that a training step is fed: x, and the targets if there are any."""
    x = subject.x.data if isinstance(subject.x, Tensor) else subject.x
    return [x] if subject.targets is None else [x, subject.targets]


def bring(arrays: Sequence[Any], device: str) -> None:
    """Copy arrays to a device, to be thrown away."""
    for array in arrays:
        to_device(array, device)


def _transfer(subject: Subject, name: str, to_gpu: bool, arrays: Sequence[Any]) -> Transfer:
    target = subject.device.name if to_gpu else "cpu"
    if to_gpu:
        arrays = [to_device(array, "cpu") for array in arrays]
    nbytes = sum(array.nbytes for array in arrays)
    bring(arrays, target)  # once untimed: memory is allocated
    seconds = statistics.median(
        _seconds(subject, lambda: bring(arrays, target)) for _ in range(REPEATS)
    )
    return Transfer(name, to_gpu, nbytes, seconds, nbytes / seconds / 1e9)


def _seconds(subject: Subject, work: Callable[[], None]) -> float:
    subject.device.settle()
    started = time.perf_counter()
    work()
    subject.device.settle()
    return time.perf_counter() - started
