"""How far back a network's final state still feels its inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minirnn.inspect import steps
from minirnn.inspect.arguments import share as a_share
from minirnn.inspect.host import on_host
from minirnn.inspect.sensitivity import input_sensitivity

if TYPE_CHECKING:
    from minirnn.inspect.trace import Trace


def memory_horizon(trace: Trace, *, share: float = 0.01) -> np.ndarray[Any, np.dtype[np.int64]]:
    """(B,): the farthest step back whose input still moves the final state, for each sequence.

    The largest d with ‖d h_end / d x_{end-d}‖ >= share × the largest such norm of the sequence (see
    `input_sensitivity`): 0 where only the last input counts. Hold it against the lag that the task
    needs: a horizon shorter than that is why it is not learned, a longer one does no harm. -1 for a
    sequence without a step, or that no input moves.

    Raises: ArgumentError unless 0 < share <= 1; TraceError as `input_sensitivity`.
    """
    share = a_share("share", share)
    moved = on_host(input_sensitivity(trace))
    distance = steps.distance(len(moved), trace.lengths, trace.reverse)
    largest = moved.max(axis=0, initial=0.0)
    felt = on_host(trace.valid) & (moved >= share * largest) & (largest > 0.0)
    horizon: np.ndarray[Any, np.dtype[np.int64]] = np.where(felt, distance, -1).max(
        axis=0, initial=-1
    )
    return horizon
