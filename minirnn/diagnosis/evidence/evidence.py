"""What the detectors see: probes of the network, its answers, its data, and its training.

Detectors read this and nothing else, so that each can be tried on a network made by hand as well
as on a recipe's. T steps, B sequences, I inputs, O outputs, N rows (sequences, or valid steps).

Everything lies on one device, the network's, but for lengths, which are the host's; a detector
computes there, and brings over the numbers that its finding tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from minirnn import functional
from minirnn.device import array_namespace
from minirnn.diagnosis.data import PreparedData
from minirnn.diagnosis.evidence.attainable import ceiling, last_rows
from minirnn.diagnosis.evidence.free_run import FreeRun
from minirnn.diagnosis.evidence.loop import LoopSeen
from minirnn.diagnosis.evidence.one_target import the_only_target
from minirnn.diagnosis.evidence.regularisation import Regularisation
from minirnn.diagnosis.finding import Severity
from minirnn.diagnosis.recipe import Recipe
from minirnn.inspect import steps
from minirnn.inspect.dependence import Dependence, measure_dependence
from minirnn.inspect.extremes import extreme_rows
from minirnn.inspect.host import fetch
from minirnn.inspect.predictability import Predictability, measure_predictability
from minirnn.inspect.probe import Probe
from minirnn.inspect.trace import Trace
from minirnn.training.history import History

Array = Any  # of the network's device
Floats = Any  # float64, likewise


@dataclass(frozen=True, eq=False)
class Answers:
    """What a network answered and what was asked, in comparable form: `given`, `wanted` (N, O).

    Numbers are compared with numbers, probabilities of classes with the classes' indicators.
    """

    given: Floats
    wanted: Floats

    @property
    def finite(self) -> bool:
        """Whether every answer is."""
        return bool(array_namespace(self.given).isfinite(self.given).all())

    @property
    def error(self) -> float:
        """Root mean square error."""
        xp = array_namespace(self.given)
        return float(xp.sqrt(xp.mean((self.given - self.wanted) ** 2)))

    @property
    def distances(self) -> Floats:
        """(N,): how far each answer is from what was wanted."""
        xp = array_namespace(self.given)
        return xp.sqrt(xp.sum((self.given - self.wanted) ** 2, axis=1))

    @property
    def skill(self) -> float:
        """R2: 1 for perfect answers, 0 for what the mean of the targets scores; pooled over O.

        NaN where the targets do not vary.
        """
        xp = array_namespace(self.given)
        naive, missed = fetch(
            xp.sum((self.wanted - self.wanted.mean(axis=0)) ** 2),
            xp.sum((self.given - self.wanted) ** 2),
        )
        return 1.0 - missed / naive if naive else np.nan

    @property
    def spread(self) -> float:
        """Standard deviation of the answers over that of the targets, pooled over O.

        NaN where the targets do not vary.
        """
        xp = array_namespace(self.given)
        wanted, given = fetch(
            xp.sqrt(self.wanted.var(axis=0).sum()), xp.sqrt(self.given.var(axis=0).sum())
        )
        return given / wanted if wanted else np.nan

    @cached_property
    def ordinary(self) -> Answers:
        """Those to targets that are not extreme (see `extreme_rows`); all, where none is."""
        extreme = extreme_rows(self.wanted)
        return Answers(self.given[~extreme], self.wanted[~extreme]) if extreme.any() else self

    @property
    def typical_skill(self) -> float:
        """R2, of all targets or of those that are not extreme, whichever is higher.

        One target a thousand times too large leaves no R2 to whatever answers the others well; and
        where the extreme ones are the signal, the others may be noise.
        """
        return max(self.skill, self.ordinary.skill)

    @property
    def typical_spread(self) -> float:
        """The spread likewise."""
        return max(self.spread, self.ordinary.spread)


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What the network makes of data it was not trained on, beside what it was.

    x, y      held-out inputs (N, T, I) and targets (N, O) as fed
    trained_x, trained_y   the same of the training part
    answers, trained_answers   in the data's own units
    naive     what needs no network, in the data's own units: persistence for a series; else None
    unit      of those
    """

    x: Array
    y: Array
    trained_x: Array
    trained_y: Array
    answers: Answers
    trained_answers: Answers
    naive: Answers | None = None
    trained_naive: Answers | None = None
    unit: str = ""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Everything a detector may look at; what was not gathered is None or empty.

    inputs      (T, B, I), the sequences that the probe fed;  lengths  (B,) of the host, or None
    targets     as the loss takes them
    probe       of the network as it is; None where nothing could be run
    answers     to the inputs; None where they cannot be compared with the targets
    parameters  {name: array} of the network as it is
    untrained   a probe of the network before training
    unseen      answers to what was held out, of any task, as fed; None where nothing was
    regularisation  what the recipe's regularisers cost; None where it has none
    in_training answers to the inputs as training sees them, by the statistics of each batch; None
                without batch norm
    loop        the training step by step: a recipe's, or a loop of somebody else's
    free_run    what the network generates, where the recipe asks for it
    as_begun    whether a network that came without its history is as an initialiser left it
    """

    inputs: Array
    targets: Array
    lengths: Array | None = None
    probe: Probe | None = None
    answers: Answers | None = None
    parameters: Mapping[str, Array] = field(default_factory=dict)
    untrained: Probe | None = None
    history: History | None = None
    recipe: Recipe | None = None
    data: PreparedData | None = None
    held_out: HeldOut | None = None
    unseen: Answers | None = None
    regularisation: Regularisation | None = None
    in_training: Answers | None = None
    loop: LoopSeen | None = None
    free_run: FreeRun | None = None
    as_begun: bool = False

    @property
    def ends(self) -> np.ndarray[Any, Any]:
        """(B,), of the host: the steps of each sequence."""
        T, B = self.inputs.shape[:2]
        return np.full(B, T) if self.lengths is None else self.lengths

    @property
    def valid(self) -> Array:
        """(T, B): the steps that belong to a sequence."""
        ends = array_namespace(self.inputs).asarray(self.ends)
        return steps.valid(len(self.inputs), ends)

    @cached_property
    def rows(self) -> Floats:
        """(N, I): the inputs of all valid steps."""
        xp = array_namespace(self.inputs)
        return xp.asarray(steps.rows(self.inputs, self.ends), dtype=np.float64)

    @cached_property
    def rows_finite(self) -> bool:
        """Whether every input of a valid step is."""
        return bool(array_namespace(self.rows).isfinite(self.rows).all())

    @cached_property
    def traces(self) -> tuple[Trace, ...]:
        """Of the last-step probe, where everything in them is finite.

        Of the untrained network where the trained one's are not: what it was before it broke.
        """
        for probe in (self.probe, self.untrained):
            if probe is not None and probe.traces and all(map(is_finite, probe.traces)):
                return probe.traces
        return ()

    @cached_property
    def dependence(self) -> Dependence | None:
        """What the last k steps tell about each sequence's last target."""
        if not self.rows_finite:
            return None
        return measure_dependence(self.inputs, self.last_targets, self.lengths)

    @cached_property
    def predictability(self) -> Predictability | None:
        """Whether anything but a network can tell each sequence's last target from its inputs.

        Asked on the host about a recipe's training part, more of which is there than in `inputs`.
        """
        if self.data is None:
            if not self.rows_finite:
                return None
            return measure_predictability(self.inputs, self.last_targets, self.lengths)
        part = self.data.host.training
        y = part.y
        if part.per_step:
            ends = np.full(len(part), part.x.shape[1]) if part.lengths is None else part.lengths
            y = y[np.arange(len(part)), np.maximum(ends - 1, 0)]
        if self.data.series is None:
            # In any order: sequences sorted by class would leave whole classes out of a fold.
            order = np.random.default_rng(0).permutation(len(part))
            part, y = part.take(order), y[order]
        return measure_predictability(part.x.swapaxes(0, 1), y, part.lengths)

    @property
    def last_targets(self) -> Array:
        """(B, O), or labels (B,): the target of each sequence, or of its last valid step."""
        labels = self.targets.dtype.kind in "iu"
        if self.targets.ndim == (1 if labels else 2):
            return self.targets
        xp = array_namespace(self.targets)
        last = xp.asarray(np.maximum(self.ends - 1, 0))
        return self.targets[last, xp.arange(len(last))]

    @property
    def skill(self) -> float:
        """R2 of the answers to the probe's inputs (see `typical_skill`); NaN without answers."""
        return self.answers.typical_skill if self.answers is not None else float("nan")

    @cached_property
    def last_skill(self) -> float:
        """The same of each sequence's last answer, which is what `dependence` is about."""
        answers = self.answers
        if answers is None or len(answers.given) != int(self.ends.sum()):
            return self.skill
        rows = array_namespace(answers.given).asarray(last_rows(len(self.inputs), self.ends))
        return Answers(answers.given[rows], answers.wanted[rows]).typical_skill

    @cached_property
    def ceiling(self) -> float:
        """The highest R2 that so few units can have, whatever they hold; 1 where they are enough.

        A recipe's alone: what stands between another's units and its answers is not known.
        """
        recipe, answers = self.recipe, self.answers
        numbers = self.targets.dtype.kind == "f"
        if recipe is None or answers is None or not numbers or recipe.training.loss == "bce":
            return 1.0
        units = recipe.model.hidden_size * (2 if recipe.model.bidirectional else 1)
        return ceiling(answers.wanted, units)

    @property
    def has_too_few_units(self) -> bool:
        """Whether it explains about what so few units can, where a regression does far better.

        Then nothing inside is at fault: with open gates it could not explain more. Measured: 0.70
        to 0.98 of the ceiling with one or two units, 0.80 with open gates.
        """
        known = self.dependence if self.ceiling < 1.0 else None
        return (
            known is not None
            and known.telling
            and known.best - self.ceiling > 0.2
            and self.skill > 0.6 * self.ceiling
        )

    @cached_property
    def only_target(self) -> np.ndarray[Any, Any] | None:
        """What all targets are, where they are one and the same; None where they differ."""
        return the_only_target(self.targets, self.ends, self.data)

    @property
    def fails(self) -> bool:
        """Whether the network explains less than half of what its targets vary.

        Nothing fails that answers at all where they are one and the same: nothing is asked.
        """
        if self.answers is not None and self.answers.finite and self.only_target is not None:
            return False
        # Written so that a NaN, from a network that broke, counts as failing.
        return not self.skill >= 0.5

    @property
    def falls_short(self) -> bool:
        """Whether it fails, or explains less than 0.8, and 0.2 less than a regression does."""
        if self.fails:
            return True
        known = self.dependence if self.skill < 0.8 else None
        return known is not None and known.telling and known.best - self.skill > 0.2

    @property
    def severity(self) -> Severity:
        """Of a fault inside: illness where the network fails, warning where it falls short.

        A note where no fault inside is why: so few units cannot explain more.
        """
        if self.has_too_few_units:
            return "note"
        return "illness" if self.fails else "warning" if self.falls_short else "note"

    @property
    def misses(self) -> bool:
        """Whether it fails, on what it was trained on or on what was held out."""
        unseen = self.unseen
        return self.fails or (unseen is not None and not unseen.typical_skill >= 0.5)


