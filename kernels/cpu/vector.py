"""Explicit vectors in LLVM IR: loads, stores, arithmetic, and vector exp, sigmoid and tanh.

LLVM's own loop vectoriser gives up on loops over as many arrays as a cell's step touches, and what
it does decides which bits come out. So the kernels are emitted as vector code, one width for every
size: a row's last, incomplete vector is the same code behind a mask.

Every function here computes lane by lane, so a value does not depend on its neighbours.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from functools import cache
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils

INT32 = ir.IntType(32)
INT64 = ir.IntType(64)


@dataclass(frozen=True)
class Format:
    """A floating-point format and the numbers that exp needs for it."""

    dtype: str
    bytes: int
    mantissa_bits: int
    exponent_bias: int
    # ln 2 in two parts: n * high is exact for every n that exp meets (Cody & Waite 1980).
    ln2_high: float
    ln2_low: float
    lowest: float  # exp underflows to 0 below
    highest: float  # exp overflows to inf above
    degree: int  # of the Taylor polynomial of exp on [-ln2/2, ln2/2]; remainder below half an ulp

    @property
    def type(self) -> ir.Type:
        """The scalar type in LLVM."""
        return ir.FloatType() if self.bytes == 4 else ir.DoubleType()

    @property
    def integer(self) -> ir.IntType:
        """The integer type of the same size."""
        return ir.IntType(8 * self.bytes)


FORMATS = {
    "float32": Format(
        "float32", 4, 23, 127, 0.693359375, -2.12194440054690583e-4, -104.0, 89.0, 7
    ),
    "float64": Format(
        "float64", 8, 52, 1023, 6.93147180369123816490e-1, 1.90821492927058770002e-10,
        -746.0, 710.0, 13,
    ),
}  # fmt: skip


@cache
def vector_bytes() -> int:
    """Bytes of the widest vectors worth using on this processor: 64, 32 or 16.

    The environment variable MINIRNN_VECTOR_BYTES overrides (for tests of the narrow paths).
    """
    forced = os.environ.get("MINIRNN_VECTOR_BYTES")
    if forced in ("16", "32", "64"):
        return int(forced)
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return 64
    return 32 if features.get("avx2") else 16


class Vectors:
    """Emits code on vectors of one format into one LLVM builder."""

    def __init__(self, builder: ir.IRBuilder, dtype: str) -> None:
        """Emit into `builder`, for "float32" or "float64"."""
        self.builder = builder
        self.format = FORMATS[dtype]
        self.lanes = vector_bytes() // self.format.bytes
        self.type = ir.VectorType(self.format.type, self.lanes)
        self.integers = ir.VectorType(self.format.integer, self.lanes)
        self._bits = ir.VectorType(ir.IntType(1), self.lanes)
        self._suffix = f"v{self.lanes}f{8 * self.format.bytes}"

    # -- constants and memory ---------------------------------------------------------------

    def splat(self, value: float) -> ir.Constant:
        """The constant in every lane."""
        return ir.Constant(self.type, [value] * self.lanes)

    def integer(self, value: int) -> ir.Constant:
        """The integer constant in every lane."""
        return ir.Constant(self.integers, [value] * self.lanes)

    def broadcast(self, scalar: ir.Value) -> ir.Value:
        """A scalar in every lane."""
        one = self.builder.insert_element(
            ir.Constant(self.type, ir.Undefined), scalar, ir.Constant(INT32, 0)
        )
        lanes = ir.Constant(ir.VectorType(INT32, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(one, ir.Constant(self.type, ir.Undefined), lanes)

    def mask(self, remaining: ir.Value) -> ir.Value:
        """Lanes 0 … remaining-1 (an int64; anything from `lanes` on selects all)."""
        wide = ir.VectorType(INT64, self.lanes)
        one = self.builder.insert_element(
            ir.Constant(wide, ir.Undefined), remaining, ir.Constant(INT32, 0)
        )
        zeros = ir.Constant(ir.VectorType(INT32, self.lanes), [0] * self.lanes)
        every = self.builder.shuffle_vector(one, ir.Constant(wide, ir.Undefined), zeros)
        lane = ir.Constant(wide, list(range(self.lanes)))
        return self.builder.icmp_signed("<", lane, every)

    def at(self, pointer: ir.Value, index: ir.Value) -> ir.Value:
        """Pointer to a vector at element `index` of a pointer to elements."""
        element = self.builder.gep(pointer, [index])
        return self.builder.bitcast(element, self.type.as_pointer())

    def load(self, vector_pointer: ir.Value) -> ir.Value:
        """Load all lanes; no alignment beyond the elements' is assumed."""
        return self.builder.load(vector_pointer, align=self.format.bytes)

    def store(self, value: ir.Value, vector_pointer: ir.Value) -> None:
        """Store all lanes."""
        self.builder.store(value, vector_pointer, align=self.format.bytes)

    def load_masked(self, vector_pointer: ir.Value, mask: ir.Value) -> ir.Value:
        """Load the lanes of the mask, 0 in the others, which are not touched."""
        f = self._function(
            f"llvm.masked.load.{self._suffix}.p0",
            self.type, [vector_pointer.type, INT32, self._bits, self.type],
        )  # fmt: skip
        align = ir.Constant(INT32, self.format.bytes)
        return self.builder.call(f, [vector_pointer, align, mask, self.splat(0.0)])

    def store_masked(self, value: ir.Value, vector_pointer: ir.Value, mask: ir.Value) -> None:
        """Store the lanes of the mask; the others are not touched."""
        f = self._function(
            f"llvm.masked.store.{self._suffix}.p0",
            ir.VoidType(), [self.type, vector_pointer.type, INT32, self._bits],
        )  # fmt: skip
        align = ir.Constant(INT32, self.format.bytes)
        self.builder.call(f, [value, vector_pointer, align, mask])

    def gather(self, pointer: ir.Value, indexes: list[ir.Value], mask: ir.Value) -> ir.Value:
        """Elements pointer[index], one a lane, 0 where the mask is not set."""
        wide = ir.VectorType(INT64, self.lanes)
        offsets: ir.Value = ir.Constant(wide, ir.Undefined)
        for lane, index in enumerate(indexes):
            offsets = self.builder.insert_element(offsets, index, ir.Constant(INT32, lane))
        base = self.builder.ptrtoint(pointer, INT64)
        every = self.builder.shuffle_vector(
            self.builder.insert_element(
                ir.Constant(wide, ir.Undefined), base, ir.Constant(INT32, 0)
            ),
            ir.Constant(wide, ir.Undefined),
            ir.Constant(ir.VectorType(INT32, self.lanes), [0] * self.lanes),
        )
        size = ir.Constant(wide, [self.format.bytes] * self.lanes)
        pointers = ir.VectorType(self.format.type.as_pointer(), self.lanes)
        addresses = self.builder.inttoptr(
            self.builder.add(every, self.builder.mul(offsets, size)), pointers
        )
        f = self._function(
            f"llvm.masked.gather.{self._suffix}.v{self.lanes}p0",
            self.type, [pointers, INT32, self._bits, self.type],
        )  # fmt: skip
        align = ir.Constant(INT32, self.format.bytes)
        return self.builder.call(f, [addresses, align, mask, self.splat(0.0)])

    def transposed(self, rows: list[ir.Value]) -> list[ir.Value]:
        """The transpose of a square of `lanes` vectors, by exchanging ever larger corners."""
        rows = list(rows)
        n, distance = self.lanes, 1
        lane_type = ir.VectorType(INT32, n)
        while distance < n:
            # The upper row keeps its lanes where the bit is clear and takes the lower row's.
            upper = [k if not k & distance else n + k - distance for k in range(n)]
            lower = [k + distance if not k & distance else n + k for k in range(n)]
            for i in range(n):
                if not i & distance:
                    a, b = rows[i], rows[i + distance]
                    rows[i], rows[i + distance] = (
                        self.builder.shuffle_vector(a, b, ir.Constant(lane_type, pick))
                        for pick in (upper, lower)
                    )
            distance *= 2
        return rows

    # -- arithmetic -------------------------------------------------------------------------

    def add(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """a + b."""
        return self.builder.fadd(a, b)

    def subtract(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """a - b."""
        return self.builder.fsub(a, b)

    def multiply(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """a * b."""
        return self.builder.fmul(a, b)

    def divide(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """a / b."""
        return self.builder.fdiv(a, b)

    def fma(self, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
        """a * b + c, rounded once."""
        f = self._function(f"llvm.fma.{self._suffix}", self.type, [self.type] * 3)
        return self.builder.call(f, [a, b, c])

    def compare(self, operator: str, a: ir.Value, b: ir.Value) -> ir.Value:
        """A comparison, false where either side is NaN."""
        return self.builder.fcmp_ordered(operator, a, b)

    def select(self, condition: ir.Value, yes: ir.Value, no: ir.Value) -> ir.Value:
        """`yes` in the lanes of the condition, `no` in the others."""
        return self.builder.select(condition, yes, no)

    def absolute(self, x: ir.Value) -> ir.Value:
        """|x|."""
        return self._one(f"llvm.fabs.{self._suffix}", x)

    def clip(self, x: ir.Value, low: float, high: float) -> ir.Value:
        """x held between two bounds."""
        # `bound > x ? bound : x` keeps NaN, where min and max instructions may lose it.
        low_v, high_v = self.splat(low), self.splat(high)
        raised = self.select(self.compare(">", low_v, x), low_v, x)
        return self.select(self.compare(">", raised, high_v), high_v, raised)

    def relu(self, x: ir.Value) -> ir.Value:
        """max(x, 0)."""
        zero = self.splat(0.0)
        return self.select(self.compare(">", zero, x), zero, x)

    # -- exp and its relatives --------------------------------------------------------------

    def _reduced(self, x: ir.Value) -> tuple[ir.Value, ir.Value]:
        """x = n ln2 + r, |r| <= ln2/2. Returns n (integers) and exp(r) - 1."""
        f = self.format
        n_float = self._one(
            f"llvm.rint.{self._suffix}", self.multiply(x, self.splat(1.0 / math.log(2.0)))
        )
        r = self.fma(n_float, self.splat(-f.ln2_high), x)
        r = self.fma(n_float, self.splat(-f.ln2_low), r)
        # exp(r) - 1 = r + r^2 (1/2! + r/3! + …), by Horner.
        tail = self.splat(1.0 / math.factorial(f.degree))
        for k in range(f.degree - 1, 1, -1):
            tail = self.fma(tail, r, self.splat(1.0 / math.factorial(k)))
        # The conversion of a NaN is undefined in LLVM: give it 0, and let r carry the NaN.
        is_number = self.compare("==", n_float, n_float)
        n = self.builder.fptosi(self.select(is_number, n_float, self.splat(0.0)), self.integers)
        return n, self.fma(self.multiply(r, r), tail, r)

    def _power_of_two(self, n: ir.Value) -> ir.Value:
        f = self.format
        biased = self.builder.add(n, self.integer(f.exponent_bias))
        return self.builder.bitcast(
            self.builder.shl(biased, self.integer(f.mantissa_bits)), self.type
        )

    def exp(self, x: ir.Value) -> ir.Value:
        """exp(x): subnormal results are right, overflow is inf, NaN stays."""
        f = self.format
        n, minus_one = self._reduced(self.clip(x, f.lowest, f.highest))
        # 2^n in two factors, because n itself may lie outside the format's exponents.
        half = self.builder.ashr(n, self.integer(1))
        rest = self.builder.sub(n, half)
        value = self.add(minus_one, self.splat(1.0))
        value = self.multiply(value, self._power_of_two(half))
        return self.multiply(value, self._power_of_two(rest))

    def sigmoid(self, x: ir.Value) -> ir.Value:
        """1/(1+e) for x >= 0 and e/(1+e) for x < 0, e = exp(-|x|): accurate in both tails."""
        one = self.splat(1.0)
        e = self.exp(self.subtract(self.splat(-0.0), self.absolute(x)))
        above = self.divide(one, self.add(one, e))
        return self.select(self.compare("<", x, self.splat(0.0)), self.multiply(e, above), above)

    def tanh(self, x: ir.Value) -> ir.Value:
        """-m / (m + 2) with m = exp(-2|x|) - 1, which is accurate near 0; the sign is x's."""
        # Beyond |x| = 20 tanh is 1 in both formats, and 2^n stays a normal number.
        y = self.clip(self.multiply(self.splat(-2.0), self.absolute(x)), -40.0, 0.0)
        n, minus_one = self._reduced(y)
        scale = self._power_of_two(n)
        m = self.fma(scale, minus_one, self.subtract(scale, self.splat(1.0)))
        size = self.divide(self.subtract(self.splat(-0.0), m), self.add(m, self.splat(2.0)))
        f = self._function(f"llvm.copysign.{self._suffix}", self.type, [self.type] * 2)
        return self.builder.call(f, [size, x])

    # -- helpers ----------------------------------------------------------------------------

    def _function(self, name: str, result: ir.Type, arguments: list[ir.Type]) -> Any:
        kind = ir.FunctionType(result, arguments)
        return cgutils.get_or_insert_function(self.builder.module, kind, name)

    def _one(self, name: str, x: ir.Value) -> ir.Value:
        return self.builder.call(self._function(name, self.type, [self.type]), [x])
