"""The states that a `SequenceModel` begins with where its caller gives none.

L layers, D directions, B sequences, H units; a cell's states are (L*D, B, H) each.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from minirnn.device import array_namespace, beside, device_of, to_device
from minirnn.errors import ArgumentError
from minirnn.kernels.contract import Array
from minirnn.nn.module import Module
from minirnn.nn.recurrent import Recurrent
from minirnn.tensor import Tensor

Start = Literal["zeros", "learned", "random", "carried"]
STARTS: tuple[Start, ...] = ("zeros", "learned", "random", "carried")


class InitialStates(Module):
    """What the kinds share: the names of the cell's states, and L*D and H."""

    def __init__(self, layer: Recurrent) -> None:
        """Begin the layer's states."""
        self.names = layer.cell.states
        self.levels = layer.num_layers * layer.num_directions
        self.hidden_size = layer.hidden_size

    def begin(self, B: int, like: Array) -> Any:
        """States for B sequences, of the dtype and on the device of `like`; None is zeros."""
        raise NotImplementedError

    def ahead(self, B: int, like: Array) -> Any:
        """What the next `begin` will give, with nothing drawn or changed by asking."""
        return self.begin(B, like)

    def ended(self, last: Any) -> None:
        """Take notice of the states that a call ended with."""

    def reset(self) -> None:
        """Forget what was carried."""

    def _together(self, states: list[Any]) -> Any:
        """As a layer takes them: one alone, or a tuple."""
        return states[0] if len(states) == 1 else tuple(states)

    def _describe(self) -> str:
        return f"{', '.join(self.names)}"


class LearnedStates(InitialStates):
    """A parameter a state, `state_h (L*D, 1, H)`, the same for every sequence, zeros at first."""

    def __init__(self, layer: Recurrent) -> None:
        """Make the parameters, where the layer's are."""
        super().__init__(layer)
        for name in self.names:
            zeros = np.zeros((self.levels, 1, self.hidden_size), layer.dtype)
            setattr(self, f"state_{name}", Tensor(to_device(zeros, layer.device), True))

    def begin(self, B: int, like: Array) -> Any:
        """The parameters, once for each sequence: their gradient is the sum over these."""
        zeros = array_namespace(like).zeros((1, B, 1), like.dtype)
        return self._together([getattr(self, f"state_{name}") + zeros for name in self.names])


class RandomStates(InitialStates):
    """Standard normal numbers in training, drawn anew for each batch; zeros in evaluation."""

    def __init__(self, layer: Recurrent, rng: np.random.Generator) -> None:
        """Draw from `rng`: on the CPU, so that a seed gives the same on both devices."""
        super().__init__(layer)
        self.rng = rng

    def begin(self, B: int, like: Array) -> Any:
        """New ones, or None in evaluation."""
        if not self.training:
            return None
        shape = (self.levels, B, self.hidden_size)
        drawn = [self.rng.standard_normal(shape).astype(like.dtype) for _ in self.names]
        return self._together([beside(each, like) for each in drawn])

    def ahead(self, B: int, like: Array) -> Any:
        """The numbers that will be drawn; the generator is put back."""
        before = self.rng.bit_generator.state
        try:
            return self.begin(B, like)
        finally:
            self.rng.bit_generator.state = before


class CarriedStates(InitialStates):
    """In training those that the batch before ended with, cut off its tape; else zeros.

    Zeros too after `reset` (`fit` calls it before each epoch) and where the batch before had
    another number of sequences. Evaluation neither sees nor changes what is carried.
    """

    def __init__(self, layer: Recurrent) -> None:
        """Begin with nothing."""
        super().__init__(layer)
        self._carried: tuple[Tensor, ...] | None = None

    def begin(self, B: int, like: Array) -> Any:
        """Those carried, where they fit."""
        if not self.training or self._carried is None:
            return None
        first = self._carried[0].data
        fits = first.shape[1] == B and first.dtype == like.dtype
        if not fits or device_of(first) != device_of(like):
            return None
        return self._together(list(self._carried))

    def ended(self, last: Any) -> None:
        """Keep the states for the next batch."""
        if self.training:
            states = last if isinstance(last, tuple) else (last,)
            self._carried = tuple(each.detach() for each in states)

    def reset(self) -> None:
        """Begin the next batch at zeros."""
        self._carried = None


def initial_states(start: Any, layer: Recurrent, rng: np.random.Generator) -> InitialStates | None:
    """What makes the initial states of a layer; None for zeros.

    Raises: ArgumentError that names `initial_state`.
    """
    if not isinstance(start, str) or start not in STARTS:
        raise ArgumentError("initial_state", repr(start), ", ".join(map(repr, STARTS)))
    if start == "learned":
        return LearnedStates(layer)
    if start == "random":
        return RandomStates(layer, rng)
    return CarriedStates(layer) if start == "carried" else None
