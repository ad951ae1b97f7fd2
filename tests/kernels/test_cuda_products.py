"""Large products by themselves: every format, tile and way to lie in memory, against float64."""

from __future__ import annotations

from itertools import cycle
from typing import Any, NamedTuple

import numpy as np
import pytest

from minirnn.kernels.cuda import device, products
from minirnn.kernels.cuda.products import C_ITSELF, ROW, TILES, ZERO, Cut, Operand, Products

FORMATS = ["float32", "float64", "tf32", "bfloat16", "float16"]
ALONG = [(True, True), (True, False), (False, True), (False, False)]
LEVELS = range(len(TILES))
MOST_SHARED = 99 << 10  # of a block, on the GPUs that have least


def products_of(precision: str) -> Products:
    dtype = np.dtype("float64" if precision == "float64" else "float32")
    return Products(dtype, precision, device.current())


class Layout(NamedTuple):
    """Where a matrix lies: how far from a whole vector, and what is between two lines."""

    offset: int
    gap: int

    def place(self, matrix: Any) -> tuple[Any, int]:
        """The matrix on the GPU, in the midst of NaN, and the step from line to line."""
        import cupy

        lines, width = matrix.shape
        step = width + self.gap
        room = np.full(self.offset + lines * step, np.nan, matrix.dtype)
        room[self.offset :].reshape(lines, step)[:, :width] = matrix
        return cupy.asarray(room)[self.offset :], step


LAYOUTS = [Layout(0, 0), Layout(0, 8), Layout(1, 0), Layout(4, 3)]


def numbers(rng: np.random.Generator, *shape: int, dtype: Any) -> Any:
    """Numbers that every format holds exactly: 7 bits, and magnitudes from 1/4 to 4."""
    values = rng.integers(64, 128, shape) * np.exp2(rng.integers(-8, -5, shape))
    return (values * rng.choice([-1.0, 1.0], shape)).astype(dtype)


def bound(K: int, magnitude: Any, dtype: Any) -> Any:
    """K additions and one of what the sum begins with; tensor cores cut off, so twice the half."""
    return (K + 2) * np.finfo(dtype).eps * magnitude


def take(monkeypatch: pytest.MonkeyPatch, level: int, slices: int = 1) -> None:
    """Every product is cut so from now on."""
    monkeypatch.setattr(products, "cut_of", lambda p, *_: Cut(TILES[level][0][p], slices))


