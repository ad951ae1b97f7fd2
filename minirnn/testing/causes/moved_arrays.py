"""The reference's own arrays, moved or scaled: faults that take no run to predict.

Each guess is fitted to the first array that differs, and has to hold in all that do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from minirnn.kernels.contract import Array
from minirnn.testing.causes.search import explains, is_forward

if TYPE_CHECKING:
    from minirnn.testing.mismatch import Compared
    from minirnn.testing.reference import Call

Movement = Callable[["Compared"], Array]


def movements(compared: Sequence[Compared], call: Call) -> Iterator[tuple[int, str, str]]:
    """(rank, cause, in words) of each movement that explains all that differs."""
    failed = [c for c in compared if c.excess > 1.0]
    guesses = [_permuted_sequences, _shifted_steps, _flipped_steps, _exchanged_states]
    if not any(is_forward(c.name) for c in failed):
        guesses += [_scaled, _permuted_rows, _transposed_blocks]
    for guess in guesses:
        for cause, told, moved in guess(failed, call):
            if all(explains(c, moved(c)) for c in failed):
                passed = [c for c in compared if c.excess <= 1.0]
                rank = 0 if all(explains(c, moved(c)) for c in passed) else 1
                yield rank, cause, told


def _scaled(failed: Sequence[Compared], call: Call) -> Iterator[tuple[str, str, Movement]]:
    first = failed[0]
    with np.errstate(all="ignore"):
        k = float((first.found * first.wanted).sum() / (first.wanted * first.wanted).sum())
    if not np.isfinite(k):
        return
    T, B, _ = call.x.shape
    steps = T * B if call.lengths is None else int(call.lengths.sum())
    known = {
        "the batch": B,
        "the steps": T,
        "steps and batch": T * B,
        "the steps that count": steps,
        "the elements of an output": T * B * call.weights.weight_hh.shape[1],
    }
    names = ", ".join(c.name for c in failed)
    averages = [words for words, n in known.items() if n > 2 and abs(k * n - 1) < 1e-3]
    if abs(k) < 1e-3:
        cause, told, k = "gradient-missing", f"zero in {names}", 0.0
    elif abs(k - 2) < 1e-3:
        cause, told, k = "gradient-doubled", f"counted twice in {names}", 2.0
    elif averages:
        cause, told = "gradient-averaged", f"a mean over {averages[0]} in {names}"
    else:
        cause, told = "gradient-scaled", f"{k:.6g} times what it should be in {names}"
    yield cause, told, lambda c: k * c.wanted


def _permuted_sequences(
    failed: Sequence[Compared], call: Call
) -> Iterator[tuple[str, str, Movement]]:
    B = call.x.shape[1]
    own = [c for c in failed if not c.name.startswith(("grad.w", "grad.b"))]
    if not own or len(own) < len(failed) or B < 2:
        return
    first = own[0]
    found, wanted = (np.moveaxis(a, -2, 0).reshape(B, -1) for a in (first.found, first.wanted))
    with np.errstate(all="ignore"):
        order = np.array([np.abs(wanted - f).max(axis=1).argmin() for f in found])
    if (order == np.arange(B)).all():
        return
    told = "sequences are given in the order " + ", ".join(map(str, order[:16]))
    if B > 16:
        told += ", …"
    if len(set(order)) < B:
        told = "several sequences are given as one and the same"
    yield "batch-permuted", told, lambda c: c.wanted[..., order, :]


def _shifted_steps(failed: Sequence[Compared], call: Call) -> Iterator[tuple[str, str, Movement]]:
    # What stands at the end that nothing is shifted to is not asked for.
    for steps in (1, -1):

        def moved(c: Compared, steps: int = steps) -> Array:
            if c.wanted.ndim < 3 or len(c.wanted) < 3:
                return np.full_like(c.wanted, np.nan)
            shifted = np.roll(c.wanted, steps, axis=0)
            edge = 0 if steps > 0 else -1
            shifted[edge] = c.found[edge]
            return shifted

        which = "before" if steps > 0 else "after"
        names = ", ".join(c.name for c in failed)
        yield "off-by-one-step", f"at a step, {names} has that of the step {which}", moved


def _flipped_steps(failed: Sequence[Compared], call: Call) -> Iterator[tuple[str, str, Movement]]:
    from minirnn.testing.causes.turned_calls import flipped

    if not call.reverse:
        return
    lengths = [None] if call.lengths is None else [None, call.lengths]
    for ends in lengths:

        def moved(c: Compared, ends: Array | None = ends) -> Array:
            return flipped(ends)(c.wanted) if c.wanted.ndim == 3 else np.full_like(c.wanted, np.nan)

        counted = "T" if ends is None else "its length"
        names = ", ".join(c.name for c in failed)
        told = f"{names} in the order of computation, counted from {counted}"
        yield "outputs-not-flipped", told, moved


def _exchanged_states(
    failed: Sequence[Compared], call: Call
) -> Iterator[tuple[str, str, Movement]]:
    if call.cell.name != "lstm":
        return
    by_name = {c.name: c.wanted for c in failed}
    others = {"state.h": "state.c", "state.c": "state.h"}
    others |= {f"grad.{a}": f"grad.{b}" for a, b in others.items()}
    if not by_name.keys() <= others.keys() or not all(others[n] in by_name for n in by_name):
        return
    names = " and ".join(by_name)
    yield "cell-for-hidden", f"{names} change places", lambda c: by_name[others[c.name]]


def _blocks(call: Call, name: str) -> int:
    return len(call.cell.input_slots if name.endswith("ih") else call.cell.hidden_slots)


def _permuted_rows(failed: Sequence[Compared], call: Call) -> Iterator[tuple[str, str, Movement]]:
    if not all(c.name.startswith(("grad.w", "grad.b")) for c in failed):
        return
    G = len(call.cell.input_slots)
    first = failed[0]
    found, wanted = (a.reshape(G, -1) for a in (first.found, first.wanted))
    with np.errstate(all="ignore"):
        order = [int(np.abs(wanted - f).max(axis=1).argmin()) for f in found]
    if sorted(order) != list(range(G)) or order == sorted(order):
        return
    taken = ", ".join(call.cell.input_slots[k] for k in order)
    names = ", ".join(c.name for c in failed)
    told = f"{names} has the blocks {taken}; wanted {', '.join(call.cell.input_slots)}"

    def moved(c: Compared) -> Array:
        if not c.name.startswith(("grad.w", "grad.b")):
            return c.wanted
        return c.wanted.reshape(G, len(c.wanted) // G, -1)[order].reshape(c.wanted.shape)

    yield "gates-permuted", told, moved


def _transposed_blocks(
    failed: Sequence[Compared], call: Call
) -> Iterator[tuple[str, str, Movement]]:
    def moved(c: Compared) -> Array:
        G = _blocks(call, c.name)
        if c.wanted.ndim != 2 or c.wanted.shape[0] != G * c.wanted.shape[1]:
            return np.full_like(c.wanted, np.nan)
        return c.wanted.reshape(G, -1, c.wanted.shape[1]).swapaxes(1, 2).reshape(c.wanted.shape)

    if all(c.name.startswith("grad.weight") for c in failed):
        names = ", ".join(c.name for c in failed)
        yield "weights-transposed", f"each (H, H) block of {names} is transposed", moved
