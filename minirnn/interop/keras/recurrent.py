"""SimpleRNN, GRU, LSTM, RNN of cells, and Bidirectional."""

from __future__ import annotations

from abc import abstractmethod
from reprlib import repr as short
from typing import Any

import numpy as np

from minirnn.device import array_namespace
from minirnn.errors import ArgumentError
from minirnn.functional.elementwise import where
from minirnn.functional.shaping import concatenate, expand_dims, flip
from minirnn.interop.keras.base import Build, KerasModule, Result, freeze
from minirnn.interop.keras.cells import cell_layers, plan
from minirnn.interop.keras.layout import Read
from minirnn.interop.keras.source import Layer
from minirnn.interop.keras.steps import Front, Mask, mask_from
from minirnn.kernels.contract import Array
from minirnn.nn.recurrent import Recurrent
from minirnn.tensor import Tensor, as_tensor

LAYERS = ("SimpleRNN", "GRU", "LSTM", "RNN")
MERGES = ("concat", "sum", "ave", "mul", None)


class WithState(KerasModule):
    """What layers with states share: a call may give the states to start from."""

    return_sequences: bool
    return_state: bool

    def forward(
        self, x: Tensor | Array, lengths: Any = None, *, mask: Any = None, state: Any = None
    ) -> Result:
        """Run the layer over x (B, T, I).

        lengths, mask  as `KerasModule.forward`'s
        state          Keras's `initial_state`: (B, H), or a list of them in Keras's order (LSTM h,
                       c); of Bidirectional the forward layer's, then the backward layer's

        Returns what the Keras layer returns: with `return_state`, a tuple (output, *states).

        Raises: ShapeError, DTypeError, DeviceError or ArgumentError that names the argument.
        """
        x = as_tensor(x, None, "x")
        given = None if state is None else _flat(state)
        if given is not None and len(given) != self.state_count():
            came = f"{len(given)} arrays"
            raise ArgumentError("state", came, f"{self.state_count()}, as Keras's initial_state")
        return self.run(x, mask_from(x, lengths, mask), given)[0]

    @abstractmethod
    def state_count(self) -> int:
        """How many arrays `state` has."""

    @abstractmethod
    def run(
        self, x: Tensor, mask: Mask | None, state: list[Any] | None = None
    ) -> tuple[Result, Mask | None]:
        """The result, and the mask if there is an output at every step."""


class KerasRecurrent(WithState):
    """SimpleRNN, GRU, LSTM, or RNN of one cell or of stacked cells.

    `recurrent` is the layer of minirnn that runs; of stacked cells there are `cell_0`, `cell_1`, …
    In training `dropout` acts on the input, with one mask for all steps.
    """

    def __init__(self, layer: Layer, build: Build) -> None:
        super().__init__(layer)
        self.go_backwards = layer.flag("go_backwards", False)
        self.return_sequences = layer.flag("return_sequences", False)
        self.return_state = layer.flag("return_state", False)
        self.zero_output = layer.flag("zero_output_for_mask", False)
        if layer.flag("stateful", False):
            hint = "Set layer.stateful = False and pass the states yourself: model(x, state=...)"
            layer.refuse("stateful=True", "a layer that begins every call anew", hint)
        cells = cell_layers(layer)
        self._plans = tuple(plan(cell) for cell in cells)
        self._rng = build.rng
        names = [f"cell_{index}" for index in range(len(cells))]
        self._names = tuple(names if len(names) > 1 else ["recurrent"])
        for name, cell, each in zip(self._names, cells, self._plans, strict=True):
            setattr(self, name, each.make(cell, build, reverse=self.go_backwards))
        if not layer.flag("trainable", True):
            freeze(self)

    def state_count(self) -> int:
        """One for each state of each cell."""
        return sum(len(part.cell.states) for part in self._parts())

    def run(
        self, x: Tensor, mask: Mask | None, state: list[Any] | None = None
    ) -> tuple[Result, Mask | None]:
        """The result, and the mask if there is an output at every step."""
        y, states = self.in_time(x, mask, state)
        if self.return_sequences and self.go_backwards:
            y = flip(y, 1)  # Keras gives the outputs in the order in which they were computed
        passed = mask if self.return_sequences else None
        return ((y, *states) if self.return_state else y), passed

    def in_time(
        self, x: Tensor, mask: Mask | None, state: list[Any] | None
    ) -> tuple[Tensor, list[Any]]:
        """The output, at every step in the input's time or at the end, and Keras's last states."""
        front = Front(mask)
        y = front.gather(x)
        last: list[tuple[Tensor, ...]] = []
        taken = 0
        for each, part in zip(self._plans, self._parts(), strict=True):
            if self.training:
                y = each.in_training(y, self._rng)
            count = len(part.cell.states)
            start = None if state is None else _stacked(state[taken : taken + count])
            taken += count
            y, ends = part(y, start, front.lengths)
            last.append(tuple(e[0] for e in (ends if isinstance(ends, tuple) else (ends,))))
        # Keras nests the states of stacked cells, but not those of one.
        states: list[Any] = list(last[0])
        if len(last) > 1:
            states = [list(each) if len(each) > 1 else each[0] for each in last]
        if self.return_sequences:
            return front.spread(y, hold=not self.zero_output, reverse=self.go_backwards), states
        return self._last_output(last[-1][0], mask, started=state is not None), states

    def _last_output(self, h: Tensor, mask: Mask | None, *, started: bool) -> Tensor:
        """Keras's output at the last step it takes; h is the last state."""
        if mask is None:
            return h
        there = np.ones(len(mask), bool)
        if started:  # before any step that counts the output is zero, whatever the initial state
            there &= mask.any(1)
        if self.zero_output:
            there &= mask[:, 0 if self.go_backwards else -1]
        if there.all():
            return h
        return where(array_namespace(h.data).asarray(there[:, None]), h, 0.0)

    def _parts(self) -> list[Recurrent]:
        return [getattr(self, name) for name in self._names]

    def variables(self, read: Read, *, gradients: bool) -> list[Array]:
        """Of each cell: kernel, recurrent_kernel, bias."""
        found: list[Array] = []
        for each, part in zip(self._plans, self._parts(), strict=True):
            found += each.layout.out_of(part.weights(), read, gradients=gradients)
        return found


