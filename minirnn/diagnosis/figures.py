"""The figures of a run: errors in the data's own units, beside what needs no network."""

from __future__ import annotations

from typing import Any

import numpy as np

from minirnn.device import array_namespace, to_device
from minirnn.diagnosis.data import PreparedData
from minirnn.diagnosis.evidence import Answers, Evidence
from minirnn.diagnosis.evidence.free_run import FreeRun
from minirnn.diagnosis.evidence.look import answers_in_units, valid_rows
from minirnn.diagnosis.evidence.naive import target_rows
from minirnn.diagnosis.evidence.season import estimate_period
from minirnn.diagnosis.recipe import Recipe
from minirnn.diagnosis.run import Forecast
from minirnn.inspect.host import fetch
from minirnn.nn import SequenceModel
from minirnn.training.baselines import seasonal_drift
from minirnn.training.metrics import accuracy, rmse
from minirnn.training.predict import predict
from minirnn.training.sequences import Sequences

Array = Any


def measure(
    model: SequenceModel, recipe: Recipe, data: PreparedData, evidence: Evidence
) -> tuple[dict[str, Any], dict[str, Forecast]]:
    """The figures by name, and the forecasts they were taken of (of a series)."""
    if data.series is not None:
        return _of_series(model, recipe, data, evidence)
    return _of_sequences(model, recipe, data, evidence), {}


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
            **_series_baselines(data),
        }
        forecasts["validation"] = Forecast(
            series.indices("validation"),
            held.answers.wanted[:, 0],
            held.answers.given[:, 0],
            held.naive.given[:, 0] if held.naive else None,
        )
    figures |= {"training_rmse": trained.error, "training_r2": trained.typical_skill}
    forecasts["training"] = Forecast(
        series.indices("training"), trained.wanted[:, 0], trained.given[:, 0]
    )
    if evidence.free_run is not None and held is not None and held.answers.finite:
        run = free_run(evidence.free_run, data)
        forecasts["free_run"] = run
        figures |= _of_free_run(run, _period(data))
    return figures, forecasts


def free_run(run: FreeRun, data: PreparedData) -> Forecast:
    """The free run from the end of training, as far as is held out."""
    series = data.series
    assert series is not None
    assert run.there is not None
    count = len(run.wanted)
    naive = _continued(_past(data), count, _period(data))
    return Forecast(
        np.arange(series.cut, series.cut + count),
        series.values[series.cut : series.cut + count],
        run.there[:count],
        None if naive is None else to_device(naive, data.device),
    )


def _past(data: PreparedData) -> Array:
    """The part of the series that is trained on, on the CPU."""
    series = data.host.series
    assert series is not None
    return series.values[: series.cut]


def _continued(past: Array, count: int, period: int | None) -> Array | None:
    """What a free run is held against; None where the past does not tell.

    Without a season the slope is that of the whole past: between a few values it is chance.
    """
    if period is not None:
        return seasonal_drift(past, count, period) if len(past) >= 2 * period else None
    ends_known = len(past) > 1 and np.isfinite(past[[0, -1]]).all()
    return seasonal_drift(past, count, 1, len(past) - 1) if ends_known else None


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


def _series_baselines(data: PreparedData) -> dict[str, float]:
    """One step ahead over what is held out: the mean of what is trained on, and the last season."""
    host = data.host
    series = host.series
    assert series is not None
    wanted = series.targets("validation")
    if not len(wanted) or not np.isfinite(_past(data)).any():
        return {}
    figures = {"mean_rmse": rmse(np.full(len(wanted), np.nanmean(_past(data))), wanted)}
    period = _period(data)
    if period is not None:
        # The last value of the same phase that is known when the window ends.
        back = -(-series.horizon // period) * period
        at = series.indices("validation") - back
        if at.min() >= 0:
            figures["last_season_rmse"] = rmse(series.values[at], wanted)
    return figures


def _of_sequences(
    model: SequenceModel, recipe: Recipe, data: PreparedData, evidence: Evidence
) -> dict[str, Any]:
    """Of independent sequences: errors of numbers, or the share of right answers."""
    figures: dict[str, Any] = {"training_r2": evidence.skill}
    held = evidence.held_out
    part = data.validation
    if held is not None:
        figures |= _errors(held.answers, held.trained_answers) | {
            "training_rmse": held.trained_answers.error,
            "held_out_r2": held.answers.skill,
        }
    elif part is not None and part.per_step and not part.is_labels:
        answers, trained = (
            answers_in_units(model, recipe, data, each) for each in (part, data.training)
        )
        figures |= _errors(answers, trained) | {
            "training_rmse": trained.error,
            "held_out_r2": answers.skill,
        }
    if part is not None and (part.is_labels or recipe.training.loss == "bce"):
        figures |= _right(model, data)
    return figures


def _errors(answers: Answers, trained: Answers) -> dict[str, float]:
    """The error of the answers, and of always answering with the mean of the training targets."""
    mean = trained.wanted.mean(axis=0)
    baseline = Answers(
        array_namespace(mean).broadcast_to(mean, answers.wanted.shape), answers.wanted
    )
    return {"held_out_rmse": answers.error, "mean_rmse": baseline.error}


def _right(model: SequenceModel, data: PreparedData) -> dict[str, float]:
    """The share of right answers, held out and trained on, and that of always the commonest one."""
    host, part = data.host, data.validation
    assert host.validation is not None
    assert part is not None
    usual, asked = target_rows(host.training), target_rows(host.validation)
    if part.is_labels:
        majority = float((asked == np.bincount(usual).argmax()).mean())
    else:
        majority = float(((asked > 0.5) == (usual.mean(axis=0) > 0.5)).mean())
    return {
        "training_accuracy": _accuracy(model, data.training),
        "held_out_accuracy": _accuracy(model, part),
        "held_out_answers": len(asked),
        "majority_accuracy": majority,
    }


def _accuracy(model: SequenceModel, part: Sequences) -> float:
    outputs, y = predict(model, part.x, part.lengths), part.y
    if part.per_step:
        outputs = valid_rows(outputs, part)
        y = valid_rows(y[..., None], part)[:, 0] if part.is_labels else valid_rows(y, part)
    return accuracy(outputs, y)
