"""What was seen of a training loop that somebody else wrote: the detectors' view of it.

A framework's adapter fills this in (`interop.torch` does); detectors read it and know no framework.
T, B: steps and sequences *as the layer took them*, which need not be what its user meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minirnn.diagnosis.code import Place

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LossSeen:
    """How the loss was computed, the last time.

    kind        "mse", "l1", "cross_entropy", ...; "by hand" for differences that are squared or
                made absolute without a function of the framework
    prediction, target   their shapes
    calls       how many calls were seen, `grown` of them with more errors than either has numbers
    squashed    "sigmoid" or "softmax", where the prediction came out of one and the loss takes
                logits, of which it makes chances by the same function itself; "" else
    """

    kind: str
    prediction: tuple[int, ...]
    target: tuple[int, ...]
    calls: int = 1
    grown: int = 0
    squashed: str = ""

    @property
    def compared(self) -> tuple[int, ...]:
        """The shape that prediction and target broadcast to; the prediction's for class labels."""
        try:
            return tuple(np.broadcast_shapes(self.prediction, self.target))
        except ValueError:
            return self.prediction


@dataclass(frozen=True)
class Optimisation:
    """What the optimiser did.

    name, learning_rate, last_rate, momentum   its class, and its options at the first and last step
    steps, backwards    how many of each
    first_backwards     backward passes that came first after a step
    stale               of these: onto gradients that this step had applied already
    empty               steps that found no gradient, or zeros only
    looked_at           backward passes after which the gradients were looked at, the first and some
    flat                of these: passes that left none, or zeros only
    flat_end            the function behind which none is left: "relu", "round"; "" where not known
    unreached, untold   names of the parameters that want a gradient, and never had one; the same,
                        and those that had zeros only
    foreign             whether it holds none of the model's parameters
    by_hand             whether the parameters moved without it
    left_out            names of the parameters that had gradients, and that no optimiser held nor
                        anything else moved
    """

    name: str = ""
    learning_rate: float = float("nan")
    last_rate: float = float("nan")
    momentum: float = 0.0
    steps: int = 0
    backwards: int = 0
    first_backwards: int = 0
    stale: int = 0
    empty: int = 0
    foreign: bool = False
    by_hand: bool = False
    left_out: tuple[str, ...] = ()
    looked_at: int = 0
    flat: int = 0
    flat_end: str = ""
    unreached: tuple[str, ...] = ()
    untold: tuple[str, ...] = ()

    @property
    def arrives_flat(self) -> bool:
        """Whether backward itself leaves no gradient, in most of the passes looked at."""
        return 2 * self.flat > self.looked_at


@dataclass(frozen=True)
class LayerFed:
    """What one recurrent layer was fed in the training calls.

    batch_first  how it reads its input
    unbatched    calls with an input of two axes, which are T and I
    steps, sequences   how often each T and each B came: {size: calls}
    given        calls that were given a state, `carried` of them the last call's own, and of these
                 `attached` with its graph
    packed       calls with lengths
    """

    name: str
    batch_first: bool = False
    bidirectional: bool = False
    calls: int = 0
    unbatched: int = 0
    steps: Mapping[int, int] = field(default_factory=dict)
    sequences: Mapping[int, int] = field(default_factory=dict)
    given: int = 0
    carried: int = 0
    attached: int = 0
    packed: int = 0


@dataclass(frozen=True)
class AxisOrder:
    """What was seen along one axis of a layer's inputs.

    again     slices that had been seen before, bit for bit, in an earlier call
    moved     of these: behind another slice than the first time
    roughness mean |x[k+1] - x[k]| over that of any two slices of the batch: 1 where neighbours are
              strangers, near 0 along the time of a smooth series; NaN where nothing varies
    """

    again: int = 0
    moved: int = 0
    roughness: float = float("nan")


@dataclass(frozen=True)
class Order:
    """Order along a layer's time axis and along its batch axis, and across calls.

    Along the batch axis, the slice before is that of the same row in the call before, counted where
    the state was carried from there.

    jump   mean |first step - last step of the same row in the call before| over that within a
           sequence: about 1 where one continues the other; NaN where no state was carried
    """

    time: AxisOrder = AxisOrder()
    batch: AxisOrder = AxisOrder()
    jump: float = float("nan")


