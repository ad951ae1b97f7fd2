"""Times passes in turns, round after round, and says what of a pass each phase took."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from minirnn.errors import ArgumentError
from minirnn.kernels.phases import Times
from minirnn.profiling.device import Device

LEAST_ROUNDS = 9
MOST_ROUNDS = 101
ENOUGH_SECONDS = 1.0  # of rounds, once there are LEAST_ROUNDS
SPOILT_ROUNDS = 50  # that a compiler may interfere with, before we give up
# Before the time of a turn counts, it runs so often, or as often as it does in so many seconds.
SETTLING_RUNS, SETTLED_SECONDS = 5, 0.05

# What is left inside a kernel call after its last phase. Arrays are allocated and threads started
# within the phase that follows: a phase begins where the one before it ends.
CALLING = "calling"
REST = "rest"  # around: checks of arguments, autograd, the loss, the other layers, Python


class Engine(Protocol):
    """What is timed: a network that runs forward and backward, on a device."""

    @property
    def device(self) -> Device:
        """Where it runs, and whose clock tells the time."""

    def prepare(self, training: bool) -> None:
        """Get ready for an inference or a training step; not timed."""

    def infer(self) -> object:
        """Run forward; nothing is kept for a backward."""

    def forward(self) -> Any:
        """Run forward; returns what `backward` takes."""

    def backward(self, result: Any) -> None:
        """Run backward."""


@dataclass(frozen=True)
class Sample:
    """One pass under the kernels' clock: its seconds in all, and what that saw of it, by phase.

    `kernel` is the seconds inside kernel calls; `launches` those of a GPU's kernels, by phase.
    """

    seconds: float
    kernel: float = 0.0
    phases: Mapping[str, float] = field(default_factory=dict)
    launches: Mapping[str, int] = field(default_factory=dict)

    def parts(self) -> dict[str, float]:
        """Seconds by phase; with what the phases leave of the kernels, and those of the pass."""
        inside = sum(self.phases.values())
        calling = max(0.0, self.kernel - inside)
        rest = max(0.0, self.seconds - inside - calling)
        return {**self.phases, CALLING: calling, REST: rest}

    def __add__(self, other: Sample) -> Sample:
        """One pass after the other."""
        phases, launches = dict(self.phases), dict(self.launches)
        for name, seconds in other.phases.items():
            phases[name] = phases.get(name, 0.0) + seconds
        for name, count in other.launches.items():
            launches[name] = launches.get(name, 0) + count
        return Sample(self.seconds + other.seconds, self.kernel + other.kernel, phases, launches)


def warm_up(engine: Engine) -> None:
    """Run everything twice: the first run compiles, the second finds its buffers."""
    for _ in range(2):
        time_plainly(engine, training=False)
        time_plainly(engine, training=True)


def time_inference(engine: Engine) -> Sample:
    """Time one inference of one of our networks, phase by phase."""
    device = engine.device
    engine.prepare(training=False)
    device.settle()
    with device.clock() as times:
        started = device.mark()
        engine.infer()
        ended = device.mark()
    return _sample(device.seconds(started, ended), times, "forward")


class Step(NamedTuple):
    """The two halves of one training step."""

    forward: Sample
    backward: Sample


def time_training(engine: Engine) -> Step:
    """Time one training step of one of our networks, phase by phase."""
    device = engine.device
    engine.prepare(training=True)
    device.settle()
    with device.clock() as times:
        started = device.mark()
        result = engine.forward()
        turned = device.mark()
        engine.backward(result)
        ended = device.mark()
    return Step(
        _sample(device.seconds(started, turned), times, "forward"),
        _sample(device.seconds(turned, ended), times, "backward"),
    )


def _sample(seconds: float, times: Times, which: Literal["forward", "backward"]) -> Sample:
    phases = times.forward if which == "forward" else times.backward
    return Sample(seconds, times.kernel[which], dict(phases), dict(times.launches[which]))


class Halves(NamedTuple):
    """Seconds of the two halves of one training step."""

    forward: float
    backward: float


def time_halves(engine: Engine) -> Halves:
    """Time one training step of any network, with no clock inside."""
    device = engine.device
    engine.prepare(training=True)
    device.settle()
    started = device.mark()
    result = engine.forward()
    turned = device.mark()
    engine.backward(result)
    ended = device.mark()
    return Halves(device.seconds(started, turned), device.seconds(turned, ended))


def time_plainly(engine: Engine, training: bool) -> float:
    """Seconds of one inference or training step of any network, with no clock inside."""
    device = engine.device
    engine.prepare(training)
    device.settle()
    started = device.mark()
    if training:
        engine.backward(engine.forward())
    else:
        engine.infer()
    return device.seconds(started, device.mark())


def rounds(turns: Sequence[Callable[[], Any]], repeats: int | None, device: Device) -> list[Any]:
    """Take every turn, round after round; returns for each turn what it gave in every round.

    repeats  how many rounds; None is at least 9, and more until a second has passed
    device   whose compilations spoil a round

    A short turn is taken several times and the last counts, since turns alternate: the threads
    of one may spin for a while after it is done, and its arrays fill the caches. A round in which
    anything was compiled (by whatever thread) does not count.

    Raises: ArgumentError if something is compiled again and again.
    """
    taken: list[list[Any]] = []
    spoilt = 0
    started = time.perf_counter()
    with device.compilations() as compiled:
        while not _enough(len(taken), repeats, time.perf_counter() - started):
            before = compiled()
            results = []
            for turn in turns:
                began, result = time.perf_counter(), None
                for _ in range(SETTLING_RUNS):
                    result = turn()
                    if time.perf_counter() - began > SETTLED_SECONDS:
                        break
                results.append(result)
            if compiled() == before:
                taken.append(results)
            elif (spoilt := spoilt + 1) > SPOILT_ROUNDS:
                came = "one that compiles something at every call"
                raise ArgumentError("target", came, "one that compiles when it first runs")
    return [list(column) for column in zip(*taken, strict=True)]


def _enough(taken: int, repeats: int | None, seconds: float) -> bool:
    if repeats is not None:
        return taken >= repeats
    return taken >= MOST_ROUNDS or (taken >= LEAST_ROUNDS and seconds > ENOUGH_SECONDS)


def divide(seconds: float, samples: Sequence[Sample]) -> dict[str, float]:
    """The seconds of a pass divided among its phases, which add up to it.

    A phase gets its mean share of the middle half of the samples, by their seconds: one sample's
    phases are noise, and medians of phases do not add up. The samples' own seconds are not told:
    the clock that divides them slows small networks down.
    """
    ordered = sorted(samples, key=lambda sample: sample.seconds)
    aside = len(ordered) // 4
    middle = ordered[aside : len(ordered) - aside]
    divided: dict[str, float] = {}
    for sample in middle:
        parts = sample.parts()
        whole = sum(parts.values())
        for name, part in parts.items():
            divided[name] = divided.get(name, 0.0) + seconds * part / whole / len(middle)
    return divided


def spread(seconds: Sequence[float]) -> float:
    """Distance between the quartiles as a share of the median."""
    if len(seconds) < 2:
        return 0.0
    low, middle, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return (high - low) / middle
