"""`RMSprop`: steps scaled by the running size of the gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from minirnn.device import array_namespace
from minirnn.kernels.contract import Array
from minirnn.optim.optimizer import Optimizer, at_least_zero, below_one
from minirnn.tensor import Tensor


class RMSprop(Optimizer):
    """RMSprop (Tieleman and Hinton 2012, lecture 6.5), as `torch.optim.RMSprop` uncentred.

        g = gradient + weight_decay * p
        v = alpha * v + (1 - alpha) * g^2
        u = momentum * u + g / (sqrt(v) + eps)      (u starts at zero)
        p = p - learning_rate * u

    Raises: ArgumentError that names the argument.
    """

    settings: ClassVar[Mapping[str, Callable[[str, Any], Any]]] = {
        "learning_rate": at_least_zero,
        "alpha": below_one,
        "eps": at_least_zero,
        "momentum": at_least_zero,
        "weight_decay": at_least_zero,
    }
    buffers: ClassVar[tuple[str, ...]] = ("square_average", "velocity")
    alpha: float
    eps: float
    momentum: float
    weight_decay: float

    def __init__(
        self,
        parameters: Iterable[Tensor],
        learning_rate: float = 1e-2,
        *,
        alpha: float = 0.99,
        eps: float = 1e-8,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
    ) -> None:
        """Check the arguments, which are told at the class."""
        super().__init__(
            parameters,
            learning_rate=learning_rate,
            alpha=alpha,
            eps=eps,
            momentum=momentum,
            weight_decay=weight_decay,
        )

    def _update(self, parameter: Tensor, gradient: Array, step: int, *buffers: Array) -> None:
        v, u = buffers
        xp = array_namespace(gradient)
        g = self._decayed(parameter, gradient, self.weight_decay)
        work = self._workspace(gradient, 0)
        xp.multiply(g, g, out=work)
        work *= 1.0 - self.alpha
        v *= self.alpha
        v += work
        xp.sqrt(v, out=work)
        work += self.eps
        xp.divide(g, work, out=work)
        if self.momentum:
            u *= self.momentum
            u += work
            xp.multiply(u, self.learning_rate, out=work)
        else:
            work *= self.learning_rate
        parameter.data -= work
