"""`Dropout`: in training, zeros at random places."""

from __future__ import annotations

from typing import Any

from minirnn.functional.noise import dropout
from minirnn.kernels.contract import Array
from minirnn.nn.arguments import drop_probability, generator
from minirnn.nn.module import Module
from minirnn.tensor import Tensor, as_tensor


class Dropout(Module):
    """Dropout with probability `p`, in training only; in evaluation the input passes unchanged.

    `rng` is None, a seed or a numpy Generator.

    Raises: ArgumentError unless 0 <= p < 1.
    """

    def __init__(self, p: float, *, rng: Any = None) -> None:
        """Make the layer; its arguments are told at the class."""
        self.p = drop_probability("p", p)
        self.rng = generator(rng)

    def forward(self, x: Tensor | Array) -> Tensor:
        """Drop elements of x, of any shape."""
        x = as_tensor(x, None, "x")
        return dropout(x, self.p, self.rng) if self.training and self.p > 0.0 else x

    def _describe(self) -> str:
        return f"{self.p}"
