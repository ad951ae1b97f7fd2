"""A history as columns of numbers, for files: every bit of every number is kept."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from minirnn.training.history import Epoch, History, Stop

WHOLE = ("number", "batches")
NUMBERS = ("loss", "gradient_norm", "gradient_norm_max", "learning_rate", "seconds")
METRICS = ("metrics", "validation_metrics")
STOPS = ("non-finite", "interrupted", "requested")


def to_columns(history: History) -> dict[str, Any]:
    """The history's epochs column by column; what an epoch lacks is not in its column's `there`."""
    epochs = history.epochs
    columns: dict[str, Any] = {name: _column(epochs, name, np.int64) for name in WHOLE}
    columns |= {name: _column(epochs, name, np.float64) for name in NUMBERS}
    columns["complete"] = _column(epochs, "complete", np.bool_)
    columns["validation_loss"] = _sparse([epoch.validation_loss for epoch in epochs])
    for group in METRICS:
        names = {name: None for epoch in epochs for name in getattr(epoch, group)}
        columns[group] = {
            name: _sparse([getattr(epoch, group).get(name) for epoch in epochs]) for name in names
        }
    columns["stopped"] = asdict(history.stopped) if history.stopped else None
    return columns


def from_columns(columns: Any) -> History:
    """The history of which `to_columns` made these. Raises: ValueError, TypeError or KeyError."""
    count = len(columns["number"])
    rows: dict[str, list[Any]] = {name: _dense(columns, name, count, "i") for name in WHOLE}
    rows |= {name: _dense(columns, name, count, "f") for name in NUMBERS}
    rows["complete"] = _dense(columns, "complete", count, "b")
    rows["validation_loss"] = _filled(columns["validation_loss"], count)
    for group in METRICS:
        found = {name: _filled(each, count) for name, each in columns[group].items()}
        rows[group] = [
            {name: values[k] for name, values in found.items() if values[k] is not None}
            for k in range(count)
        ]
    if set(columns) != {*rows, "stopped"}:
        raise ValueError(f"the history's columns are {sorted(columns)}")
    epochs = [Epoch(**{name: values[k] for name, values in rows.items()}) for k in range(count)]
    stopped = columns["stopped"]
    return History(epochs, None if stopped is None else _stop(stopped))


def _stop(told: Any) -> Stop:
    stop = Stop(**told)
    whole = type(stop.epoch) is int and type(stop.batch) is int
    if stop.kind not in STOPS or not isinstance(stop.message, str) or not whole:
        raise ValueError(f"training was stopped by {told}")
    return stop


def _column(epochs: list[Epoch], name: str, dtype: Any) -> np.ndarray[Any, Any]:
    return np.array([getattr(epoch, name) for epoch in epochs], dtype)


def _sparse(values: list[float | None]) -> dict[str, Any]:
    there = np.array([value is not None for value in values], np.bool_)
    return {"there": there, "values": np.array([value or 0.0 for value in values], np.float64)}


def _dense(columns: Any, name: str, count: int, kind: str) -> list[Any]:
    column = columns[name]
    if not isinstance(column, np.ndarray) or column.shape != (count,) or column.dtype.kind != kind:
        raise ValueError(f"the history's {name} is no column of {count} epochs")
    values: list[Any] = column.tolist()
    return values


def _filled(sparse: Any, count: int) -> list[float | None]:
    there, values = _dense(sparse, "there", count, "b"), _dense(sparse, "values", count, "f")
    return [value if here else None for here, value in zip(there, values, strict=True)]
