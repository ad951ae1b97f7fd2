"""`Dropout`: in training, zeros at random places (Srivastava et al. 2014, JMLR 15)."""

from __future__ import annotations

from typing import Any

import numpy as np

from minirnn.kernels.contract import Array
from minirnn.nn.arguments import drop_probability, generator
from minirnn.nn.module import Module
from minirnn.tensor import Tensor, as_tensor


def dropout(x: Tensor, p: float, rng: np.random.Generator) -> Tensor:
    """Zero each element with probability p and divide the others by 1 - p ("inverted" dropout).

    The expected value is x, so that nothing has to change when the network is evaluated.
    """
    kept = rng.random(x.shape, dtype=np.float32) >= p
    return x * Tensor(kept.astype(x.dtype) / (1.0 - p))


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
