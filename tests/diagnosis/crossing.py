"""Who brought what from the device to the host: the log of transfers, told by function."""

from __future__ import annotations

import inspect
from pathlib import Path

import minirnn
from minirnn.inspect import host

ROOT = Path(minirnn.__file__).resolve().parent.parent

# The place that brings a handful of numbers over together, and the one for what is drawn.
NUMBERS = (host.fetch,)
ARRAYS = (host.on_host,)
HANDFUL = 32


def crossed(log, functions):
    """The arrays (more than one element) that came to the host from anywhere but `functions`."""
    allowed = [_lines(function) for function in functions]
    return [
        one
        for one in log.arrays
        if one.direction == "to host" and not any(_within(one.place, lines) for lines in allowed)
    ]


def sizes(log, functions):
    """How many elements each array had that came to the host through `functions`."""
    allowed = [_lines(function) for function in functions]
    return [
        one.nbytes // 8
        for one in log.arrays
        if one.direction == "to host" and any(_within(one.place, lines) for lines in allowed)
    ]


def _lines(function):
    text, first = inspect.getsourcelines(function)
    path = Path(inspect.getsourcefile(function)).resolve().relative_to(ROOT)
    return str(path), range(first, first + len(text))


def _within(place, lines):
    path, _, line = place.rpartition(":")
    return path == lines[0] and int(line) in lines[1]
