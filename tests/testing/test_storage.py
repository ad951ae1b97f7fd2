"""Arrays of few bits: what they hold, and what the kit allows kernels that store them."""

from __future__ import annotations

import narrow_kernel
import numpy as np
import pytest
from someones_cell import BUGS, Someones

from minirnn.kernels import cells
from minirnn.kernels.contract import Weights
from minirnn.testing import check_cell
from minirnn.testing.conformance.storage import NARROW_EPSILON, STORAGES, stored

NARROW = sorted(NARROW_EPSILON)


def test_bfloat16_is_the_nearest_of_the_upper_halves_ties_to_even():
    rng = np.random.default_rng(0)
    x = (rng.normal(size=20000) * 10.0 ** rng.integers(-30, 30, 20000)).astype(np.float32)
    near = stored(x, "bfloat16")
    assert near.dtype == np.float32
    assert not (near.view(np.uint32) & 0xFFFF).any()
    below = (x.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    above = (below.view(np.uint32) + np.uint32(0x10000)).view(np.float32)
    x, near, below, above = (a.astype(np.float64) for a in (x, near, below, above))
    assert (np.abs(near - x) == np.minimum(np.abs(below - x), np.abs(above - x))).all()
    ties = np.array([1 + 2.0**-8, 1 + 3 * 2.0**-8, -1 - 2.0**-8])
    assert stored(ties, "bfloat16").tolist() == [1.0, 1 + 2.0**-6, -1.0]
    special = np.array([np.nan, np.inf, -np.inf, -0.0, 3.4e38])
    held = stored(special, "bfloat16")
    assert np.isnan(held[0])
    assert held[1:].tolist() == [np.inf, -np.inf, 0.0, np.inf]
    assert np.signbit(held[3])


@pytest.mark.parametrize("storage", STORAGES)
def test_what_a_storage_holds_it_holds_again(storage):
    x = np.random.default_rng(1).normal(size=1000)
    once = stored(x, storage)
    assert once.dtype == STORAGES[storage]
    assert (stored(once, storage) == once).all()


class Stored:
    """Someone's cell as a kernel that computes in float32 and stores in another format."""

    def __init__(self, kind, storage, bug=None, sums=None):
        self.inner = Someones(kind, bug)
        self.storage = storage
        if sums is not None:
            self.inner.product = self.product
        self.sums = sums

    def wide(self, arrays):
        return tuple(a.astype(np.float32) for a in arrays)

    def keep(self, arrays):
        return tuple(stored(a, self.storage) for a in arrays)

    def product(self, a, w, bias):
        """K additions, each rounded to the format."""
        total = np.zeros((len(a), len(w)), np.float32)
        for k in range(w.shape[1]):
            term = stored(np.outer(a[:, k], w[:, k]), self.storage).astype(np.float32)
            total = stored(total + term, self.storage).astype(np.float32)
        return total + bias

    def forward(self, x, state, weights):
        output, last, saved = self.inner.forward(
            *self.wide([x]), self.wide(state), self.wide(weights)
        )
        return stored(output, self.storage), self.keep(last), saved

    def backward(self, doutput, dstate, saved):
        given = (*self.wide([doutput]), self.wide(dstate))
        dx, dlast, *rest = self.inner.backward(*given, saved)
        return stored(dx, self.storage), self.keep(dlast), *self.keep(rest)


@pytest.mark.parametrize(
    ("kind", "storage"), [("rnn", "float16"), ("gru", "bfloat16"), ("lstm", "float16")]
)
def test_a_kernel_that_sums_in_float32_and_stores_few_bits_passes(kind, storage):
    mine = Stored(kind, storage)
    options = {"cell": kind, "storage": storage, "grades": (1, 2, 4, 5)}
    check_cell(mine.forward, backward=mine.backward, **options).assert_passed()


def test_sums_in_float16_are_no_rounding_of_what_is_stored():
    mine = Stored("rnn", "float16", sums="float16")
    options = {"cell": "rnn", "storage": "float16", "seconds": 0}
    report = check_cell(mine.forward, backward=mine.backward, level="full", grades=(3,), **options)
    assert {r.case.I for r in report.failed} == {129, 257}  # where they are long enough to matter


EQUATIONS = [
    "gates swapped", "last gates swapped", "second bias dropped", "first bias doubled",
    "recurrent weights transposed", "reset before the product", "update gate turned round",
    "sigmoid for tanh", "no tanh at the output", "cell state not carried", "step shifted",
    "initial state ignored", "batch mixed up", "gradient of the last state ignored",
    "recurrent path cut", "slope of tanh forgotten", "bias gradient doubled",
]  # fmt: skip


@pytest.mark.parametrize("storage", NARROW)
@pytest.mark.parametrize("bug", EQUATIONS)
def test_wrong_equations_show_through_few_bits(bug, storage):
    kind = BUGS[bug][0]
    mine = Stored(kind, storage, bug)
    report = check_cell(
        mine.forward, cell=kind, backward=mine.backward, storage=storage, stop=True, seconds=0
    )
    assert not report.passed


@pytest.mark.parametrize("precision", ["tf32", "bfloat16", "float16"])
def test_narrow_products_of_float32_arrays_pass_where_they_are_told(precision):
    cell = cells.gru()

    def forward(x, state, weights):
        nothing = (np.zeros((*x.shape[:2], len(state[0][0])), x.dtype), state)
        arrays, _ = narrow_kernel.run(cell, x, state, Weights(*weights), *nothing, precision)
        return arrays["output"], arrays["state.h"], (x, state, Weights(*weights))

    def backward(doutput, dstate, saved):
        arrays, _ = narrow_kernel.run(cell, *saved, doutput, dstate, precision)
        names = ("x", "state.h", *Weights._fields)
        return [arrays[f"grad.{name}"] for name in names]

    options = {"cell": cell, "backward": backward, "grades": (1, 2), "no_steps": False}
    check_cell(forward, **options, precision=precision).assert_passed()
    report = check_cell(forward, **options)
    assert not report.passed
    assert report.cause == "narrow-precision"
