"""What a recipe's values may be: one rule per kind of value.

A rule reads a value, checks it, and gives it back in the type the recipe stores.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from minirnn.device import device_of
from minirnn.diagnosis.recipe.aliases import nearest
from minirnn.errors import RecipeError
from minirnn.real import is_real


class Rule(Protocol):
    """Reads one value of a recipe."""

    def read(self, key: str, value: object) -> Any:
        """The value as the recipe stores it. Raises: RecipeError that names `key`."""
        ...


def shown(value: object) -> str:
    """A short way to write what came: a whole array in an error message helps nobody."""
    if isinstance(value, np.ndarray):
        return f"an array {value.shape} of {value.dtype.name}"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


@dataclass(frozen=True)
class Whole:
    """A whole number, `least` or more."""

    least: int

    def read(self, key: str, value: object) -> int:
        """Raises: RecipeError."""
        # bool is an int to Python, and never a count to a person.
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise RecipeError(key, shown(value), f"a whole number, {self.least} or more")
        if value < self.least:
            raise RecipeError(key, shown(value), f"{self.least} or more")
        return int(value)


@dataclass(frozen=True)
class Real:
    """A finite number in [least, most), or (least, most) when `above` is set."""

    least: float
    most: float = math.inf
    above: bool = False

    def read(self, key: str, value: object) -> float:
        """Raises: RecipeError."""
        wanted = f"more than {self.least:g}" if self.above else f"{self.least:g} or more"
        if math.isfinite(self.most):
            wanted += f" and less than {self.most:g}"
        if not is_real(value):
            raise RecipeError(key, shown(value), f"a number, {wanted}")
        number = float(value)
        low = number <= self.least if self.above else number < self.least
        if not math.isfinite(number) or low or number >= self.most:
            raise RecipeError(key, shown(value), wanted)
        return number


@dataclass(frozen=True)
class Share:
    """A number from 0 to 1."""

    def read(self, key: str, value: object) -> float:
        """Raises: RecipeError."""
        number = Real(0.0).read(key, value)
        if number > 1.0:
            raise RecipeError(key, shown(value), "0 to 1")
        return number


@dataclass(frozen=True)
class Flag:
    """True or false."""

    def read(self, key: str, value: object) -> bool:
        """Raises: RecipeError."""
        if not isinstance(value, bool):
            raise RecipeError(key, shown(value), "true or false")
        return value


@dataclass(frozen=True)
class Text:
    """Some text, not empty."""

    def read(self, key: str, value: object) -> str:
        """Raises: RecipeError."""
        if not isinstance(value, str) or not value:
            raise RecipeError(key, shown(value), "text")
        return value


@dataclass(frozen=True)
class FilePath:
    """The path of a file, as text or a `pathlib.Path`."""

    def read(self, key: str, value: object) -> str:
        """Raises: RecipeError."""
        if not isinstance(value, str | Path) or not str(value):
            raise RecipeError(key, shown(value), "the path of a file")
        return str(value)


@dataclass(frozen=True)
class Array:
    """An array of numbers, or the path of a `.npy` file that holds one."""

    def read(self, key: str, value: object) -> Any:
        """Raises: RecipeError."""
        if isinstance(value, str | Path):
            if not str(value).endswith(".npy"):
                raise RecipeError(key, shown(value), "an array, or the path of a .npy file")
            return str(value)
        if device_of(value) != "cpu":
            raise RecipeError(
                key, "an array on the GPU", "a NumPy array",
                "Data are prepared on the CPU: give value.get(), and let "
                "doctor(recipe, device='cuda') take it back",
            )  # fmt: skip
        try:
            array = np.asarray(value)
        except ValueError as error:  # rows of different lengths
            raise RecipeError(key, shown(value), "an array of numbers", str(error)) from error
        if array.dtype.kind not in "fiub":
            raise RecipeError(key, shown(array), "an array of numbers, or the path of a .npy file")
        return array


@dataclass(frozen=True)
class Choice:
    """One word of several."""

    words: tuple[str, ...]

    def read(self, key: str, value: object) -> str:
        """Raises: RecipeError."""
        wanted = "one of " + ", ".join(repr(word) for word in self.words)
        if len(self.words) == 1:
            wanted = repr(self.words[0])
        if isinstance(value, str) and value in self.words:
            return value
        close = nearest(value, self.words) if isinstance(value, str) else ""
        raise RecipeError(key, shown(value), wanted, f"Did you mean {close!r}?" if close else "")


@dataclass(frozen=True)
class Names:
    """A list of words, each one of several."""

    choice: Choice

    def read(self, key: str, value: object) -> tuple[str, ...]:
        """Raises: RecipeError."""
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise RecipeError(key, shown(value), "a list of names")
        return tuple(self.choice.read(f"{key}[{index}]", item) for index, item in enumerate(value))


@dataclass(frozen=True)
class NumberOrTable:
    """A number, or a table of numbers with some of `keys`; what is left out of a table is 0."""

    rule: Real
    keys: tuple[str, ...]

    def read(self, key: str, value: object) -> Any:
        """The number, or the whole table. Raises: RecipeError."""
        if not isinstance(value, Mapping):
            return self.rule.read(key, value)
        for name in value:
            if name not in self.keys:
                close = nearest(str(name), self.keys)
                hint = f"Did you mean {key}.{close}?" if close else ""
                raise RecipeError(
                    f"{key}.{name}", "an unknown key", f"one of {', '.join(self.keys)}", hint
                )
        return {name: self.rule.read(f"{key}.{name}", value.get(name, 0.0)) for name in self.keys}


@dataclass(frozen=True)
class Indexes:
    """A list of whole numbers from 0 up, each once."""

    def read(self, key: str, value: object) -> tuple[int, ...]:
        """In ascending order. Raises: RecipeError."""
        if isinstance(value, str) or not isinstance(value, Sequence | np.ndarray):
            raise RecipeError(key, shown(value), "a list of whole numbers, such as [0, 3]")
        read = [Whole(0).read(f"{key}[{index}]", item) for index, item in enumerate(value)]
        if len(set(read)) < len(read):
            raise RecipeError(key, shown(value), "each number once")
        return tuple(sorted(read))
