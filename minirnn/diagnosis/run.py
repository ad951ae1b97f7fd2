"""One run of a recipe: trained, looked at, and measured against what needs no network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minirnn.diagnosis.data import PreparedData
from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.recipe import Recipe
from minirnn.diagnosis.watching import Arisen
from minirnn.inspect.host import on_host
from minirnn.inspect.trace import Trace
from minirnn.nn import SequenceModel
from minirnn.training.history import History

Floats = Any  # float64, of the network's device


@dataclass(frozen=True, eq=False)
class Forecast:
    """Answers for a stretch of a series, in its own units; all (N,).

    indices    where in the series the targets lie; of the host
    wanted, given   the targets and the network's answers, on the network's device
    naive      without a network: persistence, or for a free run the seasonal baseline; may be None
    """

    indices: NDArray[np.int64]
    wanted: Floats
    given: Floats
    naive: Floats | None = None

    def numpy(self) -> Forecast:
        """The same in NumPy arrays, as a picture needs them."""
        naive = None if self.naive is None else on_host(self.naive)
        return Forecast(self.indices, on_host(self.wanted), on_host(self.given), naive)


@dataclass(frozen=True, eq=False)
class Run:
    """A trained network with everything around it.

    data        on the device of the run; `data.host` as they were prepared
    forecasts   "training", "validation" and "free_run" of a series, as far as there are any
    figures     named figures: errors in the data's own units, beside naive baselines
    arisen      what was found while it was trained, and in which epoch (see `Watching`)
    """

    recipe: Recipe
    data: PreparedData
    model: SequenceModel
    history: History
    evidence: Evidence
    forecasts: dict[str, Forecast] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    arisen: tuple[Arisen, ...] = ()

    @property
    def traces(self) -> tuple[Trace, ...]:
        """Of the trained network's last-step probe, with gradients."""
        return self.evidence.probe.traces if self.evidence.probe is not None else ()
