"""From which batch and hidden size on the GPU is faster than the CPU: by doubling each, in turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import takewhile
from typing import Literal

from minirnn.device import to_device
from minirnn.profiling.result import BreakEven
from minirnn.profiling.subject import Subject, on_device, with_batch, with_units
from minirnn.profiling.timing import time_plainly
from minirnn.profiling.transfers import bring, inputs_of

SMALLEST_H = 16
LARGEST = {"B": 4096, "H": 2048}
SLOWEST = 0.5  # seconds of a training step, beyond which nothing is doubled any more
REPEATS = 5  # of which the median counts, with one more before them
CONFIRMED = 2  # sizes in a row at which the GPU is faster: then the search ends

Make = Callable[[int], Subject | None]


def find_break_even(subject: Subject) -> tuple[BreakEven, ...]:
    """Double B from 1 with H as it is, and H from 16 with B as it is, on both devices.

    A size counts as won if the GPU is faster there and at all larger ones that were tried. H is
    left out for a model that cannot be built with other units.
    """
    found = [_search("B", subject, partial(with_batch, subject))]
    if with_units(subject, SMALLEST_H) is not None:
        found.append(_search("H", subject, partial(with_units, subject)))
    return tuple(found)


def _search(dimension: Literal["B", "H"], subject: Subject, make: Make) -> BreakEven:
    sizes: list[int] = []
    times: list[tuple[float, float, float]] = []
    for size in _doubling(1 if dimension == "B" else SMALLEST_H, LARGEST[dimension]):
        resized = make(size)
        assert resized is not None  # it was asked for once before
        sizes.append(size)
        times.append(_both(resized))
        latest = [gpu < cpu for cpu, gpu, _ in times[-CONFIRMED:]]
        if latest == [True] * CONFIRMED or max(times[-1]) > SLOWEST:
            break
    cpu, cuda, with_transfer = zip(*times, strict=True)
    return BreakEven(dimension, tuple(sizes), cpu, cuda, with_transfer, wins_at(sizes, cpu, cuda))


def _doubling(size: int, largest: int) -> Iterator[int]:
    while size <= largest:
        yield size
        size *= 2


def wins_at(sizes: Sequence[int], cpu: Sequence[float], cuda: Sequence[float]) -> int | None:
    """The least size from which on `cuda` is less than `cpu`; None if it is not at the last.

    >>> wins_at([1, 2, 4, 8], [1.0, 2.0, 4.0, 8.0], [0.5, 3.0, 3.0, 3.0])
    4
    """
    pairs = list(zip(sizes, cpu, cuda, strict=True))
    won = [size for size, _, _ in takewhile(lambda pair: pair[2] < pair[1], reversed(pairs))]
    return won[-1] if won else None


def _both(subject: Subject) -> tuple[float, float, float]:
    """Seconds of a training step on the CPU, on the GPU, and there with its inputs brought over."""
    on_cpu, on_gpu = on_device(subject, "cpu"), on_device(subject, "cuda")
    arrays = [to_device(array, "cpu") for array in inputs_of(on_cpu)]
    turns = [
        partial(time_plainly, on_cpu, training=True),
        partial(time_plainly, on_gpu, training=True),
        partial(_with_transfer, on_gpu, arrays),
    ]
    for turn in turns:
        turn()  # compiles
    cpu, gpu, moved = (statistics.median(turn() for _ in range(REPEATS)) for turn in turns)
    return cpu, gpu, moved


def _with_transfer(subject: Subject, arrays: Sequence[object]) -> float:
    """Seconds of a training step that begins with its inputs in the host's memory."""
    device = subject.device
    subject.prepare(training=True)
    device.settle()
    started = time.perf_counter()
    bring(arrays, device.name)
    subject.backward(subject.forward())
    device.settle()
    return time.perf_counter() - started
