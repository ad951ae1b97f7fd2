"""`SGD`: stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from minirnn.device import array_namespace
from minirnn.errors import ArgumentError
from minirnn.kernels.contract import Array
from minirnn.optim.optimizer import Optimizer, at_least_zero, boolean
from minirnn.tensor import Tensor


class SGD(Optimizer):
    """Stochastic gradient descent, as `torch.optim.SGD`.

        g = gradient + weight_decay * p
        v = momentum * v + g                   (v starts at zero)
        p = p - learning_rate * v              (without momentum v = g)
        p = p - learning_rate * (g + momentum * v)   with nesterov

    Momentum: Polyak 1964; Nesterov's in the form of Sutskever et al. 2013 (ICML).

    Raises: ArgumentError that names the argument.
    """

    settings: ClassVar[Mapping[str, Callable[[str, Any], Any]]] = {
        "learning_rate": at_least_zero,
        "momentum": at_least_zero,
        "nesterov": boolean,
        "weight_decay": at_least_zero,
    }
    buffers: ClassVar[tuple[str, ...]] = ("velocity",)
    momentum: float
    nesterov: bool
    weight_decay: float

    def __init__(
        self,
        parameters: Iterable[Tensor],
        learning_rate: float,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        """Check the arguments, which are told at the class."""
        super().__init__(
            parameters,
            learning_rate=learning_rate,
            momentum=momentum,
            nesterov=nesterov,
            weight_decay=weight_decay,
        )
        if self.nesterov and self.momentum == 0.0:
            raise ArgumentError("nesterov", "True with momentum=0", "a momentum above 0")

    def _update(self, parameter: Tensor, gradient: Array, step: int, *buffers: Array) -> None:
        (velocity,) = buffers
        xp = array_namespace(gradient)
        g = self._decayed(parameter, gradient, self.weight_decay)
        change = self._workspace(gradient, 0)
        if self.momentum == 0.0:
            xp.multiply(g, self.learning_rate, out=change)
        else:
            velocity *= self.momentum
            velocity += g
            if self.nesterov:
                xp.multiply(velocity, self.momentum, out=change)
                change += g
                change *= self.learning_rate
            else:
                xp.multiply(velocity, self.learning_rate, out=change)
        parameter.data -= change
