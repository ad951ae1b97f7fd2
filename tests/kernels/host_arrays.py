"""A kernel set of another device that takes and gives NumPy arrays: one test serves them all."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from devices import to_device, to_numpy

from minirnn.kernels import kernel_set
from minirnn.kernels.contract import Gradients, Record, Weights


def kernels_of(device: str) -> Any:
    """The kernel set of a device (or "reference"), for arrays of NumPy."""
    return OnDevice(device) if device == "cuda" else kernel_set(device)


class OnDevice:
    """The kernel set of a device; arrays are moved there and what comes out is moved back."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.kernels = kernel_set(device)

    def moved(self, value: Any) -> Any:
        """Arrays, alone or in tuples, on the device."""
        if isinstance(value, Weights):
            return Weights(*map(self.moved, value))
        if isinstance(value, tuple | list):
            return tuple(map(self.moved, value))
        if isinstance(value, np.ndarray):
            return strided_like(to_device(value, self.device), value)
        return value

    def forward(self, cell: Any, x: Any, state: Any, weights: Any, **options: Any) -> Any:
        options = {name: self.moved(value) for name, value in options.items()}
        output, last, tape = self.kernels.forward(
            cell, *map(self.moved, (x, tuple(state), weights)), **options
        )
        tape = None if tape is None else HostTape(tape)
        return to_numpy(output), tuple(map(to_numpy, last)), tape

    def backward(self, cell: Any, doutput: Any, dstate: Any, tape: Any, *, needs: Any) -> Any:
        gradients = self.kernels.backward(
            cell, self.moved(doutput), self.moved(dstate), tape.tape, needs=needs
        )
        state = gradients.state
        return Gradients(
            *[None if g is None else to_numpy(g) for g in gradients._replace(state=None)]
        )._replace(state=None if state is None else tuple(map(to_numpy, state)))


def strided_like(moved: Any, array: np.ndarray[Any, Any]) -> Any:
    """The values of `moved`, as far apart in memory as those of `array` where it is strided."""
    if array.flags.c_contiguous or array.dtype.kind != "f":
        return moved
    import cupy

    order = sorted(range(array.ndim), key=lambda axis: -array.strides[axis])
    wide = cupy.full((*[array.shape[a] for a in order], 2), np.nan, array.dtype)[..., 1]
    view = wide.transpose([order.index(axis) for axis in range(array.ndim)])
    view[...] = moved
    return view


@dataclass
class HostTape:
    """A tape whose record is of NumPy arrays."""

    tape: Any

    @property
    def nbytes(self) -> int:
        return int(self.tape.nbytes)

    def record(self) -> Record:
        record = self.tape.record()
        values = {f.name: getattr(record, f.name) for f in fields(record)}
        return Record(**{name: _host(value) for name, value in values.items()})


def _host(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: to_numpy(array) for name, array in value.items()}
    return None if value is None else to_numpy(value)
