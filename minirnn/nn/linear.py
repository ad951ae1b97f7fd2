"""`Linear`: y = x W^T + b, over the last axis."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minirnn.device import check_device, to_device
from minirnn.errors import ShapeError
from minirnn.functional.products import linear
from minirnn.kernels.contract import Array
from minirnn.nn.arguments import boolean, float_dtype, generator, positive_int
from minirnn.nn.module import Module
from minirnn.tensor import Tensor, as_tensor


class Linear(Module):
    """y = x W^T + b: (..., in_features) to (..., out_features).

    Parameters `weight (out_features, in_features)` and `bias (out_features,)` start uniform between
    plus and minus 1/sqrt(in_features), as PyTorch's do. `rng` is None, a seed or a Generator; the
    numbers are the same on both devices.

    Raises: ArgumentError, DTypeError or DeviceError that names the argument.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = True,
        dtype: Any = "float32",
        device: str = "cpu",
        rng: Any = None,
    ) -> None:
        """Make the layer; its arguments are told at the class."""
        self.in_features = positive_int("in_features", in_features)
        self.out_features = positive_int("out_features", out_features)
        self.dtype = float_dtype(dtype)
        where = check_device(device)
        random = generator(rng)
        bound = 1.0 / math.sqrt(self.in_features)
        shape = (self.out_features, self.in_features)
        self.weight = uniform_parameter(random, bound, shape, self.dtype, where)
        self.bias = None
        if boolean("bias", bias):
            self.bias = uniform_parameter(random, bound, shape[:1], self.dtype, where)

    @property
    def device(self) -> str:
        """Where the parameters are: "cpu" or "cuda"."""
        return self.weight.device

    def forward(self, x: Tensor | Array) -> Tensor:
        """Map x (..., in_features) to (..., out_features).

        Raises: ShapeError, DTypeError or DeviceError that names `x`.
        """
        x = as_tensor(x, self.dtype, "x", self.weight.data)
        if x.ndim == 0 or x.shape[-1] != self.in_features:
            raise ShapeError("x", f"shape {x.shape}", f"(..., {self.in_features})")
        return linear(x, self.weight, self.bias)

    def _describe(self) -> str:
        without = "" if self.bias is not None else ", bias=False"
        return f"{self.in_features}, {self.out_features}{without}"


def uniform_parameter(
    rng: np.random.Generator,
    bound: float,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    device: str,
) -> Tensor:
    """A parameter, uniform between -bound and bound; drawn in float64, then rounded to dtype.

    It is drawn on the CPU and then moved, so that a seed gives the same model on both devices.
    """
    try:
        values = rng.uniform(-bound, bound, shape)
    except ValueError:  # NumPy's "maximum allowed dimension exceeded", or its product
        raise ShapeError("parameter", f"shape {shape}", "one that fits in memory") from None
    return Tensor(to_device(values.astype(dtype), device), requires_grad=True)