@dataclass(frozen=True)
class Padding:
    """Constant ends of the sequences of the batch looked at.

    value       what they are padded with
    ends        (B,): steps of each sequence before its constant end
    shares      (T, B): each step's share of the gradient that enters its sequence's outputs
    """

    value: float
    ends: NDArray[np.int64]
    shares: Floats


@dataclass(frozen=True)
class Unsound:
    """What was fed and asked from the first loss on that was no number.

    batches   backward passes since then; `with_nan` and `with_infinity` how many of them held one
    first     which backward pass, from 1, was the first of these to hold either; 0 where none did
    nan_inputs, infinite_inputs, nan_targets, infinite_targets   values of that one's
    """

    batches: int
    with_nan: int = 0
    with_infinity: int = 0
    first: int = 0
    nan_inputs: int = 0
    infinite_inputs: int = 0
    nan_targets: int = 0
    infinite_targets: int = 0


@dataclass(frozen=True, eq=False)
class LoopSeen:
    """Everything seen of a training loop.

    losses, gradient_norms, rates   of each step of the optimiser (of some, evenly spread, in a
                    long run); norms before clipping
    update_ratios   |change of the parameters| / |parameters|, of the steps where it was measured
    weights         |parameters| before the first step; None where it was not measured
    naive           the loss of the best constant answer to the targets looked at; None if unknown
    cut             recurrent layers that a training call ran without gradients
    single_sequence the share of the gradient that enters the layer's outputs through the batch's
                    last row alone; None without a trace
    agrees          the correlation, over the last batches, of the loop's loss and the error of the
                    answers as its kind of loss counts it; None where it cannot be told
    bounded         the last function of the model, where its answers are bounded: "tanh",
                    "sigmoid", "relu"; "" else
    unsound         what was fed where the loss was no number; None where it always was one
    places          where in the user's source: "call", "layer NAME", "loss", "backward", "step",
                    "clip"
    """

    iterations: int = 0
    losses: Floats = field(default_factory=lambda: np.empty(0))
    gradient_norms: Floats = field(default_factory=lambda: np.empty(0))
    rates: Floats = field(default_factory=lambda: np.empty(0))
    update_ratios: Floats = field(default_factory=lambda: np.empty(0))
    weights: float | None = None
    naive: float | None = None
    loss: LossSeen | None = None
    optimisation: Optimisation = Optimisation()
    layers: tuple[LayerFed, ...] = ()
    cut: tuple[str, ...] = ()
    order: Order = Order()
    padding: Padding | None = None
    single_sequence: float | None = None
    clipped: float | None = None
    unsound: Unsound | None = None
    agrees: float | None = None
    bounded: str = ""
    places: Mapping[str, tuple[Place, ...]] = field(default_factory=dict)

    def place(self, what: str) -> Place | None:
        """The first place of something, or None."""
        return next(iter(self.places.get(what, ())), None)

    def at(self, what: str, otherwise: str) -> str:
        """`file:line` of something, or other words for it."""
        place = self.place(what)
        return otherwise if place is None else place.name

    @property
    def clipped_share(self) -> float:
        """The share of the steps whose gradient was longer than the bound; NaN without one."""
        if self.clipped is None or not len(self.gradient_norms):
            return float("nan")
        return float((self.gradient_norms > self.clipped).mean())

    @property
    def kept_rate(self) -> float:
        """The share of the steps that had a tenth at least of the largest learning rate."""
        if not len(self.rates):
            return float("nan")
        # A tenth of a rate is not always 0.1 of it, to the last bit.
        return float((self.rates >= (0.1 - 1e-9) * self.rates.max()).mean())

    def blocks(self, count: int, values: Any = None) -> Floats:
        """(count,): means of that many equal stretches of the losses (or of other values)."""
        rows = self.losses if values is None else values
        return np.array([part.mean() for part in np.array_split(rows, count)])
