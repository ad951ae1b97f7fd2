"""The recording of a watch: which calls of which module it keeps."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import torch

from minirnn.inspect.recording import Recording
from minirnn.inspect.source import TraceSource
from minirnn.inspect.trace import Trace
from minirnn.interop.torch.sequences import Sequence, is_cut_off

if TYPE_CHECKING:
    from minirnn.interop.torch.function import Run
    from minirnn.kernels.contract import Weights

Tensor = Any

MOST_OPEN = 8  # sequences of one cell that may still go on, as of an encoder run beside a decoder


class WatchRecording(Recording):
    """A recording that keeps the last calls of every module, with gradients and without apart.

    Validation without gradients, which comes after training, would else drive out what training
    left. `names` tells the module of each kept call, by number.
    """

    def __init__(self, keep_last: int | None) -> None:
        super().__init__(keep_last)
        self.names: dict[int, str] = {}
        self._kept: dict[tuple[str, bool], deque[int]] = {}
        self._sequences: dict[int, Sequence] = {}
        self._open: dict[str, deque[Sequence]] = {}

    @property
    def traces(self) -> tuple[Trace, ...]:
        """The traces, ordered by call, then layer, then direction (forward before reverse).

        The trace of a cell's sequence that may still go on is made anew after every step.
        """
        with self._lock:
            whole, sequences = list(self._traces), list(self._sequences.values())
        traces = whole + [sequence.trace() for sequence in sequences]
        return tuple(sorted(traces, key=lambda trace: (trace.call, trace.layer, trace.reverse)))

    def begin_call(self) -> int:
        """Number a call of a module without name."""
        return self.begin_of("", torch.is_grad_enabled())

    def begin_of(self, name: str, with_gradients: bool) -> int:
        """Number a call of the module of that name; lets go of the oldest of its kind."""
        with self._lock:
            call = self._calls
            self._calls += 1
            self.names[call] = name
            calls = self._kept.setdefault((name, with_gradients), deque())
            calls.append(call)
            if self.keep_last is not None and len(calls) > self.keep_last:
                self._forget(calls.popleft())
            return call

    def _forget(self, call: int) -> None:
        name = self.names.pop(call)
        self._traces = [trace for trace in self._traces if trace.call != call]
        sequence = self._sequences.pop(call, None)
        if sequence is not None and sequence in self._open.get(name, ()):
            self._open[name].remove(sequence)

    def add(self, call: int, source: TraceSource) -> None:
        """Keep one layer and direction of the call of that number, after its forward pass."""
        trace = Trace(source.kept(), call)
        with self._lock:
            if call in self.names:
                self._traces.append(trace)

    def add_step(
        self,
        name: str,
        class_name: str,
        run: Run,
        x: Tensor,
        states: tuple[Tensor, ...],
        weights: Weights,
        last: tuple[Tensor, ...],
    ) -> None:
        """Keep one step of the cell of that name: it goes on with a sequence, or begins one."""
        sequences = self._open.setdefault(name, deque(maxlen=MOST_OPEN))
        sequence = next((s for s in reversed(sequences) if s.goes_on(states, weights)), None)
        if sequence is None:
            truncated = any(is_cut_off(states, s.last_states) for s in sequences)
            number = self.begin_of(name, torch.is_grad_enabled())
            sequence = Sequence.begin(number, class_name, run, states, weights, truncated)
            with self._lock:
                sequences.append(sequence)
                self._sequences[number] = sequence
        sequence.add(run, x, last)
