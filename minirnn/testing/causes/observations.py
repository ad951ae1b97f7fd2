"""What a difference shows without its cause: which steps, sequences, units and gates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from minirnn.kernels.contract import Array

if TYPE_CHECKING:
    from minirnn.testing.mismatch import Compared
    from minirnn.testing.reference import ReferenceRun

__all__ = ["notes_on"]


def notes_on(compared: Sequence[Compared], expected: ReferenceRun) -> list[str]:
    """Sentences about what differs; of the worst array where they are about one."""
    failed = sorted((c for c in compared if c.excess > 1.0), key=lambda c: -c.excess)
    notes = []
    if len(compared) > 1:
        right = [c.name for c in compared if c.excess <= 1.0]
        differ = _listed([c.name for c in failed])
        notes.append(f"differ: {differ}; agree: {_listed(right)}" if right else "all arrays differ")
    worst = failed[0]
    with np.errstate(all="ignore"):
        wrong = ~(np.abs(worst.found - worst.wanted) <= worst.allowed)
    wrong &= ~((worst.found == worst.wanted) | (np.isnan(worst.found) & np.isnan(worst.wanted)))
    not_finite = int((~np.isfinite(worst.found) & np.isfinite(worst.wanted)).sum())
    if not_finite:
        notes.append(f"{not_finite} of {worst.found.size} values of {worst.name} are not finite")
    if not worst.found[wrong].any():
        notes.append(f"{worst.name} is 0 wherever it differs")
    if wrong.all():
        return notes
    told = list(_where(worst, wrong, expected))
    if told:
        notes.append(f"in {worst.name}, only {', and only '.join(told)}")
    return notes


def _where(c: Compared, wrong: Array, expected: ReferenceRun) -> Iterator[str]:
    if c.name.startswith(("grad.w", "grad.b")):
        cell, H = expected.cell, expected.sizes.H
        slots = cell.input_slots if c.name.endswith("ih") else cell.hidden_slots
        rows = wrong.reshape(len(slots), H, -1).any(axis=2)
        bad = [slot for slot, any_row in zip(slots, rows.any(axis=1), strict=True) if any_row]
        if len(bad) < len(slots):
            yield f"rows of {', '.join(bad)}"
        yield from _range("units", rows.any(axis=0))
        if c.found.ndim == 2:
            yield from _range("columns", wrong.any(axis=0))
        return
    if c.found.ndim == 3:
        steps = wrong.any(axis=(1, 2))
        if expected.call is not None and expected.call.reverse:
            yield from _range("steps", steps, "the last that forward visits are the first here")
        else:
            yield from _range("steps", steps)
    lengths = None if expected.call is None else expected.call.lengths
    sequences = wrong.any(axis=-1)
    if lengths is not None and c.found.ndim == 3:
        past = np.arange(len(c.found))[:, None] >= lengths
        if not (sequences & ~past).any():
            yield "past the ends of sequences"
            return
    sequences = sequences if c.found.ndim == 2 else sequences.any(axis=0)
    T = expected.sizes.T
    if lengths is not None and sequences.any() and (lengths[sequences] < T).all():
        shorter = (lengths < T) & (lengths > 0)
        if (sequences == shorter).all():
            yield f"sequences shorter than T = {T}, and all of those"
        else:
            yield f"sequences shorter than T = {T}: {_listed(np.flatnonzero(sequences))}"
    else:
        yield from _range("sequences", sequences)
    yield from _range(
        "features" if c.name == "grad.x" else "units",
        wrong.reshape(-1, wrong.shape[-1]).any(axis=0),
    )


def _range(what: str, wrong: Array, aside: str = "") -> Iterator[str]:
    """Where along an axis, if not everywhere."""
    at = np.flatnonzero(wrong)
    if not at.size or at.size == wrong.size:
        return
    first, last = int(at[0]), int(at[-1])
    aside = f" ({aside})" if aside else ""
    if first == last:
        yield f"{what[:-1]} {first}{aside}"
    elif at.size == last - first + 1:
        yield f"{what} {first} to {last} of {wrong.size}{aside}"
    else:
        yield f"{at.size} {what} of {wrong.size}: {_listed(at)}{aside}"


def _listed(names: Sequence[object] | Array) -> str:
    """At most eight of them."""
    shown = ", ".join(str(name) for name in names[:8])
    return f"{shown}, … ({len(names)} in all)" if len(names) > 8 else shown
