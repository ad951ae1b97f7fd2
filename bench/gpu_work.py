"""One layer's work on a GPU: its arrays, and what must come out, computed on the CPU in float64.

A GPU takes sizes that no processor can check in a reasonable time. So the gradient of the output is
zero but for the first few steps of the first few sequences: then all gradients are those of that
part alone, which the CPU's float64 kernels run, while the GPU runs the whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

import minirnn as mr
from bench.problem import LAYERS, PARAMETERS, WrongResultError
from bench.shapes import Shape, operations

Array = Any

NOISE = 4_194_301  # numbers that are drawn; a prime, so that no two rows of an array are alike
CHECKED_OPERATIONS = 1e11  # about a second of the CPU's
CHECKED_SEQUENCES = 32

# How far the norm of an array's error may be from nothing, as a share of the array's own. For
# narrow operands 4 times the format's epsilon, which is what their roundings come to with room for
# the steps, and far below a wrong gate. What claims to be exact float32 must be ten times better
# than tf32's epsilon: then it is not tf32 under another name.
ALLOWED = {
    "float32": 2.0**-10 / 10,
    "tf32": 4 * 2.0**-10,
    "bfloat16": 4 * 2.0**-7,
    "float16": 4 * 2.0**-10,
}


class GpuWork:
    """Weights, and sets of x (T, B, I) and dy (T, B, H), from a seed; arrays are CuPy's."""

    def __init__(self, cell: str, shape: Shape, sets: int, seed: int) -> None:
        import cupy

        self.cell, self.shape = cell, shape
        T, B, I, H = shape  # noqa: E741
        random = np.random.default_rng(seed)
        count = min(NOISE, max(1, T * B * max(I, H)))
        self._noise: Array = cupy.asarray(random.standard_normal(count, dtype=np.float32))
        self.state_dict: dict[str, Array] = LAYERS[cell](I, H, rng=random).state_dict()
        self.inputs = [
            (self._filled((T, B, I), 2 * n), self._filled((T, B, H), 2 * n + 1))
            for n in range(sets)
        ]

    def _filled(self, shape: tuple[int, ...], turn: int) -> Array:
        """An array of the noise, again and again, from another place at every turn."""
        import cupy

        noise = cupy.roll(self._noise, 977 * turn)
        whole = cupy.empty(int(np.prod(shape)), "float32")
        for first in range(0, whole.size, noise.size):
            part = whole[first : first + noise.size]
            part[...] = noise[: part.size]
        return whole.reshape(shape)

    @property
    def checked(self) -> tuple[int, int]:
        """The steps and sequences that are checked."""
        T, B, I, H = self.shape  # noqa: E741
        sequences = min(B, CHECKED_SEQUENCES)
        each = operations(self.cell, Shape(1, sequences, I, H), "training")
        return min(T, max(2, int(CHECKED_OPERATIONS / each))), sequences

    @cached_property
    def masked(self) -> Array:
        """The first dy, zero but for what is checked."""
        import cupy

        T, B = self.checked
        dy = cupy.zeros_like(self.inputs[0][1])
        dy[:T, :B] = self.inputs[0][1][:T, :B]
        return dy

    @cached_property
    def expected(self) -> dict[str, Array]:
        """What the CPU's float64 kernels make of the part that is checked."""
        T, B = self.checked
        x, dy = (array[:T, :B].get().astype(np.float64) for array in self.inputs[0])
        layer: Any = LAYERS[self.cell](*self.shape[2:], dtype="float64")
        layer.load_state_dict({k: v.astype(np.float64) for k, v in self.state_dict.items()})
        given = mr.Tensor(x, requires_grad=True)
        output, _ = layer(given)
        output.backward(dy)
        found = {p: getattr(layer, f"{p}_l0").grad for p in PARAMETERS}
        return {"output": output.data, "x": given.grad, **found}

    def errors(self, who: str, precision: str, found: Mapping[str, Array]) -> dict[str, float]:
        """Each array's error, as a share of its norm; `found` are the whole run's, on the CPU.

        found   "output" (T, B, H), "x" (its gradient) and the gradients of the parameters, or
                fewer of them; those of `masked`

        Raises: WrongResultError naming the side and the array.
        """
        T, B = self.checked
        errors = {}
        for name, array in found.items():
            wanted = self.expected[name]
            if name == "x" and (array[T:].any() or array[:, B:].any()):
                raise WrongResultError(f"{who}: x has a gradient where none came from")
            part = array[:T, :B] if name in ("output", "x") else array
            size = float(np.linalg.norm(wanted))
            errors[name] = error = float(np.linalg.norm(part - wanted)) / size
            if name == "output" and not np.isfinite(array).all():
                raise WrongResultError(f"{who}: not all of the output was written, or is a number")
            if not error <= ALLOWED[precision]:  # a NaN is no result
                raise WrongResultError(
                    f"{who}, {self.cell} {self.shape} {precision}: {name} is off by {error:.2g} of "
                    f"its norm, more than {ALLOWED[precision]:.2g}"
                )
        return errors


@lru_cache(maxsize=1)
def work_of(cell: str, shape: Shape, sets: int, seed: int) -> GpuWork:
    """The work of that size; the last one made is kept, with what must come out."""
    return GpuWork(cell, shape, sets, seed)
