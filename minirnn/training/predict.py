"""Run a trained model: in evaluation mode, off the tape, in batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minirnn.errors import ShapeError
from minirnn.nn import Module
from minirnn.tensor import no_grad
from minirnn.training.losses import Loss, align, check_fit, resolve_loss, run_model
from minirnn.training.metrics import Metric, resolve_metrics
from minirnn.training.sequences import Sequences, as_sequences
from minirnn.training.windows import check_count


@contextmanager
def mode(model: Module, training: bool) -> Iterator[None]:
    """Put a model into training or evaluation mode; afterwards each module is as it was."""
    before = [(module, module.training) for module in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for module, was in before:
            module.training = was


def predict(
    model: Module,
    x: NDArray[Any],
    lengths: NDArray[np.int64] | None = None,
    *,
    batch_size: int = 256,
) -> NDArray[Any]:
    """What the model answers to `x (N, T, I)`: `(N, O)`, or with one answer a step `(N, T, O)`.

    Runs in evaluation mode without a tape, and restores the mode.

    Raises: ShapeError, DTypeError or ArgumentError.
    """
    if x.ndim != 3:
        raise ShapeError("x", f"shape {x.shape}", "(N, T, I)")
    # Only the inputs matter here; the labels fill the place of targets.
    data = Sequences(x, np.zeros(len(x), np.int64), lengths)
    batch_size = check_count("batch_size", batch_size)
    with mode(model, training=False), no_grad():
        outputs = [run_model(model, batch).numpy() for batch in data.batches(batch_size)]
    if outputs[0].ndim == 3:
        return np.concatenate(outputs, axis=1).swapaxes(0, 1)
    return np.concatenate(outputs)


def evaluate(
    model: Module,
    data: Sequences | tuple[Any, ...],
    *,
    loss: str | Loss,
    metrics: Iterable[str | Metric] = (),
    batch_size: int = 256,
) -> tuple[float, dict[str, float]]:
    """The loss of a model on data and its metrics by name, means over all rows that count.

    The arguments are those of `fit`. Runs in evaluation mode without a tape, and restores the mode.

    Raises: ShapeError, DTypeError or ArgumentError that names the argument.
    """
    sequences = as_sequences(data, "data")
    function = resolve_loss(loss)
    with mode(model, training=False), no_grad():
        few = sequences.take(slice(0, 2))
        check_fit(run_model(model, few), few, function)
    size = check_count("batch_size", batch_size)
    return measure(model, sequences, function, resolve_metrics(metrics), size)


def measure(
    model: Module,
    data: Sequences,
    loss: Loss,
    metrics: Mapping[str, Metric],
    batch_size: int = 256,
) -> tuple[float, dict[str, float]]:
    """`evaluate` of arguments that were checked."""
    tally = Tally(metrics)
    with mode(model, training=False), no_grad():
        for batch in data.batches(batch_size):
            prediction, target = align(run_model(model, batch), batch)
            if len(target):
                tally.add(loss(prediction, target).item(), prediction.numpy(), target)
    return tally.loss, tally.metrics()


class Tally:
    """Gathers the loss and, where a metric wants them, the predictions of batch after batch."""

    def __init__(self, metrics: Mapping[str, Metric]) -> None:
        """Begin with nothing."""
        self._metrics = metrics
        self._sum = 0.0
        self._rows = 0
        self._predictions: list[NDArray[Any]] = []
        self._targets: list[NDArray[Any]] = []

    def add(self, loss: float, prediction: NDArray[Any], target: NDArray[Any]) -> None:
        """Take in a batch's mean loss, and its rows."""
        self._sum += loss * len(target)
        self._rows += len(target)
        if self._metrics:
            self._predictions.append(prediction)
            self._targets.append(target)

    @property
    def loss(self) -> float:
        """The mean loss over the rows so far; NaN before the first."""
        return self._sum / self._rows if self._rows else float("nan")

    def metrics(self) -> dict[str, float]:
        """Each metric over all rows so far; NaN before the first."""
        if not self._rows:
            return {name: float("nan") for name in self._metrics}
        prediction = np.concatenate(self._predictions) if self._metrics else np.empty(0)
        target = np.concatenate(self._targets) if self._metrics else np.empty(0)
        return {name: float(metric(prediction, target)) for name, metric in self._metrics.items()}
