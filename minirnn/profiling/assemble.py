"""Puts what was timed and what was counted together: passes, phases, memory."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from minirnn.profiling.calls import Call
from minirnn.profiling.operations import Counts, Work
from minirnn.profiling.peak import Peak
from minirnn.profiling.result import Memory, Pass, Phase
from minirnn.profiling.timing import CALLING, REST, Sample, divide, spread

ORDER = (  # as a pass goes through them
    "pack",
    "input product",
    "rebuild",
    "recurrent loop",
    "input gradient",
    "weight gradients",
    CALLING,
    REST,
)


def pass_of(
    name: str,
    plain: Sequence[float],
    samples: Sequence[Sample],
    counts: Counts,
    T: int,
    peak: Peak,
) -> Pass:
    """A pass over T steps: its seconds, its clocked samples, and what its kernel calls count."""
    seconds = statistics.median(plain)
    divided = divide(seconds, samples)
    launches = samples[-1].launches  # the same in every one
    phases = [
        _phase(phase, divided[phase], seconds, counts.get(phase), launches.get(phase), T, peak)
        for phase in ORDER
        if divided.get(phase, 0.0) > 0.0
    ]
    everything = Work(sum(w.flop for w in counts.values()), sum(w.nbytes for w in counts.values()))
    return Pass(
        **vars(_phase(name, seconds, seconds, everything, sum(launches.values()) or None, T, peak)),
        spread=spread(plain),
        repeats=len(plain),
        phases=tuple(phases),
    )


def _phase(
    name: str,
    seconds: float,
    whole: float,
    work: Work | None,
    launches: int | None,
    T: int,
    peak: Peak,
) -> Phase:
    """A phase that takes `seconds` of `whole`."""
    gflops = work.flop / seconds / 1e9 if work is not None and work.flop > 0 else None
    bandwidth = work.nbytes / seconds / 1e9 if work is not None else None
    return Phase(
        name=name,
        seconds=seconds,
        share=seconds / whole,
        microseconds_per_step=1e6 * seconds / T,
        flop=None if work is None else work.flop,
        gflops=gflops,
        share_of_peak=None if gflops is None else gflops / peak.gflops,
        nbytes=None if work is None else work.nbytes,
        bandwidth=bandwidth,
        share_of_bandwidth=None if bandwidth is None else bandwidth / peak.bandwidth,
        launches=launches,
    )


def memory_of(calls: Sequence[Call], held: int | None) -> Memory:
    """What the calls keep for their backward, together; `held` by the allocator for all of it."""
    nbytes = sum(call.kept for call in calls)
    units = sum(call.T * call.B * call.H * call.itemsize for call in calls)
    return Memory(nbytes, nbytes / units, held)
