"""How many operations and bytes each phase of a kernel call takes, counted from its sizes.

N steps of all sequences together (T B where all are full), I inputs, H units; Gi and Gh slots fed
by x and by h, S slots in all. A multiply-add is two operations. Only matrix products are counted:
activations and sums over a gate are some tens of operations a unit where products are 2 (I + H).

    phase              FLOP           reads                                   writes
    forward
      pack                            weights                                 the same, packed
      input product    2 N Gi H I     x, W
      recurrent loop   2 N Gh H H     U                                       y, or the tape
    backward
      pack                            U; W if dx is wanted; weights again     the same, packed
                                      if gates are rebuilt
      rebuild          both products  x, h, weights
      recurrent loop   2 N Gh H H     tape, dy, U                             dz  (N S H)
      input gradient   2 N Gi H I     dz (N Gi H), W                          dx
      weight gradients 2 N Gi H I     dz (N S H), x                           dW, biases
                     + 2 N Gh H H     h                                       dU

Each array counts once a phase. What lives no longer than a chunk of the loop is left out, since it
need never leave the cache (where gates are rebuilt, they and dz): the bytes are the least that a
phase by itself can do with.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from minirnn.profiling.calls import Call


class Work(NamedTuple):
    """Operations and bytes."""

    flop: int
    nbytes: int


Counts = dict[str, Work]  # by phase


def forward_work(call: Call, *, keeps: bool) -> Counts:
    """What the forward pass of a call takes; `keeps` whether it writes a tape."""
    N, H, item = call.steps, call.H, call.itemsize
    W, U = _weights(call)
    written = max(N * H * item, call.kept if keeps else 0)
    return {
        "pack": Work(0, 2 * call.weights * item),
        "input product": Work(2 * N * W, (N * call.I + W) * item),
        "recurrent loop": Work(2 * N * U, U * item + written),
    }


def backward_work(call: Call) -> Counts:
    """What the backward pass of a call takes; nothing, if there was none."""
    needs = call.needs
    if needs is None:
        return {}
    N, H, item = call.steps, call.H, call.itemsize
    W, U = _weights(call)
    slots, input_slots = len(call.cell.slots), len(call.cell.input_slots)
    dz, dz_of_x = (0, 0) if call.rebuilds else (N * slots * H, N * input_slots * H)
    arriving = N * H if call.arrives else 0
    packed = U + (W if needs.x else 0) + (call.weights if call.rebuilds else 0)
    counts = {
        "pack": Work(0, 2 * packed * item),
        "recurrent loop": Work(2 * N * U, call.kept + (arriving + U + dz) * item),
    }
    if call.rebuilds:
        read = N * (call.I + H) + call.weights
        counts["rebuild"] = Work(2 * N * (W + U), read * item)
    if needs.x:
        moved = dz_of_x + W + N * call.I
        counts["input gradient"] = Work(2 * N * W, moved * item)
    if any(needs[2:]):
        flop, moved = 0, dz
        if needs.weight_ih:
            flop, moved = flop + 2 * N * W, moved + N * call.I + W
        if needs.weight_hh:
            flop, moved = flop + 2 * N * U, moved + N * H + U
        moved += input_slots * H if needs.bias_ih else 0
        moved += len(call.cell.hidden_slots) * H if needs.bias_hh else 0
        counts["weight gradients"] = Work(flop, moved * item)
    return counts


def added(counts: Iterable[Counts]) -> Counts:
    """The counts of several calls, phase by phase."""
    total: Counts = {}
    for one in counts:
        for phase, work in one.items():
            flop, nbytes = total.get(phase, Work(0, 0))
            total[phase] = Work(flop + work.flop, nbytes + work.nbytes)
    return total


def _weights(call: Call) -> tuple[int, int]:
    """Elements of W = weight_ih and U = weight_hh."""
    Gi, Gh = len(call.cell.input_slots), len(call.cell.hidden_slots)
    return Gi * call.H * call.I, Gh * call.H * call.H
