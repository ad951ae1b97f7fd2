"""The log of what crosses between host and device.

On a real GPU a forgotten `float(loss)` costs more than the kernel before it, and nothing tells.
Every way that CuPy has of moving data passes through `record` here.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

_HERE = str(Path(__file__).resolve().parent) + "/"

TO_HOST = "to host"
TO_DEVICE = "to device"


@dataclass(frozen=True)
class Transfer:
    """One copy: its direction, the shape and bytes that went, what asked for it, and from where."""

    direction: str
    shape: tuple[int, ...]
    nbytes: int
    reason: str
    place: str

    def __str__(self) -> str:
        return f"{self.direction}: {self.shape}, {self.nbytes} bytes, {self.reason}, {self.place}"


@dataclass
class Log:
    """What crossed while it was open: `arrays`, and apart from them the `scalars` (one element).

    A kernel's arguments and Python numbers in a formula are none: they travel with a launch.
    """

    arrays: list[Transfer] = field(default_factory=list)
    scalars: list[Transfer] = field(default_factory=list)

    def __iter__(self):
        return iter(self.arrays + self.scalars)

    def __len__(self) -> int:
        return len(self.arrays) + len(self.scalars)

    def of(self, direction: str) -> list[Transfer]:
        """All transfers, arrays first, in one direction."""
        return [one for one in self if one.direction == direction]

    @property
    def to_host(self) -> list[Transfer]:
        return self.of(TO_HOST)

    @property
    def to_device(self) -> list[Transfer]:
        return self.of(TO_DEVICE)

    def __str__(self) -> str:
        return "\n".join(map(str, self)) or "no transfers"


_open: list[Log] = []


def record(direction: str, shape: tuple[int, ...], nbytes: int, reason: str) -> None:
    """Enter a copy into every open log."""
    if not _open:
        return
    one = Transfer(direction, tuple(shape), nbytes, reason, _place())
    size = 1
    for extent in shape:
        size *= extent
    for log in _open:
        (log.scalars if size == 1 else log.arrays).append(one)


def open_log() -> Log:
    log = Log()
    _open.append(log)
    return log


def close_log(log: Log) -> None:
    _open[:] = [one for one in _open if one is not log]


def _place() -> str:
    """The nearest line of the library, or where there is none the nearest outside this folder."""
    outside = None
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith((_HERE, "<")):
            path = Path(name).resolve()
            for root, shown in _library():
                if path.is_relative_to(root):
                    return f"{shown / path.relative_to(root)}:{frame.f_lineno}"
            outside = outside or f"{path.name}:{frame.f_lineno}"
        frame = frame.f_back
    return outside or "?"


def _library() -> list[tuple[Path, Path]]:
    """The folders of the library, in a clone or installed, and what to call them."""
    found = []
    for package in ("minirnn.kernels", "minirnn"):
        for folder in getattr(sys.modules.get(package), "__path__", ()):
            found.append((Path(folder).resolve(), Path(package.replace("minirnn.", ""))))
    return found
