"""Attempts and diagnoses made by hand: no training, any outcome."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from minirnn.diagnosis import Attempt, Diagnosis, Finding, Forecast, Recipe, Remedy
from minirnn.training.history import Epoch, History, Stop


def finding(symptom: str, severity: str = "illness", **more: Any) -> Finding:
    """A finding with every text filled in."""
    return Finding(
        symptom,
        severity,
        where="LSTM.l0",
        evidence={"share": 0.97},
        cause="a cause",
        explanation=f"{symptom} explained",
        **more,
    )


def attempt(
    *,
    findings: list[Finding] | None = None,
    figures: dict[str, Any] | None = None,
    losses: list[float] | None = None,
    stopped: bool = False,
    given: list[float] | None = None,
    edit: dict[str, object] | None = None,
    aimed_at: str = "unscaled-input",
    kept: bool = True,
    data: dict[str, Any] | None = None,
) -> Attempt:
    """An attempt with these outcomes; `given` are its held-out answers to 1, 2, 3, 4, 5."""
    recipe = Recipe.from_dict({"data": {"builtin": "sine", "window": 8, **(data or {})}})
    history = None
    if losses is not None:
        epochs = [Epoch(k + 1, 1, loss, 1.0, 1.0, 1e-3, 0.1) for k, loss in enumerate(losses)]
        stop = Stop("non-finite", "the loss became nan", 2, 1) if stopped else None
        history = History(epochs, stop)
    run: Any = None
    if given is not None:
        wanted = np.arange(1.0, 6.0)
        forecast = Forecast(np.arange(5), wanted, np.array(given))
        run = SimpleNamespace(
            forecasts={"validation": forecast}, data=SimpleNamespace(unit=""), traces=()
        )
    return Attempt(
        recipe,
        Diagnosis(tuple(findings or ())),
        history,
        figures or {},
        edit=edit or {},
        remedy=Remedy(edit, "a reason", "an effect") if edit else None,
        aimed_at=aimed_at if edit else "",
        kept=kept,
        run=run,
    )


def diagnosis(*attempts: Attempt) -> Diagnosis:
    """What the doctor says after these attempts."""
    standing = next(a for a in reversed(attempts) if a.kept)
    return Diagnosis(standing.diagnosis.findings, standing.figures, attempts)
