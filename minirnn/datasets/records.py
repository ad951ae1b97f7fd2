"""What a data set is handed over as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Series:
    """A series of measurements at equal steps of time.

    values      (n,) float64, in `unit`
    dates       (n,) datetime64[D], or None where a step has no date
    period      steps in one cycle (a year of weeks: 52), or None where there is none
    missing     how many values the source lacks, in `gaps` runs; what `values` holds in their place
                the loader's documentation says
    provenance  where the values come from, and under what licence
    """

    name: str
    unit: str
    values: NDArray[np.float64]
    dates: NDArray[np.datetime64] | None
    period: int | None
    missing: int
    gaps: int
    provenance: str

    def __len__(self) -> int:
        """The number of steps, n."""
        return len(self.values)


@dataclass(frozen=True, eq=False)
class Task:
    """Independent sequences with their targets.

    x           (N, T, I) float64
    y           as `Sequences` takes them: (N, O) or (N, T, O) float64, class labels (N,) or (N, T)
    baseline    the loss of the best answer that needs no memory
    loss        the loss that the task is for, by the name that `fit` knows it by
    lengths     (N,), or None where every sequence has T steps
    provenance  names the rule's source
    """

    name: str
    x: NDArray[Any]
    y: NDArray[Any]
    baseline: float
    provenance: str
    loss: str = "mse"
    lengths: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        """The number of sequences, N."""
        return len(self.x)
