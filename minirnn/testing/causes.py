"""Why a run differs from the reference: the mutant whose values were found.

A mutant is a cause only if its values agree with what was found within the very tolerance that the
reference's do not meet, in every array that differs; where an array does not differ, the mutant's
or the reference's. Several causes that do so are all told, and none is asserted. Where no mutant's
gradients agree, but the arrays of forward are those of one alone, that is the cause, and the
gradients are said to differ besides.

What is tried first is cheap: the reference's own arrays, moved or scaled (`moved_arrays`). Then
come the mutants, forward's when an array of forward differs, backward's when none does. A large
call is first cut to a few sequences and steps, where most mutants are already refuted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minirnn.kernels.contract import Array
from minirnn.testing.faulty_backward import Slopes, backward, backward_arrays
from minirnn.testing.faulty_run import RIGHT_BACKWARD, Faulty, Products
from minirnn.testing.mutants import Mutant, mutants_of

if TYPE_CHECKING:
    from minirnn.testing.mismatch import Compared
    from minirnn.testing.reference import Call, ReferenceRun

__all__ = ["Verdict", "explains", "find"]

# A mutant that explains leaves rounding, at most so much of the difference it explains.
LEFT_OVER = 0.1
# Multiplications of a run that is not worth cutting, and the steps and sequences of a cut one.
SMALL_RUN, FEW_STEPS, FEW_SEQUENCES = 3_000_000, 12, 3


class Verdict(NamedTuple):
    """The ids of the causes that agree with what was found, in words, and what else was seen."""

    causes: tuple[str, ...] = ()
    told: str = ""
    notes: tuple[str, ...] = ()


class Explanation(NamedTuple):
    """A cause that agrees with what was found; `rank` 0 in every array, 1 in all that differ."""

    rank: int
    cause: str
    told: str


def is_forward(name: str) -> bool:
    """Whether it is an array of forward."""
    return not name.startswith("grad")


def difference(found: Array, wanted: Array) -> float:
    """The norm of found - wanted; the same NaN or infinity counts as no difference."""
    same = (found == wanted) | (np.isnan(found) & np.isnan(wanted))
    with np.errstate(all="ignore"):
        left = np.where(same, 0.0, found - wanted)
    norm = float(np.linalg.norm(left))
    return norm if np.isfinite(norm) else np.inf


def explains(c: Compared, predicted: Array | None) -> bool:
    """Whether what was found is what was predicted, but for rounding."""
    if predicted is None or predicted.shape != c.found.shape:
        return False
    found = c.found.astype(np.float64)
    with np.errstate(all="ignore"):
        finite = np.abs(predicted[np.isfinite(predicted)]).max(initial=0.0)
        larger = max(1.0, finite / max(1.0, float(np.abs(c.wanted).max(initial=0.0))))
        near = np.abs(found - predicted) <= c.allowed * larger
    same = (found == predicted) | (np.isnan(found) & np.isnan(predicted))
    if not (near | same).all():
        return False
    return c.excess <= 1.0 or difference(found, predicted) <= LEFT_OVER * difference(
        found, c.wanted
    )


class Prediction:
    """A mutant's arrays, computed as they are asked for."""

    def __init__(self, call: Call, mutant: Mutant, right: Faulty | None = None) -> None:
        self.mutant = mutant
        turned = call if mutant.turn is None else mutant.turn.there(call)
        shared = right if mutant.gradients_only else None
        self.run = shared or Faulty(turned, mutant.forward)
        self._arrays: dict[str, Array] = self._back(self.run.forward_arrays())
        self._complete = False

    def _back(self, arrays: dict[str, Array]) -> dict[str, Array]:
        return arrays if self.mutant.turn is None else self.mutant.turn.back(arrays)

    def __call__(self, name: str) -> Array | None:
        """The array of that name, None where a mutant has none."""
        if not (is_forward(name) or self._complete):
            slopes = backward(self.run, self.mutant.backward)
            self.add(slopes, self.mutant.products)
        return self._arrays.get(name)

    def add(self, slopes: Slopes, products: Products) -> None:
        """Take the gradients from a backward that was computed before."""
        self._arrays |= self._back(
            self.run.forward_arrays() | backward_arrays(self.run, slopes, products)
        )
        self._complete = True


class Search:
    """What was found, and the mutants that agree with it."""

    def __init__(self, compared: Sequence[Compared], expected: ReferenceRun, seconds: float):
        assert expected.call is not None
        self.compared = compared
        self.call = expected.call
        self.until = time.monotonic() + seconds
        self.forward_failed = any(c.excess > 1.0 and is_forward(c.name) for c in compared)
        self.forward_known = any(is_forward(c.name) for c in compared)
        self.untried = 0

    def explanations(self) -> Iterator[Explanation]:
        """Every mutant that agrees, as long as there is time."""
        right: Faulty | None = None
        right_slopes: Slopes | None = None
        cut = Cut.of(self)
        for mutant in mutants_of(self.call):
            if mutant.gradients_only == self.forward_failed and self.forward_known:
                continue
            if time.monotonic() > self.until:
                self.untried += 1
                continue
            if cut is not None and not cut.may_explain(mutant):
                continue
            if mutant.gradients_only and right is None:
                right = Faulty(self.call)
            prediction = Prediction(self.call, mutant, right)
            if mutant.gradients_only and mutant.backward == RIGHT_BACKWARD:
                assert right is not None
                right_slopes = right_slopes or backward(right)
                prediction.add(right_slopes, mutant.products)
            rank = self.rank(prediction)
            if rank is not None:
                yield Explanation(rank, mutant.cause, mutant.told)

    def rank(self, predicted: Callable[[str], Array | None]) -> int | None:
        """0 if it agrees in every array, 1 in all that differ, 2 in forward's; None otherwise."""
        rank = 0
        for c in sorted(self.compared, key=lambda c: not is_forward(c.name)):
            if explains(c, predicted(c.name)):
                continue
            if c.excess <= 1.0:
                rank = max(rank, 1)
            elif is_forward(c.name) or not self.forward_failed:
                return None
            else:
                return 2
        return rank


