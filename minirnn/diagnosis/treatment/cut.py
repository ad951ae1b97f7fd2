"""What is found in a network whose training was cut short, told as such."""

from __future__ import annotations

from dataclasses import replace

from minirnn.diagnosis.finding import Attempt, Finding
from minirnn.diagnosis.wording import counted

# What more of the same training may undo, and half of it proves nothing about.
OF_TIME = (
    "stalled-loss",
    "slow-learning",
    "underfitting",
    "constant-output",
    "frozen-generation",
    "output-loop",
)


def told_as_cut(made: Attempt) -> Attempt:
    """The same attempt, whose findings of time say that it was cut, and offer no remedy.

    What to change in a training is known when it has run as its recipe says.
    """
    if not made.cut:
        return made
    run, diagnosis = made.run, made.diagnosis
    loop = None if run is None else run.evidence.loop
    steps = "" if loop is None else f" after {counted(loop.iterations, 'step')}"
    epochs = made.recipe.training.epochs
    told = (
        f"Training was cut short{steps}, in epoch {len(made.history)} of {epochs}: {made.cut}. "
        "What it would have learned is not known; let it run to its end before anything is changed."
    )
    found = tuple(_of_a_part(each, told) for each in diagnosis.findings)
    return replace(made, diagnosis=replace(diagnosis, findings=found))


def _of_a_part(finding: Finding, told: str) -> Finding:
    if finding.symptom not in OF_TIME:
        return finding
    evidence = {**finding.evidence, "cut_short": True}
    return replace(finding, evidence=evidence, cause=told, remedies=(), would_not_help=())
