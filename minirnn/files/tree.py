"""Nested dicts and lists with arrays in them, as named arrays and a JSON value that points to them.

None, bool, int, str, finite float, list, dict with texts as keys   themselves
other floats     {"$float": "nan" | "inf" | "-inf"}
tuple            {"$tuple": [...]}
array            {"$array": name}: dtype and shape as they are, of any device
NumPy's scalar   {"$scalar": name}
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from minirnn.device import Array
from minirnn.errors import ArgumentError
from minirnn.files.strict_json import LONGEST_NUMBER
from minirnn.gpu import cupy_array

DEEPEST = 32
JSON_DEPTH = 2 * DEEPEST + 8  # a tuple is two levels of JSON
FLOATS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
WANTED = "None, a number, a text, an array, or lists, tuples and dicts of them"


def take_apart(value: Any, name: str, arrays: dict[str, Array]) -> Any:
    """The JSON value of a tree; its arrays are added to `arrays`, named by their path from `name`.

    Raises: ArgumentError that names the place of what cannot be told so.
    """
    return _take_apart(value, name, arrays, 0)


def _take_apart(value: Any, name: str, arrays: dict[str, Array], depth: int) -> Any:
    if depth > DEEPEST:
        raise ArgumentError(name, f"something nested more than {DEEPEST} deep", "less")
    if value is None or (isinstance(value, bool | str) and not isinstance(value, np.generic)):
        return value
    if isinstance(value, np.str_):
        return str(value)
    if isinstance(value, np.ndarray | np.generic) or cupy_array(value):
        if name in arrays:
            raise ArgumentError(name, "two arrays of that name", "names that differ")
        arrays[name] = np.asarray(value) if isinstance(value, np.generic) else value
        return {"$scalar" if isinstance(value, np.generic) else "$array": name}
    if isinstance(value, int) and abs(value) < 10**LONGEST_NUMBER:
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"$float": str(float(value))}
    if isinstance(value, tuple):
        return {"$tuple": _take_apart(list(value), name, arrays, depth)}
    if isinstance(value, list):
        return [_take_apart(v, f"{name}.{k}", arrays, depth + 1) for k, v in enumerate(value)]
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str) or key.startswith("$"):
                raise ArgumentError(name, f"the key {key!r}", "texts that do not begin with '$'")
        told = value.items()
        return {str(k): _take_apart(v, f"{name}.{k}", arrays, depth + 1) for k, v in told}
    raise ArgumentError(name, f"a {type(value).__name__}", WANTED)


def put_together(told: Any, arrays: dict[str, np.ndarray[Any, Any]]) -> Any:
    """The tree of which `take_apart` made these; its arrays are taken out of `arrays`.

    Raises: ValueError, for what `take_apart` does not make.
    """
    if isinstance(told, list):
        return [put_together(each, arrays) for each in told]
    if not isinstance(told, dict):
        return told
    marks = [key for key in told if key.startswith("$")]
    if not marks:
        return {key: put_together(each, arrays) for key, each in told.items()}
    mark, content = marks[0], told[marks[0]]
    if len(told) == 1 and isinstance(content, str):
        if mark == "$float" and content in FLOATS:
            return FLOATS[content]
        if mark in ("$array", "$scalar"):
            if content not in arrays:
                raise ValueError(f"the array {content!r} is missing")
            array = arrays.pop(content)
            if mark == "$array":
                return array
            if array.ndim == 0:
                return array[()]
    if len(told) == 1 and mark == "$tuple" and isinstance(content, list):
        return tuple(put_together(each, arrays) for each in content)
    raise ValueError(f"{mark!r} is followed by what it cannot be")
