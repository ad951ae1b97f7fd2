"""Vector exp, log, sigmoid and tanh: error in units in the last place, edges, every width."""

from functools import cache

import numpy as np
import pytest
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from minirnn.kernels.cpu import vector
from minirnn.kernels.cpu.vector import FORMATS, INT64, Vectors

# Measured 1.1, 0.8, 2.4 and 2.6; the bounds are what tolerances.STEP_ROUNDINGS counts with.
ULP = {"exp": 1.5, "log": 1.0, "sigmoid": 3.0, "tanh": 3.0}
EXACT = {
    "exp": np.exp,
    "log": np.log,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
}


@cache
def vectorised(name, width):
    """A function of two arrays: writes `name` of the first to the second, `width` bytes a time."""

    @intrinsic
    def over_array(typingctx, source, target):
        def codegen(context, builder, signature, args):
            kind = signature.args[0]
            arrays = [context.make_array(kind)(context, builder, a) for a in args]
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(vector, "vector_bytes", lambda: width)
                v = Vectors(builder, str(kind.dtype))
            zero, lanes = ir.Constant(INT64, 0), ir.Constant(INT64, v.lanes)
            count = arrays[0].nitems
            with cgutils.for_range_slice(builder, zero, count, lanes) as (i, _):
                mask = v.mask(builder.sub(count, i))
                x = v.load_masked(v.at(arrays[0].data, i), mask)
                v.store_masked(getattr(v, name)(x), v.at(arrays[1].data, i), mask)
            return context.get_dummy_value()

        return types.void(source, target), codegen

    @njit
    def function(source, target):
        over_array(source, target)

    return function


@pytest.fixture(params=[64, 32, 16], ids=lambda width: f"{width}-bytes")
def width(request):
    """The widths that processors differ in; on any of them, all run."""
    return request.param


@pytest.fixture(params=list(EXACT))
def name(request):
    return request.param


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return np.dtype(request.param)


def evaluated(name, width, x):
    result = np.empty_like(x)
    vectorised(name, width)(x, result)
    return result


def exactly(name, x):
    """The function in a wider format."""
    wide = np.float64 if x.dtype == np.float32 else np.longdouble
    with np.errstate(all="ignore"):
        return EXACT[name](x.astype(wide))


def arguments(dtype):
    """Dense and random numbers of every size, and those beside which the computation changes."""
    random = np.random.default_rng(0)
    limits, f = np.finfo(dtype), FORMATS[dtype.name]
    whole = np.arange(-1100, 1100)
    # Halfway between multiples of ln 2 or half of it, where n jumps; where exp or tanh saturates.
    jumps = np.concatenate([(whole + 0.5) * np.log(2.0), (whole + 0.5) * np.log(2.0) / 2])
    ends = np.array([f.lowest, f.highest, f.sigmoid_is_one, f.tanh_is_one])
    underflow = np.log(float(limits.tiny)), np.log(float(limits.smallest_subnormal))
    corners = np.concatenate([jumps, ends, -ends, underflow]).astype(dtype)
    with np.errstate(all="ignore"):
        beside = [np.nextafter(corners, dtype.type(side)) for side in (-np.inf, np.inf)]
        of_any_size = random.integers(0, 2 ** (8 * dtype.itemsize), 100_000, np.uint64)
        of_any_size = of_any_size.astype(f"u{dtype.itemsize}").view(dtype)
        numbers = np.concatenate(
            [
                np.linspace(-120, 120, 100_001),
                np.linspace(-1, 1, 50_001),
                np.linspace(-760, 720, 20_001),
                np.linspace(underflow[0] - 2, underflow[1] + 2, 20_001),
                *(random.normal(size=50_000) * scale for scale in (0.1, 1, 3, 10, 40)),
                *(sign * 10.0 ** np.linspace(-45, 3, 20_001) for sign in (1, -1)),
                *(1 + sign * 10.0 ** np.linspace(-16, -1, 20_001) for sign in (1, -1)),
                np.sqrt(0.5) * 2.0 ** np.arange(-1073.0, 1024),  # where log's n jumps
                [0.0, limits.tiny, limits.smallest_subnormal, limits.max],
                [-0.0, -limits.tiny, -limits.smallest_subnormal, limits.min],
            ]
        ).astype(dtype)
    return np.concatenate([numbers, corners, *beside, of_any_size[np.isfinite(of_any_size)]])


