"""Lyapunov exponents: how fast changes of the state grow or die over many steps.

B sequences, S = H times the number of states, L layers. Per step and in nats: a change of the state
along direction i is exp(n λ_i) times as large after n steps. λ_1 < 0: the network forgets where it
began; λ_1 > 0: it is chaotic, and no gradient through time is of use for longer than about 1/λ_1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from minirnn.errors import ArgumentError
from minirnn.inspect.arguments import check_trace, whole
from minirnn.inspect.host import on_host
from minirnn.real import is_whole

if TYPE_CHECKING:
    from minirnn.inspect.trace import Trace

Array = Any
Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, eq=False)
class LyapunovExponents:
    """The k largest exponents of each sequence.

    exponents  (B, k), nats a step, the largest first as far as the sequence's length tells; -inf
               where a direction is lost altogether; NaN for a sequence with no step left to measure
    steps      (B,), the steps that were measured
    """

    exponents: Floats
    steps: np.ndarray[Any, np.dtype[np.int64]]

    @property
    def largest(self) -> Floats:
        """(B,): λ_1, the growth of almost every change."""
        largest: Floats = self.exponents.max(axis=1)
        return largest

    @property
    def horizon(self) -> Floats:
        """(B,): 1 / |λ_1|, the steps in which a change grows or dies by a factor of e."""
        with np.errstate(divide="ignore"):
            return 1.0 / np.abs(self.largest)

    @property
    def dimension(self) -> Floats:
        """(B,): Kaplan and Yorke's, k + (λ_1 + … + λ_k) / |λ_{k+1}|; 0 where λ_1 < 0.

        k is the most exponents whose sum is not negative. Where even the sum of all that were
        computed is not, it is their number: compute more of them.

        Source: Kaplan & Yorke 1979, "Chaotic behavior of multidimensional difference equations".
        """
        return np.array([_kaplan_yorke(np.sort(each)[::-1]) for each in self.exponents])


def lyapunov_exponents(trace: Trace, k: int | None = None, *, skip: int = 0) -> LyapunovExponents:
    """The k largest exponents of a trace's sequences (None: all S) on the inputs they had.

    λ_i = (1/n) Σ ln R_ii, of the QR decompositions of J_t Q_{t-1} at the n steps after the first
    `skip` of each sequence, with J_t as `Trace.jacobian` has it and a random Q to begin with
    (Benettin, Galgani, Giorgilli & Strelcyn 1980; for driven networks Engelken, Wolf & Abbott 2023,
    "Lyapunov spectra of chaotic recurrent neural networks", and Vogt, Puelma Touzel, Shlizerman &
    Lajoie 2022, "On Lyapunov exponents for RNNs"). `skip` lets the directions settle: the error
    falls like 1/n without it, and the first steps are not what the network goes on doing.

    For a stack of layers each layer's own trace gives its own exponents, given its inputs; for a
    network that feeds on its own output use `free_run_exponents`. In float64 on the CPU, at the
    cost of n QR decompositions of (S, k).

    Raises: ArgumentError for `k` outside 1 to S or a negative `skip`; TraceError if the trace came
    from a file without its cell's equations.
    """
    check_trace(trace)
    T, _, H = trace.shape
    S = H * len(trace.cell.states)
    order = range(T - 1, -1, -1) if trace.reverse else range(T)
    jacobians = (on_host(trace.jacobian(t)) for t in order)
    valid = on_host(trace.valid)[list(order)]
    return exponents_of(jacobians, valid, S, k, skip)


def exponents_of(
    jacobians: Iterable[Array], valid: Array, S: int, k: int | None, skip: int
) -> LyapunovExponents:
    """From the Jacobians (B, S, S) of the steps in their order, and which count, (T, B)."""
    k = S if k is None else k
    if not is_whole(k) or not 1 <= k <= S:
        raise ArgumentError("k", repr(k), f"a whole number from 1 to {S}, or None")
    k, skip = int(k), whole("skip", skip, 0)
    B = valid.shape[1]
    rng = np.random.default_rng(0)  # any start will do; the same each time
    Q = np.linalg.qr(rng.standard_normal((S, k)))[0]
    directions = np.broadcast_to(Q, (B, S, k)).copy()
    taken = np.zeros(B, np.int64)
    total = np.zeros((B, k))
    for on, jacobian in zip(valid, jacobians, strict=True):
        directions[on], R = np.linalg.qr(jacobian[on].astype(np.float64) @ directions[on])
        counts = taken[on] >= skip
        with np.errstate(divide="ignore"):
            growth = np.log(np.abs(np.diagonal(R, axis1=1, axis2=2)))
        total[on] += np.where(counts[:, None], growth, 0.0)
        taken[on] += 1
    measured = np.maximum(taken - skip, 0)
    with np.errstate(invalid="ignore"):
        return LyapunovExponents(total / np.where(measured, measured, np.nan)[:, None], measured)


def free_run_exponents(
    model: Any, context: Array, steps: int, k: int | None = None, *, skip: int = 0
) -> LyapunovExponents:
    """The exponents of a network that runs on its own output, as `minirnn.generate` lets it.

    model    a `SequenceModel` of one direction, whose output (B, O) is its next input, O = I
    context  (T, B, I), read first; then `steps` steps of free run, of which the first `skip` are
             left out. The state is carried from step to step (no window)

    One step of the whole, through all L layers and the head: x = W h_L + b, then each layer's own
    step, so d state / d state has, in row block l, what reaches layer l from its own state, from
    the layers below at the same step, and through x from h_L. k counts from 1 to L S.

    Raises: ArgumentError for another model or option; and what `generate` raises.
    """
    from minirnn.inspect.recording import record
    from minirnn.nn import SequenceModel
    from minirnn.training.generation import generate

    if not isinstance(model, SequenceModel):
        raise ArgumentError("model", type(model).__name__, "a SequenceModel")
    if model.norm != "none":
        raise ArgumentError("model", f"one with norm={model.norm!r}", "one with norm='none'")
    with record() as recording:
        generate(model, context, steps)
    layers = model.recurrent.num_layers
    traces = recording.traces[layers:]  # the first call read the context
    if not traces:
        raise ArgumentError("steps", steps, "2 or more: the first step's input is the context's")
    weight = on_host(model.head.weight.data).astype(np.float64)
    calls = [traces[at : at + layers] for at in range(0, len(traces), layers)]
    _, B, H = traces[0].shape
    S = layers * H * len(traces[0].cell.states)
    jacobians = (_whole_step(each, weight) for each in calls)
    return exponents_of(jacobians, np.ones((len(calls), B), bool), S, k, skip)


def _whole_step(layers: Sequence[Trace], weight: Floats) -> Floats:
    """d state' / d state, (B, L S, L S), of all layers at one step whose x is weight @ h_L."""
    H = layers[0].shape[2]
    S = H * len(layers[0].cell.states)
    last = (len(layers) - 1) * S  # where h_L stands
    # d x / d state, (I, L S): the head sees the h of the last layer before the step
    into = np.zeros((len(weight), len(layers) * S))
    into[:, last : last + H] = weight
    moved: Any = into
    blocks = []
    for number, trace in enumerate(layers):
        block = on_host(trace.input_jacobian(0)).astype(np.float64) @ moved  # (B, S, L S)
        block[:, :, number * S : (number + 1) * S] += on_host(trace.jacobian(0))
        blocks.append(block)
        moved = block[:, :H]  # the layer's new h is what the next one is fed
    return np.concatenate(blocks, axis=1)


def _kaplan_yorke(exponents: Floats) -> float:
    sums = np.cumsum(exponents)
    if np.isnan(sums).any():
        return float("nan")
    whole = int((sums >= 0.0).sum())
    if whole == 0 or whole == len(exponents):
        return float(whole)
    return whole + float(sums[whole - 1] / abs(exponents[whole]))
