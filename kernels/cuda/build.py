"""Compiles a module when it is first needed, keeps its machine code, and loads it through CuPy.

The machine code lies in the user's cache folder under a digest of the module's text, the compiler
and the target, so an edit anywhere leads to another file, and a stale kernel cannot run.
"""

from __future__ import annotations

import atexit
import hashlib
import shutil
import tempfile
import threading
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from minirnn.kernels.cache import Announcement, cache_folder, written
from minirnn.kernels.cuda.nvrtc import Nvrtc


class Compiler(Protocol):
    """What makes machine code of a module's text."""

    @property
    def identity(self) -> str:
        """What decides the machine code beside text and target."""
        ...

    def compile(self, source: str, target: str) -> bytes:
        """The machine code, as `cupy.RawModule(path=...)` loads it from a file."""
        ...


compiler: Compiler = Nvrtc()

DIGEST = ".sha256"  # the end of the name of the file beside an image

_lock = threading.RLock()
_kernels: dict[tuple[str, str, str, bool], Any] = {}


def kernel(name: str, source: str, target: str, label: str, *, cooperative: bool = False) -> Any:
    """The `cupy.RawKernel` of an entry point of a text, compiled or loaded on the first call.

    cooperative   whether its launches are: all blocks at work at once, or an error

    Thread-safe. Ask with the same text, not an equal one: finding a kernel is then cheap.
    """
    key = (name, source, target, cooperative)
    found = _kernels.get(key)
    if found is None:
        import cupy

        with _lock:
            path = _image(source, target, label)
            module = cupy.RawModule(path=str(path), enable_cooperative_groups=cooperative)
            found = _kernels.setdefault(key, module.get_function(name))
    return found


def compile_ahead(source: str, target: str, label: str) -> None:
    """Compile a text now, if its machine code is not there yet; nothing is loaded."""
    _image(source, target, label)


def loaded() -> int:
    """How many kernels this process has compiled, or loaded from the cache."""
    return len(_kernels)


def _image(source: str, target: str, label: str) -> Path:
    """The file with the machine code of a text."""
    identity = "\0".join([source, target, compiler.identity])
    name = f"cuda_{target}_{hashlib.sha256(identity.encode()).hexdigest()[:24]}.cubin"
    folder = cache_folder()
    if _is_whole(folder / name):
        return folder / name
    with Announcement(f"{label} for {target}"):
        image = compiler.compile(source, target)
    kept = written(folder, name, image)
    if kept is not None:
        kept = kept if written(folder, name + DIGEST, _digest(image)) else None
    if kept is None:  # no folder to write to: for this process alone
        kept = written(_own_folder(), name, image)
        assert kept is not None
    return kept


def _is_whole(path: Path) -> bool:
    """Whether a file of the cache is what was once written there: a damaged one is made anew."""
    try:
        return path.with_name(path.name + DIGEST).read_bytes() == _digest(path.read_bytes())
    except OSError:
        return False


def _digest(image: bytes) -> bytes:
    return hashlib.sha256(image).hexdigest().encode()


@cache
def _own_folder() -> Path:
    """A folder of this process, removed when it ends."""
    folder = tempfile.mkdtemp(prefix="minirnn-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
