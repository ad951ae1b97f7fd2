"""`training.scheduler` of a recipe: read, and made for an optimiser."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minirnn.diagnosis.recipe.aliases import nearest
from minirnn.diagnosis.recipe.rules import Choice, Real, Rule, Whole
from minirnn.errors import RecipeError
from minirnn.optim import Optimizer
from minirnn.optim.schedulers import Cosine, Plateau, Scheduler, Step

_FACTOR, _MINIMUM = Real(0.0, 1.0, above=True), Real(0.0)
# What each kind may be told. Left out: plateau halves the rate after 3 epochs without improvement,
# step takes a tenth after every third of the epochs, cosine comes down over all of them.
OPTIONS: dict[str, dict[str, Rule]] = {
    "plateau": {"factor": _FACTOR, "patience": Whole(0), "minimum": _MINIMUM},
    "step": {"every": Whole(1), "factor": _FACTOR},
    "cosine": {"epochs": Whole(1), "minimum": _MINIMUM},
}
KINDS = ("none", *OPTIONS)


class SchedulerRule:
    """A word ("none", "plateau", "step", "cosine"), or a table with `name` and its options."""

    def read(self, key: str, value: object) -> Any:
        """The word, or the table with every option checked. Raises: RecipeError."""
        if not isinstance(value, Mapping):
            return Choice(KINDS).read(key, value)
        if "name" not in value:
            raise RecipeError(f"{key}.name", "nothing", f"one of {', '.join(KINDS)}")
        name = Choice(KINDS).read(f"{key}.name", value["name"])
        rules = OPTIONS.get(name, {})
        read: dict[str, Any] = {"name": name}
        for option, given in value.items():
            if option == "name":
                continue
            if option not in rules:
                close = nearest(str(option), rules)
                wanted = f"one of {', '.join(rules)}" if rules else "no options"
                hint = f"Did you mean {key}.{close}?" if close else ""
                raise RecipeError(f"{key}.{option}", "an unknown key", wanted, hint)
            read[option] = rules[option].read(f"{key}.{option}", given)
        return read


def make_scheduler(setting: Any, optimizer: Optimizer, epochs: int) -> Scheduler | None:
    """The scheduler that a recipe's setting asks for over `epochs` epochs, or None."""
    options = dict(setting) if isinstance(setting, Mapping) else {"name": setting}
    name = options.pop("name")
    if name == "plateau":
        return Plateau(optimizer, **{"factor": 0.5, "patience": 3, **options})
    if name == "step":
        return Step(optimizer, **{"every": max(1, epochs // 3), **options})
    if name == "cosine":
        return Cosine(optimizer, **{"epochs": epochs, **options})
    return None
