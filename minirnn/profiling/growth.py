"""How time grows: T, B and H doubled in turn, and timed beside the size as it is."""

from __future__ import annotations

import math
import statistics
from functools import partial
from typing import Literal

from minirnn.profiling.result import Growth
from minirnn.profiling.subject import Subject, doubled, hidden_size_of
from minirnn.profiling.timing import rounds, time_plainly, warm_up

Dimension = Literal["T", "B", "H"]
DIMENSIONS: tuple[Dimension, ...] = ("T", "B", "H")


def measure_growth(subject: Subject, repeats: int | None) -> tuple[Growth, ...]:
    """Double each dimension in turn; without H for a model that cannot be built wider."""
    larger = {dimension: doubled(subject, dimension) for dimension in DIMENSIONS}
    grown = {dimension: twice for dimension, twice in larger.items() if twice is not None}
    everyone = [subject, *grown.values()]
    for one in everyone:
        warm_up(one)
    turns = [partial(time_plainly, one, training) for one in everyone for training in (False, True)]
    seconds = [statistics.median(taken) for taken in rounds(turns, repeats, subject.device)]
    inference, training = seconds[0::2], seconds[1::2]
    T, B = subject.sizes
    sizes = {"T": T, "B": B, "H": hidden_size_of(subject)}
    return tuple(
        Growth(
            dimension=dimension,
            sizes=(sizes[dimension], 2 * sizes[dimension]),
            inference=(inference[0], inference[i]),
            training=(training[0], training[i]),
            inference_exponent=math.log2(inference[i] / inference[0]),
            training_exponent=math.log2(training[i] / training[0]),
        )
        for i, dimension in enumerate(grown, start=1)
    )
