"""Compiles the text of CUDA kernels as C++, behind the emulator's model of the machine.

`EmulatedCompiler` takes the place of `minirnn.kernels.cuda.build.compiler`: what it makes is a
shared library, which `launch.Library` runs.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).resolve().parent
BEGIN, END = "// begin machine.cuh\n", "// end machine.cuh\n"

# Products and sums are fused where the text says fma, and nowhere else. Kernels read floats as
# words, which CUDA compilers allow.
OPTIONS = (
    "-std=c++17", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off", "-fno-strict-aliasing",
    "-fno-exceptions", "-fno-rtti", "-fno-math-errno",
)  # fmt: skip
# Every access calls a function, and so does what is undefined in C++; lines are kept for messages.
_UNDEFINED = "alignment,bounds,integer-divide-by-zero,null,shift,signed-integer-overflow"
CHECKS = ("-g1", "-fsanitize=thread", f"-fsanitize={_UNDEFINED}", "-fno-sanitize-recover=all")

_MACROS = ("-dM", "-E", "-x", "c++", os.devnull)
_ENTRY = re.compile(
    r'extern\s+"C"\s+__global__\s+void\s+'
    r"(?:__launch_bounds__\s*\((?P<bounds>[^()]*)\)\s*)?"
    r"(?P<name>\w+)\s*\((?P<parameters>[^()]*)\)"
)


class EntryPoint(NamedTuple):
    """A kernel of a text."""

    name: str
    parameters: tuple[str, ...]  # their names
    bounds: str  # what __launch_bounds__ says, or nothing


def find_compiler() -> list[str] | None:
    """The command of a C++ compiler: $CXX, c++, g++, clang++, or the one of the package ziglang."""
    if os.name != "posix":
        return None
    named = shlex.split(os.environ.get("CXX", ""))
    if named and shutil.which(named[0]):
        return named
    for name in ("c++", "g++", "clang++"):
        path = shutil.which(name)
        if path:
            return [path]
    if importlib.util.find_spec("ziglang") is not None:
        return [sys.executable, "-m", "ziglang", "c++"]
    return None


def entry_points(source: str) -> list[EntryPoint]:
    """The kernels that a text has."""
    found = []
    for match in _ENTRY.finditer(source):
        parameters = [one.strip() for one in match["parameters"].split(",")]
        names = tuple(re.findall(r"\w+", one)[-1] for one in parameters if one)
        found.append(EntryPoint(match["name"], names, (match["bounds"] or "").strip()))
    return found


@functools.cache
def _folder() -> Path:
    path = tempfile.mkdtemp(prefix="minirnn-")
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return Path(path)


class EmulatedCompiler:
    """Makes a shared library of a module's text.

    optimisation   as "-O2"; $MINIRNN_EMULATION_OPTIMISATION if it is not given
    check          whether each access to memory is checked, which takes ten times as long; whether
                   $MINIRNN_EMULATION_CHECK is 1 if it is not given. See runtime/checks.h
    """

    def __init__(
        self,
        command: Sequence[str] | None = None,
        *,
        optimisation: str | None = None,
        check: bool | None = None,
    ) -> None:
        found = command or find_compiler()
        if found is None:
            raise RuntimeError("no C++ compiler was found: install g++ or clang++, or set CXX")
        self.command = tuple(found)
        self.optimisation = optimisation or os.environ.get("MINIRNN_EMULATION_OPTIMISATION", "-O2")
        self.check = os.environ.get("MINIRNN_EMULATION_CHECK") == "1" if check is None else check

    @functools.cached_property
    def identity(self) -> str:
        """What decides the library beside the text: the compiler, its options, these files."""
        digest = hashlib.sha256(self._macros.encode())
        files = [FOLDER / "machine.cuh", *FOLDER.glob("shim*.h"), *FOLDER.glob("runtime/*")]
        for path in sorted(files):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
        options = " ".join([*self.command, *self._options, *(CHECKS if self.check else ())])
        return f"emulated {options} {digest.hexdigest()}"

    def compile(self, source: str, target: str) -> bytes:
        """The shared library of a text. The target makes no difference.

        Raises: RuntimeError with the compiler's words if the text is wrong.
        """
        with tempfile.TemporaryDirectory(prefix="minirnn-") as folder:
            text, unit, library = (Path(folder, name) for name in ("k.cpp", "k.o", "k.so"))
            text.write_text(emulated_source(source), encoding="utf-8")
            if self.check:  # in two steps, for the sanitizer's own runtime must not be linked
                self._run([*CHECKS, "-c", "-o", str(unit), str(text)])
            # Nothing of the C++ library is used, and one compiler would first have to make it.
            no_library = ["-nostdlib++"] if self.is_clang else []
            made_of = [str(unit if self.check else text), str(self._runtime)]
            self._run(["-shared", "-o", str(library), *no_library, *made_of])
            return library.read_bytes()

    @property
    def is_clang(self) -> bool:
        return "__clang__" in self._macros

    @property
    def _options(self) -> tuple[str, ...]:
        return (*OPTIONS, *self._native, self.optimisation)

    @functools.cached_property
    def _native(self) -> tuple[str, ...]:
        """This processor's own instructions, such as fma: fewer calls, the same bits."""
        option = "-march=native"
        tried = subprocess.run([*self.command, option, *_MACROS], capture_output=True)
        return (option,) if tried.returncode == 0 else ()

    @functools.cached_property
    def _macros(self) -> str:
        """What the compiler defines: tells its version, and which instructions `native` has."""
        return self._run(_MACROS)

    @property
    def _runtime(self) -> Path:
        """The scheduler, compiled once in a process."""
        path = _folder() / f"{hashlib.sha256(self.identity.encode()).hexdigest()}.o"
        if not path.exists():
            checks = ["-DEMULATION_CHECK"] if self.check else []
            source = str(FOLDER / "runtime" / "scheduler.cpp")
            self._run(["-O3", *checks, "-c", "-o", str(path), source])
        return path

    def _run(self, arguments: Sequence[str]) -> str:
        command = [*self.command, *self._options, "-I", str(FOLDER), *arguments]
        ran = subprocess.run(command, capture_output=True, text=True, errors="replace")
        if ran.returncode != 0:
            words = f"{' '.join(self.command)} could not compile for the emulator:"
            raise RuntimeError(f"{words}\n{ran.stderr}")
        return ran.stdout


def emulated_source(source: str) -> str:
    """A module's text with the model in place of the machine, and launchers for its kernels."""
    before, found, rest = source.partition(BEGIN)
    machine, also_found, after = rest.partition(END)
    if not found or not also_found:
        raise RuntimeError(f"the text has no part between {BEGIN.strip()!r} and {END.strip()!r}")
    entries = entry_points(after)
    if not entries:
        raise RuntimeError('the text has no kernel: extern "C" __global__ void name(…)')
    line = before.count("\n") + machine.count("\n") + 3
    parts = [
        '#include "shim.h"\n', before, '#include "machine.cuh"\n', f'#line {line} "kernels.cu"\n',
        after, '\n#line 1 "entries"\n#include "shim_launch.h"\n',
    ]  # fmt: skip
    for one in entries:
        names = ",".join(one.parameters)
        parts.append(f'EMULATION_ENTRY({one.name}, "{names}", ({one.bounds}))\n')
    return "".join(parts)
