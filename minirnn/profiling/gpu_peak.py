"""What this GPU can do at most, measured: multiply-adds in every format, and bytes copied.

The multiply-adds are those that the kernels use: on float32 and float64 the ordinary units', on
narrower formats the tensor cores' `mma.sync`. Nothing is loaded or stored between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from minirnn.errors import ArgumentError, DTypeError
from minirnn.profiling.peak import Peak

CHAINS = 8  # of every thread or warp, side by side: with so many warps, enough for any latency
LINKS = 16  # of every chain in a turn, so that counting the turns takes next to nothing
BLOCKS_EACH = 4  # of each multiprocessor: all of them at once, whatever registers a format takes
BURST_SECONDS = 0.01  # long against the start of a launch
BURSTS = 5  # of which the best counts
PASSES = 7  # over the array that is copied
CACHES = 16  # the array is so many times the second-level cache; and at most a quarter of memory


class _Format(NamedTuple):
    """How a format multiplies: the text of one link of a chain, and the operations in it."""

    real: str
    link: str
    flop: int  # of one thread
    tensor: bool


# A warp's mma of 16 by 8 by K counts 2 * 16 * 8 * K operations, a 32nd of it for each thread.
_FORMATS = {
    "float32": _Format("float", "c[i][0] = fma(factor, c[i][0], summand);", 2, False),
    "float64": _Format("double", "c[i][0] = fma(factor, c[i][0], summand);", 2, False),
    "tf32": _Format("float", "multiply_tf32(c[i], a, b);", 2 * 16 * 8 * 8 // 32, True),
    "bfloat16": _Format("float", "multiply_bfloat16(c[i], a, b);", 2 * 16 * 8 * 16 // 32, True),
    "float16": _Format("float", "multiply_float16(c[i], a, b);", 2 * 16 * 8 * 16 // 32, True),
}

_TEXT = """
using Real = {real};

// Independent chains of multiply-adds, {links} links of each in a turn. Nobody looks at what comes
// out, but it must be written, or the compiler would leave all the rest out.
extern "C" __global__ void __launch_bounds__(256) burn(Real* out, long long turns) {{
    const int thread = blockIdx.x * blockDim.x + threadIdx.x;
    const Real factor = Real(0.999), summand = Real(0.001);
    // Any operands will do, as long as they are ordinary numbers: 1 in every format.
    const unsigned one = {one};
    const unsigned a[4] = {{one, one, one, one}}, b[2] = {{one, one}};
    Real c[{chains}][4];
#pragma unroll
    for (int i = 0; i < {chains}; ++i)
#pragma unroll
        for (int e = 0; e < 4; ++e) c[i][e] = Real(2 + i + thread % 32);
    for (long long turn = 0; turn < turns; ++turn) {{
#pragma unroll
        for (int n = 0; n < {links}; ++n) {{
#pragma unroll
            for (int i = 0; i < {chains}; ++i) {link}
        }}
    }}
    Real sum = a[0] + b[0] + factor + summand;
#pragma unroll
    for (int i = 0; i < {chains}; ++i)
#pragma unroll
        for (int e = 0; e < 4; ++e) sum += c[i][e];
    out[thread] = sum;
}}
"""
_ONES = {"tf32": "0x3f800000u", "bfloat16": "0x3f803f80u", "float16": "0x3c003c00u"}


@dataclass(frozen=True)
class GpuPeak(Peak):
    """The most that was measured on this GPU.

    gflops        GFLOP/s of multiply-adds in `format`, two operations each
    bandwidth     GB/s (1e9 bytes) of an array that is copied, bytes read and bytes written
    gpu           its name;  `multiprocessors` that it has
    format        of the products' operands: "float32", "float64", "tf32", "bfloat16", "float16"
    """

    gpu: str
    multiprocessors: int
    format: str

    def where(self) -> str:
        """What was measured, in words."""
        return f"cuda ({self.gpu}, {self.multiprocessors} multiprocessors)"

    def words(self) -> str:
        """The two figures' meaning: {} stands for each."""
        units = "on the tensor cores" if _FORMATS[self.format].tensor else "in registers"
        return f"{{}} GFLOP/s of {self.format} multiply-adds {units}; {{}} GB/s copied in memory"


