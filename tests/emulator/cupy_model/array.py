"""The array on the emulated device: NumPy's numbers behind CuPy's rules.

It wraps a NumPy array and is none: whatever would read it as one fails, as it fails on a GPU. A
result is laid out as CuPy lays it out (in C order, whatever the operands' order), has a block of
device memory of its own unless it is a view, and is an array even where NumPy gives a scalar.
"""

from __future__ import annotations

import functools
import operator

import numpy as np

from . import indexing, memory, transfers

SCALARS = (bool, int, float, complex, np.bool_, np.number)
_DTYPES = frozenset("?bhilqBHILQefdFD")
_POISON = 0x7F  # of integers: a huge number, an index of nothing


def check_dtype(dtype: object) -> np.dtype:
    """The dtype, if it is one that the device has."""
    found = np.dtype(dtype)
    if found.char not in _DTYPES:
        raise ValueError(f"Unsupported dtype {found}")
    return found.newbyteorder("=") if not found.isnative else found


def _operator(name: str, swapped: bool = False):
    function = getattr(np, name)

    def forward(self, other):
        # As CuPy: let the other operand decide if it can, else through NumPy's ufunc, which comes
        # back to __array_ufunc__ and there refuses what lives on the host.
        if not isinstance(other, (ndarray, *SCALARS)) and _defers(self, other):
            return NotImplemented
        return function(self, other)

    def backward(self, other):
        return function(other, self)

    return backward if swapped else forward


def _in_place(name: str):
    def apply(self, other):
        return namespace[name](self, other, self)

    return apply


def _defers(x: object, y: object) -> bool:
    try:
        return y.__array_ufunc__ is None
    except AttributeError:
        return getattr(x, "__array_priority__", 0) < getattr(y, "__array_priority__", 0)


def _unary(name: str):
    return lambda self: namespace[name](self)


