"""CuPy's functions and methods that compute with NumPy's of the same name.

A call is checked against CuPy's signature; an array of the host, or a list where an array belongs,
is refused; and what makes the host wait for a number on a real GPU is entered in the log.
"""

from __future__ import annotations

import contextlib
import inspect
import types
import warnings

import numpy as np

from . import array, creation, indexing, names, transfers
from .array import SCALARS, ndarray, place
from .ufunc import ufuncs

# Parameters that are arrays (or, other than the first, numbers), and sequences of arrays.
_ARRAYS = frozenset(
    [
        "a",
        "a1",
        "a2",
        "a_max",
        "a_min",
        "arr",
        "ar",
        "array",
        "ary",
        "b",
        "condition",
        "dst",
        "element",
        "f",
        "fp",
        "m",
        "mask",
        "p",
        "src",
        "test_elements",
        "v",
        "val",
        "values",
        "weights",
        "x",
        "xp",
        "y",
        "z",
        "A",
        "M",
    ]
)
_SEQUENCES = frozenset(["tup", "arys", "xi", "keys", "args"])
# Indices and counts: these may come from the host, and are sent.
_SENT = frozenset(["indices", "ind", "q", "bins", "repeats"])

# They have the same name in NumPy, but not always the same position.
_NAMED = frozenset(["axis", "out", "dtype", "keepdims", "weights", "ddof", "sorter"])

# A number comes to the host, because a shape or a warning depends on it.
_WAITS = {
    "nonzero": 1, "argwhere": 1, "flatnonzero": 1, "compress": 1, "extract": 1, "place": 1,
    "unique": 1, "nanmax": 1, "nanmin": 1, "bincount": 2, "lstsq": 1,
}  # fmt: skip
# NumPy warns of an empty slice where CuPy gives NaN without a word.
_SILENT = frozenset(["mean", "nanmean", "nanmedian", "nanstd", "nanvar", "std", "var", "median"])
# By default CuPy leaves out the check that would make the host wait, and gives nonsense: here NaN.
_UNCHECKED = frozenset(("cholesky", "inv", "solve"))


def _bare(value, name: str, first: bool, sources: list):
    """What NumPy is to compute with, for the argument of that name."""
    if isinstance(value, ndarray):
        sources.append(value)
        return value._cells
    if name in _SENT and isinstance(value, list | tuple | np.ndarray):
        host = np.asarray(value)
        transfers.record(transfers.TO_DEVICE, host.shape, host.nbytes, name)
        return host
    if name in _SEQUENCES:
        if not isinstance(value, list | tuple):
            raise TypeError("Only tuple or list is supported")
        return [_bare(one, "a", False, sources) for one in value]
    if name in _ARRAYS:
        if value is None or (not first and isinstance(value, SCALARS)):
            return value
        raise TypeError(f"Unsupported type {type(value)}")
    if isinstance(value, np.ndarray) and name not in ("indices_or_sections", "reps", "axes"):
        raise TypeError(f"Unsupported type {type(value)}")
    return value


def _placed(result, sources, order="C"):
    if isinstance(result, np.ndarray | np.generic):
        return place(result, *sources, order=order)
    if isinstance(result, tuple):
        parts = [_placed(one, sources) for one in result]
        return tuple(parts)  # CuPy gives no named tuples
    if isinstance(result, list):
        return [_placed(one, sources) for one in result]
    if isinstance(result, bool | int | float):
        return place(np.asarray(result))
    return result


@contextlib.contextmanager
def _quiet(name: str):
    with np.errstate(all="ignore"):
        if name not in _SILENT:
            yield
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            yield


def _call(name, function, signature, args, kwargs):
    sources: list[ndarray] = []
    bound = signature.bind(*args, **kwargs)
    positional, named = [], {}
    gap = False  # after an argument left out, or named, the others have to be named
    for index, (key, parameter) in enumerate(signature.parameters.items()):
        if key not in bound.arguments:
            gap = True
            continue
        value, kind = bound.arguments[key], parameter.kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            known = "args" if key in ("operands", "varargs") else key
            host = key == "operands" and value and isinstance(value[0], str)
            if host:
                positional.append(value[0])
                value = value[1:]
            positional += _bare(value, known, False, sources)
        elif kind is inspect.Parameter.VAR_KEYWORD:
            named |= {one: _bare(part, one, False, sources) for one, part in value.items()}
        else:
            bare = _bare(value, key, index == 0, sources)
            gap = gap or kind is inspect.Parameter.KEYWORD_ONLY or key in _NAMED
            if gap:
                named[key] = bare
            else:
                positional.append(bare)
    out = bound.arguments.get("out")
    with _quiet(name):
        try:
            result = function(*positional, **named)
        except np.linalg.LinAlgError:
            if name not in _UNCHECKED:
                raise
            result = np.full_like(positional[-1], np.nan)
    for _ in range(_WAITS.get(name, 0)):
        transfers.record(transfers.TO_HOST, (), 8, name)
    if isinstance(out, ndarray):
        return out
    return _placed(result, sources)


