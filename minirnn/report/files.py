"""Writing a file so that a reader never sees half of it."""

from __future__ import annotations

import os
from pathlib import Path

from minirnn.errors import ArgumentError
from minirnn.files.whole import as_path, write_whole


def check_writable(path: str | os.PathLike[str], argument: str = "path") -> Path:
    """Refuse at once what could not be written at the end of a long run.

    Raises: ArgumentError naming `argument` when the folder is missing or may not be written to, or
    when `path` is a folder itself, a device or a pipe.
    """
    target = as_path(path, argument)
    folder = target.parent
    if not folder.is_dir():
        raise ArgumentError(argument, repr(str(target)), "a path in a folder that exists")
    if target.is_dir():
        raise ArgumentError(argument, f"the folder {str(target)!r}", "the name of a file")
    if target.exists() and not target.is_file():  # /dev/null: a rename would take its place
        raise ArgumentError(argument, f"{str(target)!r}, a device or pipe", "the name of a file")
    if not os.access(folder, os.W_OK):
        raise ArgumentError(argument, repr(str(target)), "a path in a folder you may write to")
    return target


def write_atomically(path: str | os.PathLike[str], text: str) -> Path:
    """Write `text` (UTF-8) to `path`, as `minirnn.files.whole` does: the whole of it or nothing.

    Raises: ArgumentError naming `path` when it cannot be written; nothing is left behind.
    """
    target = check_writable(path)
    try:
        write_whole(target, text.encode())
    except OSError as error:
        raise ArgumentError(
            "path", repr(str(target)), f"a file that can be written: {error}"
        ) from error
    return target
