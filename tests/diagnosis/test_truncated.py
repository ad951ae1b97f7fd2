"""vanishing-gradient by decree: `training.truncate` ends the gradient before it gets there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from problems import examine, harm, recall, recipe

from minirnn.diagnosis.detectors import vanishing_gradient
from minirnn.diagnosis.doctor import perform
from minirnn.diagnosis.evidence import Answers

LAG = 5


def cut_after(steps: int, lag: int = LAG, edits: dict[str, object] | None = None) -> Any:
    """A GRU that is to tell what came `lag` steps back, and a gradient of so many steps."""
    base: dict[str, object] = {
        "model.cell": "gru",
        "training.epochs": 30,
        "training.truncate": steps,
    }
    return recipe(recall(500, 10, -lag), base | (edits or {}))


def explaining(answers: Answers | None, r2: float) -> Answers:
    """Answers to the same, drawn towards the mean until their R2 is such."""
    assert answers is not None
    mean = answers.wanted.mean()
    return Answers(mean + (1.0 - np.sqrt(1.0 - r2)) * (answers.wanted - mean), answers.wanted)


def test_a_gradient_cut_short_of_the_lag_is_the_root_and_is_let_through() -> None:
    diagnosis = examine(cut_after(2), repair=True)
    root = diagnosis.before.root
    assert root is not None
    assert root.symptom == "vanishing-gradient"
    assert root.severity == "illness"
    assert root.where == "training.truncate = 2"
    assert {key: root.evidence[key] for key in ("kind", "truncate", "lag_needed")} == {
        "kind": "truncated", "truncate": 2, "lag_needed": LAG,
    }  # fmt: skip
    assert root.consequences == ("underfitting",)
    offered = [dict(each.edit) for each in root.remedies]
    assert offered[0] == {"training.truncate": 0}
    assert {"training.truncate": 2 * LAG} in offered
    assert len(diagnosis.attempts) == 2
    assert diagnosis.cured


@pytest.mark.parametrize(("steps", "lag"), [(LAG, LAG), (2, 2), (10, LAG)])
def test_as_many_steps_as_the_answer_needs_are_enough(steps: int, lag: int) -> None:
    assert harm(examine(cut_after(steps, lag))) == set()


def test_too_short_a_training_is_not_laid_at_a_gradient_that_reaches() -> None:
    few = perform(cut_after(LAG, edits={"training.epochs": 1}), progress=False)
    assert few.evidence.fails
    found = vanishing_gradient.detect(few.evidence)
    assert found is None or found.evidence["kind"] != "truncated"


def test_what_is_known_by_heart_makes_it_no_smaller_an_illness() -> None:
    seen = perform(cut_after(2), progress=False).evidence

    def told(trained: float, held_out: float) -> str | None:
        """The severity, of a network that explains so much of what it was trained on, and not."""
        answers, unseen = explaining(seen.answers, trained), explaining(seen.unseen, held_out)
        found = vanishing_gradient.detect(replace(seen, answers=answers, unseen=unseen))
        return None if found is None else found.severity

    assert told(0.65, 0.6) == "warning"
    assert told(0.65, 0.1) == "illness"
    assert told(0.3, 0.3) == "illness"
    assert told(0.9, 0.1) is None


@pytest.mark.parametrize(("steps", "named"), [(LAG - 1, True), (LAG, False)])
def test_one_step_short_is_short(steps: int, named: bool) -> None:
    seen = perform(cut_after(steps, edits={"training.epochs": 1}), progress=False).evidence
    found = vanishing_gradient.detect(replace(seen, answers=explaining(seen.answers, 0.3)))
    assert (found is not None and found.evidence["kind"] == "truncated") is named


def test_at_every_step_the_same_holds() -> None:
    x = np.random.default_rng(0).normal(size=(200, 16, 1)).astype(np.float32)
    y = np.concatenate([np.zeros((200, 3, 1), np.float32), x[:, :-3]], axis=1)
    edits: dict[str, object] = {
        "model.cell": "gru",
        "model.readout": "all",
        "training.epochs": 15,
        "training.truncate": 1,
    }
    root = examine(recipe({"x": x, "y": y}, edits)).root
    assert root is not None
    assert (root.symptom, root.evidence["kind"]) == ("vanishing-gradient", "truncated")
    assert root.evidence["lag_needed"] == 4