class ndarray:  # noqa: N801
    """ndarray(shape, dtype=float, memptr=None, strides=None, order='C')"""

    __slots__ = ("__weakref__", "_cells", "_memory", "base")
    __array_priority__ = 100
    __hash__ = None

    def __init__(self, shape, dtype=float, memptr=None, strides=None, order="C"):
        dtype = check_dtype(dtype)
        order = (order or "C").upper()
        if order not in ("C", "F"):
            raise ValueError(f"order not understood. order={order}")
        shape = (operator.index(shape),) if not isinstance(shape, tuple | list) else tuple(shape)
        if any(extent < 0 for extent in shape):
            raise ValueError("Negative dimensions are not allowed")
        if strides is not None and memptr is None:
            raise ValueError("memptr is required if strides is given.")
        size = functools.reduce(operator.mul, shape, 1) * dtype.itemsize
        pointer = memory.alloc(size) if memptr is None else memptr
        self.base = None
        self._memory = pointer.mem
        if memptr is None and dtype.kind in "biu" and dtype.itemsize > 1:
            self._memory.bytes[:] = _POISON
        elif memptr is None and dtype.kind == "b":
            self._memory.bytes[:] = 1
        self._cells = np.ndarray(
            shape, dtype, self._memory.bytes, pointer._offset, strides, order
        )  # fmt: skip

    # --- layout -----------------------------------------------------------------------------------

    dtype = property(lambda self: self._cells.dtype)
    strides = property(lambda self: self._cells.strides)
    ndim = property(lambda self: self._cells.ndim)
    size = property(lambda self: self._cells.size)
    itemsize = property(lambda self: self._cells.itemsize)
    nbytes = property(lambda self: self._cells.nbytes)
    T = property(lambda self: self.transpose())

    @property
    def shape(self):
        return self._cells.shape

    @shape.setter
    def shape(self, shape):
        shaped = self._cells.reshape(shape)
        if shaped.size and not np.may_share_memory(shaped, self._cells):
            raise AttributeError("incompatible shape")
        self._cells = shaped

    @property
    def mT(self):
        if self.ndim < 2:
            raise ValueError("matrix transpose with ndim < 2 is undefined")
        return self.swapaxes(-1, -2)

    @property
    def flags(self):
        return Flags(self._cells.flags.c_contiguous, self._cells.flags.f_contiguous, self.base)

    @property
    def data(self):
        if self._cells.size == 0:
            return memory.MemoryPointer(self._memory, 0)
        return memory.MemoryPointer(self._memory, self._cells.ctypes.data - self._memory.ptr)

    @property
    def device(self):
        return self._memory.device

    @property
    def real(self):
        return place(self._cells.real, self)

    @property
    def imag(self):
        return place(self._cells.imag, self)

    @property
    def __cuda_array_interface__(self):
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "descr": self.dtype.descr,
            "stream": 1,
            "version": 3,
            "strides": None if self._cells.flags.c_contiguous else self.strides,
            "data": (self.data.ptr if self.size else 0, False),
        }

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        from . import interchange

        return interchange.capsule(self, dl_device, copy)

    def __dlpack_device__(self):
        return (2, self._memory.device_id)

    # --- to the host ------------------------------------------------------------------------------

    def get(self, stream=None, order="C", out=None, blocking=True):
        return to_host(self, "get", order, out)

    def set(self, arr, stream=None):
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if arr.dtype != self.dtype:
            raise TypeError(f"{arr.dtype} array cannot be set to {self.dtype} array")
        if arr.shape != self.shape:
            raise ValueError(
                f"Shape mismatch. Old shape: {self.shape}, new shape: {arr.shape}"
            )  # fmt: skip
        if not (self._cells.flags.c_contiguous or self._cells.flags.f_contiguous):
            raise RuntimeError("Cannot set to non-contiguous array")
        self._cells[...] = arr
        transfers.record(transfers.TO_DEVICE, arr.shape, arr.nbytes, "set")

    def item(self):
        if self.size != 1:
            raise ValueError("can only convert an array of size 1 to a Python scalar")
        return to_host(self, "item").item()

    def tolist(self):
        return to_host(self, "tolist").tolist()

    def tobytes(self, order="C"):
        return to_host(self, "tobytes").tobytes(order)

    def tofile(self, fid, sep="", format="%s"):
        to_host(self, "tofile").tofile(fid, sep, format)

    def __bool__(self):
        return bool(to_host(self, "bool"))

    def __int__(self):
        return int(to_host(self, "int"))

    def __float__(self):
        return float(to_host(self, "float"))

    def __complex__(self):
        return complex(to_host(self, "complex"))

    def __repr__(self):
        return repr(to_host(self, "repr"))

    def __str__(self):
        return str(to_host(self, "str"))

    def __format__(self, format_spec):
        return format(to_host(self, "format"), format_spec)

    def __bytes__(self):
        return bytes(to_host(self, "bytes"))

    def __reduce__(self):
        return namespace["array"], (self.get(),)

    def __array__(self, dtype=None):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    # --- as a container ---------------------------------------------------------------------------

    def __len__(self):
        if self.ndim == 0:
            raise TypeError("len() of unsized object")
        return len(self._cells)

    def __iter__(self):
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def __getitem__(self, slices):
        return indexing.get(self, slices)

    def __setitem__(self, slices, value):
        indexing.put(self, slices, value)

    def scatter_add(self, slices, value):
        indexing.scatter(self, slices, value, np.add)

    def scatter_max(self, slices, value):
        indexing.scatter(self, slices, value, np.maximum)

    def scatter_min(self, slices, value):
        indexing.scatter(self, slices, value, np.minimum)

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, memo):
        return self.copy()

    # --- NumPy's functions, called on this array --------------------------------------------------

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        outs = kwargs.get("out", ())
        if outs:
            if len(outs) != 1:
                raise ValueError("The 'out' parameter must have exactly one array value")
            kwargs["out"] = outs[0]
        if method != "__call__" or ufunc.__name__ not in namespace:
            return NotImplemented
        for x in (*inputs, *outs):
            if not isinstance(x, (ndarray, np.ndarray, *SCALARS)):
                return NotImplemented
        if ufunc.__name__ in _COMPARISONS:
            inputs = [x.item() if type(x) is np.ndarray and x.ndim == 0 else x for x in inputs]
        return namespace[ufunc.__name__](*inputs, **kwargs)

    def __array_function__(self, func, types, args, kwargs):
        import sys

        found = sys.modules["cupy"]
        try:
            for part in func.__module__.split(".")[1:]:
                found = getattr(found, part)
            found = getattr(found, func.__name__)
        except AttributeError:
            return NotImplemented
        if found is func or not all(one in (ndarray, np.ndarray) for one in types):
            return NotImplemented
        return found(*args, **kwargs)

    __add__, __radd__ = _operator("add"), _operator("add", True)
    __sub__, __rsub__ = _operator("subtract"), _operator("subtract", True)
    __mul__, __rmul__ = _operator("multiply"), _operator("multiply", True)
    __truediv__, __rtruediv__ = _operator("true_divide"), _operator("true_divide", True)
    __floordiv__, __rfloordiv__ = _operator("floor_divide"), _operator("floor_divide", True)
    __mod__, __rmod__ = _operator("remainder"), _operator("remainder", True)
    __divmod__, __rdivmod__ = _operator("divmod"), _operator("divmod", True)
    __pow__, __rpow__ = _operator("power"), _operator("power", True)
    __matmul__, __rmatmul__ = _operator("matmul"), _operator("matmul", True)
    __and__, __rand__ = _operator("bitwise_and"), _operator("bitwise_and", True)
    __or__, __ror__ = _operator("bitwise_or"), _operator("bitwise_or", True)
    __xor__, __rxor__ = _operator("bitwise_xor"), _operator("bitwise_xor", True)
    __lshift__, __rlshift__ = _operator("left_shift"), _operator("left_shift", True)
    __rshift__, __rrshift__ = _operator("right_shift"), _operator("right_shift", True)
    __eq__, __ne__ = _operator("equal"), _operator("not_equal")
    __lt__, __le__ = _operator("less"), _operator("less_equal")
    __gt__, __ge__ = _operator("greater"), _operator("greater_equal")
    __iadd__, __isub__, __imul__ = map(_in_place, ("add", "subtract", "multiply"))
    __itruediv__, __ifloordiv__ = map(_in_place, ("true_divide", "floor_divide"))
    __imod__, __ipow__ = map(_in_place, ("remainder", "power"))
    __iand__, __ior__, __ixor__ = map(_in_place, ("bitwise_and", "bitwise_or", "bitwise_xor"))
    __ilshift__, __irshift__ = map(_in_place, ("left_shift", "right_shift"))
    __neg__, __pos__, __abs__ = map(_unary, ("negative", "positive", "absolute"))
    __invert__ = _unary("invert")