def sizes_of(precision: str, level: int) -> list[tuple[int, int, int]]:
    """One element; more than one tile each way, with edges; whole vectors all over."""
    tile = TILES[level][0][precision]
    edges = (tile.rows + 3, tile.columns + 5, 3 * tile.depth + 1)
    return [(1, 1, 1), edges, (16, 24, 5 * tile.depth), (2, tile.columns, tile.depth - 1)]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("precision", "turned"),
    [*[(p, False) for p in FORMATS], ("float32", True), ("float64", True)],
)
def test_every_product(
    cuda: str, precision: str, turned: bool, level: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(monkeypatch, level)
    monkeypatch.setattr(products, "TURNED_FROM", 0 if turned else np.inf)
    made = products_of(precision)
    rng = np.random.default_rng(1)
    begins = cycle([ZERO, ROW, C_ITSELF])
    for a_along, b_along in ALONG:
        for M, N, K in sizes_of(precision, level):
            a = numbers(rng, M, K, dtype=made.dtype)
            b = numbers(rng, N, K, dtype=made.dtype)
            c = numbers(rng, M, N, dtype=made.dtype)
            start = numbers(rng, N, dtype=made.dtype)
            wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
            for n, layout in enumerate(LAYOUTS):
                begin = next(begins)
                sides = (a, a_along, layout), (b, b_along, LAYOUTS[n - 1])
                left, right = (
                    Operand(*where.place(matrix if along else matrix.T), along)
                    for matrix, along, where in sides
                )
                to, step = LAYOUTS[n - 2].place(c)
                made.into(
                    to, step, left, right, (M, N, K), begin=begin, start=_on_gpu(start)
                )  # fmt: skip
                first = {ZERO: np.zeros(N), ROW: start, C_ITSELF: c}[begin]
                expected = wide_a @ wide_b.T + first
                most = bound(K, np.abs(wide_a) @ np.abs(wide_b).T + np.abs(first), made.dtype)
                found = to.get()[: M * step].reshape(M, step)
                assert (np.abs(found[:, :N] - expected) <= most).all(), (a_along, b_along, M, N, K)
                assert np.isnan(found[:, N:]).all()  # nothing beside C was written


def _on_gpu(array: Any) -> Any:
    import cupy

    return cupy.asarray(array)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_an_operand_that_is_turned_gives_the_same_bits(
    cuda: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = products_of(precision)
    a, b = np.random.default_rng(3).standard_normal((2, 70, 41)).astype(made.dtype)
    found = []
    # As it is, turned, and as it is because a grid would not reach so far down.
    for first, most in ((np.inf, 65535), (0, 65535), (0, 1)):
        monkeypatch.setattr(products, "TURNED_FROM", first)
        monkeypatch.setattr(products, "MOST_DOWN", most)
        to = _on_gpu(np.zeros((70, 70), made.dtype))
        made.into(
            to, 70, Operand(_on_gpu(a), 41, True), Operand(_on_gpu(b), 41, True), (70, 70, 41)
        )  # fmt: skip
        found.append(to.get().tobytes())
    assert len(set(found)) == 1


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("slices", [2, 7])
@pytest.mark.parametrize("precision", FORMATS)
def test_slices(
    cuda: str, precision: str, slices: int, accumulate: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(monkeypatch, len(TILES) - 1, slices)
    made = products_of(precision)
    M, N, K = 70, 9, 5 * TILES[-1][0][precision].depth + 2  # 7 slices of 6 tiles: one has none
    rng = np.random.default_rng(2)
    a, b, c = (numbers(rng, *shape, dtype=made.dtype) for shape in ((K, M), (K, N), (M, N)))
    to = _on_gpu(c)
    made.sum_over(
        to, Operand(_on_gpu(a), M, False), Operand(_on_gpu(b), N, False), (M, N, K),
        accumulate=accumulate,
    )  # fmt: skip
    a, b, first = a.astype(np.float64), b.astype(np.float64), c * float(accumulate)
    most = bound(K + slices, np.abs(a).T @ np.abs(b) + np.abs(first), made.dtype)
    assert (np.abs(to.get() - (a.T @ b + first)) <= most).all()


@pytest.mark.parametrize("precision", FORMATS)
def test_an_element_has_the_same_bits_in_every_tile(
    cuda: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = products_of(precision)
    M, N, K = 37, 70, 77
    rng = np.random.default_rng(3)
    a, b = (rng.normal(size=shape).astype(made.dtype) for shape in ((M, K), (N, K)))
    found = set()
    for level in LEVELS:
        take(monkeypatch, level)
        for a_along, b_along in ALONG:
            to = _on_gpu(np.zeros((M, N), made.dtype))
            left, right = (
                Operand(*LAYOUTS[0].place(matrix if along else matrix.T), along)
                for matrix, along in ((a, a_along), (b, b_along))
            )
            made.into(to, N, left, right, (M, N, K))
            found.add(to.get().tobytes())
    assert len(found) == 1


def rounded(values: Any, precision: str) -> Any:
    """Elements as formats.cuh rounds them, by integer arithmetic; not for NaN."""
    bits = values.view(np.uint32).astype(np.uint64)
    if precision == "tf32":  # ties away from zero
        kept = np.where(np.isinf(values), bits, (bits + 0x1000) & ~np.uint64(0x1FFF))
        return kept.astype(np.uint32)
    if precision == "bfloat16":  # ties to even
        return ((bits + 0x7FFF + (bits >> np.uint64(16) & np.uint64(1))) >> 16).astype(np.uint16)
    with np.errstate(over="ignore"):
        return values.astype(np.float16).view(np.uint16)


@pytest.mark.parametrize("precision", ["tf32", "bfloat16", "float16"])
def test_operands_are_rounded_to_the_format(cuda: str, precision: str) -> None:
    made = products_of(precision)
    rng = np.random.default_rng(4)
    values = rng.integers(0, 1 << 32, (45, 67), dtype=np.uint32).view(np.float32)
    values = np.where(np.isnan(values), np.float32(1e-40), values)  # and subnormal numbers
    values[0, :4] = np.inf, -np.inf, 0.0, -0.0
    values[1] = 1 + np.arange(67, dtype=np.float32) * 2.0**-12  # ties among them
    for layout in LAYOUTS:
        array, step = layout.place(values)
        (laid,) = made._laid_out([(Operand(array, step, True), 45)], 67)
        found = laid.array.get()
        assert found.shape[1] % 4 == 0
        np.testing.assert_array_equal(found[:, :67], rounded(values, precision))
        assert not found[:, 67:].any()


@pytest.mark.parametrize("precision", FORMATS)
def test_what_is_not_a_number_stays_in_its_row(cuda: str, precision: str) -> None:
    made = products_of(precision)
    a = np.ones((20, 19), made.dtype)
    a[3, 18], a[5, 0] = np.nan, np.inf
    b = np.ones((6, 19), made.dtype)
    to = _on_gpu(np.zeros((20, 6), made.dtype))
    made.into(to, 6, Operand(_on_gpu(a), 19, True), Operand(_on_gpu(b), 19, True), (20, 6, 19))
    found = to.get()
    assert np.isnan(found[3]).all()
    assert (found[5] == np.inf).all()
    assert (np.delete(found, [3, 5], axis=0) == 19).all()


def test_an_operand_that_lies_well_is_not_copied(cuda: str) -> None:
    made = products_of("float32")
    array = _on_gpu(np.zeros((6, 16), np.float32))
    well = Operand(array, 16, True)
    assert made._laid_out([(well, 6)], 16) == [well]
    assert made._laid_out([(well, 6)], 12) == [well]  # a part of each line
    for other, K in ((well, 15), (Operand(array[:, 1:], 16, True), 12)):
        (laid,) = made._laid_out([(other, 6)], K)
        assert laid.array is not other.array
    narrow = products_of("bfloat16")
    (laid,) = narrow._laid_out([(well, 6)], 16)
    assert laid.laid_out
    assert narrow._laid_out([(laid, 6)], 16) == [laid]


@pytest.mark.parametrize("precision", FORMATS)
def test_columns_of_a_matrix_are_operands(cuda: str, precision: str) -> None:
    made = products_of(precision)
    rng = np.random.default_rng(5)
    values, b = (numbers(rng, *shape, dtype=made.dtype) for shape in ((2, 9, 38), (5, 38)))
    values[0, 0, 0] = np.nan
    matrix = made.matrix(_on_gpu(values), 18, 38)
    assert (matrix.laid_out is None) == (precision == "float64")  # 38 float32 are no whole vectors
    flat, wide_b = values.reshape(18, 38).astype(np.float64), b.astype(np.float64)
    for first, count in ((0, 38), (8, 16), (8, 30), (8, 12), (3, 16), (16, 22)):
        taken, side = flat[:, first : first + count], _on_gpu(b[:, :count].copy())
        to = _on_gpu(np.zeros((18, 5), made.dtype))
        right = Operand(side, count, True)
        made.into(to, 5, matrix.columns(first, count, True), right, (18, 5, count))
        expected, most = taken @ wide_b[:, :count].T, np.abs(taken) @ np.abs(wide_b[:, :count]).T
        inside = slice(1 if first == 0 else 0, None)  # NaN is in row 0 of what begins with it
        assert (np.abs(to.get() - expected)[inside] <= bound(count, most, made.dtype)[inside]).all()
        assert np.isnan(to.get()).all(axis=1).sum() == (first == 0)
        across = _on_gpu(np.zeros((count, 5), made.dtype))
        last = Operand(_on_gpu(b[:, :18].T.copy()), 5, False)
        made.into(across, 5, matrix.columns(first, count, False), last, (count, 5, 18))
        expected, most = taken.T @ wide_b[:, :18].T, np.abs(taken).T @ np.abs(wide_b[:, :18]).T
        assert (
            np.abs(across.get() - expected)[inside] <= bound(18, most, made.dtype)[inside]
        ).all()


class TestCut:
    @pytest.mark.parametrize("precision", FORMATS)
    def test_every_tile_fits_every_gpu(self, precision: str) -> None:
        for tiles, _ in TILES:
            for along in ALONG:
                assert products.shared_bytes(precision, tiles[precision], *along) <= MOST_SHARED

    def test_many_tiles_are_large_and_few_are_small(self) -> None:
        for precision in FORMATS:
            assert products.cut_of(precision, 12800, 4096, 1024, 1) == (
                products.LARGE_TILES[precision], 1,
            )  # fmt: skip
            small = products.cut_of(precision, 16, 400, 100, 1)
            assert small == (products.SMALL_TILES[precision], 1)

    def test_a_long_sum_fills_the_gpu(self) -> None:
        for precision in FORMATS:
            for M, N, K in ((3072, 768, 12800), (4096, 1024, 12800), (256, 64, 5000)):
                tile, slices = products.cut_of(precision, M, N, K, K // products.SLICE_DEPTH)
                tiles = -(-M // tile.rows) * -(-N // tile.columns) * slices
                turns = -(-tiles // products.MULTIPROCESSORS)
                wanted = min(1.0, K // products.SLICE_DEPTH / products.MULTIPROCESSORS)
                assert tiles / (turns * products.MULTIPROCESSORS) >= 0.6 * wanted
                assert slices <= max(1, products.MOST_TILES)
