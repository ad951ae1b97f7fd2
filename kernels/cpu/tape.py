"""What the CPU's forward keeps for its backward, and how it is unpacked into a record."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from minirnn.errors import TapeError, TraceError
from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.contract import Array, Keep, Record, Weights
from minirnn.kernels.cpu.layout import layout_of
from minirnn.kernels.cpu.plan import Sizes


@dataclass(slots=True)
class CpuTape:
    """One pass's arrays; layouts as in `sequence`.

    Kept per step and sequence: slots*HP for the gates and H for each state; as "checkpoints" H for
    h alone, and H for each other state every `interval` steps.
    """

    cell: Cell
    keep: Keep
    reverse: bool
    sizes: Sizes
    x: Array
    weights: Weights
    lengths: Array | None
    z: Array  # gates in panels; backward turns those of keep="tape" into dz
    z_rows: int  # in a panel of z
    states: tuple[Array, ...]  # each (T+1, B, H); or h and the others' checkpoints
    lanes: int  # elements in a vector
    interval: int  # steps between checkpoints; 0: all is kept
    used: bool = False
    dz: Array | None = None
    totals: tuple[Array, ...] = field(default=())
    doutput: Array | None = None
    dstate_h: Array | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of the buffers that belong to this tape."""
        own = [self.z, *self.states, *self.totals]
        if self.dz is not None and self.dz is not self.z:
            own.append(self.dz)
        return sum(a.nbytes for a in own)

    def begin_backward(self) -> None:
        """Mark the tape as used. Raises: TapeError the second time."""
        if self.used:
            raise TapeError("this tape has served its backward: it is good for one")
        self.used = True

    def forget(self) -> None:
        """Let the buffers go, whoever still holds the tape."""
        self.z, self.x, self.states = self.z[:0], self.x[:0], ()

    def record(self) -> Record:
        """Unpack to (T, B, H) arrays. Raises: TraceError unless kept as "record"."""
        if self.keep != "record":
            raise TraceError(f"a tape kept as {self.keep!r} has no record: keep='record' does")
        cell = self.cell
        states = dict(zip(cell.states, (self._steps(s) for s in self.states), strict=True))
        record = Record(self._slots(self.z), states)
        if self.dz is not None:
            record.grad_slots = self._slots(self.dz)
            record.grad_states = dict(zip(cell.states, self.totals, strict=True))
            record.grad_direct = self._direct()
        return record

    def _valid(self) -> Array:
        T, B = self.sizes[:2]
        if self.lengths is None:
            return np.ones((T, B), dtype=bool)
        return np.arange(T)[:, None] < self.lengths

    def _steps(self, states: Array) -> Array:
        steps = states[:-1] if self.reverse else states[1:]
        return steps if self.lengths is None else np.where(self._valid()[..., None], steps, 0)

    def _slots(self, buffer: Array) -> dict[str, Array]:
        T, B, _, H, HP = self.sizes
        layout = layout_of(self.cell)
        panel = layout.vectors * self.lanes
        slots = {s: np.empty((T, B, H), buffer.dtype) for s in self.cell.slots}
        at = 0
        for unit in range(0, HP, panel):
            units = min(panel, HP - unit)
            width = len(slots) * units
            rows = buffer[at : at + T * B * width].reshape(T, B, len(slots), units)
            for place, slot in enumerate(layout.order):
                target = slots[slot][:, :, unit : unit + units]
                target[:] = rows[:, :, place, : target.shape[2]]
            at += self.z_rows * width
        if self.lengths is not None:
            for values in slots.values():
                values[~self._valid()] = 0
        return slots

    def _direct(self) -> Array:
        T, B, _, H, _ = self.sizes
        direct = np.zeros((T, B, H), dtype=self.z.dtype)
        if self.doutput is not None:
            np.copyto(direct, self.doutput)
        direct[~self._valid()] = 0
        if self.dstate_h is not None and T:
            ends = np.full(B, T) if self.lengths is None else self.lengths
            some = np.flatnonzero(ends)
            last = np.zeros(len(some), dtype=np.int64) if self.reverse else ends[some] - 1
            direct[last, some] += self.dstate_h[some]
        return direct
