"""A stand-in for `minirnn.kernels.cpu.clock`: whole kernel calls, put into two phases."""

from __future__ import annotations

import sys
import time
import types
from contextlib import contextmanager

PHASES = ("pack", "input product", "recurrent loop", "input gradient", "weight gradients")


def install(monkeypatch):
    from minirnn.kernels import cpu

    @contextmanager
    def measured():
        times = types.SimpleNamespace(
            forward=dict.fromkeys(PHASES[:3], 0.0),
            backward=dict.fromkeys(PHASES, 0.0),
            calls=0,
            kernel={"forward": 0.0, "backward": 0.0},
        )
        real = {"forward": cpu.forward, "backward": cpu.backward}

        def timed(name):
            def call(*arguments, **options):
                started = time.perf_counter()
                try:
                    return real[name](*arguments, **options)
                finally:
                    took = time.perf_counter() - started
                    times.kernel[name] += took
                    getattr(times, name)["pack"] += 0.1 * took
                    getattr(times, name)["recurrent loop"] += 0.8 * took
                    times.calls += 1

            return call

        vars(cpu).update(forward=timed("forward"), backward=timed("backward"))
        try:
            yield times
        finally:
            vars(cpu).update(real)

    fake = types.ModuleType("minirnn.kernels.cpu.clock")
    fake.PHASES, fake.measured = PHASES, measured
    monkeypatch.setitem(sys.modules, fake.__name__, fake)
    monkeypatch.setattr(cpu, "clock", fake, raising=False)
