"""Compiles kernels when they are first needed, and keeps the machine code for the next process.

The text of a kernel is written to the user's cache folder under a name that contains a digest of
everything it was made from (its own text, the cell's equations, the source of this package, the
versions of Numba and llvmlite, the vector width), and Numba caches machine code beside it. So an
edit anywhere leads to another file, and a stale kernel cannot run.
"""

from __future__ import annotations

import hashlib
import importlib.util
import pickle
import re
import sys
import tempfile
import threading
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from minirnn.kernels.cache import Announcement, cache_folder, written
from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.contract import Array

_lock = threading.RLock()
_cells: dict[str, Cell] = {}


class Kernels(NamedTuple):
    """The compiled functions of one cell in one dtype."""

    forward_share: Any
    forward_step: Any
    backward_share: Any
    addresses: Array  # of what they call, see `product.ROUTINES`: int64


def compiling_cell(fingerprint: str) -> Cell:
    """The cell whose kernel is being compiled; called by the generated text."""
    return _cells[fingerprint]


_kernels: dict[tuple[str, str], Kernels] = {}
_shared: dict[str, Array] = {}


def kernels_of(cell: Cell, dtype: str) -> Kernels:
    """The kernels of a cell, compiled or loaded on the first call. Thread-safe."""
    key = (cell.fingerprint(), dtype)
    found = _kernels.get(key)
    if found is None:
        with _lock:
            found = _kernels.get(key)
            if found is None:
                found = _kernels[key] = _compile_cell(cell, dtype)
    return found


def shared_of(dtype: str) -> Array:
    """Where the functions are that all cells share, see `product.ROUTINES`: (9,) int64.

    Compiled or loaded on the first call. Thread-safe.
    """
    found = _shared.get(dtype)
    if found is None:
        with _lock:
            found = _shared.get(dtype)
            if found is None:
                found = _shared[dtype] = _compile_shared(dtype)
    return found


def _compile_cell(cell: Cell, dtype: str) -> Kernels:
    import numpy as np

    from minirnn.kernels.cpu import lowering, product, sequence

    shared = shared_of(dtype)
    fingerprint = cell.fingerprint()
    _cells[fingerprint] = cell
    stem = re.sub(r"\W", "_", cell.name)[:40]  # a lambda's name would be no file's name everywhere
    loop = _load(
        f"{stem}_{dtype}",
        lambda cached: sequence.source(cell, dtype, cached),
        "",
        f"{cell.name} loops ({dtype})",
    )
    panel = _load(
        f"{stem}_equations_{dtype}",
        lambda cached: lowering.source(cell, dtype, cached),
        fingerprint,
        f"{cell.name} equations ({dtype})",
    )
    addresses = np.zeros(product.BACKWARD_PANEL + 1, np.int64)
    addresses[: len(shared)] = shared
    addresses[product.FORWARD_PANEL] = panel.forward_panel.address
    addresses[product.BACKWARD_PANEL] = panel.backward_panel.address
    return Kernels(loop.forward_share, loop.forward_step, loop.backward_share, addresses)


def _compile_shared(dtype: str) -> Array:
    import numpy as np

    from minirnn.kernels.cpu import product

    def text(file: str) -> Any:
        def of(cached: bool) -> str:
            plain = (Path(__file__).parent / file).read_text(encoding="utf-8")
            plain = plain.replace('DTYPE = "float32"', f'DTYPE = "{dtype}"')
            return plain.replace("CACHE = False", f"CACHE = {cached}")

        return of

    routines = _load(f"routines_{dtype}", text("routines.py"), "", f"products ({dtype})")
    around = _load(f"around_{dtype}", text("around.py"), "", f"gradients of weights ({dtype})")
    named = {**vars(around), **vars(routines)}
    addresses = np.zeros(len(product.ROUTINES), np.int64)
    for place, name in enumerate(product.ROUTINES):
        addresses[place] = named[name].address
    return addresses


def _load(name: str, text: Any, extra: str, label: str) -> ModuleType:
    """Write a kernel's text where Numba can cache it, import it, and say if it takes time."""
    digest = hashlib.sha256("\0".join([text(True), extra, _toolchain()]).encode()).hexdigest()[:20]
    file_name = f"{name}_{digest}.py"
    folder = cache_folder()
    loaded = sys.modules.get(_module_name(file_name))
    if loaded is not None and loaded.__file__ == str(folder / file_name):
        return loaded  # the loop of a cell with another activation
    path = written(folder, file_name, text(True).encode())
    if path is not None:
        known = any((folder / "__pycache__").glob(f"{path.stem}.*.nbi"))
        with Announcement(label, quiet=known):
            try:
                return _import(path)
            except (EOFError, pickle.UnpicklingError):
                # Numba does not flush its files to disk: a power cut may leave half of one.
                for damaged in (folder / "__pycache__").glob(f"{path.stem}.*"):
                    damaged.unlink(missing_ok=True)
                return _import(path)
    # No folder to write to: compile for this process alone.
    with tempfile.TemporaryDirectory() as scratch, Announcement(label):
        path = written(Path(scratch), file_name, text(False).encode())
        assert path is not None
        return _import(path)


def _module_name(file_name: str) -> str:
    return f"minirnn_generated_{file_name.removesuffix('.py')}"


def _import(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(_module_name(path.name), path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # Numba looks a cached function's module up by name
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]  # interrupted half way: it shall not be taken for loaded
        raise
    return module


@cache
def _toolchain() -> str:
    """All that decides the machine code beside a kernel's own text."""
    import llvmlite
    import numba

    from minirnn.kernels.cpu.vector import vector_bytes

    here = Path(__file__).parent
    files = [*sorted(here.glob("*.py")), here.parent / "slots.py", here.parent / "cells/fusing.py"]
    sources = [f"{f.name}\n{f.read_text(encoding='utf-8')}" for f in files]
    return "\0".join([numba.__version__, llvmlite.__version__, str(vector_bytes()), *sources])
