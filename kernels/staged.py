"""Cells of two products a step, on any kernel set: two of its steps for one.

The kernel set runs the cell that `cells.stages.two_steps` makes, over every x_t twice; the weights
are the same. Here arrays go into that doubled time and come back. In step t the first half stands
at 2t and the second at 2t+1; in reverse, where time runs down, the first at 2t+1, the second at 2t.

Every product is computed in both halves, and counts in one of them: the price is twice the work of
a step, and the memory of two with the states that are held between. A kernel set that has products
of its own for such cells could do without either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NoReturn

import numpy as np

from minirnn.errors import ArgumentError
from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.cells.stages import two_steps
from minirnn.kernels.contract import (
    Array,
    Gradients,
    Keep,
    Needs,
    Record,
    Weights,
    check_call,
    check_gradients,
)

Forward = Callable[..., tuple[Array, tuple[Array, ...], Any]]
Backward = Callable[..., Gradients]


def plain_cell(cell: Cell) -> Cell:
    """The cell whose kernels run: the cell itself, or what takes two steps for one of it."""
    return cell if cell.operand is None else two_steps(cell).cell


@dataclass(slots=True)
class StagedTape:
    """What forward hands to backward: the tape of the doubled time."""

    cell: Cell
    inner: Any  # the kernel set's own
    shape: tuple[int, int, int]  # T, B, H
    dtype: np.dtype[Any]

    @property
    def keep(self) -> Keep:
        """What was kept."""
        keep: Keep = self.inner.keep
        return keep

    @property
    def reverse(self) -> bool:
        """Whether time ran down."""
        reverse: bool = self.inner.reverse
        return reverse

    @property
    def nbytes(self) -> int:
        """Bytes that the tape keeps alive."""
        nbytes: int = self.inner.nbytes
        return nbytes

    def record(self) -> Record:
        """Unpack to (T, B, H) arrays. Raises: TraceError unless kept as "record"."""
        cell, inner = self.cell, self.inner.record()
        first, second = _halves(self.reverse)
        early = two_steps(cell).early

        def slots(arrays: dict[str, Array]) -> dict[str, Array]:
            late = cell.second_slots
            return {s: _copied(arrays[s][second if s in late else first]) for s in cell.slots}

        def states(arrays: dict[str, Array]) -> dict[str, Array]:
            return {s: arrays[s][first if s in early else second] for s in cell.states}

        # Before backward the states are views of what the tape keeps alive anyway.
        record = Record(slots(inner.gates), states(inner.states))
        if inner.grad_states is not None and inner.grad_slots is not None:
            record.states = {s: _copied(a) for s, a in record.states.items()}
            record.grad_states = {s: _copied(a) for s, a in states(inner.grad_states).items()}
            record.grad_slots = slots(inner.grad_slots)
            record.grad_direct = _copied(inner.grad_direct[second])
        return record


def forward(
    run: Forward,
    xp: ModuleType,
    cell: Cell,
    x: Array,
    state: Sequence[Array],
    weights: Weights,
    *,
    lengths: Array | None = None,
    keep: Keep = "nothing",
    reverse: bool = False,
) -> tuple[Array, tuple[Array, ...], StagedTape | None]:
    """Forward of a cell of two products; the rest as `contract` says.

    `run` is forward of the kernel set, for cells of one; `xp` the module of its arrays.
    """
    T, B, _, H = check_call(cell, x, state, weights, lengths, keep)
    twice = two_steps(cell).cell
    output, last, tape = run(
        twice,
        xp.repeat(x, 2, axis=0),
        _with_held(xp, twice, state),
        weights,
        lengths=None if lengths is None else 2 * lengths,
        keep=keep,
        reverse=reverse,
    )
    second = _halves(reverse)[1]
    kept = None if tape is None else StagedTape(cell, tape, (T, B, H), x.dtype)
    return _copied(output[second]), last[: len(cell.states)], kept


def backward(
    run: Backward,
    xp: ModuleType,
    cell: Cell,
    doutput: Array | None,
    dstate: Sequence[Array | None] | None,
    tape: StagedTape,
    *,
    needs: Needs,
) -> Gradients:
    """Backward of a cell of two products, likewise."""
    if tape.cell is not cell:
        raise ArgumentError("cell", repr(cell), f"the cell of the tape, {tape.cell!r}")
    T, B, H = tape.shape
    dstates = tuple(dstate) if dstate is not None else (None,) * len(cell.states)
    check_gradients(cell, doutput, dstates, (T, B, H), tape.dtype)
    first, second = _halves(tape.reverse)
    if doutput is not None:
        arriving = xp.zeros((2 * T, B, H), tape.dtype)
        arriving[second] = doutput
        doutput = arriving
    twice = two_steps(cell).cell
    others = (None,) * (len(twice.states) - len(cell.states))
    gradients = run(twice, doutput, (*dstates, *others), tape.inner, needs=needs)
    return gradients._replace(
        x=None if gradients.x is None else gradients.x[first] + gradients.x[second],
        state=None if gradients.state is None else gradients.state[: len(cell.states)],
    )


class StagedStream:
    """A cell of two products, advanced one step at a time: two steps of a kernel set's stream.

    `make` is the kernel set's `Stream`; the rest as there.
    """

    def __init__(
        self,
        make: Callable[[Cell, Sequence[Array], Weights], Any],
        xp: ModuleType,
        cell: Cell,
        state: Sequence[Array],
        weights: Weights,
    ) -> None:
        dtype, width = weights.weight_ih.dtype, weights.weight_ih.shape[-1]
        room = xp.empty((1, len(state[0]) if state else 0, width), dtype)
        check_call(cell, room, state, weights, None, "nothing")
        self._cell, self._xp, self._twice = cell, xp, two_steps(cell).cell
        self._inner = make(self._twice, _with_held(xp, self._twice, state), weights)
        self._outputs = [xp.empty(state[0].shape, dtype) for _ in range(2)]

    @property
    def state(self) -> tuple[Array, ...]:
        """The states after the last step, copies; assign to go on from others."""
        after: tuple[Array, ...] = self._inner.state
        return after[: len(self._cell.states)]

    @state.setter
    def state(self, state: Sequence[Array]) -> None:
        self._inner.state = _with_held(self._xp, self._twice, state)

    def pack(self, weights: Weights) -> None:
        """Take up weights of the same shapes and dtype."""
        self._inner.pack(weights)

    def __deepcopy__(self, memo: dict[int, Any]) -> StagedStream:
        twin = object.__new__(StagedStream)
        vars(twin).update(vars(self))
        twin._inner = deepcopy(self._inner, memo)
        twin._outputs = [output.copy() for output in self._outputs]
        return twin

    def __reduce__(self) -> NoReturn:
        raise TypeError("a stream cannot be pickled: make one of the layer where it is to run")

    def step(self, x: Array) -> Array:
        """Advance by x (B, I), C-contiguous and of the weights' dtype.

        Returns h (B, H): memory of the stream, good until the step after the next.
        """
        self._inner.step(x)
        h = self._outputs.pop(0)
        h[:] = self._inner.step(x)
        self._outputs.append(h)
        return h


def _halves(reverse: bool) -> tuple[slice, slice]:
    """Where in doubled time the first halves stand, and where the second."""
    down, up = slice(1, None, 2), slice(0, None, 2)
    return (down, up) if reverse else (up, down)


def _with_held(xp: ModuleType, twice: Cell, state: Sequence[Array]) -> list[Array]:
    """The initial states, and zeros for those that are held between the two halves."""
    nothing = xp.zeros(state[0].shape, state[0].dtype)
    return [*state, *[nothing] * (len(twice.states) - len(state))]


def _copied(array: Array) -> Array:
    """In memory of its own, contiguous: half of the steps would keep the others alive."""
    return array.copy(order="C")
