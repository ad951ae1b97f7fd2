"""`Adam`: steps scaled by running moments of the gradient."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from minirnn.device import array_namespace
from minirnn.errors import ArgumentError
from minirnn.kernels.contract import Array
from minirnn.optim.optimizer import Optimizer, at_least_zero, below_one
from minirnn.tensor import Tensor


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015, ICLR, algorithm 1), as `torch.optim.Adam`.

        g = gradient + weight_decay * p
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g^2
        p = p - learning_rate * m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)

    The weight decay is coupled: it passes through the moments with the gradient.

    Raises: ArgumentError that names the argument.
    """

    settings: ClassVar[Mapping[str, Callable[[str, Any], Any]]] = {
        "learning_rate": at_least_zero,
        "beta1": below_one,
        "beta2": below_one,
        "eps": at_least_zero,
        "weight_decay": at_least_zero,
    }
    buffers: ClassVar[tuple[str, ...]] = ("first_moment", "second_moment")
    beta1: float
    beta2: float
    eps: float
    weight_decay: float

    def __init__(
        self,
        parameters: Iterable[Tensor],
        learning_rate: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        """Check the arguments, which are told at the class."""
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise ArgumentError("betas", repr(betas), "two numbers of at least 0 and below 1")
        super().__init__(
            parameters,
            learning_rate=learning_rate,
            beta1=below_one("betas[0]", betas[0]),
            beta2=below_one("betas[1]", betas[1]),
            eps=eps,
            weight_decay=weight_decay,
        )

    def _update(self, parameter: Tensor, gradient: Array, step: int, *buffers: Array) -> None:
        m, v = buffers
        xp = array_namespace(gradient)
        g = self._decayed(parameter, gradient, self.weight_decay)
        work = self._workspace(gradient, 0)
        # m += (1 - beta1) * (g - m)
        xp.subtract(g, m, out=work)
        work *= 1.0 - self.beta1
        m += work
        # v = beta2 * v + (1 - beta2) * g^2
        xp.multiply(g, g, out=work)
        work *= 1.0 - self.beta2
        v *= self.beta2
        v += work
        # p -= rate * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
        xp.sqrt(v, out=work)
        work /= math.sqrt(1.0 - self.beta2**step)
        work += self.eps
        xp.divide(m, work, out=work)
        work *= self.learning_rate / (1.0 - self.beta1**step)
        parameter.data -= work
