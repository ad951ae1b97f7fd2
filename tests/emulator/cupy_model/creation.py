"""Arrays from shapes, from values and from the host, with CuPy's signatures."""

from __future__ import annotations

import numpy as np

from . import memory
from .array import SCALARS, check_dtype, from_host, ndarray, place, to_host
from .indexing import fill


def empty(shape, dtype=float, order="C"):
    return ndarray(shape, dtype, order=order)


def _filled(shape, value, dtype, order="C"):
    made = ndarray(shape, dtype, order=order)
    made._cells[...] = value
    return made


def zeros(shape, dtype=float, order="C"):
    return _filled(shape, 0, dtype, order)


def ones(shape, dtype=float, order="C"):
    return _filled(shape, 1, dtype, order)


def full(shape, fill_value, dtype=None, order="C"):
    if dtype is None:
        known = isinstance(fill_value, (ndarray, np.ndarray))
        dtype = fill_value.dtype if known else np.array(fill_value).dtype
    made = ndarray(shape, dtype, order=order)
    _fill(made, fill_value)
    return made


def _fill(made, value):
    if isinstance(value, ndarray):
        made._cells[...] = value._cells
    else:
        fill(made._cells, value)


def _like(a, dtype, order, shape):
    if not isinstance(a, ndarray):
        raise TypeError(f"{type(a)} is not supported")
    order = (order or "K").upper()
    if order in "KA":
        order = "F" if a._cells.flags.fnc else "C"
    return ndarray(a.shape if shape is None else shape, dtype or a.dtype, order=order)


def empty_like(prototype, dtype=None, order="K", subok=None, shape=None):
    return _like(prototype, dtype, order, shape)


def full_like(a, fill_value, dtype=None, order="K", subok=None, shape=None):
    made = _like(a, dtype, order, shape)
    _fill(made, fill_value)
    return made


def zeros_like(a, dtype=None, order="K", subok=None, shape=None):
    return full_like(a, 0, dtype, order, subok, shape)


def ones_like(a, dtype=None, order="K", subok=None, shape=None):
    return full_like(a, 1, dtype, order, subok, shape)


def _computed(name):
    """A function whose arguments are numbers: nothing crosses, a kernel writes the values."""

    def create(*args, **kwargs):
        for one in (*args, *kwargs.values()):
            if isinstance(one, (np.ndarray, ndarray, list)):
                raise TypeError(f"Unsupported type {type(one)}")
        result = getattr(np, name)(*args, **kwargs)
        return tuple(map(place, result)) if isinstance(result, tuple) else place(result)

    return create


arange = _computed("arange")
eye = _computed("eye")
identity = _computed("identity")
tri = _computed("tri")
indices = _computed("indices")
tril_indices = _computed("tril_indices")
triu_indices = _computed("triu_indices")


def linspace(start, stop, num=50, endpoint=True, retstep=False, dtype=None, axis=0):
    if any(isinstance(one, np.ndarray) for one in (start, stop)):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    ends = [one._cells if isinstance(one, ndarray) else one for one in (start, stop)]
    result = np.linspace(*ends, num, endpoint, retstep, dtype, axis)
    return (place(result[0]), result[1]) if retstep else place(result)


def logspace(start, stop, num=50, endpoint=True, base=10.0, dtype=None, axis=0):
    return place(np.logspace(start, stop, num, endpoint, base, dtype, axis))


def array(obj, dtype=None, copy=True, order="K", subok=False, ndmin=0, *, blocking=False):
    if subok:
        raise NotImplementedError("subok=True is not supported")
    if isinstance(obj, ndarray):
        made = obj.astype(dtype or obj.dtype, order=order or "K", copy=bool(copy))
    elif hasattr(obj, "__cuda_array_interface__"):
        from .interchange import from_interface

        made = array(from_interface(obj), dtype, copy, order)
    elif isinstance(obj, list | tuple) and _holds_arrays(obj):
        made = _joined(obj, dtype)
    else:
        host = np.array(obj, dtype=dtype, copy=None)
        check_dtype(host.dtype)
        layout = (order or "K").upper()
        if layout in "KA":
            layout = "F" if isinstance(obj, np.ndarray) and obj.flags.fnc else "C"
        if host.ndim == 0:  # written by a kernel with the number as its argument
            made = ndarray((), host.dtype)
            made._cells[...] = host
        else:
            made = from_host(host, "array", layout)
    if ndmin > made.ndim:
        made = made.reshape((1,) * (ndmin - made.ndim) + made.shape)
    return made


def _holds_arrays(obj) -> bool:
    while isinstance(obj, list | tuple) and len(obj):
        obj = obj[0]
    return isinstance(obj, ndarray)


def _joined(obj, dtype):
    """Arrays of the device in lists: put together there, so nothing crosses."""

    def bare(one):
        if isinstance(one, ndarray):
            return one._cells
        if isinstance(one, list | tuple):
            return [bare(part) for part in one]
        # As CuPy: a list of arrays and numbers becomes a NumPy array of objects, and that fails.
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    return place(np.array(bare(obj), dtype=dtype))


def asarray(a, dtype=None, order=None, *, copy=None, blocking=False):
    if copy is False and not isinstance(a, ndarray):
        raise ValueError("Unable to avoid copy while creating an array as requested.")
    return array(a, dtype, bool(copy), order or "K", blocking=blocking)


asanyarray = asarray


def ascontiguousarray(a, dtype=None):
    made = asarray(a, dtype)
    if made.ndim == 0:
        return made.ravel()
    return made if made._cells.flags.c_contiguous else made.copy("C")


def asfortranarray(a, dtype=None):
    made = asarray(a, dtype)
    if made.ndim == 0:
        return made.ravel()
    return made if made._cells.flags.f_contiguous else made.copy("F")


def asnumpy(a, stream=None, order="C", out=None, *, blocking=True):
    if isinstance(a, ndarray):
        return to_host(a, "asnumpy", order, out)
    if isinstance(a, list | tuple) and _holds_arrays(a):
        return asnumpy(array(a), order=order, out=out)
    host = np.asarray(a, order=order)
    if out is not None:
        np.copyto(out, host)
        return out
    return host


def get_array_module(*args):
    import sys

    return sys.modules["cupy"] if any(isinstance(one, ndarray) for one in args) else np


def get_default_memory_pool():
    return memory.pool


def is_available():
    return True


def load(file, mmap_mode=None, allow_pickle=None):
    return array(np.load(file, mmap_mode=mmap_mode, allow_pickle=bool(allow_pickle)))


def save(file, arr, allow_pickle=None):
    np.save(file, asnumpy(arr))


def copyto(dst, src, casting="same_kind", where=None):
    if not isinstance(dst, ndarray):
        raise TypeError(f"Unsupported type {type(dst)}")
    if isinstance(src, np.ndarray) or not isinstance(src, (ndarray, *SCALARS)):
        raise TypeError(f"Unsupported type {type(src)}")
    cells = src._cells if isinstance(src, ndarray) else src
    if where is not None and not isinstance(where, ndarray):
        raise TypeError(f"Unsupported type {type(where)}")
    with np.errstate(all="ignore"):
        np.copyto(
            dst._cells, cells, casting=casting, where=True if where is None else where._cells
        )  # fmt: skip