def test_error_is_within_the_bound_for_numbers_of_every_size(name, dtype, width):
    x = arguments(dtype)
    result, exact = evaluated(name, width, x), exactly(name, x)
    with np.errstate(all="ignore"):
        rounded = exact.astype(dtype)
        ulp = np.abs(result - exact) / np.spacing(np.abs(rounded)).astype(exact.dtype)
    finite = np.isfinite(rounded)
    worst = np.argmax(np.where(finite, ulp, 0))
    assert np.isfinite(result[finite]).all()
    assert ulp[worst] <= ULP[name], f"{ulp[worst]} ulp at {x[worst]!r}"
    np.testing.assert_array_equal(result[~finite], rounded[~finite])


def test_infinities_signed_zeros_and_nan(name, dtype, width):
    x = np.array([np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0], dtype)
    result = evaluated(name, width, x)
    exact = exactly(name, x).astype(dtype)
    np.testing.assert_array_equal(result, exact)
    signed = ~np.isnan(exact)
    np.testing.assert_array_equal(np.signbit(result[signed]), np.signbit(exact[signed]))


def test_subnormal_results_have_the_bits_they_can_have(dtype, width):
    limits = np.finfo(dtype)
    start, end = np.log(float(limits.tiny)), np.log(float(limits.smallest_subnormal))
    x = np.linspace(start, end, 1001).astype(dtype)
    exact = exactly("exp", x)  # and sigmoid here
    for name in ("exp", "sigmoid"):
        result = evaluated(name, width, x)
        assert (result > 0).all()
        off = np.abs(result - exact) / limits.smallest_subnormal.astype(exact.dtype)
        assert off.max() <= ULP[name]


def test_sigmoid_and_tanh_stay_in_their_range_and_reach_its_ends(dtype, width):
    x, f = arguments(dtype), FORMATS[dtype.name]
    sigmoid, tanh = (evaluated(name, width, x) for name in ("sigmoid", "tanh"))
    assert ((sigmoid >= 0) & (sigmoid <= 1)).all()
    assert (sigmoid[x >= f.sigmoid_is_one] == 1).all()
    assert (sigmoid[x <= f.lowest] == 0).all()
    assert (np.abs(tanh) <= 1).all()
    assert (np.abs(tanh[np.abs(x) >= f.tanh_is_one]) == 1).all()


def test_tanh_is_odd_bit_for_bit(dtype, width):
    x = arguments(dtype)
    np.testing.assert_array_equal(evaluated("tanh", width, -x), -evaluated("tanh", width, x))


def test_a_value_is_the_same_in_every_lane_whatever_its_neighbours(name, dtype, width):
    random = np.random.default_rng(1)
    values = np.array([-100.0, -20.0, -0.7, -1e-3, 0.0, 1e-30, 0.3, 5.0, 17.9, 60.0], dtype)
    if name == "log":
        values = np.array([1e-40, 1e-30, 1e-3, 0.3, 0.7, 1.0, 1.01, 5.0, 60.0, 1e30], dtype)
    lanes = width // dtype.itemsize
    alone = np.concatenate([evaluated(name, width, values[k : k + 1]) for k in range(len(values))])
    assert np.isfinite(alone).all()
    strange = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30, 1e-40], dtype)
    for lane in range(lanes):
        rows = random.normal(0, 30, (len(values), lanes)).astype(dtype)
        rows = np.where(random.random(rows.shape) < 0.3, random.choice(strange, rows.shape), rows)
        rows[:, lane] = values
        result = evaluated(name, width, np.ascontiguousarray(rows.reshape(-1)))
        np.testing.assert_array_equal(result.reshape(-1, lanes)[:, lane], alone)


@pytest.mark.parametrize("count", [0, 1, 3, 17])
def test_nothing_is_written_past_an_incomplete_vector(dtype, width, count):
    room = np.full(count + 32, 7, dtype)
    vectorised("tanh", width)(np.ones(count, dtype), room[:count])
    assert (room[count:] == 7).all()
    assert (room[:count] < 1).all()