class Cut:
    """A part of a large call, and of what was found: a few sequences, for forward a few steps."""

    def __init__(self, search: Search, sequences: Array, steps: slice) -> None:
        call, self.forward = search.call, search.forward_failed
        lengths = call.lengths
        if lengths is not None:
            first = steps.start or 0
            span = len(range(len(call.x))[steps])
            lengths = np.clip(lengths[sequences] - first, 0, span)

        def of(array: Array | None) -> Array | None:
            return None if array is None else array[steps, sequences]

        dstate = call.dstate and tuple(None if d is None else d[sequences] for d in call.dstate)
        self.call = call._replace(
            x=of(call.x),
            state=tuple(s[sequences] for s in call.state),
            lengths=lengths,
            doutput=of(call.doutput),
            dstate=dstate,
        )
        whole = len(self.call.x) == len(call.x)
        self.compared = []
        for c in search.compared:
            if is_forward(c.name) != self.forward or c.name.startswith(("grad.w", "grad.b")):
                continue
            if c.found.ndim == 3:
                found, wanted = (a[steps, sequences] for a in (c.found, c.wanted))
            elif whole:
                found, wanted = (a[sequences] for a in (c.found, c.wanted))
            else:
                continue
            with np.errstate(all="ignore"):
                excess = np.abs(found - wanted).max(initial=0.0) / c.allowed
            excess = np.inf if np.isnan(excess) else float(excess)
            self.compared.append(c._replace(found=found, wanted=wanted, excess=excess))
        self.right = None if self.forward else Faulty(self.call)

    @classmethod
    def of(cls, search: Search) -> Cut | None:
        """A part that shows a difference, or None: the call is small, or none can be cut out."""
        call = search.call
        T, B, _ = call.x.shape
        if T * B * sum(w.size for w in call.weights[:2]) < SMALL_RUN and T <= 4 * FEW_STEPS:
            return None
        failed = [c for c in search.compared if c.excess > 1.0]
        failed = [c for c in failed if is_forward(c.name) == search.forward_failed]
        at = [c.at[-2] for c in failed if not c.name.startswith(("grad.w", "grad.b"))]
        if not at:
            return None
        ends = [] if call.lengths is None else [call.lengths.argmin(), call.lengths.argmax()]
        sequences = np.unique([at[0], *ends, 0][:FEW_SEQUENCES])
        steps = slice(None)
        over_time = [c for c in failed if c.found.ndim == 3]
        if search.forward_failed and over_time:
            # Up to a little behind the first step, as forward runs, that differs there.
            wrong = np.zeros(T, bool)
            for c in over_time:
                with np.errstate(all="ignore"):
                    near = np.abs(c.found - c.wanted)[:, sequences] <= c.allowed
                wrong |= ~near.all(axis=(1, 2))
            order = np.flatnonzero(wrong[::-1] if call.reverse else wrong)
            count = FEW_STEPS + (int(order[0]) if order.size else 0)
            if call.lengths is None or call.lengths.max() == T:
                steps = slice(max(0, T - count), None) if call.reverse else slice(0, count)
        cut = cls(search, sequences, steps)
        return cut if any(c.excess > 1.0 for c in cut.compared) else None

    def may_explain(self, mutant: Mutant) -> bool:
        """Whether the part does not refute the mutant."""
        if self.forward and not mutant.local:
            return True
        if not self.forward and mutant.backward == RIGHT_BACKWARD:
            return True  # of the products, which are sums over all sequences
        prediction = Prediction(self.call, mutant, self.right)
        return all(c.excess <= 1.0 or explains(c, prediction(c.name)) for c in self.compared)


def find(compared: Sequence[Compared], expected: ReferenceRun, seconds: float) -> Verdict:
    """The causes that agree with what was found, and what else can be said of it."""
    from minirnn.testing.moved_arrays import movements
    from minirnn.testing.observations import notes_on
    from minirnn.testing.rounding import narrower

    notes = notes_on(compared, expected)
    call = expected.call
    if call is None or seconds <= 0 or call.cell.name not in ("rnn", "gru", "lstm"):
        return Verdict(notes=tuple(notes))
    explained = [Explanation(*each) for each in movements(compared, call)]
    search = Search(compared, expected, seconds)
    explained += search.explanations()
    if not explained:
        explained = [Explanation(0, *each) for each in narrower(compared, expected)]
    if search.untried:
        notes.append(f"{search.untried} mutants were not tried, after {seconds:g} s")
    if not explained:
        return Verdict(notes=tuple(notes))
    best = min(each.rank for each in explained)
    agreeing = [each for each in explained if each.rank == best]
    if best == 2:
        notes.append("the gradients differ from those that would follow from it")
    causes = tuple(dict.fromkeys(each.cause for each in agreeing))
    told = tuple(dict.fromkeys(each.told for each in agreeing))
    return Verdict(causes, "; or: ".join(told[:4]), tuple(notes))