def _function(name: str, text: str, numpy_function):
    scope: dict[str, object] = {}
    exec(f"def {name}{text}: pass", scope)
    signature = inspect.signature(scope[name])
    own = _OWN.get(name)

    def function(*args, **kwargs):
        if own is not None:
            signature.bind(*args, **kwargs)
            return own(*args, **kwargs)
        return _call(name, numpy_function, signature, args, kwargs)

    function.__name__ = function.__qualname__ = name
    function.__module__ = "cupy"
    function.__signature__ = signature
    return function


# --- where NumPy's function of the name is not the one ------------------------------------------


def _argument_of(numpy_function):
    def find(a, axis=None, dtype=None, out=None, keepdims=False):
        found = np.asarray(numpy_function(a, axis=axis, keepdims=keepdims)).astype(
            dtype or np.int64
        )
        if out is not None:
            out[...] = found
        return found

    return find


def _clip(a, a_min, a_max, out=None):
    return np.clip(a, a_min, a_max, out=out)


def _take_along_axis(a, indices, axis):
    if indices.dtype.kind not in "iu":
        raise IndexError("`indices` must be an integer array")
    extent = a.size if axis is None else a.shape[axis]
    return np.take_along_axis(a, np.mod(indices, extent), axis)


def _take(a, indices, axis=None, out=None):
    return np.take(a, indices, axis, out, "wrap")


def _where(condition, x=None, y=None):
    if (x is None) != (y is None):
        raise ValueError("Must provide both 'x' and 'y' or neither.")
    if x is None:
        transfers.record(transfers.TO_HOST, (), 8, "where")
        return np.nonzero(condition)
    return np.where(condition, x, y)


def _bincount(x, weights=None, minlength=None):
    return np.bincount(x, weights, minlength or 0)


def _quantile(numpy_function):
    def find(a, q, axis=None, out=None, overwrite_input=False, method="linear", keepdims=False):
        return numpy_function(a, q, axis=axis, out=out, method=method, keepdims=keepdims)

    return find


def _eig(a):
    w, v = np.linalg.eig(a)
    kind = np.result_type(a, np.complex64)  # complex even where NumPy would give real values
    return w.astype(kind), v.astype(kind)


_NUMPY = {
    "argmax": _argument_of(np.argmax),
    "argmin": _argument_of(np.argmin),
    "nanargmax": _argument_of(np.nanargmax),
    "nanargmin": _argument_of(np.nanargmin),
    "clip": _clip,
    "take": _take,
    "take_along_axis": _take_along_axis,
    "where": _where,
    "bincount": _bincount,
    "quantile": _quantile(np.quantile),
    "percentile": _quantile(np.percentile),
    "average": lambda a, axis=None, weights=None, returned=False, keepdims=False: np.average(
        a, axis, weights, returned, keepdims=keepdims
    ),
}

_OWN = {
    name: getattr(creation, name)
    for name, _ in names.signatures(names.FUNCTIONS)
    if hasattr(creation, name)
}
_OWN["copy"] = lambda a, order="K": a.copy(order)
_OWN["astype"] = lambda x, dtype, copy=True: x.astype(dtype, copy=copy)


def functions() -> dict[str, object]:
    """Everything that the module `cupy` has, apart from its submodules."""
    made = {name: getattr(np, name) for name in (names.CONSTANTS + names.TYPES).split()}
    for name in names.HOST_FUNCTIONS.split():
        made[name] = _host_function(getattr(np, name))
    made |= ufuncs()
    for name, text in names.signatures(names.FUNCTIONS):
        made[name] = _function(name, text, _NUMPY.get(name) or getattr(np, name, None))
    made["ndarray"] = ndarray
    made["ufunc"] = type(made["add"])
    return made


