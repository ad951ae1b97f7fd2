"""The course of a recipe's training, step by step, as the loop detectors read it.

A callback of `fit` that costs a few microseconds a step (measured in `tools/course_cost.py`: below
1% of an epoch) and bounded memory: of a long run it keeps every second step, every fourth, ...

Formula    update ratio = |parameters after a step - before it| / |parameters before it|, over all
           parameters together, of the first ten steps and of every 20th after
Source     Karpathy, CS231n ("Parameter updates"), for the ratio
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minirnn.device import array_namespace
from minirnn.diagnosis.data import PreparedData
from minirnn.diagnosis.evidence.loop import Floats, LayerFed, LoopSeen, Optimisation
from minirnn.diagnosis.evidence.naive import constant_loss
from minirnn.diagnosis.recipe import Recipe
from minirnn.inspect.host import fetch
from minirnn.nn import Module
from minirnn.training.callbacks import Callback, Run

MEASURED_FIRST, MEASURED_EVERY = 10, 20  # steps whose update is measured
MOST = 4096  # numbers kept of a run
SMALLEST = 1e-30  # sum of squares that has lost nothing to underflow in float32
PENDING = 16  # updates whose norms wait on a device, to be brought over together


class Thinned:
    """Numbers of each step in order, all of the first; evenly thinned out where there are many."""

    def __init__(self, most: int = MOST) -> None:
        """Keep at most that many."""
        self.most = most
        self.stride = 1
        self.count = 0
        self._kept: list[float] = []

    def add(self, value: float) -> None:
        """Take the next number."""
        if self.count % self.stride == 0:
            kept = self._kept
            kept.append(value)
            if len(kept) > self.most:
                self._kept = kept[::2]
                self.stride *= 2
        self.count += 1

    def numbers(self) -> Floats:
        """Those that were kept."""
        return np.array(self._kept, dtype=np.float64)


class Course(Callback):
    """Watches one training of a recipe: `fit(..., callbacks=(course,))`, then `course.seen()`.

    `seen` may be asked at any time, also while training goes on.
    """

    def __init__(
        self, model: Module, recipe: Recipe | None = None, data: PreparedData | None = None
    ) -> None:
        """Of this model, trained as the recipe says on its prepared data, on any device.

        Without a recipe, of any training: then it is not known what a constant answer would score,
        nor what the layers were fed.
        """
        self.recipe, self.data = recipe, data
        self.naive: float | None = None
        if recipe is not None and data is not None:
            self.naive = constant_loss(recipe.training.loss, data.host.training)
        self._parameters = list(model.parameters())
        self._begin()

    def _begin(self) -> None:
        self.losses, self.norms, self.rates = Thinned(), Thinned(), Thinned()
        self._early: list[float] = []  # ratios of the first steps, which are never thinned out
        self._later = Thinned()
        self._waiting: list[Any] = []
        self._before: Any = None
        self._size: Any = None
        self._first_size: Any = None
        self._spare: Any = None
        self._broke: tuple[float, float] | None = None
        self.steps = self.empty = 0
        self.first_rate = self.last_rate = math.nan
        self.optimizer: Any = None

    # What `fit` calls.

    def training_began(self, run: Run) -> None:
        """Begin anew: one object may watch one run after another."""
        self._begin()
        self.optimizer = run.optimizer
        self._remember(self._flat())
        self._first_size = self._size

    def batch_ended(self, run: Run) -> None:
        """Put a step's numbers aside; every now and then, compare the parameters with before."""
        rate = run.optimizer.learning_rate
        if self.steps == 0:
            self.first_rate = rate
        self.last_rate = rate
        self.losses.add(run.loss)
        self.norms.add(run.gradient_norm)
        self.rates.add(rate)
        self.empty += run.gradient_norm == 0.0
        self.steps += 1
        next_one = self.steps < MEASURED_FIRST or self.steps % MEASURED_EVERY == 0
        if self._before is not None:
            self._measure(again=next_one)
        elif next_one:
            self._remember(self._flat())

    def training_ended(self, run: Run) -> None:
        """Keep the numbers that ended a run which broke, too: no step was taken on them."""
        stopped = run.history.stopped
        if stopped is not None and stopped.kind == "non-finite":
            norm = run.gradient_norm if math.isfinite(run.loss) else math.nan
            if not math.isfinite(norm):  # else it was a parameter, after a step that was told
                self._broke = (run.loss, norm)
        self._spare = None

    # The update.

    def _flat(self) -> Any:
        """A copy of all parameters in one array, written into memory that is free."""
        parts = [parameter.data.ravel() for parameter in self._parameters]
        xp = array_namespace(parts[0])
        into, self._spare = self._spare, None
        return xp.concatenate(parts) if into is None else xp.concatenate(parts, out=into)

    def _remember(self, flat: Any) -> None:
        """What the step to be measured begins with."""
        self._before, self._size = flat, _squares(flat, array_namespace(flat))

    def _measure(self, *, again: bool) -> None:
        """The squares of the update and of the parameters, left on their device for now.

        again   whether the next step is to be measured, too: it begins with what this one left
        """
        before, size = self._before, self._size
        now = self._flat()
        xp = array_namespace(now)
        xp.subtract(now, before, out=before)
        self._waiting += [_squares(before, xp), size]
        if again:
            self._remember(now)
            self._spare = before
        else:
            self._before = None
            self._spare = now
        if len(self._waiting) >= 2 * PENDING:
            self._settle()

    def _settle(self) -> None:
        pairs = np.array(fetch(*self._waiting), dtype=np.float64).reshape(-1, 2)
        self._waiting.clear()
        with np.errstate(all="ignore"):
            ratios = np.sqrt(pairs[:, 0]) / (np.sqrt(pairs[:, 1]) + 1e-30)
        for ratio in ratios.tolist():
            if len(self._early) < MEASURED_FIRST:
                self._early.append(ratio)
            else:
                self._later.add(ratio)

    # What came of it.

    def seen(self) -> LoopSeen:
        """The detectors' view of the run so far.

        A step that ended it with a loss or a gradient that is no number is told besides those that
        were made.
        """
        self._settle()
        losses, norms, rates = (each.numbers() for each in (self.losses, self.norms, self.rates))
        if self._broke is not None:
            loss, norm = self._broke
            losses, rates = np.append(losses, loss), np.append(rates, self.last_rate)
            norms = np.append(norms, norm)
        bound = self.recipe.training.clip_norm if self.recipe is not None else 0.0
        return LoopSeen(
            iterations=self.steps,
            losses=losses,
            gradient_norms=norms,
            rates=rates,
            weights=None if self._first_size is None else math.sqrt(float(self._first_size)),
            update_ratios=np.concatenate([self._early, self._later.numbers()]),
            naive=self.naive,
            optimisation=self._optimisation(),
            layers=self._fed(),
            clipped=bound or None,
        )

    def _optimisation(self) -> Optimisation:
        optimizer = self.optimizer
        return Optimisation(
            name=type(optimizer).__name__ if optimizer is not None else "",
            learning_rate=self.first_rate,
            last_rate=self.last_rate,
            momentum=float(getattr(optimizer, "momentum", getattr(optimizer, "beta1", 0.0))),
            steps=self.steps,
            backwards=self.steps,
            first_backwards=max(0, self.steps - 1),
            empty=self.empty,
        )

    def _fed(self) -> tuple[LayerFed, ...]:
        """What the recurrent layers were fed, which the recipe and its data tell."""
        if self.recipe is None or self.data is None:
            return ()
        training = self.data.training
        N, T = training.x.shape[:2]
        whole, rest = divmod(N, self.recipe.training.batch_size)
        epochs = self.steps / (whole + (rest > 0))
        sizes = {self.recipe.training.batch_size: round(whole * epochs)} if whole else {}
        if rest:
            sizes[rest] = self.steps - sum(sizes.values())
        started = self.recipe.model.initial_state
        carried = max(0, self.steps - 1) if started == "carried" else 0
        fed = LayerFed(
            "the recurrent layers",
            batch_first=True,
            bidirectional=self.recipe.model.bidirectional,
            calls=self.steps,
            steps={T: self.steps},
            sequences=sizes,
            given=0 if started == "zeros" else self.steps,
            carried=carried,
            packed=0 if training.lengths is None else self.steps,
        )
        return (fed,)


def _squares(flat: Any, xp: Any) -> Any:
    """The sum of squares; one element, on its device."""
    if xp is not np:
        return xp.multiply(flat, flat, dtype=xp.float64).sum()
    # No BLAS: its sums depend on the number of threads. In the numbers' own precision, which is
    # three times as fast, unless squares of that size leave its range.
    total = np.einsum("i,i->", flat, flat)
    if SMALLEST < total < np.inf:
        return total
    return np.einsum("i,i->", flat, flat, dtype=np.float64)
