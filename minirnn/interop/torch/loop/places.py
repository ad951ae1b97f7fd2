"""Where in the user's source something happens: the nearest line of the stack that is theirs.

Looking costs a microsecond or two: a line that was seen before is known by its code and the
instruction it stands at.
"""

from __future__ import annotations

import itertools
import linecache
import os
import sys
import sysconfig
from pathlib import Path
from types import CodeType, FrameType

import torch

import minirnn
from minirnn.diagnosis.code import Place

MOST_PLACES = 8  # of one kind: a loop in which a model is called from more lines is rare
MOST_FRAMES = 60

_OURS = tuple(str(Path(module.__file__ or "").parent) for module in (torch, minirnn))
_LIBRARIES = tuple(
    {sysconfig.get_paths()[key] for key in ("stdlib", "purelib", "platlib")} | {"<frozen"}
)


class Places:
    """Places by what happens there, and the text of the files they stand in."""

    def __init__(self) -> None:
        self.found: dict[str, list[Place]] = {}
        self.sources: dict[str, str] = {}
        self._known: dict[tuple[str, CodeType, int], None] = {}

    def see(self, what: str) -> None:
        """Remember the user's line that the present call comes from."""
        frame = user_frame(sys._getframe(1))
        if frame is None:
            return
        key = (what, frame.f_code, frame.f_lasti)
        if key in self._known or len(self.found.get(what, ())) >= MOST_PLACES:
            return
        self._known[key] = None
        place = place_of(frame)
        if place.file not in self.sources:
            lines = linecache.getlines(frame.f_code.co_filename, frame.f_globals)
            self.sources[place.file] = "".join(lines)
        if place not in self.found.setdefault(what, []):
            self.found[what].append(place)


def shown(file: str) -> str:
    """A file's name as a user in the working folder has it; a notebook's cell as Python has it."""
    if not Path(file).is_absolute():
        return file
    near = os.path.relpath(file)
    return file if near.startswith(os.pardir) else near


def user_frame(frame: FrameType | None) -> FrameType | None:
    """The nearest frame that is neither PyTorch's nor ours.

    One of an installed library (a trainer's, say) only where there is no other.
    """
    library = None
    for _ in range(MOST_FRAMES):
        if frame is None:
            break
        file = frame.f_code.co_filename
        if not file.startswith(_OURS):
            if not file.startswith(_LIBRARIES):
                return frame
            library = library or frame
        frame = frame.f_back
    return library


def place_of(frame: FrameType) -> Place:
    """Where a frame stands: the whole expression, with its columns where Python knows them."""
    code, line = frame.f_code, frame.f_lineno
    last, column, last_column = line, None, None
    positions = next(itertools.islice(code.co_positions(), frame.f_lasti // 2, None), None)
    if positions is not None and None not in positions:
        line, last, column, last_column = (int(number or 0) for number in positions)
    lines = linecache.getlines(code.co_filename, frame.f_globals)
    there = lines[line - 1 : last]
    # Python counts columns in bytes of UTF-8.
    if column is not None and last_column is not None and there:
        column = len(there[0].encode()[:column].decode())
        last_column = len(there[-1].encode()[:last_column].decode())
    return Place(
        file=shown(code.co_filename),
        line=line,
        function=code.co_name,
        last_line=last,
        column=column,
        last_column=last_column,
        text=there[0].strip() if there else "",
    )
