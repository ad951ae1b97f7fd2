"""A tensor's operators and methods that are functions of `minirnn.functional`, spelled otherwise.

Each function's page there gives rules and errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from numpy.typing import DTypeLike

if TYPE_CHECKING:  # when it runs, `minirnn.tensor` puts it here: these functions need its Tensor
    from minirnn import functional
    from minirnn.tensor import Tensor

Operand: TypeAlias = Any  # a Tensor, an array, or a Python number
Axis: TypeAlias = "int | tuple[int, ...] | None"


class Operators:
    """What `Tensor` inherits; it holds nothing itself."""

    __slots__ = ()

    def __add__(self, other: Operand) -> Tensor:
        return functional.add(self, other)

    def __radd__(self, other: Operand) -> Tensor:
        return functional.add(other, self)

    def __sub__(self, other: Operand) -> Tensor:
        return functional.sub(self, other)

    def __rsub__(self, other: Operand) -> Tensor:
        return functional.sub(other, self)

    def __mul__(self, other: Operand) -> Tensor:
        return functional.mul(self, other)

    def __rmul__(self, other: Operand) -> Tensor:
        return functional.mul(other, self)

    def __truediv__(self, other: Operand) -> Tensor:
        return functional.div(self, other)

    def __rtruediv__(self, other: Operand) -> Tensor:
        return functional.div(other, self)

    def __pow__(self, exponent: float) -> Tensor:
        return functional.pow(self, exponent)

    def __matmul__(self, other: Operand) -> Tensor:
        return functional.matmul(self, other)

    def __rmatmul__(self, other: Operand) -> Tensor:
        return functional.matmul(other, self)

    def __neg__(self) -> Tensor:
        return functional.neg(self)

    def __pos__(self) -> Self:
        return self

    def __abs__(self) -> Tensor:
        return functional.abs(self)

    # Comparisons give boolean tensors, so == cannot serve hashing: tensors hash by identity.

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]
        if other is None or isinstance(other, str):
            return NotImplemented
        return functional.equal(self, other)

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]
        if other is None or isinstance(other, str):
            return NotImplemented
        return functional.not_equal(self, other)

    def __lt__(self, other: Operand) -> Tensor:
        return functional.less(self, other)

    def __le__(self, other: Operand) -> Tensor:
        return functional.less_equal(self, other)

    def __gt__(self, other: Operand) -> Tensor:
        return functional.greater(self, other)

    def __ge__(self, other: Operand) -> Tensor:
        return functional.greater_equal(self, other)

    # Shapes and reductions.

    def __iter__(self) -> Iterator[Tensor]:
        return iter(functional.unbind(self))

    def __getitem__(self, index: Any) -> Tensor:
        return functional.getitem(self, index)

    @property
    def T(self) -> Tensor:
        """The dimensions in reverse order."""
        return functional.transpose(self)

    def reshape(self, *shape: Any) -> Tensor:
        """As `functional.reshape`; takes a tuple or separate sizes."""
        return functional.reshape(self, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: Any) -> Tensor:
        """As `functional.transpose`; takes nothing, a tuple or separate axes."""
        if not axes:
            return functional.transpose(self)
        several = len(axes) > 1 or isinstance(axes[0], int)
        return functional.transpose(self, axes if several else axes[0])

    def swapaxes(self, first: int, second: int) -> Tensor:
        """As `functional.swapaxes`."""
        return functional.swapaxes(self, first, second)

    def squeeze(self, axis: Axis = None) -> Tensor:
        """As `functional.squeeze`."""
        return functional.squeeze(self, axis)

    def astype(self, dtype: DTypeLike) -> Tensor:
        """As `functional.astype`: the one place where float32 becomes float64 or back."""
        return functional.astype(self, dtype)

    def sum(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """As `functional.sum`."""
        return functional.sum(self, axis, keepdims)

    def mean(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """As `functional.mean`."""
        return functional.mean(self, axis, keepdims)

    def max(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """As `functional.max`."""
        return functional.max(self, axis, keepdims)

    def min(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """As `functional.min`."""
        return functional.min(self, axis, keepdims)

    def var(self, axis: Axis = None, keepdims: bool = False, correction: int = 0) -> Tensor:
        """As `functional.var`."""
        return functional.var(self, axis, keepdims, correction)

    def to(self, device: str) -> Tensor:
        """As `functional.to_device`: this tensor itself if it is there, else a copy on `device`.

        The copy is differentiable: gradients flow back to where this tensor is. A parameter stays
        where it is; `Module.to` moves those.
        """
        return functional.to_device(self, device)
