"""Forward on the GPU: allocate, one large product with x, and the steps through time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from minirnn.errors import DeviceError
from minirnn.gpu import memory_error
from minirnn.kernels import staged
from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.contract import Array, Keep, Weights, check_call
from minirnn.kernels.cuda import device
from minirnn.kernels.cuda.clock import Watch
from minirnn.kernels.cuda.packing import Packing
from minirnn.kernels.cuda.precision import precision_of
from minirnn.kernels.cuda.products import C_ITSELF, ROW, ZERO, Operand, Products
from minirnn.kernels.cuda.steps import RING, Sizes, Span, State, Steps
from minirnn.kernels.cuda.tape import CudaTape
from minirnn.kernels.slots import SlotOrder, slot_order
from minirnn.kernels.staged import StagedTape

# What is not kept is computed some steps at a time, as many as have their gates in so many bytes.
CHUNK_BYTES = 64 << 20
REBUILT_BYTES, REBUILT_STEPS = 16 << 20, (8, 256)  # between checkpoints: bytes; at least, at most


def forward(
    cell: Cell,
    x: Array,
    state: Sequence[Array],
    weights: Weights,
    *,
    lengths: Array | None = None,
    keep: Keep = "nothing",
    reverse: bool = False,
) -> tuple[Array, tuple[Array, ...], CudaTape | StagedTape | None]:
    """Run a cell over a sequence; arguments, results and errors as in `contract`.

    Arrays are CuPy's, on the current device; `lengths` may be NumPy's. The products' precision is
    that of `set_matmul_precision`. Nothing here waits for the GPU, but for the check of lengths
    that lie on it, and once for small tables when a cell is first used.

    Raises also: DeviceError for an array elsewhere, or too little memory.
    """
    import cupy

    check_devices(cell, x, state, weights)
    if cell.operand is not None:
        with enough_memory():
            return staged.forward(
                forward, cupy, cell, x, state, weights, lengths=lengths, keep=keep, reverse=reverse
            )
    T, B, width, H = check_call(cell, x, state, weights, lengths, keep)
    with enough_memory():
        watch = Watch("forward")
        sizes, dtype, order = Sizes(T, B, width, H), x.dtype, slot_order(cell)
        gpu = device.current()
        precision = precision_of(dtype, gpu)
        products = Products(dtype, precision, gpu)
        steps = Steps(cell, dtype, precision, gpu, sizes, reverse)
        weights = Weights(*[None if w is None else cupy.ascontiguousarray(w) for w in weights])
        x = cupy.ascontiguousarray(x)
        if lengths is not None:
            lengths = cupy.array(lengths, dtype=np.int64)
            valid = cupy.arange(T)[:, None] < lengths[None, :]
            x = cupy.where(valid[:, :, None], x, x.dtype.type(0))

        keeps = keep in ("tape", "record")
        step_bytes = B * len(cell.slots) * H * dtype.itemsize
        interval = rebuilt_steps(T, step_bytes) if keep == "checkpoints" else 0
        chunk = T if keeps else interval or max(1, min(T, CHUNK_BYTES // step_bytes))
        states = _states(cell, state, sizes, reverse, keeps)
        h = states[0].entries
        output = h[:T] if reverse else h[1:]
        if lengths is not None:
            output = cupy.empty((T, B, H), dtype)
        with watch.phase("pack"):
            bias, packed = pack_forward(steps.packing, order, weights, H)
            steps.begin(h[T if reverse else 0], 0)
        z = cupy.empty((chunk, B, len(cell.slots) * H), dtype)
        checkpoints: list[Any] = []
        if interval:
            checkpoints = [cupy.empty((-(-T // interval), B, H), dtype) for _ in states[1:]]
        for first in range(0, T, max(chunk, 1)):
            span = Span(first, min(T, first + chunk))
            for kept, s in zip(checkpoints, states[1:], strict=False):
                kept[first // interval] = s.entries[first % 2]
            with watch.phase("input product"):
                fill_from_x(products, order, z, x[span.times(T, reverse)], weights, bias, sizes)
            with watch.phase("recurrent loop"):
                separate = None if lengths is None else output
                steps.forward(z, packed, bias, lengths, separate, states, span)
        last = tuple([_last(s, T, reverse).copy() for s in states])
        watch.stop()
    if keep == "nothing":
        return output, last, None
    kept_states = (h, *checkpoints) if interval else tuple([s.entries for s in states])
    tape = CudaTape(
        cell, keep, reverse, sizes, gpu, precision, dtype, x, weights, lengths,
        z if keeps else None, kept_states if keeps or interval else (h, *checkpoints), interval,
    )  # fmt: skip
    return output, last, tape


def rebuilt_steps(T: int, step_bytes: int) -> int:
    """How many steps' gates backward rebuilds at a time, which is as far apart checkpoints are."""
    least, most = REBUILT_STEPS
    return min(T, most, max(least, REBUILT_BYTES // step_bytes))


def pack_forward(packing: Packing, order: SlotOrder, weights: Weights, H: int) -> tuple[Any, Any]:
    """The biases of every slot (S, H) or None, and the weights of the steps."""
    bias = pack_bias(packing, order, weights, H)
    return bias, packing.weights(weights.weight_hh, order.h_blocks, H)


def pack_bias(packing: Packing, order: SlotOrder, weights: Weights, H: int) -> Any:
    """The biases of every slot (S, H), or None."""
    S = len(order.slots)
    x_places = (*order.x_blocks, *[-1] * (S - order.fed_by_x))
    h_places = (*[-1] * (S - order.fed_by_h), *order.h_blocks)
    return packing.bias(weights.bias_ih, weights.bias_hh, x_places, h_places, H)


def fill_from_x(
    products: Products, order: SlotOrder, z: Any, x: Any, weights: Weights, bias: Any, sizes: Sizes
) -> None:
    """z = W x + b in every slot fed by x; x (steps, B, I), as many as z is to hold."""
    H, width = sizes.H, sizes.width
    row = len(order.slots) * H
    for place, block, count in runs(order.x_blocks):
        columns = slice(place * H, (place + count) * H)
        products.into(
            z[:, :, columns], row, Operand(x, width, True),
            Operand(weights.weight_ih[block * H : (block + count) * H], width, True),
            (len(x) * sizes.B, count * H, width),
            begin=ZERO if bias is None else ROW,
            start=None if bias is None else bias[place : place + count],
        )  # fmt: skip


def add_from_h(
    products: Products, order: SlotOrder, z: Any, h: Any, weights: Weights, sizes: Sizes
) -> None:
    """z += U h in every slot fed by h; h (steps, B, H), the state before each step of z."""
    H, S = sizes.H, len(order.slots)
    for place, block, count in runs(order.h_blocks):
        at = (S - order.fed_by_h + place) * H
        products.into(
            z[:, :, at : at + count * H], S * H, Operand(h, H, True),
            Operand(weights.weight_hh[block * H : (block + count) * H], H, True),
            (len(h) * sizes.B, count * H, H), begin=C_ITSELF,
        )  # fmt: skip


def runs(blocks: tuple[int, ...]) -> Iterator[tuple[int, int, int]]:
    """Neighbours in a row of z whose blocks are neighbours too: (place, block, how many)."""
    first = 0
    for place in range(1, len(blocks) + 1):
        if place == len(blocks) or blocks[place] != blocks[place - 1] + 1:
            yield first, blocks[first], place - first
            first = place


def _states(
    cell: Cell, state: Sequence[Array], sizes: Sizes, reverse: bool, keeps: bool
) -> list[State]:
    """Room for every state through time, with the initial ones in place."""
    import cupy

    T, B, _, H = sizes
    states = []
    for name, values in zip(cell.states, state, strict=True):
        whole = keeps or name == "h"
        entries = cupy.empty((T + 1 if whole else 2, B, H), values.dtype)
        entries[T if reverse and whole else 0] = values
        states.append(State(entries, 0 if whole else RING))
    return states


def _last(state: State, T: int, reverse: bool) -> Any:
    """The entry after the last step."""
    if state.base == RING:
        return state.entries[T % 2]
    return state.entries[0 if reverse else T]


def check_devices(cell: Cell, x: Array, state: Sequence[Array], weights: Weights) -> None:
    """Check that every array is CuPy's and on the current device. Raises: DeviceError."""
    import cupy

    here = cupy.cuda.runtime.getDevice()
    names = ["x", *[f"state {s!r}" for s in cell.states], *Weights._fields]
    for name, array in zip(names, (x, *state, *weights), strict=False):
        if array is None:
            continue
        if not isinstance(array, cupy.ndarray):
            kind = type(array)
            came = f"a {kind.__module__}.{kind.__name__}, which is not on the GPU"
            raise DeviceError(name, came, "a CuPy array, as the others are")
        if array.device.id != here:
            raise DeviceError(name, f"an array on GPU {array.device.id}", f"one on GPU {here}")


@contextmanager
def enough_memory() -> Iterator[None]:
    """Turn CuPy's error for too little memory into a DeviceError with the bytes."""
    try:
        yield
    except MemoryError as error:
        raise memory_error(error) from None