def format_of(dtype: str) -> str:
    """The format that the kernels' products of arrays of a dtype have now."""
    from minirnn.kernels.cuda import get_matmul_precision

    return "float64" if dtype == "float64" else get_matmul_precision()


def measure_peak(dtype: str) -> GpuPeak:
    """Both figures, of the current GPU."""
    import cupy

    from minirnn.kernels.cuda.device import current

    name = format_of(dtype)
    properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.runtime.getDevice())
    return GpuPeak(
        gflops=multiply_add_peak(name, BURST_SECONDS),
        bandwidth=copy_bandwidth(),
        dtype=dtype,
        gpu=properties["name"].decode(),
        multiprocessors=current().multiprocessors,
        format=name,
    )


def multiply_add_peak(format: str = "float32", seconds: float = BURST_SECONDS) -> float:
    """GFLOP/s of multiply-adds that nothing holds up, on the current GPU.

    format   "float32", "float64", "tf32", "bfloat16" or "float16"
    seconds  that a burst takes, of which the best of 5 counts

    Raises: DTypeError for another format.
    """
    import cupy

    from minirnn.kernels.cuda.device import current
    from minirnn.kernels.cuda.launch import THREADS, launch

    if format not in _FORMATS:
        raise DTypeError("format", repr(format), f"one of {', '.join(map(repr, _FORMATS))}")
    how, gpu = _FORMATS[format], current()
    kernel = _burner(format, gpu.target)
    blocks = gpu.multiprocessors * BLOCKS_EACH
    out = cupy.empty(blocks * THREADS, "float64" if how.real == "double" else "float32")

    def burst(turns: int) -> float:
        return _timed(lambda: launch(kernel, (blocks,), (out, turns)))

    burst(1)  # loads it
    turns = 4
    while (took := burst(turns)) < seconds / 4:
        turns *= 2
    turns = max(1, int(turns * seconds / took))
    best = min(burst(turns) for _ in range(BURSTS))
    return blocks * THREADS * CHAINS * LINKS * turns * how.flop / best / 1e9


def copy_bandwidth(nbytes: int | None = None) -> float:
    """GB/s (1e9 bytes) at which an array is copied on the current GPU, read and written.

    nbytes   of the array; None is 16 times the second-level cache, or a quarter of what is free

    Raises: ArgumentError if it is not positive.
    """
    import cupy

    if nbytes is None:
        runtime = cupy.cuda.runtime
        cached = runtime.deviceGetAttribute(runtime.cudaDevAttrL2CacheSize, runtime.getDevice())
        nbytes = min(CACHES * cached, runtime.memGetInfo()[0] // 4)
    if nbytes < 8:
        raise ArgumentError("nbytes", repr(nbytes), "at least 8")
    source = cupy.full(nbytes // 8, 1, "int64")
    to = cupy.empty_like(source)

    def copy() -> None:
        to[...] = source

    copy()
    best = min(_timed(copy) for _ in range(PASSES))
    return float(2 * source.nbytes / best / 1e9)


def _timed(work: Any) -> float:
    """Seconds between events around what is launched."""
    import cupy

    start, end = cupy.cuda.Event(), cupy.cuda.Event()
    start.record()
    work()
    end.record()
    end.synchronize()
    return float(cupy.cuda.get_elapsed_time(start, end)) / 1e3


def burner_source(format: str) -> str:
    """The text of the module with `burn`, for a format."""
    from minirnn.kernels.cuda.source import FOLDER

    how = _FORMATS[format]
    machine = (FOLDER / "machine.cuh").read_text(encoding="utf-8")
    text = _TEXT.format(
        real=how.real, chains=CHAINS, links=LINKS, link=how.link,
        one=_ONES.get(format, "0u"),
    )  # fmt: skip
    return f"// begin machine.cuh\n{machine}// end machine.cuh\n{text}"


@cache
def _text(format: str) -> str:
    return burner_source(format)


def _burner(format: str, target: str) -> Any:
    from minirnn.kernels.cuda import build

    return build.kernel("burn", _text(format), target, f"the peak ({format})")
