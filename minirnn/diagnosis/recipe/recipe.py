"""A recipe: one run, declared. What the doctor trains, and what a remedy edits."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from minirnn.diagnosis.recipe import toml
from minirnn.diagnosis.recipe.aliases import nearest
from minirnn.diagnosis.recipe.contradictions import contradictions
from minirnn.diagnosis.recipe.rules import shown
from minirnn.diagnosis.recipe.schema import (
    KEYS,
    TABLES,
    TASKS,
    TEXT,
    DataOptions,
    GenerationOptions,
    ModelOptions,
    TrainingOptions,
    as_table,
    rule_of,
    table_of,
)
from minirnn.errors import RecipeError
from minirnn.files.whole import as_path

PATHS = ("csv", "text", "x", "y", "lengths")


@dataclass(frozen=True)
class Recipe:
    """Data, model, training, and perhaps a free run; every value checked, every default filled in.

    Two recipes are equal where all values are, arrays to the last number.
    """

    data: DataOptions = field(default_factory=DataOptions)
    model: ModelOptions = field(default_factory=ModelOptions)
    training: TrainingOptions = field(default_factory=TrainingOptions)
    generation: GenerationOptions | None = None

    @classmethod
    def from_dict(
        cls, tables: Mapping[str, Any], *, folder: str | PathLike[str] | None = None
    ) -> Recipe:
        """Read a recipe from nested dicts; relative paths are taken from `folder`.

        Raises: RecipeError, for an unknown key (with the nearest known one), a value of the wrong
        type or out of range, a value this version does not build, or tables that contradict. One
        error names all that is wrong; what contradicts is told once every key can be read.
        """
        if not isinstance(tables, Mapping):
            raise RecipeError("recipe", type(tables).__name__, "a dict of tables")
        wrong = [_unknown(str(name), TABLES) for name in tables if name not in TABLES]
        read = {
            name: _read(table, tables[name], name, wrong)
            for name, table in TABLES.items()
            if name in tables
        }
        refuse(wrong)
        where = None if folder is None else as_path(folder, "folder", RecipeError)
        recipe = cls(**read)._resolved(where)
        refuse(contradictions(recipe))
        return recipe

    @classmethod
    def from_toml(cls, path: str | PathLike[str]) -> Recipe:
        """Read a recipe from a TOML file; relative paths in it are taken from its folder.

        Raises: RecipeError, also for a file that cannot be read or is not TOML.
        """
        file = as_path(path, error=RecipeError)
        try:
            tables = tomllib.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise RecipeError("path", str(file), "a recipe file that exists") from error
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError("path", str(file), "a readable text file", str(error)) from error
        except tomllib.TOMLDecodeError as error:
            raise RecipeError("path", str(file), "a TOML file", str(error)) from error
        return cls.from_dict(tables, folder=file.parent)

    def to_dict(self) -> dict[str, Any]:
        """Nested dicts that `from_dict` reads back; defaults are written out."""
        tables = {name: as_table(getattr(self, name)) for name in ("data", "model", "training")}
        if self.generation is not None:
            tables["generation"] = as_table(self.generation)
        return tables

    def describe(self) -> dict[str, Any]:
        """Like `to_dict`, with arrays told by shape and type: fit for JSON."""
        tables = self.to_dict()
        tables["data"] = {
            key: shown(value) if isinstance(value, np.ndarray) else value
            for key, value in tables["data"].items()
        }
        return tables

    def to_toml(self) -> str:
        """The recipe as TOML text that `from_toml` reads back.

        Raises: RecipeError, when the recipe holds arrays, which TOML cannot.
        """
        for name in ("x", "y", "lengths"):
            value = getattr(self.data, name)
            if isinstance(value, np.ndarray):
                raise RecipeError(
                    f"data.{name}", shown(value), "the path of a .npy file",
                    "TOML holds no arrays: write it with numpy.save",
                )  # fmt: skip
        return toml.write(self.to_dict())

    def edit(self, changes: Mapping[str, object]) -> Recipe:
        """A new recipe with dotted keys changed: `recipe.edit({"data.scale": "standard"})`.

        Raises: RecipeError, as `from_dict`.
        """
        if not isinstance(changes, Mapping):
            wanted = 'a dict of dotted keys and values, such as {"data.scale": "standard"}'
            raise RecipeError("changes", f"a {type(changes).__name__}", wanted)
        tables = self.to_dict()
        for key, value in changes.items():
            if key not in KEYS:
                raise _unknown(str(key), TABLES)
            *above, last = key.split(".")
            table = tables
            for name in above:
                table = table.setdefault(name, {})
            table[last] = value
        return Recipe.from_dict(tables)

    def get(self, key: str) -> Any:
        """The value of a dotted key, such as "model.init.bias".

        Raises: RecipeError for an unknown key.
        """
        if not isinstance(key, str) or key not in KEYS:
            raise _unknown(str(key), TABLES)
        value: Any = self
        for name in key.split("."):
            value = getattr(value, name) if value is not None else None
        return value

    @property
    def is_series(self) -> bool:
        """Whether the data are one series of numbers that is cut into windows."""
        if self.data.x is not None or self.is_text:
            return False
        return self.data.builtin not in TASKS

    @property
    def is_text(self) -> bool:
        """Whether the data are a text, modelled character by character."""
        return self.data.text is not None or self.data.builtin == TEXT

    def _resolved(self, folder: Path | None) -> Recipe:
        if folder is None:
            return self
        paths: dict[str, Any] = {
            name: str(folder / value)
            for name in PATHS
            if isinstance(value := getattr(self.data, name), str)
        }
        return replace(self, data=replace(self.data, **paths))


def _read(table: type[Any], values: object, prefix: str, wrong: list[RecipeError]) -> Any:
    """Read one table into its dataclass; what is wrong in it is added to the list."""
    if not isinstance(values, Mapping):
        wrong.append(RecipeError(prefix, shown(values), "a table of keys and values"))
        return table()
    known = {item.name: item for item in fields(table)}
    read: dict[str, Any] = {}
    for name, value in values.items():
        key = f"{prefix}.{name}"
        if name not in known:
            wrong.append(_unknown(key, known))
            continue
        rule = rule_of(known[name])
        try:
            if rule is None:
                read[name] = _read(table_of(known[name]), value, key, wrong)
            else:
                read[name] = rule.read(key, value)
        except RecipeError as error:
            wrong.append(error)
    return table(**read)


def refuse(found: Iterable[RecipeError]) -> None:
    """Raise what was found in one error, named after the first; nothing where nothing was found."""
    errors = list(found)
    if not errors:
        return
    first, *others = errors
    if not others:
        raise first
    hint = f"{_sentence(first.hint)} Also wrong:" if first.hint else "Also wrong:"
    hint = "\n  ".join([hint, *(_sentence(str(other)) for other in others)])
    raise RecipeError(first.argument, first.came, first.wanted, hint)


def _sentence(text: str) -> str:
    """With a full stop: on one line, what follows is told apart by that alone."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _unknown(key: str, known: Mapping[str, object]) -> RecipeError:
    """The error for an unknown key: what is known there, and what was probably meant."""
    # First look beside it, then anywhere: `epochs` at the top is meant for [training].
    prefix, _, last = key.rpartition(".")
    beside = nearest(last, known)
    close = f"{prefix}.{beside}" if beside and prefix else beside
    if not close:
        leaves = {name.rpartition(".")[2]: name for name in KEYS}
        close = leaves.get(nearest(last, leaves), "")
    hint = f"Did you mean {close}?" if close else ""
    return RecipeError(key, "an unknown key", f"one of {', '.join(known)}", hint)
