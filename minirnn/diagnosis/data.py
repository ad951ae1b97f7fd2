"""The data of a recipe: read, split, then filled and scaled, in that order."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from minirnn import datasets
from minirnn.device import device_of
from minirnn.diagnosis.filling_and_scaling import count_absent, filled, scaled_alike
from minirnn.diagnosis.recipe import Recipe
from minirnn.diagnosis.recipe.schema import CHARACTERS
from minirnn.diagnosis.selection import (
    clipped,
    complete,
    marked,
    split,
    time_first,
    without_features,
    without_repeats,
)
from minirnn.errors import ArgumentError, DataError, RecipeError, ShapeError
from minirnn.training.columns import read_column
from minirnn.training.encoding import Transform
from minirnn.training.scaling import ScaleKind, Scaler
from minirnn.training.sequences import Sequences
from minirnn.training.series import Missing, PreparedSeries, prepare_series
from minirnn.training.tokens import PreparedTokens, prepare_tokens

Floats = NDArray[np.float64]
ROUNDING = (
    1e-13  # of a series' size: differences below it are rounding, some units in the last place
)
LARGEST_WHOLE = 2**24  # every whole number up to here is a float32


@dataclass(frozen=True, eq=False)
class PreparedData:
    """What a recipe's network is trained on and held against, and where it came from.

    training, validation  as fed to the network, float32; validation None when nothing is held out
    series       the prepared series, or None when the data are not a series of numbers
    text         the prepared characters, where they are a text;  alphabet  what they are
    name, unit   of what is predicted, such as "co2" and "ppm"; a unit may be ""
    period       steps in one season of a series where that is known, else None
    missing      values that were missing, before filling;  gaps  the runs they lie in
    target_scalers  one a target, for independent sequences whose targets were scaled; else ()
    device       where training, validation and the series' values are: "cpu" as prepared, or where
                 `to` brought them
    host         these data as they were prepared, on the CPU; themselves, if they were not moved
    """

    training: Sequences
    validation: Sequences | None
    name: str
    unit: str = ""
    period: int | None = None
    series: PreparedSeries | None = None
    text: PreparedTokens | None = None
    alphabet: str = ""
    missing: int = 0
    gaps: int = 0
    target_scalers: tuple[Scaler, ...] = ()
    moved_from: PreparedData | None = field(default=None, repr=False)

    @property
    def device(self) -> str:
        """The device of the arrays, "cpu" or "cuda"."""
        return device_of(self.training.x)

    @property
    def host(self) -> PreparedData:
        """The data on the CPU, to look at what concerns them alone, or to draw them."""
        return self.moved_from or self

    def to(self, device: str) -> PreparedData:
        """These data on a device, copied there once; themselves, if they are there already.

        Raises: DeviceError, also for too little memory.
        """
        if device == self.device:
            return self
        if device == "cpu":
            return self.host
        series = self.series
        return replace(
            self,
            training=self.training.to(device),
            validation=None if self.validation is None else self.validation.to(device),
            series=None if series is None else series.to(device),
            moved_from=self,
        )

    def original(self, targets: Any) -> Any:
        """Targets or predictions of independent sequences `(..., O)` in the data's own units."""
        values = targets.astype(np.float64)
        for index, scaler in enumerate(self.target_scalers):
            values[..., index] = scaler.invert(values[..., index])
        return values

    @cached_property
    def absent(self) -> int:
        """Values missing in what the network is fed: inputs and targets, both parts."""
        data = self.host
        parts = [data.training] if data.validation is None else [data.training, data.validation]
        arrays = [array for part in parts for array in (part.x, part.y) if array.dtype.kind == "f"]
        return sum(int(np.isnan(array).sum()) for array in arrays)


def prepare(recipe: Recipe) -> PreparedData:
    """Read and prepare the data of a recipe, on the CPU.

    Raises: DataError, RecipeError, ShapeError or DTypeError that names what is wrong.
    """
    if recipe.is_series:
        return _prepare_series(recipe)
    if recipe.is_text:
        return _prepare_text(recipe)
    return _prepare_sequences(recipe)


def _prepare_series(recipe: Recipe) -> PreparedData:
    data = recipe.data
    values, name, unit, period = _read_series(recipe)
    series = prepare_series(
        values,
        window=data.window,
        horizon=data.horizon,
        transform=cast(Transform, data.transform),
        scale=cast(ScaleKind, data.scale),
        validation=data.validation,
        missing=cast(Missing, data.missing or "keep"),
    )
    _check_changes(series)
    _check_context(recipe, series.cut)
    return PreparedData(
        training=series.training,
        validation=series.validation,
        name=name,
        unit=unit,
        period=period,
        series=series,
        missing=series.missing,
        gaps=series.gaps,
    )


def _prepare_text(recipe: Recipe) -> PreparedData:
    """A text, character by character."""
    data = recipe.data
    count = data.characters or CHARACTERS
    if data.text is None:
        whole = datasets.text(count)
    else:
        try:
            prose = Path(data.text).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(
                "data.text", str(data.text), "a readable text file", str(error)
            ) from error
        whole = datasets.as_tokens(prose, Path(data.text).name, count)
    tokens = prepare_tokens(
        whole.tokens,
        len(whole.alphabet),
        window=data.window,
        per_step=recipe.model.readout == "all",
        validation=data.validation,
    )
    _check_context(recipe, tokens.cut)
    return PreparedData(
        training=tokens.training,
        validation=tokens.validation,
        name=whole.name,
        text=tokens,
        alphabet=whole.alphabet,
    )


def _check_context(recipe: Recipe, cut: int) -> None:
    context = None if recipe.generation is None else recipe.generation.context
    if context is not None and context > cut:
        raise RecipeError(
            "generation.context", repr(context), f"at most {cut}, the values trained on"
        )


