"""A cell that is called step by step in a loop, put together again as one sequence.

A call belongs to the sequence whose last states it begins with: the same memory, not written into
since, not cut off its graph. Anything else (a mask between steps, a detached state, changed
weights) begins another sequence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from minirnn.device import array_namespace
from minirnn.inspect.source import TraceSource, snapshots
from minirnn.inspect.trace import Trace
from minirnn.interop.torch.arrays import array_of, kernels_on
from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.contract import Array, Keep, Record, Weights

if TYPE_CHECKING:
    from minirnn.interop.torch.function import Run

Tensor = Any
States = tuple[Tensor, ...]


class _Held(NamedTuple):
    """A tensor at a moment: whether another is the same, unchanged, and on the same graph."""

    alias: Tensor  # keeps the memory, so that no other tensor can have its address
    writes: int
    on_graph: bool

    @classmethod
    def of(cls, tensor: Tensor) -> _Held:
        alias = tensor.detach()
        return cls(alias, _writes(alias), tensor.requires_grad)

    def is_still(self, tensor: Tensor) -> bool:
        return (
            tensor.data_ptr() == self.alias.data_ptr()
            and tensor.shape == self.alias.shape
            and tensor.requires_grad == self.on_graph
            and _writes(self.alias) == self.writes
        )


def _writes(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else int(tensor._version)


@dataclass
class SequenceTape:
    """The tapes of the steps, as one."""

    runs: tuple[Run, ...]
    reverse: bool = False
    keep: Keep = "record"

    @property
    def nbytes(self) -> int:
        """Bytes of all steps."""
        return sum(run.tape.nbytes for run in self.runs if run.tape is not None)

    def record(self) -> Record:
        """All steps, along time. A step that backward did not reach has gradients of zero."""
        steps = [run.tape.record() for run in self.runs if run.tape is not None]
        xp = array_namespace(next(iter(steps[0].gates.values())))

        def joined(of: Callable[[Record], dict[str, Array] | None]) -> dict[str, Array]:
            groups = [of(step) for step in steps]
            like = next(group for group in groups if group is not None)
            nothing = {name: xp.zeros_like(array) for name, array in like.items()}
            filled = [nothing if group is None else group for group in groups]
            return {name: xp.concatenate([group[name] for group in filled]) for name in like}

        record = Record(joined(lambda step: step.gates), joined(lambda step: step.states))
        if any(step.grad_states is not None for step in steps):
            record.grad_slots = joined(lambda step: step.grad_slots)
            record.grad_states = joined(lambda step: step.grad_states)
            # What enters h_t from outside is what arrives in all, less what step t+1 sends back.
            record.grad_direct = record.grad_states["h"].copy()
            for t, run in enumerate(self.runs[1:]):
                if run.carried:
                    record.grad_direct[t] -= array_of(run.carried[0])
        return record


@dataclass(eq=False)
class Sequence:
    """One sequence that grows by a call at a time; `trace()` is what it is so far."""

    number: int
    class_name: str
    cell: Cell
    truncated: bool
    initial: tuple[Array, ...]
    weights: Weights  # copies
    parameters: list[_Held]
    last: list[_Held] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    inputs: list[Array] = field(default_factory=list)
    made: Trace | None = None

    @classmethod
    def begin(
        cls, number: int, class_name: str, run: Run, states: Any, weights: Weights, truncated: bool
    ) -> Sequence:
        """A sequence that begins with these states (B, H) and weights, before its first step."""
        given = [*states, *weights]
        arrays = snapshots([None if t is None else array_of(t) for t in given])
        after = len(states)
        held = [_Held.of(w) for w in weights if w is not None]
        initial, copies = tuple(arrays[:after]), Weights(*arrays[after:])
        return cls(number, class_name, run.cell, truncated, initial, copies, held)

    @property
    def last_states(self) -> States:
        """The states after the last step."""
        return tuple([held.alias for held in self.last])

    def goes_on(self, states: tuple[Tensor, ...], weights: Weights) -> bool:
        """Whether a call with these states is the next step."""
        present = [w for w in weights if w is not None]
        return (
            len(present) == len(self.parameters)
            and all(held.is_still(s) for held, s in zip(self.last, states, strict=True))
            and all(held.is_still(w) for held, w in zip(self.parameters, present, strict=True))
        )

    def add(self, run: Run, x: Tensor, last: tuple[Tensor, ...]) -> None:
        """One step: x (B, I), and the states after it."""
        with kernels_on(x):
            self.inputs.append(array_of(x).copy())
        self.runs.append(run)
        self.last = [_Held.of(s) for s in last]
        self.made = None

    def trace(self) -> Trace:
        """The steps so far as one trace (T, B, ·)."""
        if self.made is None:
            xp = array_namespace(self.inputs[0])
            source = TraceSource(
                cell=self.cell,
                tape=SequenceTape(tuple(self.runs)),
                x=xp.stack(self.inputs),
                state=self.initial,
                weights=self.weights,
                lengths=None,
                layer=0,
                class_name=self.class_name,
                truncated=self.truncated,
                copy_x=False,
            )
            self.made = Trace(source, self.number)
        return self.made


def is_cut_off(states: States | None, last: States | None) -> bool:
    """Whether initial states are an earlier call's last ones, without their graph.

    That is a chunk of truncated BPTT: `h = h.detach()`, or a copy of its values.
    """
    if states is None or last is None or not torch.is_grad_enabled():
        return False
    return all(
        not now.requires_grad
        and now.shape == then.shape
        and (now.data_ptr() == then.data_ptr() or _same_values(now, then))
        for now, then in zip(states, last, strict=True)
    )


def _same_values(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and a.device == b.device and bool(torch.equal(a, b) and a.any())
