"""The kernels that walk through time: which arrays they get, and in how many launches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np

from minirnn.errors import DeviceError
from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.cuda import build, source
from minirnn.kernels.cuda.device import Gpu
from minirnn.kernels.cuda.launch import blocks, check_all_at_work, launch
from minirnn.kernels.cuda.packing import Packing, step_of
from minirnn.kernels.cuda.schedule import Schedule, schedule_of
from minirnn.kernels.slots import slot_order

COUNTER_STEP = 32  # from one counter to the next: a line of the cache, see share.cuh
MOST_NUMBERS = 2**31 - 1  # of a step's gates: the kernels count them in an int
RING = -1  # base of a state of which two entries take turns, see sequence.cuh

_whole: ContextVar[bool] = ContextVar("whole", default=True)


@contextmanager
def step_by_step() -> Iterator[None]:
    """Inside, every step is a launch of its own, as on a GPU without cooperative launches."""
    token = _whole.set(False)
    try:
        yield
    finally:
        _whole.reset(token)


class Sizes(NamedTuple):
    """The sizes of a call."""

    T: int
    B: int
    width: int  # I
    H: int


class State(NamedTuple):
    """A state through time: entries (B, H), and the earliest of T + 1 that is there, or RING."""

    entries: Any
    base: int


class Span(NamedTuple):
    """Some steps: those from `first` to before `last`, in the order in which they are taken."""

    first: int
    last: int

    def origin(self, T: int, reverse: bool) -> int:
        """The earliest time among them."""
        return T - self.last if reverse else self.first

    def times(self, T: int, reverse: bool) -> slice:
        """Their times."""
        low = self.origin(T, reverse)
        return slice(low, low + self.last - self.first)


class Steps:
    """The steps of a cell in one dtype and precision, for one call's sizes.

    whole   whether one launch may take all steps of a span

    Raises: DeviceError for more numbers in a step than the kernels can count.
    """

    def __init__(
        self, cell: Cell, dtype: np.dtype[Any], precision: str, gpu: Gpu, sizes: Sizes,
        reverse: bool, whole: bool = True,
    ) -> None:  # fmt: skip
        self.cell, self.dtype, self.precision, self.gpu = cell, dtype, precision, gpu
        self.sizes, self.reverse, self.whole = sizes, reverse, whole
        self.order = slot_order(cell)
        numbers = sizes.B * step_of(precision, len(self.order.slots) * sizes.H)
        if numbers > MOST_NUMBERS:
            raise DeviceError(
                "x", f"a batch of {sizes.B:,} sequences, {numbers:,} numbers in a step",
                f"at most {MOST_NUMBERS:,} numbers", "Take the batch in parts",
            )  # fmt: skip
        self.packing = Packing(dtype, precision, gpu)
        self._handed: Any = None  # room for what blocks hand each other forward, once h is there

    def begin(self, h: Any, first: int) -> None:
        """Say that h (B, H) is the state before step `first`: the next that `forward` takes."""
        if self._handed is None:
            self._handed = self.packing.room(self.sizes.B, self.sizes.H)
        self.packing.hand_over(self._handed[first % 2], h)

    def forward(
        self, z: Any, weights: Any, bias: Any, lengths: Any, output: Any,
        states: Sequence[State], span: Span,
    ) -> None:  # fmt: skip
        """Run the cell over a span, the first after `begin`, or that after the last one.

        z (steps of the span, B, S, H)
        """
        B, H = self.sizes.B, self.sizes.H
        plan = self._schedule(self.precision, self.order.fed_by_h, H)
        text = source.forward_source(self.cell, self.dtype.name, self.precision, plan.tile)
        given = [z, weights, self._handed, bias, lengths, output, *_pointers(states)]
        for part in _launches(plan, span, backward=False):
            self._launch("forward", text, plan, [*given, *self._steps(part, span)], B)

    def backward(
        self, z: Any, dz: Any, weights: Any, lengths: Any, doutput: Any, carry: Sequence[Any],
        total: Sequence[Any], states: Sequence[State], span: Span, *, precision: str, finish: bool,
    ) -> None:  # fmt: skip
        """Go back through a span; see `Gradients` in sequence.cuh."""
        K = self.order.fed_by_h * self.sizes.H
        plan = self._schedule(precision, 1, K)
        handed = Packing(self.dtype, precision, self.gpu).room(self.sizes.B, K)
        text = source.backward_source(self.cell, self.dtype.name, precision, plan.tile)
        started = span.last - 1
        for part in _launches(plan, span, backward=True):
            # A launch a step: past the first one the product is a launch of its own.
            wanted = finish and (plan.whole or part.first == part.last)
            given = [z, dz, weights, handed, lengths, doutput, *carry, *total]
            given += [int(wanted), started, *_pointers(states)]
            arguments = [*given, *self._steps(part, span)]
            if part.first < part.last or wanted:
                self._launch("backward", text, plan, arguments, self.sizes.B)

    def rebuild(self, z: Any, lengths: Any, states: Sequence[State], span: Span) -> None:
        """Turn pre-activations of a span into gates, and fill in the states but h."""
        text = source.rebuild_source(self.cell, self.dtype.name)
        kernel = build.kernel("rebuild", text, self.gpu.target, f"{self.cell.name} (rebuild)")
        arguments = [z, lengths, *_pointers(states), *self._steps(span, span)]
        launch(kernel, blocks(self.sizes.B * self.sizes.H), arguments)

    def _schedule(self, precision: str, slots: int, K: int) -> Schedule:
        B, H = self.sizes.B, self.sizes.H
        return schedule_of(self.gpu, precision, slots, B, H, K, self.whole and _whole.get())

    def _steps(self, part: Span, span: Span) -> list[int]:
        T, B, _, H = self.sizes
        return [*part, span.origin(T, self.reverse), T, B, H, int(self.reverse)]

    def _launch(self, name: str, text: str, plan: Schedule, arguments: list[Any], B: int) -> None:
        import cupy

        meets = plan.whole and plan.grid[0] > 1
        kernel = build.kernel(
            name, text, self.gpu.target, f"{self.cell.name} {name} ({self.precision})",
            cooperative=meets,
        )  # fmt: skip
        counters = None
        if meets:
            check_all_at_work(kernel, plan.grid, plan.shared_bytes, self.gpu.multiprocessors)
            counters = cupy.zeros((plan.grid[1], COUNTER_STEP), np.uint32)
        launch(kernel, plan.grid, [*arguments, counters], plan.shared_bytes)


def _launches(plan: Schedule, span: Span, *, backward: bool) -> Iterator[Span]:
    """The spans of the launches; backward in steps ends with an empty one, see `Steps.backward`."""
    if plan.whole:
        yield span
        return
    steps = range(span.first, span.last)
    for n in reversed(steps) if backward else steps:
        yield Span(n, n + 1)
    if backward:
        yield Span(span.first, span.first)


def _pointers(states: Sequence[State]) -> list[Any]:
    return [*[s.entries for s in states], *[s.base for s in states]]
