"""`Tensor`: an array that remembers how it was made; and `apply`, which writes that down.

    x = Tensor(np.ones((3, 2)), requires_grad=True)
    loss = (x * 2.0).sum()
    loss.backward()
    x.grad                       # an array of x's shape and dtype

float32 and float64 never mix: that is a DTypeError, not a promotion. Python numbers adopt the
dtype of the tensor they meet; NumPy scalars and arrays keep theirs. Nor do devices mix: arrays on
the CPU (NumPy's) and on the GPU (CuPy's) meet in a DeviceError, not in a silent copy; numbers, and
lists of them, go where they are used.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from minirnn.device import (
    FLOATS,
    Array,
    array_namespace,
    check_beside,
    device_of,
    has_no_device,
    to_array,
    to_device,
    wrong_dtype,
)
from minirnn.errors import ArgumentError, DeviceError, DTypeError, ShapeError, TapeError
from minirnn.operators import Axis, Operand, Operators
from minirnn.tape import (
    Backward,
    Edge,
    Node,
    Origin,
    add_to_leaves,
    is_grad_enabled,
    mode,
    no_grad,
    own_copy,
    run_backward,
)

__all__ = ["Axis", "Operand", "Tensor", "apply", "as_tensor", "is_grad_enabled", "no_grad"]


class Tensor(Operators):
    """An array, its gradient, and its place on the tape.

    `data` is float32 or float64; or integer or boolean, which can take no gradient. An array is
    held as it is, not copied: NumPy's, CuPy's, and the memory of another library's (PyTorch, JAX,
    whatever offers DLPack or `__cuda_array_interface__`), on the CPU or the GPU. (JAX's arrays are
    constants: copy one that is to be trained.) Python floats and lists of them become float32, and
    numbers inside lists that are NumPy's keep their dtype. `grad` is None or an array like `data`;
    backward adds to it, and setting it to None clears it. Write to `data` in place only
    (`t.data[...] = ...`), and not between a forward and its backward.

    Other libraries take a tensor's memory, without a copy, by `from_dlpack(tensor)`, or on the GPU
    by `__cuda_array_interface__`; both refuse (TapeError) one that requires a gradient, unless
    under `no_grad()`: hand over `tensor.detach()`.

    Raises: DTypeError (float16, complex, object, text, or an integer tensor that should require a
    gradient), ShapeError (a ragged list), DeviceError (an array on some other device; a GPU's
    without CuPy), ArgumentError.
    """

    __slots__ = (
        "__weakref__",
        "_origin",  # where on the tape it was made; None for a leaf
        "_requires_grad",
        "_truncated",  # cut from a tape by detach(): a recurrent layer marks its trace so
        "data",
        "grad",
    )

    # NumPy's operators would run element by element over a Tensor and give an object array;
    # with this they step aside for the reflected operators below.
    __array_ufunc__ = None

    data: Array
    grad: Array | None
    _requires_grad: bool
    _origin: Origin | None
    _truncated: bool

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        if isinstance(data, Tensor):
            raise ArgumentError("data", "a Tensor", "an array or numbers", "Use .detach()")
        self.data = to_array(data, None, "data")
        if requires_grad is not False:
            if requires_grad is not True:
                raise ArgumentError("requires_grad", repr(requires_grad), "True or False")
            _check_differentiable(self.data)
        self.grad = None
        self._requires_grad = requires_grad
        self._origin = None
        self._truncated = False

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to this tensor; may be set on a leaf.

        Raises: TapeError when set on the result of an operation, DTypeError on integers.
        """
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if not isinstance(value, bool):
            raise ArgumentError("requires_grad", repr(value), "True or False")
        if self._origin is not None:
            raise TapeError("requires_grad can be set on a leaf only; use .detach() on a result")
        if value:
            _check_differentiable(self.data)
        self._requires_grad = value

    @property
    def is_leaf(self) -> bool:
        """Whether it came from no recorded operation."""
        return self._origin is None

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of each dimension."""
        shape: tuple[int, ...] = self.data.shape
        return shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The element type."""
        dtype: np.dtype[Any] = self.data.dtype
        return dtype

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return int(self.data.ndim)

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(self.data.size)

    @property
    def device(self) -> str:
        """The device that holds the data: "cpu" or "cuda"."""
        return device_of(self.data)

    def backward(self, gradient: Operand = None) -> None:
        """Add d self / d leaf to the `grad` of every leaf that requires a gradient.

        gradient: dL/d self, of this tensor's shape, dtype and device; may be left out (1) if this
        tensor has one element. The tape is freed on the way and serves once.

        Raises: TapeError if this tensor needs no gradient or its tape (or a part of it) was used
        before; ShapeError, DTypeError or DeviceError if `gradient` is missing or does not fit.
        """
        data = self.data
        if not self._requires_grad:
            raise TapeError(
                "backward was called on a tensor that needs no gradient: none of the tensors it "
                "was computed from has requires_grad=True, or it was computed under no_grad()"
            )
        if gradient is None:
            if data.size != 1:
                hint = "Only a single element, such as a loss, starts from 1 by itself"
                raise ShapeError("gradient", "None", f"an array of shape {data.shape}", hint)
            start = array_namespace(data).empty(data.shape, data.dtype)
            start[...] = 1
        else:
            start = as_tensor(gradient, data.dtype, "gradient", data).data
            if start.shape != data.shape:
                raise ShapeError("gradient", f"shape {start.shape}", f"{data.shape}")
        if self._origin is None:
            add_to_leaves({self: own_copy(start)})
        else:
            run_backward(self._origin, start)

    def detach(self) -> Tensor:
        """The same data (shared, not copied) as a leaf that needs no gradient."""
        result = constant(self.data)
        result._truncated = self._truncated or self._origin is not None
        return result

    def numpy(self) -> np.ndarray[Any, Any]:
        """The data as a NumPy array, shared where it lives on the CPU, a copy where it does not."""
        array: np.ndarray[Any, Any] = to_device(self.data, "cpu")
        return array

    def item(self) -> float | int | bool:
        """The single element as a Python number. Raises: ShapeError if there is not one."""
        if self.data.size != 1:
            raise ShapeError("tensor", f"shape {self.data.shape}", "one element")
        value: float | int | bool = self.data.item()
        return value

    def __repr__(self) -> str:
        text = np.array2string(self.numpy(), separator=", ", prefix="Tensor(")
        parts = [text, f"dtype={self.dtype.name}"]
        if self.device != "cpu":
            parts.append(f"device={self.device!r}")
        if self._origin is not None:
            parts.append(f"from={self._origin[0].name!r}")
        elif self._requires_grad:
            parts.append("requires_grad=True")
        return f"Tensor({', '.join(parts)})"

    def __reduce__(self) -> tuple[Any, ...]:
        if self._origin is not None:
            raise TapeError("a result on the tape cannot be copied or pickled; use .detach()")
        return _rebuild, (self.data, self.grad, self._requires_grad, self._truncated)

    def __array__(
        self, dtype: DTypeLike | None = None, copy: bool | None = None
    ) -> np.ndarray[Any, Any]:
        if self._requires_grad and mode.enabled:
            raise TapeError(
                "a NumPy function was given a tensor that requires a gradient, which it would "
                "lose; use minirnn.functional, or say .numpy() to take the data alone"
            )
        if not isinstance(self.data, np.ndarray):
            hint = "Say .numpy() for a copy on the CPU"
            raise DeviceError("tensor", f"one on {self.device!r}", "one on 'cpu'", hint)
        return np.array(self.data, dtype=dtype, copy=copy)

    # What other libraries ask for when they share an array's memory.

    def __dlpack__(self, **options: Any) -> Any:
        self._may_be_shared()
        return self.data.__dlpack__(**options)  # orders our stream before the one in `options`

    def __dlpack_device__(self) -> tuple[int, int]:
        device: tuple[int, int] = self.data.__dlpack_device__()
        return device

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        if isinstance(self.data, np.ndarray):  # as if it had no such attribute
            raise AttributeError("__cuda_array_interface__ is of tensors on 'cuda'")
        self._may_be_shared()
        interface: dict[str, Any] = self.data.__cuda_array_interface__
        return interface

    def _may_be_shared(self) -> None:
        if self._requires_grad and mode.enabled:
            raise TapeError(
                "a tensor that requires a gradient was handed to another library, where its tape "
                "would end unseen; hand over .detach()"
            )

    def __len__(self) -> int:
        if self.data.ndim == 0:
            raise ShapeError("tensor", "shape ()", "at least one dimension")
        return int(self.data.shape[0])

    def __bool__(self) -> bool:
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())


