"""A window that sees a whole season, where the series has one that is longer than the window."""

from __future__ import annotations

import numpy as np

from minirnn.diagnosis.data import PreparedData
from minirnn.diagnosis.evidence.attainable import lookup
from minirnn.diagnosis.evidence.season import estimate_period
from minirnn.diagnosis.finding import Finding, Remedy
from minirnn.diagnosis.recipe import Recipe
from minirnn.diagnosis.remedies.room import prepared, wider
from minirnn.inspect.dependence import measure_dependence

MORE, TELLING = 0.2, 0.5  # R2 of a regression over the wider window: above the narrow one's; at all
MOST_ROWS = 240  # as many as `measure_dependence` asks about


def see_a_season(recipe: Recipe, finding: Finding) -> list[Remedy]:
    """The wider window, where what needs no network tells over it what over this one it does not.

    What comes once in a season cannot be told from a window that sees less than one: no rate, no
    time and no unit helps there. None where the season is not longer than the window, or the wider
    one tells no more (R2 below 0.5, or no 0.2 above this window's).
    """
    data = prepared(recipe) if recipe.is_series else None
    season = None if data is None else _season(data)
    if data is None or season is None or season <= recipe.data.window:
        return []
    known = _told(data)
    for window in wider(recipe, [season]):
        whole = prepared(recipe.edit({"data.window": window}))
        told = None if whole is None or window < season else _told(whole)
        if told is not None and told > max(TELLING, (known or 0.0) + MORE):
            return [
                Remedy(
                    {"data.window": window},
                    f"The series repeats every {season} steps, and a window of "
                    f"{recipe.data.window} sees no whole season: where in it the window ends, "
                    "and so what comes next, often cannot be told.",
                    "The network knows where in the season it is, and the error falls.",
                )
            ]
    return []


def _season(data: PreparedData) -> int | None:
    series = data.host.series
    if series is None:
        return None
    return data.period or estimate_period(series.values[: series.cut])


def _told(data: PreparedData) -> float | None:
    """The best R2 of a regression on the training part's windows; None where none can say.

    Of a season that comes again and again, what the windows' copies tell (`lookup`): it has too few
    that differ for a regression.
    """
    part = data.host.training
    chosen = np.unique(np.linspace(0, len(part) - 1, min(len(part), MOST_ROWS)).round().astype(int))
    rows = part.take(chosen)
    x = rows.x.swapaxes(0, 1)
    if not (np.isfinite(x).all() and np.isfinite(rows.y).all()):
        return None
    known = measure_dependence(x, rows.y, rows.lengths)
    if known is not None and known.telling:
        return known.best
    copies = lookup(x, rows.y, rows.lengths)
    return copies if known is None or copies is None else max(copies, known.best)
