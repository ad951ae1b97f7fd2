"""Run a trained model: in evaluation mode, off the tape, in batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minirnn.device import Array, array_namespace, device_of, to_device
from minirnn.errors import ArgumentError, ShapeError
from minirnn.gpu import cupy_array
from minirnn.nn import Module
from minirnn.tensor import no_grad
from minirnn.training.losses import (
    Loss,
    align,
    check_fit,
    check_model,
    check_number,
    device_for,
    on_device_of,
    resolve_loss,
    run_model,
)
from minirnn.training.metrics import Metric, metric_value, resolve_metrics
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
    x: Array,
    lengths: NDArray[np.int64] | None = None,
    *,
    batch_size: int = 256,
) -> Array:
    """What the model answers to `x (N, T, I)`: `(N, O)`, or with one answer a step `(N, T, O)`.

    Runs in evaluation mode without a tape, and restores the mode. With a model on the GPU, x may be
    NumPy's: it goes there at once, and the answers come back at once. What is CuPy's stays there.

    Raises: ShapeError, DTypeError, DeviceError or ArgumentError.
    """
    check_model(model)
    if not isinstance(x, np.ndarray) and not cupy_array(x):
        raise ArgumentError("x", f"a {type(x).__name__}", "a NumPy or CuPy array (N, T, I)")
    if x.ndim != 3:
        raise ShapeError("x", f"shape {x.shape}", "(N, T, I)")
    source = device_of(x)
    x = to_device(x, device_for(model, source, "x"), "x")
    # Only the inputs matter here; the labels fill the place of targets.
    data = Sequences(x, array_namespace(x).zeros(len(x), np.int64), lengths)
    batch_size = check_count("batch_size", batch_size)
    with mode(model, training=False), no_grad():
        outputs = [run_model(model, batch).data for batch in data.batches(batch_size)]
    per_step = outputs[0].ndim == 3
    joined = array_namespace(outputs[0]).concatenate(outputs, axis=1 if per_step else 0)
    return to_device(joined.swapaxes(0, 1) if per_step else joined, source)


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

    Raises: ShapeError, DTypeError, DeviceError or ArgumentError that names the argument.
    """
    check_model(model)
    sequences = on_device_of(model, as_sequences(data, "data"), "data")
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
                mean = check_number("loss", loss(prediction, target))
                tally.add(mean.data, prediction.data, target)
    return tally.loss, tally.metrics()


class Tally:
    """Gathers the loss and, where a metric wants them, the predictions of batch after batch.

    All of it stays where it is; of what is on the GPU, numbers are fetched when they are asked for.
    """

    def __init__(self, metrics: Mapping[str, Metric]) -> None:
        """Begin with nothing."""
        self._metrics = metrics
        self._sum: Any = 0.0  # a number, or an array of one element
        self._rows = 0
        self._predictions: list[Array] = []
        self._targets: list[Array] = []

    def add(self, loss: float | Array, prediction: Array, target: Array) -> None:
        """Take in a batch's mean loss (a number, or an array of one element), and its rows."""
        if not isinstance(loss, float):
            loss = loss.astype(np.float64)
        self._sum = self._sum + loss * len(target)
        self._rows += len(target)
        if self._metrics:
            self._predictions.append(prediction)
            self._targets.append(target)

    @property
    def loss(self) -> float:
        """The mean loss over the rows so far; NaN before the first."""
        total = float(self._sum if isinstance(self._sum, float) else self._sum.item())
        return total / self._rows if self._rows else float("nan")

    def metrics(self) -> dict[str, float]:
        """Each metric over all rows so far; NaN before the first."""
        if not self._rows:
            return {name: float("nan") for name in self._metrics}
        if not self._metrics:
            return {}
        prediction = array_namespace(self._predictions[0]).concatenate(self._predictions)
        target = array_namespace(self._targets[0]).concatenate(self._targets)
        return {
            name: metric_value(name, metric(prediction, target))
            for name, metric in self._metrics.items()
        }