class KerasBidirectional(WithState):
    """Bidirectional: `forward_layer` and `backward_layer`, and their outputs merged."""

    def __init__(self, layer: Layer, build: Build) -> None:
        super().__init__(layer)
        self.merge_mode = layer.option("merge_mode", "concat")
        if self.merge_mode not in MERGES:
            layer.damaged(f"merge_mode={short(self.merge_mode)}", f"one of {MERGES}")
        inner = (layer.inner("layer", "forward_layer"), layer.inner("backward_layer"))
        for each in inner:
            if not each.of_keras or each.kind not in LAYERS:
                layer.refuse(f"the layer {each}", f"one of {', '.join(LAYERS)}")
        self.forward_layer, self.backward_layer = (KerasRecurrent(i, build) for i in inner)
        halves = self._halves()
        for key in ("return_sequences", "return_state"):
            if getattr(halves[0], key) != getattr(halves[1], key):
                layer.damaged(f"two layers that differ in {key}", f"the same {key}")
        if halves[0].go_backwards == halves[1].go_backwards:
            layer.damaged("two layers of one direction", "go_backwards in one of them")
        self.return_sequences = halves[0].return_sequences
        self.return_state = halves[0].return_state
        for half in halves:
            half.zero_output = self.return_sequences  # as Keras sets it
        if not layer.flag("trainable", True):
            freeze(self)

    def state_count(self) -> int:
        """Those of both layers."""
        return sum(half.state_count() for half in self._halves())

    def run(
        self, x: Tensor, mask: Mask | None, state: list[Any] | None = None
    ) -> tuple[Result, Mask | None]:
        """The result, and the mask if there is an output at every step."""
        first = self.forward_layer.state_count()
        starts = (None, None) if state is None else (state[:first], state[first:])
        outputs, states = [], []
        for index, (layer, start) in enumerate(zip(self._halves(), starts, strict=True)):
            output, ends = layer.in_time(x, mask, start)
            if self.return_sequences and layer.go_backwards != (index == 1):
                output = flip(output, 1)  # Keras takes it that the second one ran backwards
            outputs.append(output)
            states += ends
        merged = _merge(outputs[0], outputs[1], self.merge_mode)
        passed = mask if self.return_sequences else None
        if self.return_state:
            return ((*merged, *states) if self.merge_mode is None else (merged, *states)), passed
        return merged, passed

    def _halves(self) -> tuple[KerasRecurrent, KerasRecurrent]:
        return self.forward_layer, self.backward_layer

    def variables(self, read: Read, *, gradients: bool) -> list[Array]:
        """The forward layer's, then the backward layer's."""
        return [a for half in self._halves() for a in half.variables(read, gradients=gradients)]


def _merge(first: Tensor, second: Tensor, mode: str | None) -> Any:
    match mode:
        case "concat":
            return concatenate([first, second], axis=-1)
        case "sum":
            return first + second
        case "ave":
            return (first + second) / 2.0
        case "mul":
            return first * second
    return first, second


def _flat(state: Any) -> list[Any]:
    if not isinstance(state, list | tuple):
        return [state]
    return [array for each in state for array in _flat(each)]


def _stacked(states: list[Any]) -> Any:
    """States (B, H) as a layer of minirnn takes them: (1, B, H), several as a tuple."""
    tensors = tuple(expand_dims(as_tensor(each, None, "state"), 0) for each in states)
    return tensors if len(tensors) > 1 else tensors[0]