def _check_changes(series: PreparedSeries) -> None:
    """Changes that differ by the rounding of the values alone must not be scaled up to data.

    Raises: DataError.
    """
    scaler = series.encoding.outputs
    rounding = ROUNDING * float(np.nanmax(np.abs(series.values)))
    if series.encoding.transform == "change" and scaler.kind != "none" and scaler.scale < rounding:
        raise DataError(
            "values", "a straight line, whose changes are all equal", "changes that vary",
            'Use scale = "none"',
        )  # fmt: skip


def _read_series(recipe: Recipe) -> tuple[Floats, str, str, int | None]:
    """The values, name, unit and period of a recipe's series."""
    data = recipe.data
    if data.csv is not None:
        column = read_column(data.csv, data.column)
        return marked(column.values, data.missing_value), column.name, "", None
    if data.builtin == "co2":
        # The record comes with its gaps filled, unless the recipe says what to do with them.
        series = datasets.co2() if data.missing is None else datasets.co2(missing="keep")
    else:
        series = datasets.sunspots() if data.builtin == "sunspots" else datasets.sine()
    return series.values, series.name, series.unit, series.period


def given_sequences(recipe: Recipe) -> tuple[Sequences, str]:
    """The sequences of a recipe as they were given, all of them, and what the target is called.

    Raises: DataError, RecipeError, ShapeError or DTypeError that names what is wrong.
    """
    if recipe.is_text:
        prepared = _prepare_text(recipe)
        return prepared.training, prepared.name
    data = recipe.data
    lengths = None
    if data.builtin is not None:
        task = _task(recipe)
        given_x, y, name, lengths = task.x, task.y, task.name, task.lengths
    else:
        given_x, y = load_array("data.x", data.x), load_array("data.y", data.y)
        name = "target"
    if data.time_first:
        given_x, y = time_first(given_x, y)
    x = marked(_numbers("data.x", given_x), data.missing_value)
    if y.dtype.kind == "b":
        y = y.astype(np.int64)
    if recipe.training.loss == "cross_entropy":
        y = _labels(y)
    else:
        y = marked(_numbers("data.y", y), data.missing_value)
    if data.lengths is not None:
        lengths = load_array("data.lengths", data.lengths)
    if x.ndim != 3:
        raise ShapeError("data.x", f"shape {x.shape}", "(N, T, I): sequences, steps, features")
    return Sequences(x, y, lengths), name


def _prepare_sequences(recipe: Recipe) -> PreparedData:
    data = recipe.data
    whole, name = given_sequences(recipe)
    whole = replace(whole, x=without_features(whole.x, data.drop))
    absent, gaps = count_absent(whole.x)
    if data.missing == "drop":
        whole = complete(whole)
    if data.deduplicate:
        whole = without_repeats(whole)
    training, validation = split(whole, data)
    scalers: tuple[Scaler, ...] = ()
    if data.missing == "interpolate":
        training = filled(training)
        validation = None if validation is None else filled(validation)
    if data.scale != "none":
        training, validation, scalers = scaled_alike(training, validation, recipe)
    if data.clip > 0.0:
        training = clipped(training, data.clip)
        validation = None if validation is None else clipped(validation, data.clip)
    return PreparedData(
        training=training,
        validation=validation,
        name=name,
        missing=absent,
        gaps=gaps,
        target_scalers=scalers,
    )


def _task(recipe: Recipe) -> datasets.Task:
    """The built-in task, made by its rule. Raises: RecipeError for a loss that it is not for."""
    data, loss = recipe.data, recipe.training.loss
    assert data.builtin is not None
    rule = getattr(datasets, data.builtin)
    try:
        task: datasets.Task = rule(data.samples, data.length, data.seed)
    except ArgumentError as error:
        raise RecipeError(f"data.{error.argument}", error.came, error.wanted) from None
    numbers = ("mse", "l1", "huber")
    if loss != task.loss and not (loss in numbers and task.loss in numbers):
        raise RecipeError("training.loss", repr(loss), f"{task.loss!r}, for {data.builtin!r}")
    return task


def load_array(key: str, value: Any) -> NDArray[Any]:
    """An array as it is, or read from its `.npy` file; nothing is unpickled.

    Raises: DataError, when the file cannot be read or holds no numbers.
    """
    if isinstance(value, np.ndarray):
        return value
    path = Path(value)
    try:
        array = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise DataError(key, f"{str(path)!r}, which does not exist", "a .npy file") from error
    except (OSError, ValueError, EOFError) as error:
        raise DataError(key, f"{str(path)!r}: {error}", "a .npy file of numbers") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
        raise DataError(key, f"{str(path)!r}, which holds no numbers", "a .npy file of numbers")
    return array


def _numbers(key: str, array: NDArray[Any]) -> NDArray[np.float32]:
    """Numbers as the network takes them: float32, the precision every recipe trains in."""
    if array.dtype.kind in "iu" and array.size and np.abs(array).max() > LARGEST_WHOLE:
        raise DataError(
            key, f"whole numbers up to {np.abs(array).max()}", f"at most {LARGEST_WHOLE}",
            "A recipe trains in float32, which cannot hold them: scale them first",
        )  # fmt: skip
    with np.errstate(over="ignore"):  # what overflows is infinite, and found as `non-finite`
        return array.astype(np.float32)


def _labels(y: NDArray[Any]) -> NDArray[np.int64]:
    if y.dtype.kind not in "iu":
        raise DataError("data.y", f"an array of {y.dtype.name}", "integer class labels",
                        'That is what training.loss = "cross_entropy" compares with')  # fmt: skip
    if y.size and y.min() < 0:
        raise DataError("data.y", f"the class label {y.min()}", "labels from 0 up")
    return y.astype(np.int64)
