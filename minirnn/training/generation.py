"""`generate`: let a model run on its own output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from minirnn.device import (
    Array,
    array_namespace,
    beside,
    check_beside,
    device_of,
    has_no_device,
    to_array,
    to_device,
)
from minirnn.errors import ArgumentError, DTypeError, ShapeError
from minirnn.gpu import cupy_array
from minirnn.nn import Module
from minirnn.nn.module import device_of_module
from minirnn.real import is_real
from minirnn.tensor import no_grad
from minirnn.training.losses import check_model, is_batch_first
from minirnn.training.predict import mode
from minirnn.training.windows import check_count

Sample = Callable[[Array], Array]
"""sample(output (B, O)) -> the next input (B, I); arrays on the model's device."""


def generate(
    model: Module,
    context: Array,
    steps: int,
    *,
    window: int | None = None,
    sample: Sample | Literal["greedy", "temperature"] | None = None,
    temperature: float = 1.0,
    seed: int = 0,
) -> Array:
    """Continue `context (T, B, I)`, or `(T, I)` for one sequence, by `steps` steps of free run.

    What the model answers becomes its next input. Returns those inputs, `(steps, B, I)` or
    `(steps, I)`, in the dtype of the context.

    window  None: the context is read once, and then the state is carried from step to step.
            n: each step reads the last n inputs anew from a zero state, as a model trained on
            windows of n was taught; the context must hold n
    sample  from the model's last output (B, O) to the next input: None feeds it back as it is;
            "greedy" and "temperature" take it as logits and feed the one-hot vector of the most
            likely class, or of one drawn at `temperature` with `seed`; or a callable
    model   a SequenceModel, or a module called the same way: model(x), and without a window
            model(x, state, return_state=True) -> (output, state)

    Runs in evaluation mode without a tape, and restores the mode. With a model on the GPU the whole
    run is there: a context of NumPy's is copied once, and the run comes back once, as NumPy's; one
    of CuPy's gives CuPy's.

    Raises: ShapeError when the model's output cannot be its input, or the context does not fit;
    DTypeError; DeviceError; ArgumentError, also for a bidirectional model without a window: a step
    of the reverse direction needs the steps after it.
    """
    check_model(model)
    inputs = _check_context(context, window)
    if device_of_module(model, device_of(inputs)) == "cuda":
        inputs = to_device(inputs, "cuda", "context")
    steps = check_count("steps", steps, 0)
    choose = _sampler(sample, temperature, seed)
    batch_first = is_batch_first(model)
    if window is None and getattr(getattr(model, "recurrent", model), "bidirectional", False):
        wanted = "one direction, or a window"
        raise ArgumentError("model", "a bidirectional one without a window", wanted)

    T, B, width = inputs.shape
    xp = array_namespace(inputs)
    made = xp.concatenate([inputs, xp.empty((steps, B, width), inputs.dtype)])
    state: Any = None
    with mode(model, training=False), no_grad():
        for t in range(T, T + steps):
            if window is None:
                # The whole context once; from then on only what was just made.
                x = made[:T] if t == T else made[t - 1 : t]
                output, state = model(
                    x.swapaxes(0, 1) if batch_first else x, state, return_state=True
                )
            else:
                x = made[t - window : t]
                output = model(xp.ascontiguousarray(x.swapaxes(0, 1)) if batch_first else x)
            last = output.data
            if last.ndim == 3:
                last = last[:, -1] if batch_first else last[-1]
            following = _array_beside(choose(last), last)
            if following.shape != (B, width):
                what = "output" if sample is None else "sampled output"
                raise ShapeError(
                    "model", f"one whose {what} has shape {following.shape}",
                    f"({B}, {width}), the shape of one input step, to be fed back",
                )  # fmt: skip
            made[t] = following
    run = to_device(made[T:], device_of(context))
    return run[:, 0] if context.ndim == 2 else run


def _array_beside(sampled: Any, output: Array) -> Array:
    """What a sampler answered, as an array where the model's output is."""
    array = to_array(sampled, None, "sample")
    if has_no_device(sampled):
        return beside(np.asarray(array), output)
    check_beside(array, output, "sample")
    return array


def _check_context(context: Array, window: int | None) -> Array:
    known = isinstance(context, np.ndarray) or cupy_array(context)
    if not known or context.ndim not in (2, 3) or 0 in context.shape:
        came = getattr(context, "shape", None)
        came = type(context).__name__ if came is None else f"shape {came}"
        raise ShapeError("context", came, "an array (T, B, I) or (T, I), none of them 0")
    if context.dtype not in (np.float32, np.float64):
        raise DTypeError("context", context.dtype.name, "float32 or float64, as the model")
    if window is not None and check_count("window", window) > len(context):
        wanted = f"at least the window, {window}"
        raise ShapeError("context", f"{len(context)} steps", wanted)
    return context[:, None, :] if context.ndim == 2 else context


def _sampler(sample: Any, temperature: float, seed: int) -> Sample:
    if not is_real(temperature) or not 0 < temperature < np.inf:
        raise ArgumentError("temperature", repr(temperature), "a finite number above 0")
    rng = np.random.default_rng(check_count("seed", seed, 0))
    if sample is None:
        return lambda output: output
    if isinstance(sample, str) and sample == "greedy":
        return lambda output: one_hot(output.argmax(axis=1), output)
    if isinstance(sample, str) and sample == "temperature":
        return lambda output: one_hot(draw(output, temperature, rng), output)
    if not callable(sample):
        wanted = "None, 'greedy', 'temperature', or a callable"
        raise ArgumentError("sample", repr(sample), wanted)
    chosen: Sample = sample
    return chosen


def draw(logits: Array, temperature: float, rng: np.random.Generator) -> Array:
    """Draw a class from softmax(logits / temperature), row by row: largest after Gumbel noise.

    Source: Gumbel 1954; Maddison, Tarlow & Minka, "A* sampling" (2014), section 2.
    """
    # The noise is scaled, not the logits, which a small temperature would carry to infinity.
    # Drawn on the CPU wherever the logits are, so that a seed gives the same run on both devices.
    noise = temperature * rng.gumbel(size=logits.shape)
    return (logits + beside(noise, logits)).argmax(axis=1)


def one_hot(classes: Array, like: Array) -> Array:
    """The one-hot vectors of classes (B,), shaped as the logits (B, O) they were taken from."""
    xp = array_namespace(like)
    vectors = xp.zeros_like(like)
    vectors[xp.arange(len(classes)), classes] = 1
    # No class is likely where a logit is no number. (A mask as index would have to be counted.)
    return xp.where(xp.isnan(like).any(axis=1, keepdims=True), np.nan, vectors)
