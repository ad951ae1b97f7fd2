"""One file a symptom, `dead_units.py` for "dead-units", each with

SYMPTOM        the id
faulty(rng)    a `Sample` with the fault planted; cell, sizes, length, task and seed drawn with rng
healthy(rng)   a `Sample` that comes near it and is well

A run should train in about half a second on one core: H 8 to 32, T 10 to 60, some hundred
sequences, at most some 30 epochs. The recipe's seeds (`data.seed`, `training.seed`) are drawn too.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType


def plants() -> dict[str, ModuleType]:
    """Every plant by its symptom."""
    names = sorted(each.name for each in pkgutil.iter_modules(__path__))
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return {module.SYMPTOM: module for module in modules if hasattr(module, "SYMPTOM")}
