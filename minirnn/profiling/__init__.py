"""Where the time of a recurrent network goes, beside what the processor can do.

`profile` runs a network forward and backward; `peak` measures the processor. Below it: `build` and
`subject` are what is run, `timing` runs it, `calls` and `operations` count, `assemble` puts times
and counts together into the records of `result`, which `table` prints.
"""

from __future__ import annotations

from minirnn.profiling.measure import profile
from minirnn.profiling.peak import Peak, fma_peak, read_bandwidth
from minirnn.profiling.result import Profile

__all__ = ["Peak", "Profile", "fma_peak", "profile", "read_bandwidth"]
