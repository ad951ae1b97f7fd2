from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench import quiet
from bench.quiet import Others

TICKS = os.sysconf("SC_CLK_TCK")


class System:
    """A processor of two cores on which we and others work, and its /proc/stat."""

    def __init__(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.file, self.now, self.ours, self.used = file, 0.0, 0.0, 0.0
        self.work(0.0, 0.0, 0.0)
        monkeypatch.setattr(quiet, "STAT", file)
        monkeypatch.setattr(quiet.os, "cpu_count", lambda: 2)
        monkeypatch.setattr(quiet.os, "times", lambda: (self.ours, 0.0, 0.0, 0.0, self.now))
        monkeypatch.setattr(quiet.time, "perf_counter", lambda: self.now)

    def work(self, seconds: float, ours: float, others: float) -> None:
        self.now += seconds
        self.ours += ours
        self.used += ours + others
        user, steal = round(0.75 * self.used * TICKS), round(0.25 * self.used * TICKS)
        idle = round((2 * self.now - self.used) * TICKS)
        # user nice system idle iowait irq softirq steal guest guest_nice
        self.file.write_text(f"cpu  {user} 0 0 {idle} 999 0 0 {steal} {user} 0\ncpu0 1 2 3\n")


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    return System(tmp_path / "stat", monkeypatch)


def test_our_own_work_is_nobody_elses(system: System) -> None:
    others = Others()
    system.work(10.0, ours=20.0, others=0.0)
    assert others.share() == 0.0


def test_what_others_take_is_a_share_of_all_cores(system: System) -> None:
    system.work(50.0, ours=3.0, others=70.0)  # before it was asked
    others = Others()
    system.work(10.0, ours=8.0, others=4.0)
    assert others.share() == pytest.approx(0.2, abs=0.01)


def test_where_the_system_does_not_tell_nothing_is_claimed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quiet, "STAT", tmp_path / "none")
    assert Others().share() is None
