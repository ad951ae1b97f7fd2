"""The layers around the recurrent ones: Dense, Embedding, Masking, Dropout, pooling, shapes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minirnn import functional
from minirnn.device import array_namespace
from minirnn.errors import DTypeError, ShapeError
from minirnn.interop.keras.activations import Activation, activation_of, layer_activation
from minirnn.interop.keras.base import Build, KerasModule, freeze
from minirnn.interop.keras.layout import Read
from minirnn.interop.keras.source import Layer
from minirnn.interop.keras.steps import Mask, both, on_cpu
from minirnn.kernels.contract import Array
from minirnn.tensor import Tensor


class KerasDense(KerasModule):
    """Dense: activation(x W + b) over the last axis; TimeDistributed(Dense) is the same."""

    bias: Tensor | None

    def __init__(self, layer: Layer, build: Build) -> None:
        super().__init__(layer)
        layer.check_policy()
        units, use_bias = layer.size("units"), layer.flag("use_bias", True)
        arrays = layer.weights((None, units), *([(units,)] if use_bias else []))
        self.activation = activation_of(layer)
        self.weight = build.parameter(layer, arrays[0].T)  # (O, I), as Linear's
        self.bias = build.parameter(layer, arrays[1]) if use_bias else None
        if not layer.flag("trainable", True):
            freeze(self)

    def run(self, x: Tensor, mask: Mask | None) -> tuple[Tensor, Mask | None]:
        """x (..., I) to (..., O)."""
        if x.ndim < 2 or x.shape[-1] != self.weight.shape[1]:
            raise ShapeError("x", f"shape {x.shape}", f"(B, ..., {self.weight.shape[1]})")
        return self.activation(functional.linear(x, self.weight, self.bias)), mask

    def variables(self, read: Read, *, gradients: bool) -> list[Array]:
        """Kernel (I, O), and bias."""
        return [read(self.weight).T, *([] if self.bias is None else [read(self.bias)])]


class KerasEmbedding(KerasModule):
    """Embedding: integers (B, T) to (B, T, E); with `mask_zero`, a 0 does not count as a step."""

    def __init__(self, layer: Layer, build: Build) -> None:
        super().__init__(layer)
        layer.check_policy()
        shape = (layer.size("input_dim"), layer.size("output_dim"))
        self.mask_zero = layer.flag("mask_zero", False)
        self.weight = build.parameter(layer, layer.weights(shape)[0])
        if not layer.flag("trainable", True):
            freeze(self)

    def run(self, x: Tensor, mask: Mask | None) -> tuple[Tensor, Mask | None]:
        """The rows of the numbers x, and the steps at which x is not 0."""
        if x.dtype.kind not in "iu":
            raise DTypeError("x", x.dtype.name, f"integers, of which {self.kind} takes the rows")
        if self.mask_zero and x.ndim == 2:
            mask = both(on_cpu(x) != 0, mask)
        return functional.embedding(self.weight, x), mask

    def variables(self, read: Read, *, gradients: bool) -> list[Array]:
        """The table (N, E)."""
        return [read(self.weight)]


class KerasMasking(KerasModule):
    """Masking: a step whose features all equal `mask_value` does not count, and becomes zero."""

    def __init__(self, layer: Layer, build: Build) -> None:
        super().__init__(layer)
        self.mask_value = layer.number("mask_value", 0.0)

    def run(self, x: Tensor, mask: Mask | None) -> tuple[Tensor, Mask | None]:
        """x (B, T, I), and the steps at which a feature differs."""
        if x.ndim != 3:
            raise ShapeError("x", f"shape {x.shape}", "(B, T, I)")
        counts = (x.data != x.data.dtype.type(self.mask_value)).any(-1)
        return functional.where(counts[..., None], x, 0.0), both(on_cpu(counts), mask)


class KerasDropout(KerasModule):
    """Dropout, and SpatialDropout1D, which drops a feature at all steps; in training only."""

    def __init__(self, layer: Layer, build: Build) -> None:
        super().__init__(layer)
        self.rate = layer.number("rate")
        if not 0.0 <= self.rate <= 1.0:
            layer.damaged(f"rate={self.rate}", "0 <= rate <= 1")
        self._noise_shape = layer.option("noise_shape", None)
        self._rng = build.rng

    def run(self, x: Tensor, mask: Mask | None) -> tuple[Tensor, Mask | None]:
        """x itself in evaluation."""
        if not self.training or self.rate == 0.0:
            return x, mask
        shape = x.shape
        if self.kind == "SpatialDropout1D":
            shape = (shape[0], 1, *shape[2:])
        elif self._noise_shape is not None:
            pairs = zip(self._noise_shape, shape, strict=True)
            shape = tuple(size if asked is None else asked for asked, size in pairs)
        ones = array_namespace(x.data).ones(shape, x.dtype)
        return functional.dropout(ones, self.rate, self._rng) * x, mask


class KerasActivation(KerasModule):
    """Activation, and the layers that are one: ReLU, LeakyReLU, ELU, Softmax."""

    def __init__(self, layer: Layer, build: Build) -> None:
        super().__init__(layer)
        found: Activation | None
        if layer.kind == "Activation":
            found = activation_of(layer)
        else:
            found = layer_activation(layer.kind, layer.config)
        if found is None:
            layer.refuse(f"the options {_told(layer)}", f"a plain {layer.kind}")
        self.activation = found

    def run(self, x: Tensor, mask: Mask | None) -> tuple[Tensor, Mask | None]:
        """The activation of x, of any shape."""
        return self.activation(x), mask


class KerasReshaping(KerasModule):
    """Flatten (B, ...) to (B, F), RepeatVector (B, I) to (B, n, I), and Identity."""

    def __init__(self, layer: Layer, build: Build) -> None:
        super().__init__(layer)
        self.repeats = layer.size("n") if layer.kind == "RepeatVector" else 0
        if layer.option("data_format", "channels_last") not in (None, "channels_last"):
            layer.refuse("data_format='channels_first'", "channels_last")

    def run(self, x: Tensor, mask: Mask | None) -> tuple[Tensor, Mask | None]:
        """x in its new shape; Identity keeps the mask."""
        if self.kind == "Flatten":
            return functional.reshape(x, (x.shape[0], math.prod(x.shape[1:]))), None
        if self.kind == "RepeatVector":
            if x.ndim != 2:
                raise ShapeError("x", f"shape {x.shape}", "(B, I)")
            return functional.broadcast_to(
                functional.expand_dims(x, 1), (x.shape[0], self.repeats, x.shape[1])
            ), None
        return x, mask


class KerasPooling(KerasModule):
    """GlobalAveragePooling1D, over the steps that count, and GlobalMaxPooling1D, over all."""

    def __init__(self, layer: Layer, build: Build) -> None:
        super().__init__(layer)
        if layer.option("data_format", "channels_last") not in (None, "channels_last"):
            layer.refuse("data_format='channels_first'", "channels_last")
        self.keepdims = layer.flag("keepdims", False)

    def run(self, x: Tensor, mask: Mask | None) -> tuple[Tensor, Mask | None]:
        """x (B, T, I) to (B, I); NaN for a sequence without a step that counts, as in Keras."""
        if x.ndim != 3:
            raise ShapeError("x", f"shape {x.shape}", "(B, T, I)")
        if self.kind == "GlobalMaxPooling1D":
            return functional.max(x, axis=1, keepdims=self.keepdims), None
        if mask is None:
            return functional.mean(x, axis=1, keepdims=self.keepdims), None
        xp = array_namespace(x.data)
        kept = functional.where(xp.asarray(mask[:, :, None]), x, 0.0)
        counts = mask.sum(1).reshape((-1, 1, 1) if self.keepdims else (-1, 1))
        with np.errstate(divide="ignore", invalid="ignore"):
            total = functional.sum(kept, axis=1, keepdims=self.keepdims)
            return total / xp.asarray(counts.astype(x.dtype)), None


def time_distributed(layer: Layer, build: Build) -> KerasModule:
    """TimeDistributed of a layer that acts on the last axis alone: that layer.

    Raises: ArgumentError for another.
    """
    inner = layer.inner("layer")
    kinds: dict[str, Callable[[Layer, Build], KerasModule]]
    kinds = {"Dense": KerasDense, "Activation": KerasActivation, "Dropout": KerasDropout}
    if not inner.of_keras or inner.kind not in kinds:
        layer.refuse(f"the layer {inner}", f"TimeDistributed of {', '.join(kinds)}")
    module = kinds[inner.kind](inner, build)
    module.kind, module.entry, module.name = layer.kind, layer.entry, str(layer.config.get("name"))
    if not layer.flag("trainable", True):
        freeze(module)
    return module


def _told(layer: Layer) -> dict[str, Any]:
    return {k: v for k, v in layer.config.items() if k not in ("name", "trainable", "dtype")}
