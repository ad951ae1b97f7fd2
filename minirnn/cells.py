"""The vocabulary in which a cell is written (`minirnn.cell`), and the built-in cells.

    from minirnn.cells import sigmoid, tanh

See `minirnn.kernels.cells`, where they live.
"""

from __future__ import annotations

from minirnn.kernels.cells import (
    Cell,
    cell,
    clip,
    constant,
    divide,
    exp,
    gru,
    log,
    lstm,
    relu,
    rnn,
    select,
    sigmoid,
    tanh,
)

__all__ = [
    "Cell",
    "cell",
    "clip",
    "constant",
    "divide",
    "exp",
    "gru",
    "log",
    "lstm",
    "relu",
    "rnn",
    "select",
    "sigmoid",
    "tanh",
]
