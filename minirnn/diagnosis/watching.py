"""Watch a training run: look inside now and then, and say what ails the network while it trains.

A look runs a few training sequences through a copy of the network, forward and back, and asks the
detectors that can say something before training is over. What it costs is measured by its own
clock, and it waits until it has a hundred times as long been trained: so however short the epochs
are, watching takes 1% of the time. Only a training that is over before the first look, in some
seconds, is looked at once beyond that, when it ends: silence would be taken for health.

Nothing of the training changes: the network that is looked at is a copy, its random generators and
running averages too, and a recording that is open does not see it.
"""

from __future__ import annotations

import contextvars
import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minirnn.device import array_namespace
from minirnn.diagnosis.early import EARLY, Glimpse, falls
from minirnn.diagnosis.evidence import answers_to
from minirnn.diagnosis.evidence.course import Course
from minirnn.diagnosis.finding import Finding
from minirnn.diagnosis.recipe import Recipe
from minirnn.errors import ArgumentError
from minirnn.inspect.dependence import Dependence, measure_dependence
from minirnn.inspect.probe import gradient_probe
from minirnn.nn import Module
from minirnn.real import is_real
from minirnn.training.callbacks import Callback, Run
from minirnn.training.losses import is_batch_first
from minirnn.training.sequences import Sequences
from minirnn.training.windows import check_count

SHARE = 0.01  # of the time
SEQUENCES = 24  # of a look
DATA = 240  # sequences that are asked how far back their targets look
# What a look is taken to cost before one was made: so many seconds, and steps of training.
FIRST_LOOK, FIRST_STEPS = 0.02, 4
FIRST_ASKED = 0.01  # seconds, likewise, for each number of a sequence that the data are asked about
ARISES, ENDS = 2, 2  # looks in a row with a finding, or without it


@dataclass(frozen=True)
class Arisen:
    """A finding that arose while a network was trained.

    finding  as it was seen last, without remedies
    epoch    in which it was first said
    ended    the epoch in which it was no longer seen; None where it stands
    """

    finding: Finding
    epoch: int
    ended: int | None = None

    def __str__(self) -> str:
        ended = "" if self.ended is None else f" to {self.ended}"
        return f"epoch {self.epoch}{ended}: {_line(self.finding)}"


