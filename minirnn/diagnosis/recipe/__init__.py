"""The recipe: a run, declared; its tables, key by key, and what each value may be."""

from minirnn.diagnosis.recipe.recipe import PATHS, Recipe

__all__ = ["PATHS", "Recipe"]
