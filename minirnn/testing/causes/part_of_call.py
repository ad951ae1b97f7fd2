"""A part of a large call, in which most mutants are refuted at little cost.

Sequences know nothing of each other, and a step of forward nothing of later ones, a step of
backward nothing of earlier ones. So what a mutant says of the first steps of a few sequences
(for backward, of the last steps) it says of the whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from minirnn.kernels.contract import Array
from minirnn.testing.causes.faulty_backward import backward, sequence_arrays
from minirnn.testing.causes.faulty_run import Faulty
from minirnn.testing.causes.mutants import Mutant, mutants_of

if TYPE_CHECKING:
    from minirnn.testing.mismatch import Compared
    from minirnn.testing.reference import Call

__all__ = ["Part", "parts_of"]

# Multiplications of a call that is not worth cutting; steps of a part; sequences of a part.
SMALL_CALL, FEW_STEPS, FEW_SEQUENCES = 3_000_000, 4, 3


class Part:
    """Some sequences of a call, perhaps some of their steps, and what was found there.

    steps     of forward, counted as it visits them; None for all
    backward  whether mutants of backward are looked at: `steps` are then those it visits first
    """

    def __init__(
        self,
        call: Call,
        compared: Sequence[Compared],
        sequences: Array,
        steps: int | None,
        backward: bool,
    ) -> None:
        self.backward, self.steps = backward, steps
        T = len(call.x)
        inside = slice(None)
        if steps is not None:
            low = call.reverse != backward  # which end of the input's time the steps are at
            inside = slice(max(0, T - steps), None) if low else slice(0, steps)
        # A mutant of backward needs all of forward.
        self.call = _cut(call, sequences, slice(None) if backward else inside)
        self.inside = inside if backward else slice(None)
        self.compared = []
        for c in compared:
            per_step, per_weight = c.found.ndim == 3, c.name.startswith(("grad.w", "grad.b"))
            if per_weight or not (per_step or steps is None):
                continue
            if c.name.startswith("grad") != backward:
                continue
            at = (inside, sequences) if per_step else (sequences,)
            self.compared.append(_again(c, c.found[at], c.wanted[at]))
        self.mutants = list(mutants_of(self.call))
        self.right = Faulty(self.call) if backward else None

    @property
    def differs(self) -> bool:
        """Whether the part shows a difference."""
        return any(c.excess > 1.0 for c in self.compared)

    def refutes(self, number: int, whole: Mutant) -> bool:
        """Whether what was found here is not what the mutant makes, the whole call's `number`th."""
        from minirnn.testing.causes.search import explains

        mutant = self.mutants[number]
        assert mutant.told == whole.told
        if self.backward:
            predicted = self._backward(mutant)
        else:
            turned = self.call if mutant.turn is None else mutant.turn.there(self.call)
            arrays = Faulty(turned, mutant.forward).forward_arrays()
            predicted = arrays if mutant.turn is None else mutant.turn.back(arrays)
        return not all(
            explains(c, predicted[c.name])
            for c in self.compared
            # Where forward is wrong, some arrays may be right all the same.
            if c.name in predicted and (self.backward or c.excess > 1.0)
        )

    def _backward(self, mutant: Mutant) -> dict[str, Array]:
        assert self.right is not None
        slopes = backward(self.right, mutant.backward, self.steps)
        arrays = sequence_arrays(self.right, slopes, mutant.products)
        return {n: a[self.inside] if a.ndim == 3 else a for n, a in arrays.items()}


def parts_of(call: Call, compared: Sequence[Compared], backward: bool) -> Iterator[Part]:
    """The parts that show a difference, the smaller ones first; none of a small call."""
    T, B, _ = call.x.shape
    work = T * B * sum(weight.size for weight in call.weights[:2])
    if work < SMALL_CALL and T <= 12 * FEW_STEPS:
        return
    own = [c for c in compared if c.name.startswith("grad") == backward]
    own = [c for c in own if not c.name.startswith(("grad.w", "grad.b"))]
    failed = [c for c in own if c.excess > 1.0] or own
    if not failed:
        return
    lengths = call.lengths
    ends = [] if lengths is None else [int(lengths.argmin()), int(lengths.argmax())]
    sequences = np.unique(
        [failed[0].at[-2] if failed[0].at else 0, *ends, 0, B - 1][:FEW_SEQUENCES]
    )
    count = FEW_STEPS + _first_wrong(call, failed, sequences, backward)
    for steps in (count, None) if count < T else (None,):
        part = Part(call, compared, sequences, steps, backward)
        # Of backward, arrays that are right refute as well.
        if part.differs or (backward and part.compared):
            yield part


def _first_wrong(call: Call, failed: Sequence[Compared], sequences: Array, backward: bool) -> int:
    """How many steps are right, as the direction visits them, before one differs."""
    wrong = np.zeros(len(call.x), bool)
    for c in failed:
        if c.found.ndim == 3:
            with np.errstate(all="ignore"):
                near = np.abs(c.found - c.wanted)[:, sequences] <= c.allowed
            wrong |= ~near.all(axis=(1, 2))
    at = np.flatnonzero(wrong[::-1] if call.reverse != backward else wrong)
    return int(at[0]) if at.size else 0


def _cut(call: Call, sequences: Array, steps: slice) -> Call:
    lengths = call.lengths
    if lengths is not None:
        span = range(len(call.x))[steps]
        lengths = np.clip(lengths[sequences] - span.start, 0, len(span))

    def of(array: Array | None) -> Array | None:
        return None if array is None else array[steps, sequences]

    dstate = call.dstate and tuple(None if d is None else d[sequences] for d in call.dstate)
    return call._replace(
        x=of(call.x),
        state=tuple(s[sequences] for s in call.state),
        lengths=lengths,
        doutput=of(call.doutput),
        dstate=dstate,
    )


def _again(c: Compared, found: Array, wanted: Array) -> Compared:
    """The comparison of a part."""
    from minirnn.testing.mismatch import excess

    worst = float(excess(found, wanted, c.allowed).max(initial=0.0))
    return c._replace(found=found, wanted=wanted, excess=worst)