def is_finite(trace: Trace) -> bool:
    """Whether the states and gradients of a trace are."""
    arrays = [*trace.states.values()]
    if trace.has_gradients:
        arrays += trace.grad_states.values()
    return finite(arrays)


def finite(arrays: Iterable[Array]) -> bool:
    """Whether all numbers in arrays of one device are finite."""
    each = [array_namespace(array).isfinite(array).all() for array in arrays]
    return all(fetch(*each))


def answers_to(
    outputs: Array, targets: Array, lengths: Array | None, loss: Callable[..., Any] | None
) -> Answers | None:
    """Bring outputs (B, O) or (T, B, O) and targets into comparable form.

    None, where the loss is of the user's own and reads other outputs than the targets have.
    """
    labels = targets.dtype.kind in "iu"
    xp = array_namespace(outputs)
    given = xp.asarray(outputs, dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        if labels:
            given = softmax(given)
        elif loss is functional.binary_cross_entropy_with_logits:
            given = 1.0 / (1.0 + xp.exp(-given))
    wanted = (
        (targets[..., None] == xp.arange(given.shape[-1])).astype(np.float64)
        if labels
        else xp.asarray(targets, dtype=np.float64)
    )
    if given.shape != wanted.shape:
        return None
    if given.ndim == 3:
        T, B = given.shape[:2]
        ends = np.full(B, T) if lengths is None else lengths
        given, wanted = steps.rows(given, ends), steps.rows(wanted, ends)
    return Answers(given, wanted)


def softmax(logits: Floats) -> Floats:
    """Over the last axis; NaN stays NaN."""
    shifted = array_namespace(logits).exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)
