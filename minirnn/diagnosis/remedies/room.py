"""How much room the data leave: for a wider window, and for a smaller held-out part."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from minirnn.diagnosis.data import PreparedData, prepare
from minirnn.diagnosis.recipe import Recipe
from minirnn.errors import MinirnnError

LEAST_HELD_OUT = 20  # values: an error of fewer says little (R2 of noise is +-0.3 at 20)


def wider(recipe: Recipe, wished: Iterable[int]) -> list[int]:
    """The windows wished for that are wider than the recipe's, each once.

    None is wider than half of the values trained on: then as many windows are left to train on as
    the widest has values. (Held-out windows reach back into that part; their number stays.) Where
    the data cannot be read, any width is possible.
    """
    data = prepared(recipe)
    cut = None if data is None else _cut(data)
    possible = [each if cut is None else min(each, cut // 2) for each in wished]
    return [each for each in dict.fromkeys(possible) if each > recipe.data.window]


def enough_held_out(recipe: Recipe, validation: float) -> bool:
    """Whether a share of the recipe's series is enough to be held against."""
    data = prepared(recipe)
    if data is None or data.series is None:
        return True
    return round(len(data.series.values) * validation) >= LEAST_HELD_OUT


def _cut(data: PreparedData) -> int | None:
    """How many values or characters are trained on; None of independent sequences."""
    whole = data.series or data.text
    return None if whole is None else whole.cut


def prepared(recipe: Recipe) -> PreparedData | None:
    """The data as a recipe prepares them; None where it cannot."""
    try:
        with np.errstate(all="ignore"):  # what is infinite is found by a detector, and not met here
            return prepare(recipe)
    except MinirnnError:
        return None
