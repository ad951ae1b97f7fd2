"""A network's free run after training, as the detectors see it.

n steps of the run, of a series of numbers or of the characters of a text; c values of context.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from minirnn.device import array_namespace
from minirnn.diagnosis.data import PreparedData
from minirnn.diagnosis.recipe import Recipe
from minirnn.inspect.host import on_host
from minirnn.nn import SequenceModel
from minirnn.tensor import Tensor
from minirnn.training.predict import mode
from minirnn.training.series import PreparedSeries

Array = Any  # of the network's device
Host = NDArray[Any]


@dataclass(frozen=True, eq=False)
class FreeRun:
    """What a network continues the training part with, each answer fed back as the next input.

    All of the host, where n and c numbers are brought over together; `there` is not.

    given     (n,) the run: values in the data's own units, or tokens
    past      the values or tokens trained on
    wanted    (m,) what really came next, m <= n: as far as it is held out
    context   c, how many of the last values each answer was made from
    slopes    (c,) the derivative of the answer after the run's last c values with respect to each
              of them, oldest first; None for tokens
    alphabet  what the tokens are; "" for numbers
    sample, temperature   how a token was chosen
    there     `given` on the network's device; None for tokens
    """

    given: Host
    past: Host
    wanted: Host
    context: int
    slopes: NDArray[np.float64] | None = None
    alphabet: str = ""
    sample: str = "greedy"
    temperature: float = 1.0
    there: Array | None = None

    @property
    def of_tokens(self) -> bool:
        """Whether it is a run of tokens."""
        return bool(self.alphabet)

    @property
    def known(self) -> Host:
        """The data: what was trained on, and as much of what came next as the run has steps."""
        return np.concatenate([self.past, self.wanted])

    def spelt(self, tokens: Any) -> str:
        """What tokens say."""
        return "".join(self.alphabet[int(token)] for token in tokens)


def make_free_run(model: SequenceModel, recipe: Recipe, data: PreparedData) -> FreeRun | None:
    """The run that the recipe asks for; None where it asks for none."""
    options = recipe.generation
    if options is None:
        return None
    if data.text is not None:
        text = data.text
        context = options.context or text.window
        made = text.free_run(
            model,
            options.steps,
            context=context,
            sample=cast(Any, options.sample),
            temperature=options.temperature,
            seed=recipe.training.seed,
        )
        return FreeRun(
            given=made,
            past=text.tokens[: text.cut],
            wanted=text.tokens[text.cut : text.cut + options.steps],
            context=context,
            alphabet=data.alphabet,
            sample=options.sample,
            temperature=options.temperature,
        )
    series = data.series
    if series is None:
        return None
    context = options.context or series.window
    series = replace(series, window=context)
    given = series.free_run(model, options.steps)
    host = data.host.series
    assert host is not None
    values = host.values
    xp = array_namespace(given)
    before = series.values[series.cut - context : series.cut]
    last = xp.concatenate([before, given])[-context:]
    return FreeRun(
        given=on_host(given),
        past=values[: series.cut],
        wanted=values[series.cut : series.cut + options.steps],
        context=context,
        slopes=on_host(slopes(model, series, last)).astype(np.float64),
        there=given,
    )


def slopes(model: SequenceModel, series: PreparedSeries, values: Array) -> Array:
    """d (the answer after these values) / d (each of them), (c,), in the series' own units.

    On the network's device.
    """
    encoding = series.encoding
    inputs = encoding.encode(values[None]).astype(series.dtype).swapaxes(0, 1)
    x = Tensor(array_namespace(inputs).ascontiguousarray(inputs), requires_grad=True)
    with mode(model, training=False), np.errstate(all="ignore"):
        model(x).backward()
    assert x.grad is not None
    slope = x.grad[:, 0, 0].astype(np.float64)
    slope *= encoding.outputs.scale / encoding.inputs.scale
    if encoding.transform == "change":
        # answer = last + net(value - last, ...): all is measured from the last value.
        slope[-1] = 1.0 - slope[:-1].sum()
    return slope


def spectral_radius(slope: NDArray[np.float64]) -> float:
    """Of the map from one context to the next: the largest |eigenvalue| of its Jacobian.

    The context moves on by one value, and the answer comes in: a companion matrix.
    """
    c = len(slope)
    jacobian = np.eye(c, k=1)
    jacobian[-1] = slope
    return float(np.abs(np.linalg.eigvals(jacobian)).max()) if np.isfinite(slope).all() else np.nan
