"""Schedulers: the learning rate from epoch to epoch.

One is made for an optimiser and its `step(loss)` is called after each epoch; it sets
`optimizer.learning_rate`. `minirnn.training.Scheduling` does that within `fit`. All have
`state_dict` and `load_state_dict`, so checkpoints keep them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from minirnn.errors import ArgumentError
from minirnn.optim.optimizer import Optimizer
from minirnn.real import is_real

__all__ = ["Cosine", "Plateau", "Scheduler", "Step"]


class Scheduler(ABC):
    """What all schedulers share: the optimiser, the rate it began with, the epochs that passed."""

    remembers: ClassVar[tuple[str, ...]] = ("initial", "epoch")

    def __init__(self, optimizer: Optimizer) -> None:
        """Begin at the optimiser's learning rate of now. Raises: ArgumentError."""
        if not hasattr(optimizer, "learning_rate"):
            came = type(optimizer).__name__
            raise ArgumentError("optimizer", came, "an optimiser, with a learning_rate")
        self.optimizer = optimizer
        self.initial = float(optimizer.learning_rate)
        self.epoch = 0

    def step(self, loss: float | None = None) -> None:
        """Tell that an epoch ended, with this loss; sets the rate of the next."""
        self.epoch += 1
        self.optimizer.learning_rate = self._next(loss)

    @abstractmethod
    def _next(self, loss: float | None) -> float:
        """The learning rate after `self.epoch` epochs."""

    def state_dict(self) -> dict[str, float | int]:
        """What it remembers; the learning rate itself is the optimiser's."""
        return {name: getattr(self, name) for name in self.remembers}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` of a scheduler of the same kind returned.

        Raises: ArgumentError; then nothing was changed.
        """
        if set(state_dict) != set(self.remembers):
            came = ", ".join(map(str, state_dict))
            raise ArgumentError("state_dict", came, ", ".join(self.remembers))
        for name, value in state_dict.items():
            if not is_real(value) or not value >= 0:
                raise ArgumentError(f"state_dict[{name!r}]", repr(value), "a number of at least 0")
        for name, value in state_dict.items():
            setattr(self, name, value)


class Step(Scheduler):
    """Multiply the rate by `factor` after every `every` epochs, as `torch`'s StepLR.

    Raises: ArgumentError that names the argument.
    """

    def __init__(self, optimizer: Optimizer, *, every: int = 10, factor: float = 0.1) -> None:
        """Check the arguments, which are told at the class."""
        super().__init__(optimizer)
        self.every = _count("every", every, 1)
        self.factor = _factor(factor)

    def _next(self, loss: float | None) -> float:
        return self.initial * self.factor ** (self.epoch // self.every)


class Cosine(Scheduler):
    """Half a cosine from the initial rate to `minimum` over `epochs` epochs; then it stays.

        rate = minimum + (initial - minimum) (1 + cos(pi t / epochs)) / 2

    Source: Loshchilov and Hutter 2017 (ICLR), "SGDR", equation 5, without restarts.

    Raises: ArgumentError that names the argument.
    """

    def __init__(self, optimizer: Optimizer, *, epochs: int, minimum: float = 0.0) -> None:
        """Check the arguments, which are told at the class."""
        super().__init__(optimizer)
        self.epochs = _count("epochs", epochs, 1)
        self.minimum = _minimum(minimum)

    def _next(self, loss: float | None) -> float:
        t = min(self.epoch, self.epochs)
        return self.minimum + (self.initial - self.minimum) * (
            0.5 * (1.0 + math.cos(math.pi * t / self.epochs))
        )


class Plateau(Scheduler):
    """Multiply the rate by `factor` when the loss has not improved for more than `patience` epochs.

    An improvement is a loss below (1 - threshold) times the best so far. Not below `minimum`. As
    PyTorch's ReduceLROnPlateau.

    Raises: ArgumentError that names the argument.
    """

    remembers: ClassVar[tuple[str, ...]] = ("initial", "epoch", "best", "waited")

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        factor: float = 0.1,
        patience: int = 10,
        minimum: float = 0.0,
        threshold: float = 1e-4,
    ) -> None:
        """Check the arguments, which are told at the class."""
        super().__init__(optimizer)
        self.factor = _factor(factor)
        self.patience = _count("patience", patience, 0)
        self.minimum = _minimum(minimum)
        self.threshold = _minimum(threshold, "threshold")
        self.best = math.inf
        self.waited = 0

    def _next(self, loss: float | None) -> float:
        if loss is None:
            raise ArgumentError("loss", "None", "the epoch's loss, which this scheduler watches")
        if not is_real(loss):
            raise ArgumentError("loss", repr(loss), "a number, the epoch's loss")
        if loss < self.best * (1.0 - self.threshold) if self.best < math.inf else loss < self.best:
            self.best, self.waited = float(loss), 0
        else:
            self.waited += 1
        rate = self.optimizer.learning_rate
        if self.waited > self.patience:
            self.waited = 0
            rate = max(rate * self.factor, min(rate, self.minimum))
        return rate


def _count(name: str, value: Any, least: int) -> int:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < least:
        raise ArgumentError(name, repr(value), f"a whole number of at least {least}")
    return int(value)


def _factor(value: Any) -> float:
    if not is_real(value) or not 0.0 < value < 1.0:
        raise ArgumentError("factor", repr(value), "a number above 0 and below 1")
    return float(value)


def _minimum(value: Any, name: str = "minimum") -> float:
    if not is_real(value) or not 0 <= value < math.inf:
        raise ArgumentError(name, repr(value), "a finite number of at least 0")
    return float(value)
