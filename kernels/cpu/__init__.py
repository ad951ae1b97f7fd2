"""The cells on the processor: kernels generated from their equations and compiled by Numba.

The way in is `forward` and `backward` (see `minirnn.kernels.contract`). From there down:
`sequence` the loop over time, `lowering` the cell's equations as vector code, `product` the matrix
product, `vector` exp, sigmoid and tanh; `build` compiles, `threads` cuts the work.

Numba is imported when a kernel first runs, not when this package is.
"""

from __future__ import annotations

from minirnn.kernels.cpu.run import backward, forward, generated_source, warm_up
from minirnn.kernels.cpu.threads import get_num_threads, set_num_threads

__all__ = [
    "backward",
    "forward",
    "generated_source",
    "get_num_threads",
    "set_num_threads",
    "warm_up",
]