def _host_function(numpy_function):
    def function(*args, **kwargs):
        # A stand-in of that shape and dtype: NumPy asks for no more.
        args = [one._cells if isinstance(one, ndarray) else one for one in args]
        return numpy_function(*args, **kwargs)

    function.__name__ = numpy_function.__name__
    return function


def submodule(name: str, table: str, numpy_module) -> types.ModuleType:
    """`cupy.linalg` or `cupy.fft`."""
    made = types.ModuleType(f"cupy.{name}")
    own = {"eig": _eig, "eigvals": lambda a: _eig(a)[0]}
    own["matrix_rank"] = lambda M, tol=None: np.asarray(np.linalg.matrix_rank(M, tol))
    for one, text in names.signatures(table):
        function = own.get(one) if name == "linalg" else None
        setattr(made, one, _function(one, text, function or getattr(numpy_module, one)))
    if name == "linalg":
        made.LinAlgError = np.linalg.LinAlgError
    return made


# --- methods ------------------------------------------------------------------------------------


def _astype(self, dtype, order="K", casting=None, subok=None, copy=True):
    if casting is not None or subok is not None:
        raise TypeError("casting and subok are not supported")
    dtype = array.check_dtype(dtype)
    if not copy and dtype == self.dtype:
        return self
    with np.errstate(all="ignore"):
        return place(self._cells.astype(dtype), order="K" if order in "KA" else order)


def _copy(self, order="C"):
    return place(np.array(self._cells, order=order), order="F" if order == "F" else
                 "K" if order in "KA" else "C")  # fmt: skip


def _reshape(self, *shape, order="C", copy=None):
    shape = shape[0] if len(shape) == 1 else shape
    return place(self._cells.reshape(shape, order=order, copy=copy), self)


def _view(self, dtype=None, type=None):
    cells = self._cells.view() if dtype is None else self._cells.view(array.check_dtype(dtype))
    return array.view_of(self, cells)


_METHODS = {
    "astype": _astype,
    "copy": _copy,
    "reshape": _reshape,
    "view": _view,
    "flatten": lambda self, order="C": place(self._cells.flatten(order)),
    "ravel": lambda self, order="C": place(self._cells.ravel(order), self),
    "transpose": lambda self, *axes: place(self._cells.transpose(*axes), self),
    "squeeze": lambda self, axis=None: place(self._cells.squeeze(axis), self),
    "fill": lambda self, value: _filled(self, value),
    "sort": lambda self, axis=-1, kind=None: self._cells.sort(axis=axis),
    "partition": lambda self, kth, axis=-1: self._cells.partition(kth, axis),
    "conj": lambda self: array.namespace["conj"](self) if self.dtype.kind == "c" else self,
}
_METHODS["conjugate"] = _METHODS["conj"]


def _filled(a, value):
    if isinstance(value, ndarray):
        value = value._cells.item()
    indexing.fill(a._cells, value)


def _method(name: str, text: str):
    scope: dict[str, object] = {}
    exec(f"def {name}{text}: pass", scope)
    signature = inspect.signature(scope[name])
    order = [key for key in signature.parameters if key != "self"]
    own = _METHODS.get(name)

    def method(self, *args, **kwargs):
        bound = signature.bind(self, *args, **kwargs)
        if own is not None:
            return own(self, *args, **kwargs)
        given = {key: bound.arguments[key] for key in order if key in bound.arguments}
        renamed = {"min": "a_min", "max": "a_max"} if name == "clip" else {}
        if name == "clip":
            given = {"min": None, "max": None} | given
        if name == "prod" and given.get("keepdims") is None:
            given.pop("keepdims", None)
        if name == "put":
            given = {
                "ind": given["indices"],
                "v": given["values"],
                "mode": given.get("mode", "wrap"),
            }
        if name == "compress":
            return array.namespace[name](given.pop("condition"), self, **given)
        given = {renamed.get(key, key): value for key, value in given.items()}
        return array.namespace[name](self, **given)

    method.__name__ = name
    method.__signature__ = signature
    return method


def complete() -> None:
    """Give the array its methods and the module's functions to each other."""
    array.namespace.update(functions())
    for name, text in names.signatures(names.METHODS):
        setattr(ndarray, name, _method(name, text))


complete()
