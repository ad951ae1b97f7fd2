"""Augmentation: what is done to the inputs of a training batch, anew each time it is dealt out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from minirnn.device import beside
from minirnn.errors import ArgumentError, ShapeError
from minirnn.real import is_real
from minirnn.training.sequences import Sequences

Augment = Callable[[Sequences, np.random.Generator], Sequences]
"""augment(batch, rng) -> batch of the same shapes; of `rng` alone, so that a run can be resumed."""


class GaussianNoise:
    """Add noise of standard deviation `std`, in the units of the inputs as they are fed.

    Small noise on the inputs works as a penalty on how fast the answers change with them (Bishop
    1995, Neural Computation 7). Steps past a sequence's end stay as they are. The noise is drawn
    on the CPU, so that a seed gives the same on both devices.

    Raises: ArgumentError, unless `std` is a finite number of at least 0.
    """

    def __init__(self, std: float) -> None:
        """Check the argument."""
        if not is_real(std) or not 0.0 <= std < math.inf:
            raise ArgumentError("std", repr(std), "a finite number of at least 0")
        self.std = float(std)

    def __call__(self, batch: Sequences, rng: np.random.Generator) -> Sequences:
        """A batch with noisy inputs; the one given stays as it is."""
        noise = rng.normal(0.0, self.std, batch.x.shape)
        if batch.lengths is not None:
            past = np.arange(batch.x.shape[1]) >= batch.lengths[:, None]
            noise[past] = 0.0
        return replace(batch, x=batch.x + beside(noise.astype(batch.x.dtype), batch.x))

    def __repr__(self) -> str:
        return f"GaussianNoise({self.std:g})"


def augmented(augment: Augment, batch: Sequences, seed: int, epoch: int, number: int) -> Sequences:
    """A batch, augmented: by numbers drawn for this batch of this epoch, which no state decides.

    Raises: ArgumentError or ShapeError for an `augment` that gives no batch of the same shapes.
    """
    if not isinstance(augment, GaussianNoise):
        # One that works in place may have the batch, but not the data that it is a view of.
        batch = replace(batch, x=batch.x.copy(), y=batch.y.copy())
    made = augment(batch, np.random.default_rng((seed, epoch, number)))
    if not isinstance(made, Sequences):
        came = f"one that returns a {type(made).__name__}"
        raise ArgumentError("augment", came, "one that returns Sequences")
    if made.x.shape != batch.x.shape or made.y.shape != batch.y.shape:
        came = f"one that returns x {made.x.shape} and y {made.y.shape}"
        raise ShapeError("augment", came, f"the batch's shapes, {batch.x.shape}, {batch.y.shape}")
    return made
