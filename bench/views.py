"""Records as a reader wants them: in order; medians, ratios, shares of the peak."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench.results import Record, Results
from bench.shapes import GATES, Case, Shape
from bench.summary import geometric_mean, median, spread

GIGA = 1e9


@dataclass(frozen=True)
class View:
    """One layer's case: medians of seconds a call of each side, and of GFLOP/s of the peak.

    Raises: KeyError when asked about a side that was not there.
    """

    case: Case
    medians: dict[str, float]

    @property
    def ours(self) -> float:
        """Seconds a call of minirnn."""
        return self.medians["minirnn"]

    @property
    def theirs(self) -> float:
        """Seconds a call of PyTorch."""
        return self.medians["torch"]

    @property
    def ratio(self) -> float:
        """How many times PyTorch's time is ours."""
        return self.theirs / self.ours

    @property
    def share(self) -> float:
        """Operations a second over the FMA peak of the same rounds."""
        return self.case.operations / self.ours / (self.medians["fma_peak"] * GIGA)

    @property
    def limit(self) -> float:
        """The ratio at 100% of the peak, which nothing on this processor could exceed."""
        return self.ratio / self.share


def case_of(record: Record) -> Case:
    """The case that a record's parameters name; what has no mode is training."""
    p = record.parameters
    return Case(p["cell"], p["dtype"], Shape(*p["shape"]), p.get("mode", "training"))


def medians(record: Record) -> dict[str, float]:
    """The median reading of every side."""
    return {side: median(readings) for side, readings in record.readings.items()}


def records(results: Results, suite: str, **parameters: object) -> list[Record]:
    """A suite's records of layers: by cell, batch, hidden size, steps, and mode."""

    def order(record: Record) -> tuple[object, ...]:
        case = case_of(record)
        return list(GATES).index(case.cell), case.shape.B, case.shape.H, case.shape.T, case.mode

    return sorted(results.of(suite, **parameters), key=order)


def views(results: Results, suite: str, **parameters: object) -> list[View]:
    """The views of a suite's records with these parameters, by growing work."""
    found = [View(case_of(each), medians(each)) for each in results.of(suite, **parameters)]
    return sorted(found, key=lambda view: (view.case.operations, view.case.shape))


@dataclass(frozen=True)
class Ratios:
    """Ratios to PyTorch over a grid: geometric mean, least, and where the least is."""

    mean: float
    least: float
    where: Shape
    count: int

    @classmethod
    def over(cls, grid: list[View]) -> Ratios:
        """Of at least one view."""
        worst = min(grid, key=lambda view: view.ratio)
        mean = geometric_mean(view.ratio for view in grid)
        return cls(mean, worst.ratio, worst.case.shape, len(grid))


def spreads(results: Results) -> Iterator[tuple[float, str, str]]:
    """Interquartile range over median, with the case's key and side, of all that had rounds."""
    for key, record in sorted(results.cases.items()):
        for side, readings in record.readings.items():
            if len(readings) >= 2 and side != "fma_peak":
                yield spread(readings), key, side
