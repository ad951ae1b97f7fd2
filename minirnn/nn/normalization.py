"""`LayerNorm` and `BatchNorm`: features brought to mean 0 and variance 1, then scaled anew.

Both take (..., F), as all layers here do: features are the last axis.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minirnn.device import array_namespace, beside, check_device, to_device
from minirnn.errors import ArgumentError, DTypeError, ShapeError
from minirnn.functional import sqrt, where
from minirnn.kernels.contract import Array
from minirnn.nn.arguments import boolean, float_dtype, positive_int
from minirnn.nn.module import Module
from minirnn.real import is_real
from minirnn.tensor import Tensor, as_tensor


class _Normalization(Module):
    """What both share: F features, `weight (F,)` of ones, `bias (F,)` of zeros."""

    weight: Tensor | None
    bias: Tensor | None

    def __init__(self, features: int, eps: float, affine: bool, dtype: Any, device: str) -> None:
        self.features = positive_int("features", features)
        if not is_real(eps) or not 0.0 < eps < np.inf:
            raise ArgumentError("eps", repr(eps), "a finite number above 0")
        self.eps = float(eps)
        self.dtype = float_dtype(dtype)
        self._where = check_device(device)
        self.weight = self.bias = None
        if boolean("affine", affine):
            ones = to_device(np.ones(self.features, self.dtype), self._where)
            self.weight = Tensor(ones, requires_grad=True)
            self.bias = Tensor(array_namespace(ones).zeros_like(ones), requires_grad=True)

    def _checked(self, x: Tensor | Array, like: Array | None) -> Tensor:
        x = as_tensor(x, self.dtype, "x", like)
        if x.ndim == 0 or x.shape[-1] != self.features:
            raise ShapeError("x", f"shape {x.shape}", f"(..., {self.features})")
        return x

    def _scaled(self, normal: Tensor) -> Tensor:
        if self.weight is None or self.bias is None:
            return normal
        return normal * self.weight + self.bias

    def _describe(self) -> str:
        return f"{self.features}"


class LayerNorm(_Normalization):
    """Each vector of features by its own mean and variance (Ba, Kiros and Hinton 2016).

        y = (x - mean(x)) / sqrt(var(x) + eps) * weight + bias

    As `torch.nn.LayerNorm(features)`. `affine=False` leaves weight and bias out.

    Raises: ArgumentError, DTypeError or DeviceError that names the argument.
    """

    def __init__(
        self,
        features: int,
        *,
        eps: float = 1e-5,
        affine: bool = True,
        dtype: Any = "float32",
        device: str = "cpu",
    ) -> None:
        """Make the layer; its arguments are told at the class."""
        super().__init__(features, eps, affine, dtype, device)

    def forward(self, x: Tensor | Array) -> Tensor:
        """Normalise x (..., features). Raises: ShapeError, DTypeError or DeviceError."""
        x = self._checked(x, None if self.weight is None else self.weight.data)
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = (centred * centred).mean(axis=-1, keepdims=True)
        return self._scaled(centred / sqrt(variance + self.eps))


class BatchNorm(_Normalization):
    """Each feature by its mean and variance over everything else (Ioffe and Szegedy 2015).

    In training by those of the batch, over all axes but the last, and with `momentum` they enter
    the buffers `running_mean` and `running_var (features,)`; in evaluation by the buffers. Padded
    steps of sequences count like any other, unless a call says which are `valid`. As
    `torch.nn.BatchNorm1d`, whose features are its second axis; the names in a state dict are the
    same.

    Raises: ArgumentError, DTypeError or DeviceError that names the argument.
    """

    running_mean: Array
    running_var: Array
    num_batches_tracked: Array

    def __init__(
        self,
        features: int,
        *,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        dtype: Any = "float32",
        device: str = "cpu",
    ) -> None:
        """Make the layer; its arguments are told at the class."""
        super().__init__(features, eps, affine, dtype, device)
        if isinstance(momentum, bool) or not 0.0 <= momentum <= 1.0:
            raise ArgumentError("momentum", repr(momentum), "a number from 0 to 1")
        self.momentum = float(momentum)
        zeros = to_device(np.zeros(self.features, self.dtype), self._where)
        self.register_buffer("running_mean", zeros)
        self.register_buffer("running_var", array_namespace(zeros).ones_like(zeros))
        self.register_buffer("num_batches_tracked", to_device(np.zeros((), np.int64), self._where))

    def forward(self, x: Tensor | Array, valid: Any = None) -> Tensor:
        """Normalise x (..., features).

        valid  (...) bool, a NumPy array: which vectors enter the statistics of a batch in
               training; None is all. What the others become then means nothing, and no
               gradient reaches them

        Raises: ShapeError, DTypeError or DeviceError; in training also for fewer than two vectors,
        which have no variance.
        """
        x = self._checked(x, self.running_mean)
        if valid is not None:
            _check_valid(valid, x.shape)
        if not self.training:
            return self.by_running(x)
        count = x.size // self.features if valid is None else int(valid.sum())
        if count < 2:
            wanted = "two vectors of features or more, in training"
            raise ShapeError("x", f"shape {x.shape} with {count} of them", wanted)
        axes = tuple(range(x.ndim - 1))
        if valid is None:
            mean = x.mean(axis=axes)
            centred = x - mean
            variance = (centred * centred).mean(axis=axes)
        else:
            counted = beside(valid[..., None], x.data)
            # Zeros for what does not count: what is not finite there must not come back in a
            # gradient as 0 * NaN.
            x = where(counted, x, 0.0)
            mean = x.sum(axis=axes) / count
            centred = x - mean
            variance = where(counted, centred * centred, 0.0).sum(axis=axes) / count
        self.running_mean += self.momentum * (mean.data - self.running_mean)
        unbiased = variance.data * (count / (count - 1))
        self.running_var += self.momentum * (unbiased - self.running_var)
        self.num_batches_tracked += 1
        return self._scaled(centred / sqrt(variance + self.eps))

    def by_running(self, x: Tensor) -> Tensor:
        """Normalise x (..., features) by the buffers, in either mode."""
        centred = x - self.running_mean
        return self._scaled(centred / sqrt(Tensor(self.running_var) + self.eps))


def _check_valid(valid: Any, shape: tuple[int, ...]) -> None:
    if not isinstance(valid, np.ndarray) or valid.dtype != np.bool_:
        came = valid.dtype.name if hasattr(valid, "dtype") else f"a {type(valid).__name__}"
        raise DTypeError("valid", came, "a NumPy array of bool")
    if valid.shape != shape[:-1]:
        raise ShapeError("valid", f"shape {valid.shape}", f"{shape[:-1]}, one for each vector of x")