ndarray.__module__ = "cupy"

_COMPARISONS = ("greater", "greater_equal", "less", "less_equal", "equal", "not_equal")

# The functions of the module `cupy`, which functions.py fills in.
namespace: dict[str, object] = {}


class Flags:
    """`flags`: c_contiguous, f_contiguous and owndata, also by index."""

    def __init__(self, c_contiguous: bool, f_contiguous: bool, base: object):
        self.c_contiguous, self.f_contiguous = c_contiguous, f_contiguous
        self.owndata = base is None
        self.fnc = f_contiguous and not c_contiguous
        self.forc = f_contiguous or c_contiguous

    def __getitem__(self, name: str) -> bool:
        return getattr(self, name.lower())


def to_host(a: ndarray, reason: str, order: str = "C", out: np.ndarray | None = None):
    """A copy of the array in the host's memory, entered in the log of transfers."""
    transfers.record(transfers.TO_HOST, a.shape, a.nbytes, reason)
    if out is None:
        return a._cells.copy(order)
    if not isinstance(out, np.ndarray):
        raise TypeError("Only numpy.ndarray can be obtained from cupy.ndarray")
    if out.dtype != a.dtype:
        raise TypeError(f"{out.dtype} array cannot be obtained from {a.dtype} array")
    if out.shape != a.shape:
        raise ValueError(f"Shape mismatch. Expected shape: {a.shape}, actual shape: {out.shape}")
    out[...] = a._cells
    return out


def from_host(value: np.ndarray, reason: str, order: str = "C") -> ndarray:
    """A copy of the host's array on the device, entered in the log of transfers."""
    made = ndarray(value.shape, check_dtype(value.dtype), order=order)
    made._cells[...] = value
    transfers.record(transfers.TO_DEVICE, made.shape, made.nbytes, reason)
    return made


def view_of(a: ndarray, cells: np.ndarray) -> ndarray:
    """`cells`, which lie in the memory of `a`, as an array of the device."""
    view = ndarray.__new__(ndarray)
    view.base = a if a.base is None else a.base
    view._memory = a._memory
    if not cells.flags.writeable:  # NumPy protects some views, CuPy none
        offset = cells.ctypes.data - a._memory.ptr
        cells = np.ndarray(cells.shape, cells.dtype, a._memory.bytes, offset, cells.strides)
    view._cells = cells
    return view


def place(result: object, *sources: ndarray, order: str = "C") -> ndarray:
    """NumPy's result on the device: a view if it is one of a source, else in memory of its own."""
    cells = np.asarray(result)
    for a in sources:
        if result is a._cells:
            return a
    if cells.size:
        for a in sources:
            if np.may_share_memory(cells, a._memory.bytes):
                return view_of(a, cells)
    if order == "K":
        order = "F" if cells.flags.fnc else "C"
    made = ndarray(cells.shape, cells.dtype, order=order)
    made._cells[...] = cells
    return made
