"""python -m bench.apart.first_call lstm float32 tanh relu sigmoid

The first forward and backward of a cell in a fresh process, one activation after the other: seconds
from the start of the program to minirnn and Numba imported, of each first call, and in all. Whether
a call compiles or loads depends on MINIRNN_CACHE_DIR.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

SIZE = 16  # a call's own work is then some microseconds


def first_call(mr: Any, np: Any, cell: str, dtype: str, activation: str) -> float:
    """Seconds of the first forward and backward of a layer with that activation."""
    begin = time.perf_counter()
    option = {"nonlinearity" if cell == "rnn" else "activation": activation}
    layer = {"lstm": mr.LSTM, "gru": mr.GRU, "rnn": mr.RNN}[cell](SIZE, SIZE, dtype=dtype, **option)
    x = mr.Tensor(np.ones((2, 2, SIZE), dtype), requires_grad=True)
    output, _ = layer(x)
    output.backward(np.ones_like(output.data))
    if x.grad is None or not np.isfinite(x.grad).all():
        raise ArithmeticError(f"{cell} {dtype} {activation}: no finite gradient of x")
    return time.perf_counter() - begin


def main(cell: str, dtype: str, *activations: str) -> None:
    """Print the seconds as JSON."""
    start = time.perf_counter()
    import numba  # noqa: F401
    import numpy as np

    import minirnn as mr

    imported = time.perf_counter() - start
    calls = {activation: first_call(mr, np, cell, dtype, activation) for activation in activations}
    total = time.perf_counter() - start
    print(json.dumps({"imports": imported, "calls": calls, "total": total}))


if __name__ == "__main__":
    main(*sys.argv[1:])
