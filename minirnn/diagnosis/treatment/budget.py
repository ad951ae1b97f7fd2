"""How long a repair may go on: so many trainings, so many seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from minirnn.errors import ArgumentError
from minirnn.real import is_real
from minirnn.training.callbacks import Callback, Run
from minirnn.training.windows import check_count

TRAININGS = 8


@dataclass
class Budget:
    """`trainings`, the first one included, and `seconds` from now on (None: without end).

    Raises: ArgumentError for anything but a whole number of at least 1, and a number above 0.
    """

    trainings: int = TRAININGS
    seconds: float | None = None
    clock: Callable[[], float] = time.monotonic
    began: float = field(init=False)

    def __post_init__(self) -> None:
        check_count("trainings", self.trainings)
        # Not "<= 0": a NaN would never be over.
        if self.seconds is not None and not (is_real(self.seconds) and self.seconds > 0):
            raise ArgumentError("seconds", repr(self.seconds), "a number above 0, or None")
        self.began = self.clock()

    @property
    def late(self) -> bool:
        """Whether the time is over."""
        return self.seconds is not None and self.clock() - self.began >= self.seconds

    @property
    def time_is_up(self) -> str:
        """What is said when it is."""
        return f"the time is up ({self.seconds} s)"

    def over(self, made: int) -> str:
        """Why no training may follow those made; "" while one may."""
        if made >= self.trainings:
            many = (
                f"all {self.trainings} trainings are" if self.trainings > 1 else "the training is"
            )
            return f"{many} used up"
        return self.time_is_up if self.late else ""


class Deadline(Callback):
    """Ends a training when the time is up; `struck` says whether it did."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.struck = False

    def batch_ended(self, run: Run) -> None:
        """Look at the clock."""
        if not self.struck and self.budget.late:
            self.struck = True
            run.stop(self.budget.time_is_up)