class Watching(Callback):
    """A callback that looks inside the network while `fit` trains it.

        watching = Watching()
        mr.fit(model, train, ..., callbacks=[watching])
        watching.findings  # what arose, and in which epoch

    Said is what can be said early, and is not usual in a network that has only begun: numbers that
    are none, at once; inputs that pin the gates, gradients that explode, steps that throw the
    weights about, when seen in two looks in a row; saturated gates, dead units and a gradient that
    does not reach what the targets depend on, when the loss does not fall either. The progress
    display tells each when it arises and when it is gone. Each look is after an epoch.

    share      of the training time, at most, that looking may take, > 0
    sequences  of the training data, evenly spread, that a look takes, >= 1
    every      epochs from one look to the next, at least
    recipe     where the training is a recipe's: its detectors see it
    course     what keeps the numbers of each step, called from here; None: one of its own
    at_end     look once when training ends, if it was too short for any look until then (some
               seconds): nothing found where nobody looked would read as health. That one look may
               take more than the share, some hundredths of a second; what it sees is said at once,
               as no second look will follow

    `looks` counts the looks, `seconds` is the time it all took, `trained` that of the rest. `print`
    tells how often it looked, and what it found.

    Raises: ArgumentError.
    """

    def __init__(
        self,
        *,
        share: float = SHARE,
        sequences: int = SEQUENCES,
        every: int = 1,
        recipe: Recipe | None = None,
        course: Course | None = None,
        at_end: bool = True,
    ) -> None:
        if not is_real(share) or not 0 < share < math.inf:
            raise ArgumentError("share", repr(share), "a number above 0, such as 0.01")
        self.share = share
        self.sequences = check_count("sequences", sequences)
        self.every = check_count("every", every)
        for name, given, kind in (("recipe", recipe, Recipe), ("course", course, Course)):
            if given is not None and not isinstance(given, kind):
                raise ArgumentError(
                    name, f"a {type(given).__name__}", f"a {kind.__name__}, or None"
                )
        if not isinstance(at_end, bool):
            raise ArgumentError("at_end", repr(at_end), "True or False")
        self.recipe, self.course, self.at_end = recipe, course, at_end
        self._begin()

    def _begin(self) -> None:
        self.looks = 0
        self.seconds = self.trained = 0.0
        self._costs: list[float] = []
        self._started = time.perf_counter()
        self._course: Course | None = None
        self._part: Sequences | None = None
        self._dependence: Dependence | None = None
        self._asks = self._asked = False  # how far back the targets look: wanted, and known
        self._looked_at = 0
        self._rows: dict[str, int] = {}  # looks in a row: with (> 0) or without (< 0) a symptom
        self._arisen: dict[str, Arisen] = {}
        self._past: list[Arisen] = []

    @property
    def findings(self) -> tuple[Arisen, ...]:
        """Everything that arose, in order; what is gone again as well."""
        return tuple(sorted((*self._past, *self._arisen.values()), key=lambda each: each.epoch))

    def __str__(self) -> str:
        if not self.looks:
            return "never looked: whether something is wrong is not known"
        looked = "looked once" if self.looks == 1 else f"looked {self.looks} times"
        lines = [str(each) for each in self.findings]
        return "\n".join([f"{looked}, and found{':' if lines else ' nothing wrong'}", *lines])

    # What `fit` calls.

    def training_began(self, run: Run) -> None:
        """Begin anew: one object may watch one run after another."""
        self._begin()
        self._course = self.course if self.course is not None else Course(run.model)
        self._course.training_began(run)

    def batch_ended(self, run: Run) -> None:
        """Keep the step's numbers; the time for that counts, too."""
        if self._course is not None:
            started = time.perf_counter()
            self._course.batch_ended(run)
            self.seconds += time.perf_counter() - started

    def epoch_ended(self, run: Run) -> None:
        """Look, if it is time and there is time."""
        if run.epoch - self._looked_at < self.every or run.train is None:
            return
        if self._asks and not self._asked and self._affords(self._price_of_data(run.train)):
            self._timed(lambda: self._ask_the_data(run))
        last = run.history.epochs[-1]
        step = last.seconds / max(last.batches, 1)
        if self._affords(max(self._costs[-3:], default=FIRST_LOOK + FIRST_STEPS * step)):
            self._looked_at = run.epoch
            self.looks += 1
            self._costs.append(self._timed(lambda: self._look(run)))

    def training_ended(self, run: Run) -> None:
        """Say what broke the training, if something did; look, if there was no time until now."""
        self.trained = time.perf_counter() - self._started - self.seconds
        if self._course is not None:
            self._course.training_ended(run)
        stopped = run.history.stopped
        if stopped is not None and stopped.kind == "non-finite" and run.train is not None:
            self.looks += 1
            self._timed(lambda: self._look(run, probed=False))
        elif self.at_end and not self.looks and run.history.epochs and run.train is not None:
            self.looks += 1
            self._timed(lambda: self._look(run, over=True))

    # The clock.

    def _affords(self, cost: float) -> bool:
        """Whether all that was spent, and this, is within the share of the time."""
        self.trained = time.perf_counter() - self._started - self.seconds
        return self.seconds + cost <= self.share * self.trained

    def _timed(self, work: Callable[[], None]) -> float:
        """Do it, apart from what the training's context holds; the seconds that it took."""
        started = time.perf_counter()
        # In a context of its own: a recording that is open there sees nothing of it.
        contextvars.Context().run(_quietly, work)
        took = time.perf_counter() - started
        self.seconds += took
        return took

    def _price_of_data(self, train: Sequences) -> float:
        return FIRST_ASKED * min(DATA, len(train)) / DATA * math.prod(train.x.shape[1:])

    # The look.

    def _look(self, run: Run, probed: bool = True, over: bool = False) -> None:
        evidence = self._glimpse(run, probed)
        falling = falls(run.history)
        found: dict[str, Finding] = {}
        for symptom, early in EARLY.items():
            finding = early.detect(evidence)
            if finding is not None and finding.harmful and early.may_be_said(finding, falling):
                found[symptom] = finding
        self._asks = self._asks or evidence.asked
        for symptom in EARLY:
            self._follow(run, symptom, found.get(symptom), over)

    def _follow(self, run: Run, symptom: str, finding: Finding | None, over: bool) -> None:
        """Say a finding that has come to stay, and when it is gone; at once, if all is over."""
        row = self._rows.get(symptom, 0)
        self._rows[symptom] = row = max(row, 0) + 1 if finding is not None else min(row, 0) - 1
        arisen = self._arisen.get(symptom)
        if finding is not None and arisen is not None:
            self._arisen[symptom] = replace(arisen, finding=finding)
        elif finding is not None and row >= (1 if EARLY[symptom].at_once or over else ARISES):
            self._arisen[symptom] = Arisen(finding, run.epoch)
            run.notices[f"watching {symptom}"] = _line(finding)
        elif arisen is not None and row <= -ENDS:
            self._past.append(replace(self._arisen.pop(symptom), ended=run.epoch))
            run.notices.pop(f"watching {symptom}", None)

    def _glimpse(self, run: Run, probed: bool) -> Glimpse:
        """The evidence of a look: of the network as it is, on a few sequences."""
        if self._part is None:
            assert run.train is not None
            self._part = spread(run.train, self.sequences)
        part, model = self._part, run.model
        xp = array_namespace(part.x)
        x = xp.ascontiguousarray(part.x.swapaxes(0, 1))
        y = xp.ascontiguousarray(part.y.swapaxes(0, 1)) if part.per_step else part.y
        seen = Glimpse(
            inputs=x,
            targets=y,
            lengths=part.lengths,
            parameters={name: each.data for name, each in model.named_parameters()},
            history=run.history,
            recipe=self.recipe,
            loop=self._course.seen() if self._course is not None else None,
            known=self._dependence,
        )
        if not probed:
            return seen
        fed = (part.x, part.y) if is_batch_first(model) else (x, y)
        loss = run.loss_function
        probe = gradient_probe(_copy(model), *fed, loss=loss, lengths=part.lengths)
        answers = answers_to(probe.prediction, seen.last_targets, None, loss)
        return replace(seen, probe=probe, answers=answers)

    def _ask_the_data(self, run: Run) -> None:
        """How far back the targets look: the data do not change, so once is enough."""
        assert run.train is not None
        self._asked = True
        part = spread(run.train, DATA)
        xp = array_namespace(part.x)
        whole = Glimpse(
            inputs=xp.ascontiguousarray(part.x.swapaxes(0, 1)),
            targets=part.y.swapaxes(0, 1) if part.per_step else part.y,
            lengths=part.lengths,
        )
        if whole.rows_finite:
            self._dependence = measure_dependence(whole.inputs, whole.last_targets, part.lengths)


def spread(data: Sequences, most: int) -> Sequences:
    """Evenly spread sequences that have a step, in order; at most so many."""
    rows = np.arange(len(data)) if data.lengths is None else np.flatnonzero(data.lengths)
    taken = np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(int)
    return data.take(rows[np.unique(taken)])


def _copy(model: Module) -> Module:
    """The model to look at: a copy, its random generators and averages too.

    Itself, where something in it cannot be copied: the probe runs in evaluation mode, and leaves
    modes and gradients as they were.
    """
    try:
        return copy.deepcopy(model)
    except (TypeError, ValueError, NotImplementedError, copy.Error):
        return model


def _quietly(work: Callable[[], Any]) -> None:
    # A network that broke has infinities in it; what is computed from them is looked at, not met.
    with np.errstate(all="ignore"):
        work()


def _line(finding: Finding) -> str:
    return f"{finding.severity}: {finding.symptom}, {finding.where}"
