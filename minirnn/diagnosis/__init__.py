"""The doctor: what ails a recurrent network, read from its own gates, states and gradients."""

from minirnn.diagnosis.finding import Advice, Attempt, Diagnosis, Finding, Remedy
from minirnn.diagnosis.recipe import Recipe

__all__ = ["Advice", "Attempt", "Diagnosis", "Finding", "Recipe", "Remedy"]
