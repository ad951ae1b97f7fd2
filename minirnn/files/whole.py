"""Files that are written whole or not at all, and read only after a look at what they are.

A save that is killed at any moment, or that finds the disk full, leaves the old file as it was.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader, BufferedWriter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minirnn.errors import ArgumentError

if TYPE_CHECKING:
    import fcntl
else:
    try:
        import fcntl
    except ImportError:  # Windows, where a file that someone has open cannot be removed anyway
        fcntl = None

Bytes = bytes | bytearray | memoryview

LONGEST_NAME = 200  # bytes; file systems stop at 255, and a temporary name is longer than the name
# Why a folder cannot be flushed: the file system knows no way, or the folder may not be read.
CANNOT_FLUSH = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES)


def as_path(path: Any, argument: str = "path", error: type[ArgumentError] = ArgumentError) -> Path:
    """A path, of text or an object that is one. Raises: `error`, which names `argument`."""
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str):
        raise error(argument, repr(path), "the path of a file")
    return Path(path)


def write_whole(path: Path, content: Bytes | Iterable[Bytes]) -> None:
    """Write a file under a temporary name, flush it to disk, rename it to `path`, flush the folder.

    Whatever happens on the way, `path` holds the whole of the old file or the whole of the new.
    When this returns, the new one is on the disk: its bytes, and its name in the folder. A symbolic
    link stays one: the file that it leads to is replaced. An existing file's permissions are kept.
    What earlier saves of this file left behind, because they were killed, is removed.

    Raises: OSError or ValueError; then nothing is left behind.
    """
    path = Path(os.path.realpath(path))
    try:
        before: os.stat_result | None = path.lstat()
    except FileNotFoundError:
        before = None
    if before is not None and not stat.S_ISREG(before.st_mode):  # /dev/null: not to be replaced
        raise OSError(f"it is {_kind(before.st_mode)}")
    remove_leftovers(path)
    temporary, file = _temporary_file(path)
    try:
        with file:
            if before is not None and hasattr(os, "fchmod"):
                os.fchmod(file.fileno(), stat.S_IMODE(before.st_mode))
            for part in (content,) if isinstance(content, Bytes) else content:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
            if fcntl is not None:  # while it is locked: no other save can take it for a leftover
                temporary.replace(path)
        if fcntl is None:  # Windows renames no open file
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


def flush_folder(folder: Path) -> None:
    """Flush a folder's names to disk: only then does a rename outlast a power cut."""
    if os.name == "nt":  # which has no way to do it
        return
    handle = -1
    try:
        handle = os.open(folder, os.O_RDONLY)
        os.fsync(handle)
    except OSError as error:
        if error.errno not in CANNOT_FLUSH:
            raise
    finally:
        if handle >= 0:
            os.close(handle)


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files that killed saves of `path` left; never one that is in use."""
    pattern = re.compile(re.escape(_stem(path)) + r"\.[0-9a-f]{16}\.tmp")
    try:
        names = [entry.name for entry in os.scandir(path.parent) if pattern.fullmatch(entry.name)]
    except OSError:  # writing the file will tell what is wrong with the folder
        return
    for name in names:
        with suppress(OSError):  # in use, or removed by another save meanwhile
            _remove_if_abandoned(path.with_name(name))


def _remove_if_abandoned(leftover: Path) -> None:
    """Remove it unless a save holds it. Raises: OSError if one does."""
    if fcntl is None:
        leftover.unlink()
        return
    handle = os.open(leftover, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_file_of(handle, leftover):
            leftover.unlink()
    finally:
        os.close(handle)


def _temporary_file(path: Path) -> tuple[Path, BufferedWriter]:
    """A new file beside `path`, held by a lock for as long as it is open."""
    while True:
        temporary = path.with_name(f"{_stem(path)}.{secrets.token_hex(8)}.tmp")
        file = temporary.open("xb")
        if fcntl is None:
            return temporary, file
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        except OSError:  # a file system without locks, where no leftover can be locked either
            return temporary, file
        if _is_file_of(file.fileno(), temporary):
            return temporary, file
        file.close()  # another save took it for a leftover before it was locked: once more


def _stem(path: Path) -> str:
    """How the temporary names of `path` begin."""
    name = path.name
    if len(os.fsencode(name)) > LONGEST_NAME:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()[:32]
    return f".{name}"


def _is_file_of(handle: int, path: Path) -> bool:
    """Whether an open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(handle), path.lstat())
    except FileNotFoundError:
        return False


@contextmanager
def open_regular(path: Path) -> Iterator[tuple[BufferedReader, int]]:
    """An existing file, open for reading, and its size in bytes.

    Raises: OSError, also for a folder, a device or a pipe; without waiting for a pipe's writer.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    handle = os.open(path, flags | getattr(os, "O_CLOEXEC", 0))
    try:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            raise OSError(f"it is {_kind(about.st_mode)}")
        file = os.fdopen(handle, "rb", closefd=False)
        with file:
            yield file, about.st_size
    finally:
        os.close(handle)


def _kind(mode: int) -> str:
    """What it is that is no plain file, in words."""
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a link that leads nowhere" if stat.S_ISLNK(mode) else "a device or a pipe"
