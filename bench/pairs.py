"""Several things timed in turns, so that whatever the machine does meets all of them alike.

A round gives each side one turn: enough calls to fill some milliseconds, of which the mean is the
round's reading. Medians are taken over rounds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

Call = Callable[[], object]
Turn = Callable[[], float]  # takes a turn and gives its reading, such as seconds a call

TURN = 0.03  # seconds that a turn lasts at least
# Another side's threads may spin for some milliseconds after their work, waiting for more (libgomp
# does). Nothing is timed until they have gone to sleep.
SETTLE = 0.015
LONG = 0.1  # seconds: longer calls are not run untimed, and make up for cold caches themselves


class Repeated:
    """A turn of as many calls as fill `seconds`; its reading is seconds a call."""

    def __init__(self, call: Call, seconds: float = TURN, settle: float = SETTLE) -> None:
        self.call = call
        self.settle = settle
        self.calls, self.took = _calls_to_fill(call, seconds)

    def __call__(self) -> float:
        self._settle()
        return _seconds(self.call, self.calls) / self.calls

    def _settle(self) -> None:
        """Let the others' threads fall asleep, with the caches warm at the end."""
        end = time.perf_counter() + self.settle
        while (left := end - time.perf_counter()) > 0:
            if self.took < LONG:
                self.call()
            else:
                time.sleep(left)


def _calls_to_fill(call: Call, seconds: float) -> tuple[int, float]:
    """How many calls take so long, and the seconds of one."""
    call()  # compiles, allocates, fills the caches
    calls = 1
    while (took := _seconds(call, calls)) < seconds / 8:
        calls *= 2
    return max(1, math.ceil(calls * seconds / took)), took / calls


def _seconds(call: Call, calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return time.perf_counter() - start


class Rounds:
    """Readings of several turns, one for each in every round.

    Every round begins with another side, so that none always comes after the same one, which leaves
    it cold caches, say.
    """

    def __init__(self, turns: Mapping[str, Turn]) -> None:
        self.turns = dict(turns)
        self.readings: dict[str, list[float]] = {name: [] for name in self.turns}
        self._first = 0

    def next(self) -> dict[str, float]:
        """Give each side its turn; returns this round's readings."""
        names = list(self.turns)
        order = names[self._first :] + names[: self._first]
        self._first = (self._first + 1) % max(1, len(names))
        latest = {name: self.turns[name]() for name in order}
        for name, reading in latest.items():
            self.readings[name].append(reading)
        return {name: latest[name] for name in names}
