"""LayerNormalization and BatchNormalization."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from minirnn import functional
from minirnn.device import array_namespace
from minirnn.errors import ShapeError
from minirnn.interop.keras.base import Build, KerasModule, freeze
from minirnn.interop.keras.layout import Read
from minirnn.interop.keras.source import Layer
from minirnn.interop.keras.steps import Mask
from minirnn.kernels.contract import Array
from minirnn.tensor import Tensor

AVERAGES = ("moving_mean", "moving_variance")
FUZZ = 1e-7  # keras.config.epsilon(), which guards a sum of no steps


class KerasNormalization(KerasModule):
    """LayerNormalization over the last axis, or BatchNormalization over all others.

        y = (x - mean) / sqrt(variance + epsilon) * gamma + beta

    In evaluation BatchNormalization uses its moving averages; in training the batch's moments, of
    the steps that count, and updates the averages, as Keras does. A frozen one always evaluates.
    """

    moving_mean: Array
    moving_variance: Array
    gamma: Tensor | None
    beta: Tensor | None

    def __init__(self, layer: Layer, build: Build) -> None:
        super().__init__(layer)
        layer.check_policy()
        self.epsilon = layer.number("epsilon", 1e-3)
        self.momentum = layer.number("momentum", 0.99)
        self.frozen = not layer.flag("trainable", True)
        self._check(layer)
        scaled, centred = layer.flag("scale", True), layer.flag("center", True)
        batch = self.kind == "BatchNormalization"
        count = scaled + centred + (2 if batch else 0)
        arrays = layer.weights(*[(None,)] * count)
        self._features = arrays[0].shape[0] if arrays else None
        self.gamma = build.parameter(layer, arrays.pop(0)) if scaled else None
        self.beta = build.parameter(layer, arrays.pop(0)) if centred else None
        if batch:
            for name, array in zip(AVERAGES, arrays, strict=True):
                self.register_buffer(name, build.array(layer, array))
        if self.frozen:
            freeze(self)

    def _check(self, layer: Layer) -> None:
        """Raises: ArgumentError for options that are not built."""
        axis = layer.option("axis", -1)
        if isinstance(axis, list | tuple) and len(axis) == 1:
            axis = axis[0]
        built = layer.entry.get("build_config")  # where Keras may have counted from the front
        shape = built.get("input_shape") if isinstance(built, Mapping) else None
        last = len(shape) - 1 if isinstance(shape, list | tuple) else -1
        if axis not in (-1, last):
            layer.refuse(f"axis={axis}", "the last axis, axis=-1")
        for key in ("rms_scaling", "renorm", "synchronized"):
            if layer.option(key, False):
                layer.refuse(f"{key}=True", f"{key}=False")

    def run(self, x: Tensor, mask: Mask | None) -> tuple[Tensor, Mask | None]:
        """x (B, ..., I), normalised."""
        if self._features is not None and x.shape[-1] != self._features:
            raise ShapeError("x", f"shape {x.shape}", f"(B, ..., {self._features})")
        if self.kind == "LayerNormalization":
            mean = functional.mean(x, axis=-1, keepdims=True)
            variance = functional.var(x, axis=-1, keepdims=True)
        elif self.training and not self.frozen:
            mean, variance = self._moments(x, mask)
            for average, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
                average[...] = average * self.momentum + new.data * (1 - self.momentum)
        else:
            mean, variance = Tensor(self.moving_mean), Tensor(self.moving_variance)
        y = (x - mean) / functional.sqrt(variance + self.epsilon)
        y = y if self.gamma is None else y * self.gamma
        return (y if self.beta is None else y + self.beta), mask

    def _moments(self, x: Tensor, mask: Mask | None) -> tuple[Tensor, Tensor]:
        axes = tuple(range(x.ndim - 1))
        if mask is None:
            return functional.mean(x, axis=axes), functional.var(x, axis=axes)
        counts = array_namespace(x.data).asarray(mask[:, :, None])
        number = float(np.count_nonzero(mask)) + FUZZ
        mean = functional.sum(functional.where(counts, x, 0.0), axis=axes) / number
        distance = functional.where(counts, x - mean, 0.0)
        return mean, functional.sum(distance * distance, axis=axes) / number

    def variables(self, read: Read, *, gradients: bool) -> list[Array]:
        """Gamma, beta, moving mean and variance: those there are."""
        averages = [array for _, array in self.named_buffers()]
        if gradients:
            averages = [array * 0 for array in averages]
        return [*(read(parameter) for parameter in self.parameters()), *averages]
