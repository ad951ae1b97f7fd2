"""Vector exp, sigmoid and tanh: error in units in the last place, and the values at the edges."""

import numpy as np
import pytest
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from minirnn.kernels.cpu.vector import INT64, Vectors

# Measured 1.0, 2.4 and 2.5; the bounds are what tolerances.STEP_ROUNDINGS counts with.
ULP = {"exp": 1.5, "sigmoid": 3.0, "tanh": 3.0}
EXACT = {
    "exp": np.exp,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
}


def vectorised(name):
    """A function of two arrays of one dtype: writes `name` of the first to the second."""

    @intrinsic
    def over_array(typingctx, source, target):
        def codegen(context, builder, signature, args):
            kind = signature.args[0]
            arrays = [context.make_array(kind)(context, builder, a) for a in args]
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


@pytest.mark.parametrize("name", list(EXACT))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_error_and_edges(name, dtype):
    wide = np.float64 if dtype is np.float32 else np.longdouble
    limits = np.finfo(dtype)
    x = np.concatenate(
        [
            np.linspace(-120, 120, 100_001),
            np.linspace(-1, 1, 50_001),
            np.linspace(-760, 720, 5_001),
            10.0 ** np.linspace(-37, 0, 5_001),
            -(10.0 ** np.linspace(-37, 0, 5_001)),
            [0.0, -0.0, limits.tiny, -limits.tiny, limits.smallest_subnormal],
        ]
    ).astype(dtype)
    result = np.empty_like(x)
    function = vectorised(name)
    function(x, result)
    with np.errstate(all="ignore"):
        exact = EXACT[name](x.astype(wide))
        rounded = exact.astype(dtype)
        ulp = np.abs(result - exact) / np.spacing(np.abs(rounded)).astype(wide)
    finite = np.isfinite(rounded)
    assert ulp[finite].max() <= ULP[name]
    np.testing.assert_array_equal(result[~finite], rounded[~finite])

    edges = np.array([np.nan, np.inf, -np.inf, limits.max, limits.min, -0.0], dtype)
    at_edges = np.empty_like(edges)
    function(edges, at_edges)
    with np.errstate(all="ignore"):
        wanted = EXACT[name](edges.astype(wide)).astype(dtype)
    np.testing.assert_array_equal(at_edges, wanted)
    if name == "tanh":
        assert np.signbit(at_edges[-1])
