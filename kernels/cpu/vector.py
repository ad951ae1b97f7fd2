"""Explicit vectors in LLVM IR: loads, stores, arithmetic, and vector exp, log, sigmoid and tanh.

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
from numba.core.registry import cpu_target

INT32 = ir.IntType(32)
INT64 = ir.IntType(64)


@dataclass(frozen=True)
class Format:
    """A floating-point format and the numbers that exp, log, sigmoid and tanh need for it."""

    dtype: str
    bytes: int
    mantissa_bits: int
    exponent_bias: int
    # ln 2 in two parts: n * high is exact for every n that exp meets (Cody & Waite 1980).
    ln2_high: float
    ln2_low: float
    lowest: float  # exp underflows to 0 below
    highest: float  # exp overflows to inf above
    sigmoid_is_one: float  # in this format from here on; so is tanh
    tanh_is_one: float
    # T in exp(r) - 1 = r + r² T(r), lowest power first: it minimises the largest relative error of
    # exp(r) - 1 over |r| <= ln2/2. Found by Remez' exchange in 50 digits, with r² / |exp(r) - 1|
    # for a weight; the error with the rounded coefficients is 2^-25.8 and 2^-54.8.
    polynomial: tuple[float, ...]
    # R in log(1 + f) = 2 atanh(s) = s (2 + s² R(s²)), s = f / (2 + f), for 1 + f from sqrt(1/2) to
    # sqrt(2), lowest power first: Sun's fdlibm (e_log.c, e_logf.c), errors below 2^-58 and 2^-34.
    logarithm: tuple[float, ...]

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
        logarithm=(0.66666662693, 0.40000972152, 0.28498786688, 0.24279078841),
    ),
    "float64": Format(
        "float64", 8, 52, 1023, 6.93147180369123816490e-1, 1.90821492927058770002e-10,
        lowest=-746.0, highest=710.0, sigmoid_is_one=40.0, tanh_is_one=19.5,
        polynomial=(
            0.5000000000000006, 0.1666666666666659, 0.041666666666577, 0.008333333333389403,
            0.0013888888931478144, 0.00019841269719246153, 2.480150538506671e-05,
            2.7557407433144138e-06, 2.7625991224514553e-07, 2.5053770079124418e-08,
        ),
        logarithm=(
            6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01,
            2.222219843214978396e-01, 1.818357216161805012e-01, 1.531383769920937332e-01,
            1.479819860511658591e-01,
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


@cache
def can_scale() -> bool:
    """Whether Numba compiles for AVX-512, which multiplies 64-byte vectors by 2^n at once."""
    features = cpu_target.target_context.codegen().magic_tuple()[2]
    return "+avx512f" in features.split(",")


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
        # Lane numbers as wide as the lanes, so that one comparison of vectors does.
        every = ir.Constant(INT64, self.lanes)
        few = self.builder.icmp_signed("<", remaining, every)
        count = self.builder.select(few, remaining, every)
        if self.format.bytes < 8:
            count = self.builder.trunc(count, self.format.integer)
        one = self.builder.insert_element(
            ir.Constant(self.integers, ir.Undefined), count, ir.Constant(INT32, 0)
        )
        zeros = ir.Constant(ir.VectorType(INT32, self.lanes), [0] * self.lanes)
        counts = self.builder.shuffle_vector(one, ir.Constant(self.integers, ir.Undefined), zeros)
        lane = ir.Constant(self.integers, list(range(self.lanes)))
        return self.builder.icmp_signed("<", lane, counts)

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

    def prefetch(self, pointer: ir.Value, to_write: bool = False, near: bool = True) -> None:
        """Ask for the cache line of a pointer, into the nearest cache or the next."""
        byte = ir.IntType(8).as_pointer()
        f = self._function("llvm.prefetch.p0", ir.VoidType(), [byte, INT32, INT32, INT32])
        hints = (int(to_write), 3 if near else 2, 1)  # read or write; how near; data
        pointer = self.builder.bitcast(pointer, byte)
        self.builder.call(f, [pointer, *(ir.Constant(INT32, hint) for hint in hints)])

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
        return self._at_most(self._at_least(x, low), high)

    def relu(self, x: ir.Value) -> ir.Value:
        """max(x, 0)."""
        return self._at_least(x, 0.0)

    # `bound > x ? bound : x` is one instruction that keeps NaN.

    def _at_least(self, x: ir.Value, bound: float) -> ir.Value:
        low = self.splat(bound)
        return self.select(self.compare(">", low, x), low, x)

    def _at_most(self, x: ir.Value, bound: float) -> ir.Value:
        high = self.splat(bound)
        return self.select(self.compare("<", high, x), high, x)

    def _copysign(self, size: ir.Value, sign: ir.Value) -> ir.Value:
        f = self._function(f"llvm.copysign.{self._suffix}", self.type, [self.type] * 2)
        return self.builder.call(f, [size, sign])

    # -- exp and its relatives --------------------------------------------------------------
    #
    # x = n ln2 + r with n whole and |r| <= ln2/2, so exp(x) = 2^n (1 + (exp(r) - 1)).

    def exp(self, x: ir.Value) -> ir.Value:
        """exp(x) to 1.5 ulp: subnormal results are right, overflow is inf, NaN stays."""
        f = self.format
        mantissa, n, shifted = self._exp_parts(self.clip(x, f.lowest, f.highest), 0)
        if self._can_scale:
            return self._scale(mantissa, n)
        # 2^n in two factors, because n itself may lie outside the format's exponents.
        whole = self.builder.sub(self._bits_of(shifted), self._bits_of(self._counter(0)))
        half = self.builder.ashr(whole, self.integer(1))
        for part in (half, self.builder.sub(whole, half)):
            biased = self.builder.add(part, self.integer(f.exponent_bias))
            mantissa = self.multiply(mantissa, self._power_of_two(biased))
        return mantissa

    def sigmoid(self, x: ir.Value) -> ir.Value:
        """e / (1 + e) with e = exp(x), to 3 ulp even where e is subnormal."""
        f = self.format
        x = self.clip(x, f.lowest, f.sigmoid_is_one)
        if self._can_scale:
            e = self._scale(*self._exp_parts(x, 0)[:2])
        else:
            # n reaches much further down than up, so 2^n times 2^lift is always a normal number.
            lift = (f.exponent_bias + 1) // 2
            mantissa, _, shifted = self._exp_parts(x, f.exponent_bias + lift)
            e = self.multiply(mantissa, self._power_of_two(self._bits_of(shifted)))
            e = self.multiply(e, self.splat(2.0**-lift))
        return self.divide(e, self.add(e, self.splat(1.0)))

    def tanh(self, x: ir.Value) -> ir.Value:
        """m / (2 - m) with m = 1 - exp(-2|x|), to 3 ulp even near 0; odd, bit for bit."""
        f = self.format
        y = self._at_least(self.builder.fneg(self.absolute(x)), -f.tanh_is_one)
        # 2y = n ln2 + 2r. One part of ln2 does: exp(2y) is small where n makes its error large.
        n, shifted = self._whole(y, 2.0 / math.log(2.0), f.exponent_bias)
        r = self.fma(n, self.splat(-math.log(2.0) / 2.0), y)
        minus_one = self._exp_minus_one(self.add(r, r))
        scale = self._power_of_two(self._bits_of(shifted))
        m = self.subtract(self.splat(1.0), scale)
        m = self.fma(self.builder.fneg(scale), minus_one, m)
        return self._copysign(self.divide(m, self.subtract(self.splat(2.0), m)), x)

    def log(self, x: ir.Value) -> ir.Value:
        """The natural logarithm to 1 ulp; -inf at 0, NaN below, subnormal x right, NaN stays."""
        # x = 2^n (1 + f), so log(x) = n ln2 + log(1 + f), and near 1 it is f to first order.
        f, builder = self.format, self.builder
        tiny = 2.0 ** (1 - f.exponent_bias)
        subnormal = self.compare("<", x, self.splat(tiny))
        lifted = self.multiply(x, self.splat(2.0 ** (f.mantissa_bits + 1)))
        bits = self._bits_of(self.select(subnormal, lifted, x))
        above = builder.sub(bits, self._bits_of(self.splat(math.sqrt(0.5))))
        exponent = builder.ashr(above, self.integer(f.mantissa_bits))
        scaled = builder.sub(bits, builder.shl(exponent, self.integer(f.mantissa_bits)))
        m = self.subtract(builder.bitcast(scaled, self.type), self.splat(1.0))
        # The exponent as a number, by way of the low bits of a large one.
        counter = self._counter(0)
        counted = builder.bitcast(builder.add(exponent, self._bits_of(counter)), self.type)
        n = self.subtract(counted, counter)
        n = self.select(subnormal, self.subtract(n, self.splat(f.mantissa_bits + 1.0)), n)
        # log(1 + f) = f - f²/2 + s (f²/2 + s² R(s²)), s = f / (2 + f)
        s = self.divide(m, self.add(m, self.splat(2.0)))
        square = self.multiply(s, s)
        half = self.multiply(self.multiply(m, self.splat(0.5)), m)
        rest = self.fma(square, self._horner(f.logarithm, square), half)
        small = self.fma(s, rest, self.multiply(n, self.splat(f.ln2_low)))
        fraction = self.subtract(self.subtract(half, small), m)
        result = self.fma(n, self.splat(f.ln2_high), builder.fneg(fraction))
        # x = inf, which comes out as a number; then 0, negative numbers and NaN.
        result = self.select(self.compare("<", x, self.splat(math.inf)), result, x)
        zero = self.compare("==", x, self.splat(0.0))
        none = self.select(zero, self.splat(-math.inf), self.splat(math.nan))
        return self.select(self.compare(">", x, self.splat(0.0)), result, none)

    def _exp_parts(self, x: ir.Value, bias: int) -> tuple[ir.Value, ir.Value, ir.Value]:
        """exp(x) = mantissa 2^n: the mantissa, n, and bits that end in n + bias."""
        f = self.format
        n, shifted = self._whole(x, 1.0 / math.log(2.0), bias)
        r = self.fma(n, self.splat(-f.ln2_high), x)
        r = self.fma(n, self.splat(-f.ln2_low), r)
        return self.add(self._exp_minus_one(r), self.splat(1.0)), n, shifted

    def _exp_minus_one(self, r: ir.Value) -> ir.Value:
        """exp(r) - 1 for |r| <= ln2/2."""
        # Even and odd powers apart: two short chains of operations instead of a long one.
        square = self.multiply(r, r)
        even, odd = (self._horner(self.format.polynomial[k::2], square) for k in (0, 1))
        return self.fma(square, self.fma(odd, r, even), r)

    def _horner(self, coefficients: tuple[float, ...], x: ir.Value) -> ir.Value:
        value: ir.Value = self.splat(coefficients[-1])
        for c in coefficients[-2::-1]:
            value = self.fma(value, x, self.splat(c))
        return value

    def _counter(self, bias: int) -> ir.Constant:
        """A number so large that its last bit stands for 1, and its low bits are `bias`."""
        return self.splat(1.5 * 2.0**self.format.mantissa_bits + bias)

    def _whole(self, x: ir.Value, per_x: float, bias: int) -> tuple[ir.Value, ir.Value]:
        """n = x per_x rounded to whole, as a number, and a vector whose low bits are n + bias."""
        counter = self._counter(bias)
        shifted = self.fma(x, self.splat(per_x), counter)
        return self.subtract(shifted, counter), shifted

    def _bits_of(self, x: ir.Value) -> ir.Value:
        return self.builder.bitcast(x, self.integers)

    def _power_of_two(self, biased: ir.Value) -> ir.Value:
        """2^n from integers whose low bits are n + the exponent's bias, for a normal 2^n."""
        exponent = self.builder.shl(biased, self.integer(self.format.mantissa_bits))
        return self.builder.bitcast(exponent, self.type)

    @property
    def _can_scale(self) -> bool:
        return self.lanes * self.format.bytes == 64 and can_scale()

    def _scale(self, x: ir.Value, n: ir.Value) -> ir.Value:
        """x 2^n, n whole: a subnormal result is rounded once, NaN stays."""
        kind, mask = ("ps", ir.IntType(16)) if self.format.bytes == 4 else ("pd", ir.IntType(8))
        f = self._function(
            f"llvm.x86.avx512.mask.scalef.{kind}.512",
            self.type, [self.type, self.type, self.type, mask, INT32],
        )  # fmt: skip
        as_set = ir.Constant(INT32, 4)  # round as the processor is set to: to nearest
        return self.builder.call(f, [x, n, x, ir.Constant(mask, -1), as_set])

    # -- helpers ----------------------------------------------------------------------------

    def _function(self, name: str, result: ir.Type, arguments: list[ir.Type]) -> Any:
        kind = ir.FunctionType(result, arguments)
        return cgutils.get_or_insert_function(self.builder.module, kind, name)

    def _one(self, name: str, x: ir.Value) -> ir.Value:
        return self.builder.call(self._function(name, self.type, [self.type]), [x])
