"""The figures of a run: errors in the data's own units, beside what needs no network."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from minirnn.device import array_namespace, to_device
from minirnn.diagnosis.data import PreparedData
from minirnn.diagnosis.evidence import Answers, Evidence
from minirnn.diagnosis.recipe import Recipe
from minirnn.diagnosis.run import Forecast
from minirnn.diagnosis.season import estimate_period
from minirnn.inspect.host import fetch
from minirnn.nn import SequenceModel
from minirnn.training.baselines import seasonal_drift
from minirnn.training.metrics import accuracy, rmse
from minirnn.training.predict import predict

Array = Any


def measure(
    model: SequenceModel, recipe: Recipe, data: PreparedData, evidence: Evidence
) -> tuple[dict[str, Any], dict[str, Forecast]]:
    """The figures by name, and the forecasts they were taken of (of a series)."""
    if data.series is not None:
        return _of_series(model, recipe, data, evidence)
    return _of_sequences(model, data, evidence), {}


def _of_series(
    model: SequenceModel, recipe: Recipe, data: PreparedData, evidence: Evidence
) -> tuple[dict[str, Any], dict[str, Forecast]]:
    held, series = evidence.held_out, data.series
    assert series is not None
    figures: dict[str, Any] = {"unit": data.unit}
    forecasts: dict[str, Forecast] = {}
    if held is None:
        trained = Answers(
            series.predictions(model, "training")[:, None], series.targets("training")[:, None]
        )
    else:
        trained = held.trained_answers
        figures |= {
            "held_out_rmse": held.answers.error,
            "persistence_rmse": held.naive.error if held.naive else None,
        }
        forecasts["validation"] = Forecast(
            series.indices("validation"),
            held.answers.wanted[:, 0],
            held.answers.given[:, 0],
            held.naive.given[:, 0] if held.naive else None,
        )
    figures |= {"training_rmse": trained.error, "training_r2": trained.skill}
    forecasts["training"] = Forecast(
        series.indices("training"), trained.wanted[:, 0], trained.given[:, 0]
    )
    if recipe.generation is not None and held is not None and held.answers.finite:
        run = free_run(model, recipe, data)
        forecasts["free_run"] = run
        figures |= _of_free_run(run, _period(data))
    return figures, forecasts


def free_run(model: SequenceModel, recipe: Recipe, data: PreparedData) -> Forecast:
    """Let the model continue from the end of training on its own answers, as far as is held out."""
    series = data.series
    assert series is not None
    assert recipe.generation is not None
    steps = min(recipe.generation.steps, len(series.values) - series.cut)
    context = recipe.generation.context or series.window
    naive = _continued(_past(data), steps, _period(data))
    return Forecast(
        np.arange(series.cut, series.cut + steps),
        series.values[series.cut : series.cut + steps],
        replace(series, window=context).free_run(model, steps),
        None if naive is None else to_device(naive, data.device),
    )


def _past(data: PreparedData) -> Array:
    """The part of the series that is trained on, on the CPU."""
    series = data.host.series
    assert series is not None
    return series.values[: series.cut]


def _continued(past: Array, steps: int, period: int | None) -> Array | None:
    """What a free run is held against; None where the past does not tell.

    Without a season the slope is that of the whole past: between a few values it is chance.
    """
    if period is not None:
        return seasonal_drift(past, steps, period) if len(past) >= 2 * period else None
    ends_known = len(past) > 1 and np.isfinite(past[[0, -1]]).all()
    return seasonal_drift(past, steps, 1, len(past) - 1) if ends_known else None


def _of_free_run(run: Forecast, period: int | None) -> dict[str, Any]:
    last = slice(-period, None) if period else slice(None)
    given, wanted = run.given[last], run.wanted[last]
    high, low, true_high, true_low = fetch(given.max(), given.min(), wanted.max(), wanted.min())
    return {
        "free_run_steps": len(run.indices),
        "free_run_rmse": rmse(run.given, run.wanted),
        "seasonal_rmse": rmse(run.naive, run.wanted) if run.naive is not None else None,
        "season": period,
        "free_run_swing": high - low,
        "true_swing": true_high - true_low,
    }


def _period(data: PreparedData) -> int | None:
    if data.period is not None or data.series is None:
        return data.period
    return estimate_period(_past(data))


def _of_sequences(model: SequenceModel, data: PreparedData, evidence: Evidence) -> dict[str, Any]:
    figures: dict[str, Any] = {"training_r2": evidence.skill}
    held = evidence.held_out
    if held is not None:
        wanted, mean = held.answers.wanted, held.trained_answers.wanted.mean(axis=0)
        baseline = Answers(array_namespace(mean).broadcast_to(mean, wanted.shape), wanted)
        figures |= {
            "held_out_rmse": held.answers.error,
            "mean_rmse": baseline.error,
            "training_rmse": held.trained_answers.error,
            "held_out_r2": held.answers.skill,
        }
    part = data.validation
    if part is not None and part.is_labels and not part.per_step:
        outputs = predict(model, part.x, part.lengths)
        host = data.host
        assert host.validation is not None
        usual = np.bincount(host.training.y).argmax()
        figures |= {
            "held_out_accuracy": accuracy(outputs, part.y),
            "majority_accuracy": float(np.mean(host.validation.y == usual)),
        }
    return figures
