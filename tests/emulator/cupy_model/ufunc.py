"""CuPy's ufuncs: NumPy's loops with CuPy's rules on what may be an operand."""

from __future__ import annotations

import numpy as np

from . import array, indexing, names
from .array import SCALARS, ndarray, place


def operand(x: object) -> object:
    """What NumPy is to compute with. Raises: TypeError for what a kernel cannot be given."""
    if type(x) is ndarray:
        return x._cells
    if isinstance(x, SCALARS):
        return x
    raise TypeError(f"Unsupported type {type(x)}")


class ufunc:  # noqa: N801
    """An element-wise function of `nin` operands."""

    def __init__(self, name: str, nin: int, nout: int = 1):
        self._numpy = getattr(np, name)
        self.name = f"cupy_{name}"
        self.__name__ = name
        self.nin, self.nout, self.nargs = nin, nout, nin + nout

    def __call__(self, *args, **kwargs):
        out = kwargs.pop("out", None)
        options = {key: kwargs.pop(key) for key in ("dtype", "casting") if key in kwargs}
        if kwargs:
            raise TypeError(f"Wrong arguments {kwargs}")
        if len(args) not in (self.nin, self.nargs):
            raise TypeError(
                f"Wrong number of arguments for {self.name!r}. "
                f"It must be either {self.nin} or {self.nargs} (with outputs), "
                f"but given {len(args)}."
            )
        given = list(args[self.nin :])
        if out is not None:
            if given:
                raise ValueError("Cannot specify 'out' as both a positional and keyword argument")
            given = list(out) if isinstance(out, tuple) else [out]
        operands = [operand(x) for x in args[: self.nin]]
        if given:
            for one in given:
                if one is not None and type(one) is not ndarray:
                    raise TypeError("return arrays must be of ArrayType")
            options["out"] = tuple(None if one is None else one._cells for one in given)
        with np.errstate(all="ignore"):
            results = self._numpy(*operands, **options)
        if self.nout == 1:
            return given[0] if given else place(results)
        given = given or [None] * self.nout
        return tuple(
            place(made) if one is None else one for made, one in zip(results, given, strict=True)
        )

    def at(self, a, indices, b=None):
        if self.__name__ not in ("add", "maximum", "minimum"):
            raise NotImplementedError(f"`{self.name}.at` is not supported yet")
        indexing.scatter(a, indices, b, self._numpy)

    def outer(self, A, B, **kwargs):
        A, B = array.namespace["array"](A), array.namespace["array"](B)
        return self(A.reshape(A.shape + (1,) * B.ndim), B.reshape((1,) * A.ndim + B.shape))

    def reduce(self, array, axis=0, dtype=None, out=None, keepdims=False):
        if self.name == "cupy_add":
            return array.sum(axis, dtype, out, keepdims)
        if self.name == "cupy_multiply":
            return array.prod(axis, dtype, out, keepdims)
        raise NotImplementedError(f"`{self.name}.reduce` is not supported yet")

    def accumulate(self, array, axis=0, dtype=None, out=None):
        if self.name == "cupy_add":
            return array.cumsum(axis, dtype, out)
        if self.name == "cupy_multiply":
            return array.cumprod(axis, dtype, out)
        raise NotImplementedError(f"`{self.name}.accumulate` is not supported yet")


ufunc.__module__ = "cupy"


def ufuncs() -> dict[str, ufunc]:
    """All of them by name."""
    made = {name: ufunc(name, 1) for name in names.UNARY.split()}
    made |= {name: ufunc(name, 2) for name in names.BINARY.split()}
    made |= {name: ufunc(name, nin, 2) for name, nin in names.TWO_RESULTS.items()}
    return made