def apply(
    name: str,
    inputs: tuple[Tensor, ...],
    outputs: tuple[Array, ...],
    backward: Backward,
    *,
    fresh: bool = False,
) -> tuple[Tensor, ...]:
    """Make tensors of the arrays that an operation computed, and record it if a gradient may come.

    Recorded if grad is enabled and an input requires a gradient. Then `backward(*gradients)` is
    called at most once, with dL/d of each output (None where no gradient reached it; never all
    None), and answers with dL/d of each input: an array of the input's shape and dtype, or None
    for no gradient, as it should where the input's `requires_grad` is False. It must not write to
    what it is given, may return it, and must not keep the resulting tensors (the tape would be a
    cycle); keeping their arrays is fine.

    fresh: every array that `backward` answers with is new and nobody else's, no two the same, so
    that a leaf may keep it as its `grad` instead of a copy.
    """
    if mode.enabled:
        for tensor in inputs:
            if tensor._requires_grad:
                return _record(name, inputs, outputs, backward, fresh)
    return tuple([constant(array) for array in outputs])


def _record(
    name: str,
    inputs: tuple[Tensor, ...],
    outputs: tuple[Array, ...],
    backward: Backward,
    fresh: bool,
) -> tuple[Tensor, ...]:
    edges: list[Edge] = [
        t._origin if t._origin is not None else (t if t._requires_grad else None) for t in inputs
    ]
    node = Node(name, edges, len(outputs), backward, fresh)
    results = []
    for index, array in enumerate(outputs):
        result = constant(array)
        array = result.data
        result._requires_grad = True
        result._origin = (node, index, array.shape, array.dtype)
        results.append(result)
    return tuple(results)


