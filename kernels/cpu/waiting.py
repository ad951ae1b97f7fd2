"""Memory and time from inside compiled loops: meeting, fetching ahead, copying, a clock."""

from __future__ import annotations

import platform
import sys
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from minirnn.kernels.cpu.product import COMPILE
from minirnn.kernels.cpu.vector import INT64

# So many looks before a thread that waits lets others run: a few microseconds.
LOOKS = 200
_give_way = types.ExternalFunction(
    "SwitchToThread" if sys.platform == "win32" else "sched_yield", types.int32()
)


def _add(typingctx: Any, place: Any, amount: Any) -> Any:
    """Add to the int64 at an address, seen by other threads after all that went before.

    Returns what it was.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], INT64.as_pointer())
        return builder.atomic_rmw("add", pointer, args[1], "acq_rel")

    return types.int64(types.int64, types.int64), codegen


def _look(typingctx: Any, place: Any) -> Any:
    """The int64 at an address, as other threads have left it."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], INT64.as_pointer())
        return builder.load_atomic(pointer, "acquire", 8)

    return types.int64(types.int64), codegen


def _pause(typingctx: Any) -> Any:
    """Tell the processor that this is a waiting loop, where it has a word for that."""
    name = {"x86_64": "llvm.x86.sse2.pause", "amd64": "llvm.x86.sse2.pause"}.get(
        platform.machine().lower()
    )

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if name is not None:
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [])
        return context.get_dummy_value()

    return types.void(), codegen


def _bring(typingctx: Any, place: Any, size: Any, step: Any) -> Any:
    """Ask for a cache line each `step` of `size` bytes from an address on: to be read soon."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        start = builder.inttoptr(args[0], byte)
        zero = ir.Constant(INT64, 0)
        with cgutils.for_range_slice(builder, zero, args[1], args[2]) as (at, _):
            options = (ir.Constant(word, n) for n in (0, 2, 1))
            builder.call(prefetch, [builder.gep(start, [at]), *options])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


def _copy_bytes(typingctx: Any, target: Any, source: Any, size: Any) -> Any:
    """Copy `size` bytes from an address to another; they do not overlap."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        byte = ir.IntType(8).as_pointer()
        to, of = (builder.inttoptr(place, byte) for place in args[:2])
        cgutils.raw_memcpy(builder, to, of, args[2], 1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


def _ticks(typingctx: Any) -> Any:
    """The processor's counter; what a tick is worth is measured from outside, see `clock`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(INT64, [])
        if platform.machine().lower() in ("arm64", "aarch64"):
            # The cycle counter that LLVM would read is not for user programs there.
            return builder.asm(kind, "mrs $0, cntvct_el0", "=r", [], True)
        counter = "llvm.readcyclecounter"
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, counter), [])

    return types.int64(), codegen


take: Any = intrinsic(_add)
_look_at: Any = intrinsic(_look)
_pause_here: Any = intrinsic(_pause)
bring: Any = intrinsic(_bring)
copy_bytes: Any = intrinsic(_copy_bytes)
ticks: Any = intrinsic(_ticks)


@njit(**COMPILE)
def meet(barrier: Any, expected: Any) -> None:
    """Wait until `expected` arrivals in all have been counted at an address, this one too.

    A thread waits actively: a meeting is a fraction of a microsecond away, once per step.
    """
    take(barrier, 1)
    looks = 0
    while _look_at(barrier) < expected:
        _pause_here()
        looks += 1
        if looks > LOOKS:
            _give_way()
