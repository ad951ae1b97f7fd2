"""One layer's work: the arrays that every side gets, and what must come out."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

import minirnn as mr
from bench.shapes import Shape
from minirnn.testing import ReferenceRun, reference
from minirnn.testing.tolerances import bound, terms

Array = Any
LAYERS = {"lstm": mr.LSTM, "gru": mr.GRU, "rnn": mr.RNN}
PARAMETERS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class WrongResultError(AssertionError):
    """A side computes something else than the reference: its time would mean nothing."""


class Problem:
    """Inputs x (T, B, I), gradient of the output dy (T, B, H), and weights, from a seed.

    All are float32 numbers, so that both precisions and the reference see the same ones.
    """

    def __init__(self, cell: str, shape: Shape, seed: int = 0) -> None:
        self.cell, self.shape = cell, shape
        T, B, I, H = shape  # noqa: E741
        random = np.random.default_rng(seed)
        self.x = random.standard_normal((T, B, I), dtype=np.float32)
        self.dy = random.standard_normal((T, B, H), dtype=np.float32)
        layer = LAYERS[cell](I, H, rng=random)
        self.state_dict: dict[str, Array] = layer.state_dict()

    @cached_property
    def expected(self) -> ReferenceRun:
        """What the float64 reference makes of it."""
        weights = [self.state_dict[f"{name}_l0"] for name in PARAMETERS]
        return reference(self.cell, self.x, None, weights, doutput=self.dy)

    @cached_property
    def _expected_arrays(self) -> dict[str, Array]:
        return self.expected.arrays()

    def check(self, who: str, found: Mapping[str, Array], dtype: str) -> None:
        """Hold arrays, named as `ReferenceRun.arrays` names them, to the reference.

        The error's norm over the array's may be the bound of `minirnn.testing.tolerances` for so
        many roundings of numbers as large as the array's own: 1e-5 to 1e-3 in float32, far below
        what a wrong gate or a lost step does, and still a test at the largest shapes, where the
        elementwise bound allows for the worst that could cancel.

        Raises: WrongResultError naming the side and the array.
        """
        if not found:
            raise WrongResultError(f"{who} gave nothing that could be compared")
        for name, array in found.items():
            wanted = self._expected_arrays[name]
            if array.shape != wanted.shape or array.dtype != dtype:
                raise WrongResultError(
                    f"{who}, {self.cell} {self.shape}: {name} is {array.dtype} {array.shape}, "
                    f"wanted {dtype} {wanted.shape}"
                )
            size = float(np.linalg.norm(wanted))
            allowed = bound(dtype, terms(name, self.expected.sizes), size)
            error = float(np.linalg.norm(array - wanted))
            if not error <= allowed:  # a NaN is no result
                raise WrongResultError(
                    f"{who}, {self.cell} {self.shape} {dtype}: {name}, of norm {size:.3g}, is off "
                    f"the reference by {error:.2g}, more than {allowed:.2g}: not timed"
                )


@lru_cache(maxsize=1)
def problem(cell: str, shape: Shape) -> Problem:
    """The problem of that size; the last one made is kept, with its reference run."""
    return Problem(cell, shape)


def named_result(
    cell: str, output: Array, last: Any, gradients: Mapping[str, Array] | None
) -> dict[str, Array]:
    """What a layer gave, under the reference's names; `last` is shaped (1, B, H) as torch's."""
    states = last if cell == "lstm" else (last,)
    named = {"output": output}
    named |= {f"state.{name}": state[0] for name, state in zip("hc", states, strict=False)}
    return named | {f"grad.{name}": array for name, array in (gradients or {}).items()}
