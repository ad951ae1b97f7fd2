"""Why a run differs from the reference: the mutant whose values were found.

A mutant is a cause only if its values agree with what was found within the very tolerance that the
reference's do not meet, in every array that differs; where an array does not differ, the mutant's
or the reference's. Several causes that do so are all told, and none is asserted. Where no mutant's
gradients agree, but the arrays of forward are those of one alone, that is the cause, and the
gradients are said to differ besides.

What is tried first is cheap: the reference's own arrays, moved or scaled (`moved_arrays`). Then
come the mutants, forward's when an array of forward differs, backward's when none does. In a large
call they are first asked about a few sequences and steps (`part_of_call`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minirnn.kernels.contract import Array
from minirnn.testing.causes.faulty_backward import Slopes, backward, backward_arrays
from minirnn.testing.causes.faulty_run import RIGHT_BACKWARD, Faulty, Products
from minirnn.testing.causes.mutants import Mutant, mutants_of
from minirnn.testing.causes.part_of_call import Part, parts_of

if TYPE_CHECKING:
    from minirnn.testing.mismatch import Compared
    from minirnn.testing.reference import Call, ReferenceRun

__all__ = ["Verdict", "explains", "find"]

# A mutant that explains leaves rounding, at most so much of the difference it explains.
LEFT_OVER = 0.1


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

    def __init__(self, compared: Sequence[Compared], call: Call, seconds: float) -> None:
        self.compared = compared
        self.call = call
        self.until = time.monotonic() + seconds
        self.forward_failed = any(c.excess > 1.0 and is_forward(c.name) for c in compared)
        self.forward_known = any(is_forward(c.name) for c in compared)
        self.untried: list[Mutant] = []
        self.right: Faulty | None = None
        self.right_slopes: Slopes | None = None

    def explanations(self) -> Iterator[Explanation]:
        """Every mutant that agrees, as long as there is time."""
        for mutant in self.possible():
            # A run cannot be stopped: its price is reckoned before.
            if time.monotonic() + self.price > self.until:
                self.untried.append(mutant)
                continue
            rank = self.rank(self.prediction(mutant))
            if rank is not None and not (rank and mutant.gradients_only):
                yield Explanation(rank, mutant.cause, mutant.told)

    def possible(self) -> list[Mutant]:
        """The mutants that no part of the call refutes."""
        forward: list[tuple[int, Mutant]] = []
        backward: list[tuple[int, Mutant]] = []
        for number, mutant in enumerate(mutants_of(self.call)):
            if mutant.gradients_only != self.forward_failed or not self.forward_known:
                (backward if mutant.gradients_only else forward).append((number, mutant))
        left = []
        for numbered, gradients in ((forward, False), (backward, True)):
            if not numbered:
                continue
            parts = list(parts_of(self.call, self.compared, gradients))
            for number, mutant in numbered:
                if not any(self._refutes(part, number, mutant) for part in parts):
                    left.append(mutant)
        return left

    def _refutes(self, part: Part, number: int, mutant: Mutant) -> bool:
        if time.monotonic() > self.until:
            return False
        if mutant.gradients_only and mutant.backward == RIGHT_BACKWARD:
            return False  # of the products, which are sums over all sequences
        if mutant.part == "whole" or (mutant.part == "sequences" and part.steps is not None):
            return False
        return part.refutes(number, mutant)

    def prediction(self, mutant: Mutant) -> Prediction:
        """The mutant's arrays; what is right in it is computed once for all."""
        if mutant.gradients_only and self.right is None:
            self.right = Faulty(self.call)
        prediction = Prediction(self.call, mutant, self.right)
        if mutant.gradients_only and mutant.backward == RIGHT_BACKWARD:
            assert self.right is not None
            self.right_slopes = self.right_slopes or backward(self.right)
            prediction.add(self.right_slopes, mutant.products)
        return prediction

    @property
    def price(self) -> float:
        """Seconds that a run of the whole call takes, roughly, at 3e9 multiplications a second."""
        T, B, _ = self.call.x.shape
        products: int = sum(w.size for w in self.call.weights[:2])
        return float(3 * T * (B * products / 3e9 + 1e-4))

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


def find(compared: Sequence[Compared], expected: ReferenceRun, seconds: float) -> Verdict:
    """The causes that agree with what was found, and what else can be said of it."""
    from minirnn.testing.causes.moved_arrays import movements
    from minirnn.testing.causes.observations import notes_on
    from minirnn.testing.causes.rounding import narrower

    notes = notes_on(compared, expected)
    call = expected.call
    if call is None or seconds <= 0 or call.cell.name not in ("rnn", "gru", "lstm"):
        return Verdict(notes=tuple(notes))
    explained = [Explanation(*each) for each in movements(compared, call)]
    search = Search(compared, call, seconds)
    explained += search.explanations()
    if not explained:
        few_bits, seen = narrower(compared, expected)
        explained = [Explanation(0, *each) for each in few_bits]
        notes += seen
    if search.untried:
        few = f": {', '.join(m.told for m in search.untried)}" if len(search.untried) < 4 else ""
        notes.append(f"in {seconds:g} s {len(search.untried)} mutants were not tried in full{few}")
    if not explained:
        return Verdict(notes=tuple(notes))
    best = min(each.rank for each in explained)
    agreeing = [each for each in explained if each.rank == best]
    if best == 2:
        notes.append("the gradients differ from those that would follow from it")
    causes = tuple(dict.fromkeys(each.cause for each in agreeing))
    told = tuple(dict.fromkeys(each.told for each in agreeing))
    return Verdict(causes, "; or: ".join(told[:4]), tuple(notes))
