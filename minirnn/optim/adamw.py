"""`AdamW`: Adam with a weight decay of its own."""

from __future__ import annotations

from collections.abc import Iterable

from minirnn.kernels.contract import Array
from minirnn.optim.adam import Adam
from minirnn.tensor import Tensor


class AdamW(Adam):
    """Adam whose weight decay is decoupled (Loshchilov and Hutter 2019, ICLR), as PyTorch's.

        p = p - learning_rate * weight_decay * p, then Adam's step without weight decay

    Where Adam's decay passes through the moments, and weights with large gradients are hardly
    decayed, this one shrinks every weight by the same share.

    Raises: ArgumentError that names the argument.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        learning_rate: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        """Check the arguments, which are told at the class."""
        super().__init__(parameters, learning_rate, betas=betas, eps=eps, weight_decay=weight_decay)

    def _update(self, parameter: Tensor, gradient: Array, step: int, *buffers: Array) -> None:
        parameter.data *= 1.0 - self.learning_rate * self.weight_decay
        super()._update(parameter, gradient, step, *buffers)

    def _decayed(self, parameter: Tensor, gradient: Array, weight_decay: float) -> Array:
        return gradient
