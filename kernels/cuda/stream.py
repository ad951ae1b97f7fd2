"""One step after the other on the GPU, as samples arrive: weights packed once, buffers kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.contract import Array, Weights, check_call
from minirnn.kernels.cuda import device
from minirnn.kernels.cuda.forward_pass import check_devices, fill_from_x, pack_forward
from minirnn.kernels.cuda.precision import precision_of
from minirnn.kernels.cuda.products import Products
from minirnn.kernels.cuda.steps import RING, Sizes, Span, State, Steps
from minirnn.kernels.slots import slot_order
from minirnn.kernels.staged import StagedStream


def stream_of(cell: Cell, state: Sequence[Array], weights: Weights) -> CudaStream | StagedStream:
    """A stream of a cell, as `CudaStream` tells; one of two products takes two steps a step."""
    if cell.operand is None:
        return CudaStream(cell, state, weights)
    import cupy

    check_devices(cell, None, state, weights)
    return StagedStream(CudaStream, cupy, cell, state, weights)


class CudaStream:
    """A cell's state, advanced one step at a time; a step is a few launches, and waits for none.

    weights  as `forward` takes them; packed now: later changes to them do not show until `pack`
    state    one (B, H) array per state of the cell: where the stream begins; copied

    The products' precision is the one chosen when the stream is made. Not for several threads at
    once. Raises: ShapeError, DTypeError, DeviceError or ArgumentError.
    """

    def __init__(
        self, cell: Cell, state: Sequence[Array], weights: Weights, precision: str | None = None
    ) -> None:
        """`precision` of the products; None is the one that is chosen."""
        import cupy

        dtype, width = weights.weight_ih.dtype, weights.weight_ih.shape[-1]
        B = len(state[0]) if state else 0
        check_devices(cell, None, state, weights)
        room = cupy.empty((1, B, width), dtype)
        _, B, width, H = check_call(cell, room, state, weights, None, "nothing")
        self._cell, self._order = cell, slot_order(cell)
        self._sizes = Sizes(2, B, width, H)
        gpu = device.current()
        precision = precision or precision_of(dtype, gpu)
        self._products = Products(dtype, precision, gpu)
        self._steps = Steps(cell, dtype, precision, gpu, self._sizes, False, whole=False)
        self._z = cupy.empty((1, B, len(cell.slots) * H), dtype)
        # Two entries of each state take turns.
        self._states = [State(cupy.empty((2, B, H), dtype), RING) for _ in state]
        self._turn = 0
        self.state = tuple(state)
        self.pack(weights)

    @property
    def state(self) -> tuple[Array, ...]:
        """The states after the last step, copies; assign to go on from others."""
        return tuple([s.entries[self._turn].copy() for s in self._states])

    @state.setter
    def state(self, state: Sequence[Array]) -> None:
        self._turn = 0
        try:
            for buffer, values in zip(self._states, state, strict=True):
                buffer.entries[0] = values
        finally:  # also of a value that does not fit: h is what is there now
            self._steps.begin(self._states[0].entries[0], 0)

    def pack(self, weights: Weights) -> None:
        """Take up weights of the same shapes and dtype."""
        import cupy

        self._weights = Weights(*[None if w is None else cupy.array(w, order="C") for w in weights])
        self._bias, self._packed = pack_forward(
            self._steps.packing, self._order, self._weights, self._sizes.H
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> CudaStream:
        # Of what was packed, whatever has become of the layer's weights and the precision since.
        return CudaStream(self._cell, self.state, self._weights, self._products.precision)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a stream cannot be pickled: make one of the layer where it is to run")

    def step(self, x: Array) -> Array:
        """Advance by x (B, I), C-contiguous and of the weights' dtype.

        Returns h (B, H): memory of the stream, good until the step after the next.
        """
        fill_from_x(
            self._products, self._order, self._z, x[None], self._weights, self._bias, self._sizes
        )
        span = Span(self._turn, self._turn + 1)
        self._steps.forward(self._z, self._packed, self._bias, None, None, self._states, span)
        self._turn = 1 - self._turn
        h: Array = self._states[0].entries[self._turn]
        return h
