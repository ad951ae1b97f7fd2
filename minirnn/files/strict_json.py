"""JSON as files hold it: bounded before it is parsed, and refused where parsers differ.

Python's own parser takes NaN and Infinity, lets the last of two equal keys win, and follows
brackets as deep as its stack goes. Here a text is measured first, without building anything, and
all of that is a ValueError. Source of the grammar: RFC 8259.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from reprlib import repr as brief
from typing import Any, NoReturn

# Possessive (never tried again), so that a long string costs no memory.
STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
OTHER_THAN_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
LONGEST_NUMBER = 400  # digits: a float's exact decimals are shorter, and a generator's state too
LONG_NUMBER = re.compile(rb"[-+.0-9eE]{%d}" % (LONGEST_NUMBER + 1))


def read(text: bytes, *, depth: int, values: int) -> Any:
    """The value of a JSON text in UTF-8, of at most `values` values nested at most `depth` deep.

    Raises: ValueError, which says what is wrong.
    """
    _measure(text, depth, values)
    try:
        return json.loads(
            text.decode("utf-8"), object_pairs_hook=_distinct, parse_constant=_refuse_constant
        )
    except UnicodeDecodeError:
        raise ValueError("it is no UTF-8") from None
    except RecursionError:  # called with little of the stack left
        raise ValueError("it is nested too deeply") from None


def write(value: Any) -> bytes:
    """A value as JSON in UTF-8, without spaces; the same bytes for the same value.

    Raises: ValueError for what JSON cannot hold (NaN, infinities, half a surrogate pair), TypeError
    for what is none of its types.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8")


def _measure(text: bytes, depth: int, values: int) -> None:
    """Refuse what would grow far beyond its own size when it is parsed."""
    found = level = 0
    for bare in _outside_strings(text):
        # Every value but the first follows a comma, a colon or an opening bracket.
        found += sum(map(bare.count, (b",", b":", b"[", b"{")))
        if found > values:
            raise ValueError(f"it has more than {values} values")
        if len(bare) > LONGEST_NUMBER and LONG_NUMBER.search(bare):
            raise ValueError(f"it has a number of more than {LONGEST_NUMBER} characters")
        for bracket in bare.translate(None, OTHER_THAN_BRACKETS):
            level += 1 if bracket in b"[{" else -1
            if level > depth:
                raise ValueError(f"it is nested more than {depth} deep")


def _outside_strings(text: bytes) -> Iterator[bytes]:
    """What stands between a text's strings, piece by piece."""
    end = 0
    for string in STRING.finditer(text):
        yield text[end : string.start()]
        end = string.end()
    yield text[end:]


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise ValueError(f"it has the key {brief(name)} twice")
            seen.add(name)
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"it has {name}, which is no JSON")
