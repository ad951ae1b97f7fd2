"""What a recipe's keys ask of each other: each contradiction, as the error that tells it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from minirnn.diagnosis.recipe.rules import shown
from minirnn.diagnosis.recipe.rules_of_generation import contradictions_of_generation
from minirnn.diagnosis.recipe.schema import REGRESSION, TASKS, DataOptions, InitOptions
from minirnn.errors import RecipeError

if TYPE_CHECKING:
    from minirnn.diagnosis.recipe.recipe import Recipe

SERIES_ONLY = ("window", "horizon", "transform")
TASK_ONLY = ("length", "samples")
SEQUENCES_ONLY = ("time_first", "drop", "deduplicate", "clip", "split")


def contradictions(recipe: Recipe) -> Iterator[RecipeError]:
    """What no single key can tell: keys that need or exclude each other; all that there are.

    Where the source of the data is not clear, nothing else is: then that alone is told.
    """
    data, model, training = recipe.data, recipe.model, recipe.training
    sources = [name for name in ("builtin", "csv", "text", "x") if getattr(data, name) is not None]
    if len(sources) != 1:
        came = " and ".join(sources) if sources else "no source of data"
        yield RecipeError("data", came, "exactly one of builtin, csv, text, or x with y")
        return
    if data.column is not None and data.csv is None:
        yield RecipeError("data.column", repr(data.column), "no column without a csv")
    if (data.x is None) != (data.y is None):
        missing = "y" if data.y is None else "x"
        yield RecipeError(f"data.{missing}", "nothing", "x and y together")
        return
    if data.lengths is not None and data.x is None:
        yield RecipeError("data.lengths", shown(data.lengths), "lengths only beside x and y")
    if data.builtin not in TASKS:
        for name in TASK_ONLY:
            yield from _refuse(recipe, name, f"a built-in task ({', '.join(TASKS)})")
    if not recipe.is_series:
        for name in SERIES_ONLY[1:] if recipe.is_text else SERIES_ONLY:
            yield from _refuse(recipe, name, "series")
        if recipe.generation is not None and not recipe.is_text:
            yield RecipeError(
                "generation", "a table", "none", "A free run is for series and text only"
            )
    if not recipe.is_text:
        yield from _refuse(recipe, "characters", "text")
    if recipe.is_series or recipe.is_text:
        for name in SEQUENCES_ONLY:
            yield from _refuse(recipe, name, "independent sequences")
        if data.missing == "drop":
            yield RecipeError(
                "data.missing", "'drop'", "'keep' or 'interpolate' for a series",
                "Without a step the others would no longer be equally far apart",
            )  # fmt: skip
    if data.builtin is not None or data.text is not None:
        for name in ("time_first", "missing_value"):
            yield from _refuse(recipe, name, "data of one's own")
    if recipe.is_series and training.loss in ("bce", "cross_entropy"):
        yield RecipeError(
            "training.loss", repr(training.loss), "'mse', 'l1' or 'huber' for a series"
        )
    if recipe.is_series and model.readout == "all":
        yield RecipeError("model.readout", "'all'", "'last' for a series, one target a window")
    if model.init.bias == "chrono" and model.cell == "rnn":
        yield RecipeError(
            "model.init.bias", "'chrono'", "'zeros' for cell = \"rnn\"", "It has no gates to bias"
        )
    if model.init.forget_bias != InitOptions.forget_bias and model.cell != "lstm":
        yield RecipeError(
            "model.init.forget_bias", f"{model.init.forget_bias:g}", "none for this cell",
            f"cell = {model.cell!r} has no forget gate",
        )  # fmt: skip
    if model.init.head_bias == "target_mean" and training.loss not in REGRESSION:
        yield RecipeError(
            "model.init.head_bias",
            "'target_mean'",
            f"'zeros' with training.loss = {training.loss!r}",
        )
    yield from _task_needs(recipe)
    yield from contradictions_of_generation(recipe)
    if recipe.generation is not None and data.horizon != 1:
        yield RecipeError(
            "data.horizon", repr(data.horizon), "1 for a free run, which goes step by step"
        )
    if model.dropout > 0 and model.num_layers == 1:
        yield RecipeError(
            "model.dropout", repr(model.dropout), "0.0 in a network of one layer",
            "It acts between layers, so it would do nothing here; see model.head_dropout",
        )  # fmt: skip


def _task_needs(recipe: Recipe) -> Iterator[RecipeError]:
    """A built-in task has targets of its own, which decide the loss and the readout."""
    builtin, loss, readout = recipe.data.builtin, recipe.training.loss, recipe.model.readout
    if builtin not in TASKS:
        return
    wanted, answers = TASKS[builtin]
    if loss != wanted and not (loss in REGRESSION and wanted in REGRESSION):
        yield RecipeError("training.loss", repr(loss), f"{wanted!r}, for {builtin!r}")
    if readout != answers:
        each = "one answer a step" if answers == "all" else "one answer a sequence"
        yield RecipeError("model.readout", repr(readout), f"{answers!r}: {builtin!r} has {each}")


def _refuse(recipe: Recipe, name: str, purpose: str) -> Iterator[RecipeError]:
    """Refuse a key of [data] that would do nothing."""
    value, default = getattr(recipe.data, name), getattr(DataOptions, name)
    if value != default:
        wanted = f"nothing, or {default!r}"
        yield RecipeError(f"data.{name}", repr(value), wanted, f"It is for {purpose} only")
