"""Run a network in training mode for a look, and leave it as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from minirnn.nn import Module


@contextmanager
def left_alone(model: Module) -> Iterator[None]:
    """Put back afterwards what a run in training mode changes: running averages, generators."""
    generators = {
        id(each): each
        for module in model.modules()
        for each in vars(module).values()
        if isinstance(each, np.random.Generator)
    }
    states = [(each, each.bit_generator.state) for each in generators.values()]
    buffers = [(array, array.copy()) for _, array in model.named_buffers()]
    try:
        yield
    finally:
        for each, state in states:
            each.bit_generator.state = state
        for array, before in buffers:
            array[...] = before
