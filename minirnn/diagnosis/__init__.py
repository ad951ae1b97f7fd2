"""The doctor: what ails a recurrent network, read from its own gates, states and gradients."""

from minirnn.diagnosis.diagnose import diagnose
from minirnn.diagnosis.doctor import doctor
from minirnn.diagnosis.finding import Advice, Attempt, Diagnosis, Finding, Remedy
from minirnn.diagnosis.recipe import Recipe
from minirnn.diagnosis.run import Forecast, Run
from minirnn.diagnosis.watching import Arisen, Watching

__all__ = [
    "Advice",
    "Arisen",
    "Attempt",
    "Diagnosis",
    "Finding",
    "Forecast",
    "Recipe",
    "Remedy",
    "Run",
    "Watching",
    "diagnose",
    "doctor",
]
