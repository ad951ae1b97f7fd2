"""Runs kernels from a shared library that `compile_cpp` made.

What the environment can say of emulation, here and in `compile_cpp`:

    MINIRNN_EMULATION_CHECK=1         check every access to memory: races, bounds, what nobody wrote
    MINIRNN_EMULATION_SEED            the first launch's seed; each launch has the next one (0)
    MINIRNN_EMULATION_SECONDS         after which a launch is ended as one without end (120)
    MINIRNN_EMULATION_OPTIMISATION    the compiler's level for kernels (-O2)
"""

from __future__ import annotations

import ctypes
import itertools
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

_seeds = itertools.count(int(os.environ.get("MINIRNN_EMULATION_SEED", "0")))
_pool: int | None = None  # the stacks of all threads, which the libraries share
_MESSAGE = 4096


class EmulationError(RuntimeError):
    """A kernel did what would hang, fail or be undefined on a GPU."""


class Parameter(NamedTuple):
    """A parameter of a kernel."""

    name: str
    size: int  # bytes
    is_pointer: bool


class _Parameter(ctypes.Structure):
    _fields_ = (("size", ctypes.c_uint), ("is_pointer", ctypes.c_uint))


class _Region(ctypes.Structure):
    _fields_ = (("address", ctypes.c_ulonglong), ("size", ctypes.c_ulonglong))


class _Request(ctypes.Structure):
    """As `Request` in shim_launch.h."""

    _fields_ = (
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared", ctypes.c_ulonglong),
        ("cooperative", ctypes.c_ulonglong),
        ("seed", ctypes.c_ulonglong),
        ("arguments", ctypes.c_void_p),
        ("regions", ctypes.POINTER(_Region)),
        ("region_count", ctypes.c_longlong),
        ("message", ctypes.c_char_p),
        ("message_size", ctypes.c_ulonglong),
    )


class _Entry(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("parameter_names", ctypes.c_char_p),
        ("parameters", ctypes.POINTER(_Parameter)),
        ("parameter_count", ctypes.c_uint),
        ("most_threads", ctypes.c_uint),
        ("run", ctypes.c_void_p),
    )


class _Watch:
    """Ends a launch that takes too long: a loop without end is no deadlock that shows."""

    def __init__(self) -> None:
        self.limit = float(os.environ.get("MINIRNN_EMULATION_SECONDS", "120"))
        self.one_at_a_time = threading.Lock()  # there is one pool of stacks
        self._lock = threading.Lock()
        self._began: float | None = None
        self._thread = 0
        self._watcher: threading.Thread | None = None

    def __enter__(self) -> None:
        self.one_at_a_time.acquire()
        with self._lock:
            self._began, self._thread = time.monotonic(), threading.get_ident()
        if self._watcher is None:
            self._watcher = threading.Thread(target=self._run, daemon=True)
            self._watcher.start()

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._began = None
        self.one_at_a_time.release()

    def _run(self) -> None:
        while True:
            time.sleep(min(1.0, self.limit / 4))
            with self._lock:
                if self._began is not None and time.monotonic() - self._began > self.limit:
                    signal.pthread_kill(self._thread, signal.SIGURG)  # see runtime/faults.h


_watch = _Watch()


def _after_fork() -> None:
    global _watch
    _watch = _Watch()


os.register_at_fork(after_in_child=_after_fork)


