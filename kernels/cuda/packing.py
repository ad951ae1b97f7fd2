"""Weights, biases and states as the steps of a sequence read them; see packing.cuh."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minirnn.kernels.cuda import build, source
from minirnn.kernels.cuda.device import Gpu, constant
from minirnn.kernels.cuda.launch import blocks, launch

# What an operand of a product becomes, as cupy allocates it: Format::Element.
ELEMENTS = {
    "float32": np.float32, "float64": np.float64,
    "tf32": np.uint32, "bfloat16": np.uint16, "float16": np.uint16,
}  # fmt: skip
ELEMENT_BYTES = {precision: np.dtype(kind).itemsize for precision, kind in ELEMENTS.items()}
EXACT = ("float32", "float64")  # in which an operand is packed as it is
VECTOR_BYTES = 16
PAD_BYTES = VECTOR_BYTES  # between lines along k in shared memory: Format::PAD


def step_of(precision: str, width: int) -> int:
    """From one row of `width` elements to the next: whole vectors."""
    across = VECTOR_BYTES // ELEMENT_BYTES[precision]
    return -(-width // across) * across


class Packing:
    """The packing for the steps in one dtype and precision on one GPU."""

    def __init__(self, dtype: np.dtype[Any], precision: str, gpu: Gpu) -> None:
        self.dtype, self.precision, self.gpu = dtype, precision, gpu

    def weights(
        self, weight: Any, places: Sequence[int], H: int, *, transposed: bool = False
    ) -> Any:
        """Blocks of H rows of a weight in the order of `places`, or the transpose of that.

        Returns: (rows, step), an operand of the format in each place, or in that of its neighbour
        (see `Format::MATE`); the weight itself if it is so already.
        """
        import cupy

        rows, width = weight.shape
        count, across = (width, rows) if transposed else (rows, width)
        step = step_of(self.precision, across)
        in_order = not transposed and tuple(places) == tuple(range(len(places)))
        aligned = step == across and weight.data.ptr % VECTOR_BYTES == 0
        if self.precision == "float64" and in_order and aligned:
            return weight
        to = cupy.empty((count, step), ELEMENTS[self.precision])
        arguments = (
            to, weight, constant(tuple(places)), len(places), H, width, step, int(transposed),
        )  # fmt: skip
        launch(self._kernel("pack_weights"), blocks(count * step), arguments)
        return to

    def bias(
        self, bias_ih: Any, bias_hh: Any, x: tuple[int, ...], h: tuple[int, ...], H: int
    ) -> Any:
        """What enters each slot (slots, H) beside the products, or None if there is no bias.

        x, h   the block of each bias that belongs to each slot; -1 for none
        """
        import cupy

        if bias_ih is None and bias_hh is None:
            return None
        to = cupy.empty((len(x), H), self.dtype)
        arguments = (to, bias_ih, bias_hh, constant(x), constant(h), len(x), H)
        launch(self._kernel("pack_the_bias"), blocks(len(x) * H), arguments)
        return to

    def room(self, B: int, width: int) -> Any:
        """What blocks hand each other, `handed` in sequence.cuh: two entries of B rows."""
        import cupy

        step = step_of(self.precision, width)
        make = cupy.empty if step == width else cupy.zeros
        return make((2, B, step), ELEMENTS[self.precision])

    def hand_over(self, to: Any, values: Any) -> None:
        """Fill an entry of a room with values (B, width)."""
        rows, width = values.shape
        step = to.shape[-1]
        launch(self._kernel("hand_it_over"), blocks(rows * step), (to, values, rows, width, step))

    def _kernel(self, name: str) -> Any:
        text = source.packing_source(self.dtype.name, self.precision)
        return build.kernel(name, text, self.gpu.target, f"packing ({self.precision})")
