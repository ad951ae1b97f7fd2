"""Where compiled kernels are kept, how they get there whole, and the word that one is compiling."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path


def cache_folder() -> Path:
    """Where compiled kernels are kept: MINIRNN_CACHE_DIR, or the user's cache folder."""
    chosen = os.environ.get("MINIRNN_CACHE_DIR")
    if chosen:
        return Path(chosen)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "minirnn"


def written(folder: Path, name: str, content: bytes) -> Path | None:
    """The file with that content, written if need be; None where it cannot be written."""
    path = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_bytes() != content:
            handle, scratch = tempfile.mkstemp(dir=folder, prefix=name, suffix=".part")
            with os.fdopen(handle, "wb") as f:
                f.write(content)
                f.flush()
                os.fsync(f.fileno())
            # Numba's cache compares modification times: give every writer's copy the same one.
            os.utime(scratch, (0, 0))
            Path(scratch).replace(path)
        return path if os.access(folder, os.W_OK) else None
    except OSError:
        return None


class Announcement:
    """Says on standard error that a kernel is being compiled, and how long it took."""

    def __init__(self, label: str, quiet: bool = False) -> None:
        self.label = label
        self.quiet = quiet or bool(os.environ.get("MINIRNN_QUIET"))

    def __enter__(self) -> None:
        if not self.quiet:
            print(f"minirnn: compiling {self.label} …", end="", file=sys.stderr, flush=True)
        self.start = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        if not self.quiet:
            took = time.perf_counter() - self.start
            print(f" {took:.1f} s (once for this processor)", file=sys.stderr, flush=True)