class Library:
    """The kernels of a module."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        global _pool
        self.path = Path(path)
        self._library = ctypes.CDLL(str(self.path.resolve()))
        self._entries: dict[str, list[Parameter]] = {}
        self.checked = bool(self._library.emulation_checks())  # see runtime/checks.h
        with _watch.one_at_a_time:
            if _pool is None:
                give = self._library.emulation_pool
                give.restype = ctypes.c_void_p
                _pool = give()
            else:
                self._library.emulation_use_pool(ctypes.c_void_p(_pool))

    def parameters(self, name: str) -> list[Parameter]:
        """What a kernel takes. Raises: KeyError if there is no such kernel."""
        if name not in self._entries:
            try:
                entry = _Entry.in_dll(self._library, f"emulated_{name}_entry")
            except ValueError:
                raise KeyError(name) from None
            names = entry.parameter_names.decode().split(",")
            self._entries[name] = [
                Parameter(names[i], entry.parameters[i].size, bool(entry.parameters[i].is_pointer))
                for i in range(entry.parameter_count)
            ]
        return self._entries[name]

    def static_shared(self, name: str) -> int:
        """Bytes of shared memory beside what a launch asks for: the kernels have none."""
        self.parameters(name)
        return 0

    def launch(
        self,
        name: str,
        grid: Sequence[int],
        block: Sequence[int],
        args: Sequence[Any],
        shared: int = 0,
        *,
        cooperative: bool = False,
        seed: int | None = None,
        regions: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        """Run a kernel to its end.

        grid, block   one to three extents
        args          bytes, ctypes' or NumPy's numbers, int for integers and addresses, or NumPy
                      arrays for pointers
        shared        bytes of dynamic shared memory
        cooperative   whether all blocks are at work at once
        seed          of the order in which threads run; without it, each launch has another, from
                      a counter that begins at $MINIRNN_EMULATION_SEED
        regions       address and bytes of all memory that the kernel may touch, for a library that
                      checks it; without them, it is known only if NumPy arrays are all it gets

        Raises: EmulationError for what the kernel did wrong; KeyError for an unknown kernel;
        TypeError for arguments that do not fit.
        """
        parameters = self.parameters(name)
        if len(args) != len(parameters):
            raise TypeError(f"{name} takes {len(parameters)} arguments, {len(args)} were given")
        buffers = [
            ctypes.create_string_buffer(_bytes(one, parameter, name), parameter.size)
            for one, parameter in zip(args, parameters, strict=True)
        ]
        addresses = (ctypes.c_void_p * (len(buffers) + 1))(*map(ctypes.addressof, buffers), None)
        if regions is None:
            regions = _regions_of(args, parameters)
        message = ctypes.create_string_buffer(_MESSAGE)
        request = _Request(
            _extents(grid),
            _extents(block),
            shared,
            cooperative,
            0,
            ctypes.addressof(addresses),
            None if regions is None else (_Region * len(regions))(*regions),
            -1 if regions is None else len(regions),
            ctypes.cast(message, ctypes.c_char_p),
            _MESSAGE,
        )
        run = getattr(self._library, f"emulated_{name}")
        with _watch:
            request.seed = next(_seeds) if seed is None else seed
            failed = run(ctypes.byref(request))
        if failed:
            words = self._with_lines(message.value.decode(errors="replace"))
            raise EmulationError(f"{name} (seed {request.seed}): {words}")

    def _with_lines(self, words: str) -> str:
        """Lines of the text in place of addresses of code, if there is a tool that finds them."""

        def line(match: re.Match[str]) -> str:
            command = ["addr2line", "-e", str(self.path), "-i", hex(int(match[1], 16) - 1)]
            try:
                found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            except (OSError, subprocess.CalledProcessError):
                return match[0]
            lines = re.findall(r"kernels\.cu:(\d+)", found)
            return f" (line {', in '.join(lines)})" if lines else match[0]

        return re.sub(r" \[code (0x[0-9a-f]+)\]", line, words)


def _extents(given: Sequence[int]) -> ctypes.Array[ctypes.c_uint]:
    return (ctypes.c_uint * 3)(*(*given, 1, 1)[:3])


def _regions_of(
    args: Sequence[Any], parameters: Sequence[Parameter]
) -> list[tuple[int, int]] | None:
    """The arrays that a kernel is given; None if it is given an address of something else."""
    found = []
    for one, parameter in zip(args, parameters, strict=True):
        if parameter.is_pointer and hasattr(one, "ctypes"):
            found.append((one.ctypes.data, one.nbytes))
        elif parameter.is_pointer and any(_bytes(one, parameter, "")):
            return None
    return found


def _bytes(value: Any, parameter: Parameter, name: str) -> bytes:
    if isinstance(value, bytes):
        found = value
    elif isinstance(value, int):
        found = value.to_bytes(parameter.size, "little", signed=value < 0)
    elif hasattr(value, "ctypes"):  # NumPy's arrays
        found = int(value.ctypes.data).to_bytes(8, "little")
    elif hasattr(value, "tobytes"):  # and its numbers
        found = value.tobytes()
    else:
        found = bytes(value)
    if len(found) != parameter.size:
        raise TypeError(
            f"{parameter.name} of {name} has {parameter.size} bytes, {len(found)} were given"
        )
    return found
