"""`Scheduling`: a scheduler of the learning rate within `fit`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minirnn.errors import ArgumentError
from minirnn.optim.schedulers import Scheduler
from minirnn.training.callbacks import Callback, Run


class Scheduling(Callback):
    """Let a scheduler of `minirnn.optim.schedulers` set the rate after each epoch.

    What it is told is the epoch's validation loss, or the training loss where there is none.
    Checkpoints keep what the scheduler remembers.

    Raises: ArgumentError, also when training begins with another optimiser than the scheduler's.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        """Watch over one training run of the scheduler's optimiser."""
        if not isinstance(scheduler, Scheduler):
            wanted = "a scheduler of minirnn.optim.schedulers"
            raise ArgumentError("scheduler", type(scheduler).__name__, wanted)
        self.scheduler = scheduler

    def training_began(self, run: Run) -> None:
        """Check that the scheduler is of the run's optimiser."""
        if self.scheduler.optimizer is not run.optimizer:
            raise ArgumentError("scheduler", "one of another optimiser", "one of the run's")

    def epoch_ended(self, run: Run) -> None:
        """Set the next epoch's rate."""
        last = run.history.epochs[-1]
        if last.complete:
            self.scheduler.step(last.loss if last.validation_loss is None else last.validation_loss)

    def state_dict(self) -> dict[str, Any]:
        """What the scheduler remembers."""
        return self.scheduler.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned. Raises: ArgumentError."""
        self.scheduler.load_state_dict(state_dict)
