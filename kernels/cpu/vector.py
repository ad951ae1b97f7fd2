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
    sigmoid_is_one: float  # from here on
    tanh_is_one: float
    # T of exp(r) - 1 = r + r² T(r), lowest power first: minimax for the relative error of the left
    # side on |r| <= ln2 / 2, by Remez' exchange in 50 digits with the weight r² / |exp(r) - 1|,
    # then rounded. Error with the rounded coefficients: 2^-25.8 in float32, 2^-54.8 in float64.
    polynomial: tuple[float, ...]

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
        "float32", 4, 23, 127, 0.693359375, -2.12194440054690583e-4,
        lowest=-104.0, highest=89.0, sigmoid_is_one=18.0, tanh_is_one=9.25,
        polynomial=(0.49999997, 0.16666543, 0.0416672, 0.008366498, 0.0013882528),
    ),
    "float64": Format(
        "float64", 8, 52, 1023, 6.93147180369123816490e-1, 1.90821492927058770002e-10,
        lowest=-746.0, highest=710.0, sigmoid_is_one=40.0, tanh_is_one=19.5,
        polynomial=(
            0.5000000000000006, 0.1666666666666659, 0.041666666666577, 0.008333333333389403,
            0.0013888888931478144, 0.00019841269719246153, 2.480150538506671e-05,
            2.7557407433144138e-06, 2.7625991224514553e-07, 2.5053770079124418e-08,
        ),
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
    #
    # x = n ln2 + r with n whole and |r| <= ln2/2, so exp(x) = 2^n (1 + (exp(r) - 1)). n comes from
    # adding x / ln2 to a number so large that the sum's last bit stands for 1: the sum's low bits
    # are n, biased by what the number adds, and taking the number away leaves n as a float.

    def _whole(self, x: ir.Value, per_x: float, bias: int) -> tuple[ir.Value, ir.Value]:
        """n = x per_x rounded to whole, as a float, and a vector whose low bits are n + bias."""
        large = self.splat(1.5 * 2.0**self.format.mantissa_bits + bias)
        shifted = self.fma(x, self.splat(per_x), large)
        return self.subtract(shifted, large), shifted

    def _power_of_two(self, shifted: ir.Value) -> ir.Value:
        """2^n as a number of the format, if the low bits of `shifted` are n + the exponent bias."""
        bits = self.builder.bitcast(shifted, self.integers)
        shift = self.integer(self.format.mantissa_bits)
        return self.builder.bitcast(self.builder.shl(bits, shift), self.type)

    def _exp_minus_one(self, r: ir.Value, r_squared: ir.Value) -> ir.Value:
        """exp(r) - 1 for |r| <= ln2/2."""
        *lower, highest = self.format.polynomial
        tail = self.splat(highest)
        for coefficient in reversed(lower):
            tail = self.fma(tail, r, self.splat(coefficient))
        return self.fma(r_squared, tail, r)

    def _exp(self, x: ir.Value, bias: int) -> tuple[ir.Value, ir.Value, ir.Value]:
        """exp(x) = value 2^n for x that is not far outside exp's range: value, n, shifted."""
        f = self.format
        n, shifted = self._whole(x, 1.0 / math.log(2.0), bias)
        r = self.fma(n, self.splat(-f.ln2_high), x)
        r = self.fma(n, self.splat(-f.ln2_low), r)
        minus_one = self._exp_minus_one(r, self.multiply(r, r))
        return self.add(minus_one, self.splat(1.0)), n, shifted

    def exp(self, x: ir.Value) -> ir.Value:
        """exp(x): subnormal results are right, overflow is inf, NaN stays."""
        f = self.format
        value, n, shifted = self._exp(self.clip(x, f.lowest, f.highest), 0)
        if self._can_scale:
            return self._scale(value, n)
        # 2^n in two factors, because n itself may lie outside the format's exponents.
        large = self.builder.bitcast(self.splat(1.5 * 2.0**f.mantissa_bits), self.integers)
        whole = self.builder.sub(self.builder.bitcast(shifted, self.integers), large)
        half = self.builder.ashr(whole, self.integer(1))
        for part in (half, self.builder.sub(whole, half)):
            biased = self.builder.add(part, self.integer(f.exponent_bias))
            value = self.multiply(value, self._power_of_two(biased))
        return value

    def sigmoid(self, x: ir.Value) -> ir.Value:
        """e / (1 + e) with e = exp(x), which keeps its accuracy where e underflows."""
        f = self.format
        x = self.clip(x, f.lowest, f.sigmoid_is_one)
        if self._can_scale:
            value, n, _ = self._exp(x, 0)
            e = self._scale(value, n)
        else:
            # n is at most 58, so 2^(n + lift) is a normal number for every n.
            lift = 2 ** (self.format.exponent_bias.bit_length() - 1)
            value, _, shifted = self._exp(x, f.exponent_bias + lift)
            e = self.multiply(value, self._power_of_two(shifted))
            e = self.multiply(e, self.splat(2.0**-lift))
        return self.divide(e, self.add(e, self.splat(1.0)))

    def tanh(self, x: ir.Value) -> ir.Value:
        """m / (2 - m) with m = 1 - exp(-2|x|), which is accurate near 0; the sign is x's."""
        f = self.format
        one, two = self.splat(1.0), self.splat(2.0)
        y = self.builder.fneg(self.absolute(x))
        floor = self.splat(-f.tanh_is_one)
        y = self.select(self.compare(">", floor, y), floor, y)
        # 2y = n ln2 + 2r. One part of ln2 does: what n ln2 is wrong by, exp(2y) shrinks.
        n, shifted = self._whole(y, 2.0 / math.log(2.0), f.exponent_bias)
        r = self.fma(n, self.splat(-math.log(2.0) / 2.0), y)
        double = self.add(r, r)
        minus_one = self._exp_minus_one(double, self.multiply(double, double))
        scale = self._power_of_two(shifted)
        m = self.fma(self.builder.fneg(scale), minus_one, self.subtract(one, scale))
        size = self.divide(m, self.subtract(two, m))
        g = self._function(f"llvm.copysign.{self._suffix}", self.type, [self.type] * 2)
        return self.builder.call(g, [size, x])

    @property
    def _can_scale(self) -> bool:
        """Whether the processor multiplies by 2^n in one instruction."""
        return vector_bytes() == 64 and bool(llvm.get_host_cpu_features().get("avx512f"))

    def _scale(self, value: ir.Value, n: ir.Value) -> ir.Value:
        """value * 2^n, n whole; subnormal results are rounded once, NaN stays."""
        kind, mask = ("ps", ir.IntType(16)) if self.format.bytes == 4 else ("pd", ir.IntType(8))
        f = self._function(
            f"llvm.x86.avx512.mask.scalef.{kind}.512",
            self.type, [self.type, self.type, self.type, mask, INT32],
        )  # fmt: skip
        as_set = ir.Constant(INT32, 4)  # round as the processor is set to, which is to nearest
        return self.builder.call(f, [value, n, value, ir.Constant(mask, -1), as_set])

    # -- helpers ----------------------------------------------------------------------------

    def _function(self, name: str, result: ir.Type, arguments: list[ir.Type]) -> Any:
        kind = ir.FunctionType(result, arguments)
        return cgutils.get_or_insert_function(self.builder.module, kind, name)

    def _one(self, name: str, x: ir.Value) -> ir.Value:
        return self.builder.call(self._function(name, self.type, [self.type]), [x])
