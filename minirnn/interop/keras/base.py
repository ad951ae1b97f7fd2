"""`KerasModule`: what every converted layer is; `Build`: how weights become parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from minirnn.device import array_namespace, check_device, to_device
from minirnn.errors import ArgumentError, DTypeError
from minirnn.interop.keras.layout import Read
from minirnn.interop.keras.source import Layer
from minirnn.interop.keras.steps import Mask, mask_from
from minirnn.kernels.contract import Array
from minirnn.nn.arguments import float_dtype, generator
from minirnn.nn.module import Module
from minirnn.tensor import Tensor, as_tensor

Result = Any  # a Tensor, or a tuple of them where the Keras layer returns several


class KerasModule(Module, ABC):
    """A layer of Keras as a module: x is (B, T, I), and the answer is Keras's.

    Attributes: `kind`, the Keras class; `name`, the Keras layer's name; `entry`, its configuration
    as Keras serialises it.
    """

    batch_first = True  # what `diagnose` and `fit` ask a model for

    def __init__(self, layer: Layer) -> None:
        self.kind = layer.kind
        self.name = str(layer.config.get("name"))
        self.entry = layer.entry

    def forward(self, x: Tensor | Array, lengths: Any = None, *, mask: Any = None) -> Result:
        """Run the layer or model over x (B, T, ...), as Keras does with `mask`.

        lengths  (B,) integers, 0 <= length <= T: the same as a mask of ones, then zeros
        mask     (B, T) bool, True where a step counts; any pattern

        Raises: ShapeError, DTypeError, DeviceError or ArgumentError that names the argument.
        """
        x = as_tensor(x, None, "x")
        return self.run(x, mask_from(x, lengths, mask))[0]

    @abstractmethod
    def run(self, x: Tensor, mask: Mask | None) -> tuple[Result, Mask | None]:
        """The result, and the mask that goes with it to the next layer."""

    def variables(self, read: Read, *, gradients: bool) -> list[Array]:
        """The weights in Keras's order and layout, or the gradients with respect to them."""
        return []

    def _describe(self) -> str:
        return repr(self.name)


class Build:
    """What a conversion has decided: one dtype for all parameters, and their device."""

    def __init__(self, dtype: Any, device: str, rng: Any) -> None:
        self._asked = None if dtype is None else float_dtype(dtype)
        self._dtype = self._asked
        self.device = check_device(device)
        self.rng = generator(rng)

    def dtype_of(self, layer: Layer, arrays: list[Array]) -> np.dtype[Any]:
        """The dtype of all parameters: the one asked for, or that of the first weights.

        Raises: DTypeError for weights of another when none was asked for.
        """
        for array in arrays:
            if self._dtype is None:
                self._dtype = array.dtype
            elif self._asked is None and array.dtype != self._dtype:
                came = f"{layer} of {array.dtype} after layers of {self._dtype}"
                hint = "dtype='float64' converts all of them"
                raise DTypeError("source", came, "weights of one dtype", hint)
        if self._dtype is None:
            raise ArgumentError("source", f"{layer} without weights", "a layer with weights")
        return self._dtype

    def parameter(self, layer: Layer, array: Array) -> Tensor:
        """A parameter with these values."""
        return Tensor(self.array(layer, array), requires_grad=True)

    def array(self, layer: Layer, array: Array) -> Array:
        """These values on the device, in the dtype of all parameters."""
        return to_device(array.astype(self.dtype_of(layer, [array])), self.device)


def freeze(module: Module) -> None:
    """Take the module's parameters out of training: `trainable=False` in Keras."""
    for parameter in module.parameters():
        parameter.requires_grad = False


def ones_like_row(x: Tensor) -> Array:
    """Ones (B, 1, I) beside x (B, T, I)."""
    shape = (x.shape[0], 1, *x.shape[2:])
    return array_namespace(x.data).ones(shape, x.dtype)
