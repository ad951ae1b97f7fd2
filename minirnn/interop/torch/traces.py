"""From a call of a PyTorch module to traces, in every recording that sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from minirnn.inspect.recording import Recording, active
from minirnn.inspect.source import TraceSource
from minirnn.interop.torch import modes
from minirnn.interop.torch.arrays import array_of, kernels_on
from minirnn.interop.torch.sequences import is_cut_off
from minirnn.kernels.contract import Weights

if TYPE_CHECKING:
    from minirnn.interop.torch.function import Run
    from minirnn.interop.torch.stand import Stand

Tensor = Any
States = tuple[Tensor, ...]


class Call:
    """One call of a swapped module; where nobody looks, nothing but `records = False`."""

    __slots__ = ("_sinks", "_truncated", "records", "stand")

    def __init__(self, stand: Stand) -> None:
        self.stand = stand
        self._sinks: list[tuple[Recording, int]] = []
        self._truncated = False
        # What checkpointing computes again during backward was recorded when it first ran.
        again = modes.in_backward() and modes.saves_elsewhere()
        self.records = bool(stand.watches or active()) and not again

    def begin(self, states: States | None) -> None:
        """The arguments fit, and our kernels are about to run from these states."""
        if self.records:
            grad = torch.is_grad_enabled()
            watches = self.stand.watches
            self._sinks = [(w.recording, w.recording.begin_of(name, grad)) for w, name in watches]
            self._sinks += [(r, r.begin_call()) for r in active()]
            self._truncated = is_cut_off(states, self.stand.last_states)

    def trace(self, run: Run, layer: int, x: Tensor, states: States, weights: Weights) -> None:
        """One layer in one direction has run."""
        if not self._sinks or run.tape is None:
            return
        with kernels_on(x):
            source = TraceSource(
                cell=run.cell,
                tape=run.tape,
                x=array_of(x),
                state=tuple([array_of(s) for s in states]),
                weights=Weights(*[None if w is None else array_of(w) for w in weights]),
                lengths=run.lengths,
                layer=layer,
                class_name=self.stand.class_name,
                truncated=self._truncated,
                copy_x=layer == 0,
            )
            for recording, number in self._sinks:
                recording.add(number, source)

    def step(self, run: Run, x: Tensor, states: States, weights: Weights, last: States) -> None:
        """One step of a cell, x (B, I), has run: to a watch part of a sequence, else a call."""
        if not self.records:
            return
        for watch, name in self.stand.watches:
            watch.recording.add_step(name, self.stand.class_name, run, x, states, weights, last)
        self._sinks = [(r, r.begin_call()) for r in active()]
        self._truncated = is_cut_off(states, self.stand.last_states)
        self.trace(run, 0, x[None], states, weights)
        self.end(last)

    def end(self, last: States) -> None:
        """The last states: a later call that begins with them goes on from here."""
        if self.records:
            self.stand.last_states = tuple([s.detach() for s in last])
