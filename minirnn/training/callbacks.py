"""What may watch a training run, and stop it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from minirnn.errors import ArgumentError
from minirnn.nn import Module
from minirnn.optim import Optimizer
from minirnn.real import is_real
from minirnn.training.history import History
from minirnn.training.losses import Loss
from minirnn.training.sequences import Sequences
from minirnn.training.windows import check_count


@dataclass
class Run:
    """A training run under way, as callbacks see it. `epoch` and `batch` count from 1.

    `loss` and `gradient_norm` are those of the last batch; the norm is over all parameters, before
    clipping. `history` grows by one after each epoch, before `epoch_ended` is called. `rng` deals
    the sequences out (None: in order), `settings` are the arguments of `fit` that decide its
    numbers, and `callbacks` are all that watch: what a checkpoint needs beside model and optimiser.
    `train` are the training sequences on the model's device, and `loss_function` the loss of
    (prediction, target). `notices` are lines that stand in the progress display, by any name; a
    callback puts them in and takes them out.
    """

    model: Module
    optimizer: Optimizer
    epochs: int
    batches: int  # per epoch
    history: History = field(default_factory=History)
    epoch: int = 0
    batch: int = 0
    loss: float = math.nan
    gradient_norm: float = math.nan
    stop_message: str = ""
    rng: np.random.Generator | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    callbacks: tuple[Callback, ...] = ()
    train: Sequences | None = None
    loss_function: Loss | None = None
    notices: dict[str, str] = field(default_factory=dict)

    def stop(self, message: str) -> None:
        """Ask training to end after this batch or epoch, and say why."""
        self.stop_message = message or "a callback asked"


class Callback(Protocol):
    """What `fit` calls, in order. Subclass it and write what you need; the rest does nothing.

    One that remembers something from epoch to epoch may have `state_dict` and `load_state_dict`
    (see `minirnn.training.checkpoint.Stateful`): then checkpoints hold it too, and a resumed
    training goes on with it.
    """

    def training_began(self, run: Run) -> None:
        """Before the first epoch."""
        return

    def epoch_began(self, run: Run) -> None:
        """Before each epoch's first batch."""
        return

    def batch_ended(self, run: Run) -> None:
        """After each step of the optimiser; the batch's gradients are still there."""
        return

    def epoch_ended(self, run: Run) -> None:
        """After each epoch and its validation."""
        return

    def training_ended(self, run: Run) -> None:
        """After the last epoch, or when training was stopped; `run.history.stopped` says why."""
        return


HOOKS = ("training_began", "epoch_began", "batch_ended", "epoch_ended", "training_ended")


def check_callbacks(callbacks: Any) -> tuple[Callback, ...]:
    """The callbacks in the order in which they are called; those that say `runs_last` are last.

    Raises: ArgumentError for an object that lacks one of a callback's methods.
    """
    if all(hasattr(callbacks, hook) for hook in HOOKS):
        callbacks = (callbacks,)
    if not isinstance(callbacks, Iterable):
        raise ArgumentError("callbacks", repr(callbacks), "a list of callbacks; () for none")
    callbacks = sorted(callbacks, key=lambda each: bool(getattr(each, "runs_last", False)))
    for callback in callbacks:
        lacking = [hook for hook in HOOKS if not callable(getattr(callback, hook, None))]
        if lacking:
            came = f"{type(callback).__name__}, which lacks {', '.join(lacking)}"
            raise ArgumentError("callbacks", came, "callbacks", "Subclass minirnn's Callback")
    return tuple(callbacks)


class EarlyStopping(Callback):
    """Stop when the validation loss (or, without one, the training loss) has stopped falling.

    patience      epochs without an improvement before it stops, at least 1
    min_change    a fall must be larger than this to count, >= 0

    Source: Goodfellow, Bengio & Courville, Deep Learning (2016), algorithm 7.1; the weights stay
    those of the last epoch.
    """

    def __init__(self, patience: int, min_change: float = 0.0) -> None:
        """Wait `patience` epochs.

        Raises: ArgumentError.
        """
        self.patience = check_count("patience", patience)
        if not is_real(min_change) or not 0 <= min_change < math.inf:
            raise ArgumentError("min_change", repr(min_change), "a finite number of at least 0")
        self.min_change = float(min_change)
        self.best = math.inf
        self.best_epoch = 0

    def training_began(self, run: Run) -> None:
        """Begin anew: one object may watch one run after another."""
        self.best, self.best_epoch = math.inf, 0

    def state_dict(self) -> dict[str, Any]:
        """The best loss so far, and its epoch."""
        return {"best": self.best, "best_epoch": self.best_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned. Raises: ArgumentError."""
        best, epoch = state_dict.get("best"), state_dict.get("best_epoch")
        if set(state_dict) != {"best", "best_epoch"} or not isinstance(best, float):
            raise ArgumentError("state_dict", str(state_dict), "a best loss and its best_epoch")
        self.best, self.best_epoch = best, check_count("state_dict['best_epoch']", epoch, 0)

    def epoch_ended(self, run: Run) -> None:
        """Compare this epoch's loss with the best."""
        last = run.history.epochs[-1]
        loss = last.loss if last.validation_loss is None else last.validation_loss
        if loss < self.best - self.min_change:
            self.best, self.best_epoch = loss, last.number
        elif last.number - self.best_epoch >= self.patience:
            run.stop(
                f"no improvement on epoch {self.best_epoch} in {self.patience} epochs; stopped"
            )
