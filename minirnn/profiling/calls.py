"""Which kernel calls one pass of a model makes, and their sizes.

They are noted where they enter the kernels, so that any module counts, however it is built.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.contract import Needs

_lock = threading.Lock()


@dataclass
class Call:
    """One call of the kernels: one layer in one direction.

    steps     the sequences' own steps in all: T * B where all are full; twice as many for a cell of
              two products, of which the kernels take two for each
    weights   elements of both weights and both biases
    kept      bytes of the tape that forward left; 0 where nothing was kept
    rebuilds  whether that tape has no gates, so that backward computes them once more
    needs     what backward was asked for; None where it never came
    arrives   whether a gradient arrived at the output, and not only at the last states
    """

    cell: Cell
    T: int
    B: int
    I: int  # noqa: E741
    H: int
    steps: int
    itemsize: int
    weights: int
    kept: int
    rebuilds: bool = False
    needs: Needs | None = None
    arrives: bool = False


@contextmanager
def noted(kernels: ModuleType) -> Iterator[list[Call]]:
    """Note every call of a kernel set that this thread makes inside the block, in order.

    One thread at a time can note; another one that wants to waits.
    """
    calls: list[Call] = []
    # Tapes that are held cannot give their identity to a new one.
    tapes: list[tuple[Any, Call]] = []
    me = threading.get_ident()
    forward, backward = kernels.forward, kernels.backward

    def noting_forward(cell: Cell, x: Any, state: Any, weights: Any, **options: Any) -> Any:
        result = forward(cell, x, state, weights, **options)
        if threading.get_ident() == me:
            T, B, I = x.shape  # noqa: E741
            lengths, tape = options.get("lengths"), result[2]
            halves = 1 if cell.operand is None else 2
            call = Call(
                cell, T, B, I, weights[1].shape[1],
                steps=halves * (T * B if lengths is None else int(lengths.sum())),
                itemsize=x.dtype.itemsize,
                weights=sum(w.size for w in weights if w is not None),
                kept=0 if tape is None else int(tape.nbytes),
                rebuilds=tape is not None and tape.keep == "checkpoints",
            )  # fmt: skip
            calls.append(call)
            tapes.append((tape, call))
        return result

    def noting_backward(cell: Cell, doutput: Any, dstate: Any, tape: Any, *, needs: Needs) -> Any:
        for known, call in tapes:
            if known is tape:
                call.needs, call.arrives = needs, doutput is not None
        return backward(cell, doutput, dstate, tape, needs=needs)

    with _lock:
        vars(kernels).update(forward=noting_forward, backward=noting_backward)
        try:
            yield calls
        finally:
            vars(kernels).update(forward=forward, backward=backward)
