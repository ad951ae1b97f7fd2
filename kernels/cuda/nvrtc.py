"""NVRTC: CUDA C++ to machine code, with and without a GPU."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from minirnn.errors import DeviceError
from minirnn.gpu import INSTALL

# Products and sums are fused where the equations say so, and nowhere else; subnormals stay.
OPTIONS = ("--std=c++17", "--fmad=false", "--ptxas-options=-v", "--extra-device-vectorization")


class Usage(NamedTuple):
    """What a kernel takes of a multiprocessor, as the assembler reports it."""

    registers: int
    stack_bytes: int
    spilled_bytes: int  # stored and loaded again, because registers did not suffice


class Nvrtc:
    """The compiler that comes with CuPy's CUDA packages; needs no driver."""

    @property
    def identity(self) -> str:
        """What decides the machine code beside the text: version and options."""
        return f"nvrtc {'.'.join(map(str, _library().getVersion()))} {' '.join(OPTIONS)}"

    def compile(self, source: str, target: str) -> bytes:
        """The cubin of a text for a target such as "sm_90".

        Raises: DeviceError if NVRTC is missing or does not know the target; RuntimeError with the
        compiler's words if the text is wrong.
        """
        return self.compile_with_usage(source, target)[0]

    def compile_with_usage(self, source: str, target: str) -> tuple[bytes, dict[str, Usage]]:
        """As `compile`; and what each kernel of the text uses."""
        nvrtc = _library()
        program = nvrtc.createProgram(source, "minirnn.cu", [], [])
        try:
            try:
                nvrtc.compileProgram(program, (f"-arch={target}", *OPTIONS))
            except nvrtc.NVRTCError as error:
                log = nvrtc.getProgramLog(program)
                if "invalid value for --gpu-architecture" in log:
                    raise DeviceError(
                        "GPU", f"an architecture {target}", "one that this NVRTC can compile for",
                        "A newer CUDA wheel may know it",
                    ) from None  # fmt: skip
                raise RuntimeError(f"NVRTC could not compile for {target}:\n{log}") from error
            # The binding cuts off the last byte, which is a zero.
            image = bytes(nvrtc.getCUBIN(program)) + b"\0"
            return image, usage_in(nvrtc.getProgramLog(program))
        finally:
            nvrtc.destroyProgram(program)


def usage_in(log: str) -> dict[str, Usage]:
    """The assembler's report, kernel by kernel."""
    found: dict[str, Usage] = {}
    for part in log.split("Compiling entry function ")[1:]:
        name = re.match(r"'(\w+)'", part)
        frame = re.search(
            r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill", part
        )
        registers = re.search(r"Used (\d+) registers", part)
        if name is None or frame is None or registers is None:
            raise RuntimeError(f"NVRTC's report is not as expected:\n{log}")
        stack, stores, loads = map(int, frame.groups())
        found[name[1]] = Usage(int(registers[1]), stack, stores + loads)
    return found


def _library() -> Any:
    try:
        from cupy_backends.cuda.libs import nvrtc
    except ImportError as error:
        came = f"'cuda', but CuPy's compiler cannot be loaded ({error})"
        raise DeviceError("device", came, "CuPy with CUDA's libraries", INSTALL) from None
    return nvrtc
