"""What helps against each symptom, as edits of a recipe, best first; and what does not, and why.

The order is by expected effect, as far as this project has measured it; the doctor tries them in
this order and believes none before it has trained again.
"""

from __future__ import annotations

from minirnn.diagnosis.finding import Advice, Finding, Remedy
from minirnn.diagnosis.recipe import Recipe
from minirnn.diagnosis.remedies import (
    capacity,
    generation,
    gradients,
    inputs,
    learning,
    loops,
    steps,
)
from minirnn.diagnosis.remedies.offer import Advised, Offer
from minirnn.diagnosis.remedies.room import prepared
from minirnn.errors import RecipeError

FAMILIES = (inputs, loops, steps, learning, capacity, gradients, generation)

OFFERS: dict[str, Offer] = {key: offer for each in FAMILIES for key, offer in each.OFFERS.items()}
WOULD_NOT_HELP: dict[str, Advised] = {
    key: advice for each in FAMILIES for key, advice in each.WOULD_NOT_HELP.items()
}
OF_A_LOOP = tuple(loops.OFFERS)
OF_THE_DATA = ("data.", "generation.", "training.loss")  # keys on which preparing depends


def with_remedies(
    finding: Finding, recipe: Recipe | None
) -> tuple[tuple[Remedy, ...], tuple[Advice, ...]]:
    """The remedies for a finding that would change the recipe, and the advice that would not help.

    Without a recipe the remedies are those for the default one: what to do, in a recipe's words.
    """
    if not finding.harmful:
        return (), ()
    base = recipe if recipe is not None else Recipe()
    offer = OFFERS.get(finding.symptom)
    offered = offer(base, finding) if offer is not None else []
    return (
        tuple(remedy for remedy in offered if recipe is None or changes(recipe, remedy)),
        advice_against(finding, recipe),
    )


def advice_against(finding: Finding, recipe: Recipe | None) -> tuple[Advice, ...]:
    """The popular advice that would not help against a finding, in this recipe or in any."""
    advice = WOULD_NOT_HELP.get(finding.symptom, ())
    if isinstance(advice, tuple):
        return advice
    return advice(recipe if recipe is not None else Recipe(), finding)


def changes(recipe: Recipe, remedy: Remedy) -> bool:
    """Whether a remedy makes another recipe of this one: one that is allowed, of these very data.

    What it does to the data is done once here, as training would: a remedy that cannot be carried
    out (a scale for changes that are all equal, a window wider than the series) is never offered.
    """
    try:
        edited = recipe.edit(remedy.edit)
    except RecipeError:
        return False
    if edited == recipe:
        return False
    if not any(key.startswith(OF_THE_DATA) for key in remedy.edit):
        return True
    # Of data that cannot be read even as they are, nothing is known.
    return prepared(edited) is not None or prepared(recipe) is None
