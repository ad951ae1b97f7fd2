"""One step after the other, as samples arrive: weights packed once, no memory taken on the way."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, NoReturn

import numpy as np

from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.contract import Array, Weights, check_call
from minirnn.kernels.cpu import pool
from minirnn.kernels.cpu.forward_pass import forward_workspace
from minirnn.kernels.cpu.plan import Sizes, plain, plan_of
from minirnn.kernels.staged import StagedStream

_NONE = np.empty(0, np.int64)


def stream_of(cell: Cell, state: Sequence[Array], weights: Weights) -> CpuStream | StagedStream:
    """A stream of a cell, as `CpuStream` tells; one of two products takes two steps a step."""
    if cell.operand is not None:
        return StagedStream(CpuStream, np, cell, state, weights)
    return CpuStream(cell, state, weights)


class CpuStream:
    """A cell's state, advanced one step at a time in the caller's thread.

    weights  as `forward` takes them; packed now: later changes to them do not show until `pack`
    state    one (B, H) array per state of the cell: where the stream begins; copied

    Not for several threads at once. Raises: ShapeError, DTypeError or ArgumentError.
    """

    def __init__(self, cell: Cell, state: Sequence[Array], weights: Weights) -> None:
        dtype, width = weights.weight_ih.dtype, weights.weight_ih.shape[-1]
        B = len(state[0]) if state else 0
        T, B, width, H = check_call(
            cell, np.empty((1, B, width), dtype), state, weights, None, "nothing"
        )
        self._cell = cell
        self._plan = plan = plan_of(cell, dtype)
        self._sizes = sizes = Sizes(T, B, width, H, -(-H // plan.lanes) * plan.lanes)
        self._workspace = forward_workspace(plan, sizes)
        self._z = pool.empty((B * plan.slots * sizes.HP,), dtype)
        self._finals = np.empty((len(state), B, H), dtype)
        # Two entries of each state take turns: a step in the one direction of time reads the first
        # and writes the second, a step in the other the other way round.
        self._states = [pool.empty((2, B, H), dtype) for _ in state]
        self._outputs = self._states[0][0], self._states[0][1]
        self._turned = False
        self.state = state
        self.pack(weights)

    @property
    def state(self) -> tuple[Array, ...]:
        """The states after the last step, copies; assign to go on from others."""
        entry = 1 if self._turned else 0
        return tuple([s[entry].copy() for s in self._states])

    @state.setter
    def state(self, state: Sequence[Array]) -> None:
        self._turned = False
        for buffer, values in zip(self._states, state, strict=True):
            buffer[0] = values

    def pack(self, weights: Weights) -> None:
        """Take up weights of the same shapes and dtype."""
        self._weights = weights
        plan = self._plan
        given: list[Any] = [plan.no_bias if w is None else plain(w) for w in weights]
        _, B, width, _, HP = sizes = self._sizes
        x, finals, vectors = np.empty((1, B, width), self._z.dtype), self._finals, HP // plan.lanes
        plan.kernels.forward_share(  # of no steps
            plan.addresses, *given, x, self._workspace, self._z, finals, finals, _NONE, False, 1,
            False, False, False, True, 0, 0, 1, B, 0, 0, B, 0, vectors, 0, 1, 1, _NONE, 0, _NONE,
            *sizes, 2, *self._states,
        )  # fmt: skip

    def __deepcopy__(self, memo: dict[int, Any]) -> CpuStream:
        return CpuStream(self._cell, self.state, deepcopy(self._weights, memo))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a stream cannot be pickled: make one of the layer where it is to run")

    def step(self, x: Array) -> Array:
        """Advance by x (B, I), C-contiguous and of the weights' dtype.

        Returns h (B, H): memory of the stream, good until the step after the next.
        """
        turned = self._turned
        _, _, width, H, HP = self._sizes
        self._plan.kernels.forward_step(
            self._plan.addresses, x, self._workspace, self._z, self._finals, _NONE, turned,
            width, H, HP, *self._states,
        )  # fmt: skip
        self._turned = not turned
        return self._outputs[0 if turned else 1]
