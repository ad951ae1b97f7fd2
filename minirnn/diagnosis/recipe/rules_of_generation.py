"""What a recipe's keys ask of each other about text, free runs, and training for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from minirnn.diagnosis.recipe.schema import TASKS
from minirnn.errors import RecipeError

if TYPE_CHECKING:
    from minirnn.diagnosis.recipe.recipe import Recipe


def contradictions_of_generation(recipe: Recipe) -> Iterator[RecipeError]:
    """All that contradict, each as the error that tells it."""
    if recipe.is_text:
        yield from _text(recipe)
    if recipe.generation is not None:
        yield from _sampling(recipe)
    if recipe.training.truncate:
        yield from _truncation(recipe)
    if recipe.training.scheduled_sampling:
        yield from _scheduled_sampling(recipe)


def _text(recipe: Recipe) -> Iterator[RecipeError]:
    data = recipe.data
    if recipe.training.loss != "cross_entropy":
        yield RecipeError(
            "training.loss", repr(recipe.training.loss), "'cross_entropy' for text",
            "Each character is a class",
        )  # fmt: skip
    if data.scale != "none":
        yield RecipeError(
            "data.scale", repr(data.scale), "'none' for text", "Characters have no size"
        )
    if data.missing is not None:
        yield RecipeError("data.missing", repr(data.missing), "nothing for text")


def _sampling(recipe: Recipe) -> Iterator[RecipeError]:
    options = recipe.generation
    assert options is not None
    if options.sample == "temperature" and not recipe.is_text:
        yield RecipeError(
            "generation.sample", "'temperature'", "'greedy' for a series of numbers",
            "An answer in numbers has no probabilities to draw from",
        )  # fmt: skip
    if options.temperature != 1.0 and options.sample != "temperature":
        yield RecipeError(
            "generation.temperature", f"{options.temperature:g}",
            "1.0, unless generation.sample = 'temperature'", "Nothing is drawn",
        )  # fmt: skip


def _truncation(recipe: Recipe) -> Iterator[RecipeError]:
    if recipe.model.bidirectional:
        yield RecipeError(
            "training.truncate", repr(recipe.training.truncate), "0 with model.bidirectional",
            "The reverse direction begins at the last step: no chunk can be read before it",
        )  # fmt: skip
    if recipe.model.norm == "batch":
        yield RecipeError(
            "training.truncate", repr(recipe.training.truncate), "0 with model.norm = 'batch'",
            "Its statistics are of whole batches, which a chunk does not see",
        )  # fmt: skip


def _scheduled_sampling(recipe: Recipe) -> Iterator[RecipeError]:
    data, model = recipe.data, recipe.model
    came = f"{recipe.training.scheduled_sampling:g}"

    def refused(wanted: str, hint: str) -> RecipeError:
        return RecipeError("training.scheduled_sampling", came, wanted, hint)

    if data.builtin in TASKS:
        yield refused(f"0 for {data.builtin!r}", "Its targets are not its next inputs")
    if data.x is not None and model.readout == "last":
        yield refused(
            "0 for sequences with one answer each", "An answer is no input of the same sequence"
        )
    if recipe.is_series and data.transform == "change":
        yield refused(
            "0 with data.transform = 'change'",
            "The network answers with a change, and is fed what lies before it: one cannot take "
            "the place of the other",
        )
    if data.horizon != 1:
        yield refused("0 unless data.horizon = 1", "An answer is not the next input")
    if model.bidirectional:
        yield refused(
            "0 with model.bidirectional",
            "Its answer at a step must not depend on the inputs after it",
        )
