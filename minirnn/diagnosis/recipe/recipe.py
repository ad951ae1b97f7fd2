"""A recipe: one run, declared. What the doctor trains, and what a remedy edits."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from minirnn.diagnosis.recipe import toml
from minirnn.diagnosis.recipe.rules import nearest, shown
from minirnn.diagnosis.recipe.rules_of_generation import check_generation
from minirnn.diagnosis.recipe.schema import (
    KEYS,
    TABLES,
    TASKS,
    TEXT,
    DataOptions,
    GenerationOptions,
    InitOptions,
    ModelOptions,
    TrainingOptions,
    as_table,
    rule_of,
    table_of,
)
from minirnn.errors import RecipeError

SERIES_ONLY = ("window", "horizon", "transform")
TASK_ONLY = ("length", "samples")
SEQUENCES_ONLY = ("time_first", "drop", "deduplicate", "clip", "split")
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
        type or out of range, a value this version does not build, or tables that contradict.
        """
        if not isinstance(tables, Mapping):
            raise RecipeError("recipe", type(tables).__name__, "a dict of tables")
        for name in tables:
            if name not in TABLES:
                raise _unknown(str(name), TABLES)
        read = {
            name: _read(table, tables[name], name)
            for name, table in TABLES.items()
            if name in tables
        }
        recipe = cls(**read)._resolved(Path(folder) if folder is not None else None)
        _check(recipe)
        return recipe

    @classmethod
    def from_toml(cls, path: str | PathLike[str]) -> Recipe:
        """Read a recipe from a TOML file; relative paths in it are taken from its folder.

        Raises: RecipeError, also for a file that cannot be read or is not TOML.
        """
        file = Path(path)
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
        tables = self.to_dict()
        for key, value in changes.items():
            if key not in KEYS:
                raise _unknown(key, TABLES)
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
        if key not in KEYS:
            raise _unknown(key, TABLES)
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


def _read(table: type[Any], values: object, prefix: str) -> Any:
    """Read one table into its dataclass."""
    if not isinstance(values, Mapping):
        raise RecipeError(prefix, shown(values), "a table of keys and values")
    known = {item.name: item for item in fields(table)}
    read: dict[str, Any] = {}
    for name, value in values.items():
        key = f"{prefix}.{name}"
        if name not in known:
            raise _unknown(key, known)
        rule = rule_of(known[name])
        if rule is None:
            read[name] = _read(table_of(known[name]), value, key)
        else:
            read[name] = rule.read(key, value)
    return table(**read)


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


def _check(recipe: Recipe) -> None:
    """Check what no single key can tell: keys that need or exclude each other."""
    data, model, training = recipe.data, recipe.model, recipe.training
    sources = [name for name in ("builtin", "csv", "text", "x") if getattr(data, name) is not None]
    if len(sources) != 1:
        came = " and ".join(sources) if sources else "no source of data"
        raise RecipeError("data", came, "exactly one of builtin, csv, text, or x with y")
    if data.column is not None and data.csv is None:
        raise RecipeError("data.column", repr(data.column), "no column without a csv")
    if (data.x is None) != (data.y is None):
        missing = "y" if data.y is None else "x"
        raise RecipeError(f"data.{missing}", "nothing", "x and y together")
    if data.lengths is not None and data.x is None:
        raise RecipeError("data.lengths", shown(data.lengths), "lengths only beside x and y")
    if data.builtin not in TASKS:
        for name in TASK_ONLY:
            _refuse(recipe, name, f"a built-in task ({', '.join(TASKS)})")
    if not recipe.is_series:
        for name in SERIES_ONLY[1:] if recipe.is_text else SERIES_ONLY:
            _refuse(recipe, name, "series")
        if recipe.generation is not None and not recipe.is_text:
            raise RecipeError(
                "generation", "a table", "none", "A free run is for series and text only"
            )
    if not recipe.is_text:
        _refuse(recipe, "characters", "text")
    if recipe.is_series or recipe.is_text:
        for name in SEQUENCES_ONLY:
            _refuse(recipe, name, "independent sequences")
        if data.missing == "drop":
            raise RecipeError(
                "data.missing", "'drop'", "'keep' or 'interpolate' for a series",
                "Without a step the others would no longer be equally far apart",
            )  # fmt: skip
    if data.builtin is not None or data.text is not None:
        for name in ("time_first", "missing_value"):
            _refuse(recipe, name, "data of one's own")
    if recipe.is_series and training.loss in ("bce", "cross_entropy"):
        raise RecipeError(
            "training.loss", repr(training.loss), "'mse', 'l1' or 'huber' for a series"
        )
    if recipe.is_series and model.readout == "all":
        raise RecipeError("model.readout", "'all'", "'last' for a series, one target a window")
    if model.init.bias == "chrono" and model.cell == "rnn":
        raise RecipeError(
            "model.init.bias", "'chrono'", "'zeros' for cell = \"rnn\"", "It has no gates to bias"
        )
    if model.init.forget_bias != InitOptions.forget_bias and model.cell != "lstm":
        raise RecipeError(
            "model.init.forget_bias", f"{model.init.forget_bias:g}", "none for this cell",
            f"cell = {model.cell!r} has no forget gate",
        )  # fmt: skip
    if model.init.head_bias == "target_mean" and training.loss not in ("mse", "l1", "huber"):
        raise RecipeError(
            "model.init.head_bias",
            "'target_mean'",
            f"'zeros' with training.loss = {training.loss!r}",
        )
    check_generation(recipe)
    if recipe.generation is not None and data.horizon != 1:
        raise RecipeError(
            "data.horizon", repr(data.horizon), "1 for a free run, which goes step by step"
        )
    if model.dropout > 0 and model.num_layers == 1:
        raise RecipeError(
            "model.dropout", repr(model.dropout), "0.0 in a network of one layer",
            "It acts between layers, so it would do nothing here; see model.head_dropout",
        )  # fmt: skip


def _refuse(recipe: Recipe, name: str, purpose: str) -> None:
    """Refuse a key of [data] that would do nothing."""
    value, default = getattr(recipe.data, name), getattr(DataOptions, name)
    if value != default:
        wanted = f"nothing, or {default!r}"
        raise RecipeError(f"data.{name}", repr(value), wanted, f"It is for {purpose} only")
