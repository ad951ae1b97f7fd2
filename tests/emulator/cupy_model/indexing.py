"""Indexing as CuPy does it: what differs from NumPy is what goes wrong on a GPU and not in a test.

An index out of range in an array of indices is wrapped around, not refused. Of several values for
one element any may win: here the first, where NumPy lets the last. A boolean mask makes the host
wait for the count of what it takes; an index that is a list or a NumPy array is sent to the device.
"""

from __future__ import annotations

import numpy as np

from . import transfers


def _array():
    from . import array

    return array


def _parts(key: object) -> list:
    """The parts of an index as NumPy has them, with what had to cross entered in the log."""
    ndarray = _array().ndarray
    parts = list(key) if isinstance(key, tuple) else [key]
    for i, part in enumerate(parts):
        if isinstance(part, ndarray):
            cells = part._cells
        elif isinstance(part, list | tuple | np.ndarray | bool | np.bool_):
            # A list may hold arrays of the device.
            sent = part if not isinstance(part, list | tuple) else _unwrapped(part)
            cells = np.asarray(sent)
            if cells.size == 0 and isinstance(part, list | tuple):
                cells = cells.astype(np.int32)
            transfers.record(transfers.TO_DEVICE, cells.shape, cells.nbytes, "index")
        else:
            continue
        if cells.dtype.kind not in "iub":
            raise IndexError(
                "arrays used as indices must be of integer or boolean type. "
                f"(actual: {cells.dtype.type})"
            )
        parts[i] = cells
    return parts


def _unwrapped(part):
    ndarray = _array().ndarray
    if isinstance(part, ndarray):
        return part._cells
    return [_unwrapped(one) for one in part] if isinstance(part, list | tuple) else part


def _wrapped(parts: list, shape: tuple[int, ...]) -> tuple:
    """The index with the integers of its arrays wrapped into the axes that they take."""
    taken = 0
    for part in parts:
        if isinstance(part, np.ndarray) and part.dtype.kind == "b":
            taken += part.ndim
        elif part is not None and part is not Ellipsis:
            taken += 1
    out, axis = [], 0
    for part in parts:
        if part is None:
            out.append(part)
            continue
        if part is Ellipsis:
            axis += len(shape) - taken
        elif isinstance(part, np.ndarray) and part.dtype.kind == "b":
            axis += part.ndim
        else:
            if isinstance(part, np.ndarray) and axis < len(shape) and shape[axis]:
                part = np.asarray(np.mod(part, shape[axis]), np.int64)
            axis += 1
        out.append(part)
    return tuple(out)


def _is_advanced(parts: tuple) -> bool:
    return any(isinstance(part, np.ndarray) for part in parts)


def _count_masks(parts: tuple) -> None:
    for part in parts:
        if isinstance(part, np.ndarray) and part.dtype.kind == "b":
            transfers.record(transfers.TO_HOST, (), 8, "count of a mask")


def get(a, key):
    """a[key]"""
    array = _array()
    index = _wrapped(_parts(key), a.shape)
    cells = a._cells[index]
    if not _is_advanced(index):
        return array.place(np.asarray(cells), a) if cells.ndim else array.view_of(a, _at(a, index))
    _count_masks(index)
    return array.place(np.array(cells))


def _at(a, index: tuple) -> np.ndarray:
    """One element as a view: NumPy would give a scalar."""
    index = index if Ellipsis in index else (*index, Ellipsis)
    return a._cells[index]


def put(a, key, value) -> None:
    """a[key] = value"""
    array = _array()
    index = _wrapped(_parts(key), a.shape)
    advanced = _is_advanced(index)
    if isinstance(value, array.ndarray):
        cells = value._cells
    elif not advanced:
        fill(a._cells[index if Ellipsis in index else (*index, Ellipsis)], value)
        return
    else:
        cells = np.asarray(value, dtype=a.dtype)
        if cells.ndim:  # a number is written by a kernel, which has it as its argument
            transfers.record(transfers.TO_DEVICE, cells.shape, cells.nbytes, "assigned values")
    with np.errstate(all="ignore"):
        if not advanced:
            a._cells[index] = cells
            return
        _count_masks(index)
        places = np.arange(a.size).reshape(a.shape)[index]
        values = np.broadcast_to(cells, places.shape).astype(a.dtype)
        a._cells.flat[places.ravel()[::-1]] = values.ravel()[::-1]


def fill(cells: np.ndarray, value: object) -> None:
    """Every element the same: by a kernel with the value as its argument, so nothing is sent."""
    if isinstance(value, np.ndarray):
        if value.shape != ():
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        value = value.item()
    if not isinstance(value, _array().SCALARS):
        raise TypeError(f"Unsupported type {type(value)}")
    with np.errstate(all="ignore"):
        cells[...] = np.asarray(value).astype(cells.dtype)


def scatter(a, key, value, function) -> None:
    """a[key] = function(a[key], value), for every value that goes to one element."""
    array = _array()
    # As CuPy: the types for which there are atomic operations.
    if a.dtype.char not in ("iefdILQFD" if function is np.add else "ifdILQ"):
        raise TypeError(f"scatter_{function.__name__} does not support {a.dtype} as data type")
    if isinstance(value, np.ndarray):
        value = array.from_host(value.astype(a.dtype), "assigned values")
    index = _wrapped(_parts(key), a.shape)
    _count_masks(index)
    cells = value._cells if isinstance(value, array.ndarray) else value
    with np.errstate(all="ignore"):
        function.at(a._cells, index, np.asarray(cells).astype(a.dtype))