def constant(array: Array) -> Tensor:
    """A leaf around `array`, unchecked, that needs no gradient.

    For arrays that this library computed itself; a NumPy scalar, as reductions give, becomes an
    array. Callers' arrays go through `as_tensor`.
    """
    tensor = Tensor.__new__(Tensor)
    tensor.data = np.asarray(array) if isinstance(array, np.generic) else array
    tensor.grad = None
    tensor._requires_grad = False
    tensor._origin = None
    tensor._truncated = False
    return tensor


def _rebuild(data: Array, grad: Array | None, requires_grad: bool, truncated: bool) -> Tensor:
    tensor = constant(data)
    tensor.grad, tensor._requires_grad, tensor._truncated = grad, requires_grad, truncated
    return tensor


def as_tensor(
    value: Operand,
    dtype: DTypeLike | None = None,
    argument: str = "value",
    beside: Array | None = None,
) -> Tensor:
    """`value` itself if it is a Tensor, else a Tensor around it; of `dtype` if that is given.

    Python numbers and lists of them adopt `dtype`; tensors, arrays and NumPy scalars must have it.
    With `beside`, an array, likewise for its device: numbers go there, arrays must be there.

    Raises: DTypeError, ShapeError, DeviceError or ArgumentError that names `argument`.
    """
    if isinstance(value, Tensor):
        if dtype is not None and value.data.dtype != dtype:
            raise wrong_dtype(argument, value.data.dtype, np.dtype(dtype))
        if beside is not None and type(value.data) is not type(beside):
            check_beside(value.data, beside, argument)
        return value
    array = to_array(value, None if dtype is None else np.dtype(dtype), argument)
    if beside is not None and type(array) is not type(beside):
        if has_no_device(value):
            array = to_device(np.asarray(array), device_of(beside), argument)
        else:
            check_beside(array, beside, argument)
    return constant(array)


def _check_differentiable(array: Array) -> None:
    if array.dtype not in FLOATS:
        raise DTypeError(
            "data", array.dtype.name, "float32 or float64", "Integers can take no gradient"
        )


# Last, because these functions need the Tensor above: its operators are their other spelling.
from minirnn import functional, operators  # noqa: E402

vars(operators)["functional"] = functional
