"""How much of the processor other work took while something was measured: is the machine quiet?"""

from __future__ import annotations

import os
import time
from pathlib import Path

STAT = Path("/proc/stat")
# Of the columns of /proc/stat: all but idle, iowait, and the guests', which are in user and nice.
BUSY = (0, 1, 2, 5, 6, 7)  # user nice system irq softirq steal


class Others:
    """From when it is made: what was not this process, nor a child that it waited for."""

    def __init__(self) -> None:
        self._start = _seconds()
        self._since = time.perf_counter()

    def share(self) -> float | None:
        """Their share of all processors' time so far, 0 to 1; None where the system does not tell.

        What a hypervisor gave to others counts with them.
        """
        if self._start is None or (now := _seconds()) is None:
            return None
        whole = (time.perf_counter() - self._since) * (os.cpu_count() or 1)
        busy, own = (end - start for start, end in zip(self._start, now, strict=True))
        return min(1.0, max(0.0, (busy - own) / whole))


def _seconds() -> tuple[float, float] | None:
    """Of processor time since some moment: all that was used, and ours."""
    try:
        columns = STAT.read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
    except OSError:
        return None
    busy = sum(int(columns[i]) for i in BUSY) / os.sysconf("SC_CLK_TCK")
    return busy, sum(os.times()[:4])
