"""What the GPU's forward keeps for its backward, and how it is unpacked into a record."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minirnn.errors import TapeError, TraceError
from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.contract import Array, Keep, Record, Weights
from minirnn.kernels.cuda.device import Gpu
from minirnn.kernels.cuda.steps import Sizes
from minirnn.kernels.slots import slot_order


@dataclass(slots=True)
class CudaTape:
    """One pass's arrays; layouts as in sequence.cuh.

    Kept per step and sequence: S * H for the gates and H for each state; as "checkpoints" H for h
    alone, and H for each other state every `interval` steps.
    """

    cell: Cell
    keep: Keep
    reverse: bool
    sizes: Sizes
    gpu: Gpu
    precision: str
    dtype: np.dtype[Any]
    x: Array | None  # zero past a sequence's end
    weights: Weights
    lengths: Array | None
    z: Array | None  # (T, B, S * H) gates; backward turns those of keep="tape" into dz
    states: tuple[Array, ...]  # each (T + 1, B, H); or h and the others' checkpoints
    interval: int  # steps between checkpoints; 0: all is kept
    used: bool = False
    dz: Array | None = None
    totals: tuple[Array, ...] = field(default=())
    doutput: Array | None = None
    dstate_h: Array | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of the buffers that belong to this tape."""
        own = [a for a in (self.z, *self.states, *self.totals) if a is not None]
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
        self.z, self.x, self.states = None, None, ()

    def record(self) -> Record:
        """Unpack to (T, B, H) arrays, on the GPU. Raises: TraceError unless kept as "record"."""
        if self.keep != "record" or self.z is None:
            raise TraceError(f"a tape kept as {self.keep!r} has no record: keep='record' does")
        states = dict(zip(self.cell.states, map(self._steps, self.states), strict=True))
        record = Record(self._slots(self.z), states)
        if self.dz is not None:
            record.grad_slots = self._slots(self.dz)
            record.grad_states = dict(zip(self.cell.states, self.totals, strict=True))
            record.grad_direct = self._direct()
        return record

    def valid(self) -> Array:
        """(T, B, 1) bool: whether a step lies before its sequence's end."""
        import cupy

        T, B = self.sizes[:2]
        if self.lengths is None:
            return cupy.ones((T, B, 1), dtype=bool)
        return (cupy.arange(T)[:, None] < self.lengths[None, :])[:, :, None]

    def _steps(self, states: Array) -> Array:
        import cupy

        steps = states[:-1] if self.reverse else states[1:]
        return steps if self.lengths is None else cupy.where(self.valid(), steps, 0)

    def _slots(self, buffer: Array) -> dict[str, Array]:
        """Views of a (T, B, S * H) buffer, slot by slot; it is zero past a sequence's end."""
        H = self.sizes.H
        order = slot_order(self.cell)
        place = {s: order.place(s) for s in self.cell.slots}
        return {s: buffer[:, :, p * H : (p + 1) * H] for s, p in place.items()}

    def _direct(self) -> Array:
        import cupy

        T, B, _, H = self.sizes
        direct: Any = cupy.zeros((T, B, H), dtype=self.dtype)
        if self.doutput is not None:
            direct += cupy.where(self.valid(), self.doutput, 0)
        if self.dstate_h is not None and T:
            # dstate enters h at the last step that forward took: time 0 in reverse, else the last
            # valid one. A sequence of length 0 has none.
            ends = cupy.full(B, T) if self.lengths is None else self.lengths
            last = cupy.zeros(B, dtype=ends.dtype) if self.reverse else ends - 1
            at = (cupy.arange(T)[:, None] == last[None, :]) & (ends > 0)[None, :]
            direct += cupy.where(at[:, :, None], self.dstate_h[None], 0)
        return direct
