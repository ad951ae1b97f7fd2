"""The model's arrays fail, wait and move data where CuPy's do, and compute what NumPy computes."""

from __future__ import annotations

import copy
import pickle
import warnings

import emulator
import numpy as np
import pytest
from cupy_model import module

cupy = module.modules()["cupy"]


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    """The model in CuPy's place, where the tests run on a real GPU too."""
    import sys

    monkeypatch.setitem(sys.modules, "cupy", cupy)


def sequence(*shape: int, dtype: str = "float32"):
    count = int(np.prod(shape))
    return cupy.arange(count, dtype=dtype).reshape(shape)


# --- nothing moves unasked ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "convert",
    [
        np.asarray, np.array, np.ascontiguousarray, np.float32,
        lambda a: np.ones(3) + a,
        lambda a: a + np.ones(3),
        lambda a: a @ np.ones(3),
        lambda a: cupy.add(a, np.ones(3)),
        lambda a: cupy.concatenate([a, np.ones(3)]),
        lambda a: cupy.where(a > 0, a, np.ones(3)),
        lambda a: cupy.dot(a, [1, 2, 3]),
        lambda a: np.add(np.ones(3), a, out=np.ones(3)),
        lambda a: a.__setitem__(slice(None), [1, 2, 3]),
        lambda a: cupy.copyto(a, np.ones(3)),
        lambda a: cupy.sum([1, 2, 3]),
        lambda a: np.array([a, a]),
        lambda a: range(a[0]),
    ],
)  # fmt: skip
def test_host_and_device_do_not_mix(convert):
    with pytest.raises((TypeError, DeprecationWarning)):  # NumPy warns before it asks for a copy
        convert(cupy.ones(3))


def test_in_place_operators_refuse_the_host_s_arrays():
    a = cupy.ones(3)
    with pytest.raises(TypeError, match="Unsupported type"):
        a += np.ones(3)
    assert a.tolist() == [1, 1, 1]


def test_an_array_of_the_host_cannot_be_assigned_to_a_slice():
    a = cupy.zeros(3)
    with pytest.raises(ValueError, match="non-scalar"):
        a[...] = np.ones(3)
    a[:] = np.float64(2)
    assert a.tolist() == [2, 2, 2]


def test_numpy_does_not_read_the_device_s_memory():
    a = sequence(3)
    with pytest.raises(RuntimeError, match="device"):
        np.from_dlpack(a)
    assert not hasattr(a, "__array_interface__")
    assert not hasattr(a, "__index__")
    with pytest.raises(TypeError):
        memoryview(a)


def test_what_cupy_lacks_is_not_computed_by_numpy():
    with pytest.raises(TypeError, match="no implementation"):
        np.nanquantile(cupy.ones(3), 0.5)
    with pytest.raises(TypeError):
        np.spacing(cupy.ones(3))
    with pytest.raises(TypeError):
        np.add.reduce(cupy.ones(3))


def test_an_array_of_objects_or_text_has_no_place_on_the_device():
    for value in (["a"], [None], np.array([object()]), np.zeros(2, "M8[s]"), np.longdouble(1)):
        with pytest.raises(ValueError, match="Unsupported dtype"):
            cupy.asarray(value)


def test_a_byte_swapped_array_is_swapped_as_it_is_sent():
    a = cupy.asarray(np.arange(3, dtype=">f4"))
    assert a.dtype == np.float32
    assert a.dtype.isnative
    assert a.tolist() == [0, 1, 2]


# --- the log of transfers -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "read",
    [
        float, int, bool, str, repr, format, lambda a: a.item(), lambda a: a.tolist(),
        lambda a: a.get(), cupy.asnumpy, lambda a: a.tobytes(), pickle.dumps,
    ],
)  # fmt: skip
def test_a_number_that_is_read_is_logged_as_a_scalar_to_the_host(read):
    a = cupy.ones((), "float32")
    with emulator.transfers() as log:
        read(a)
    assert [one.direction for one in log.scalars] == ["to host"]
    assert not log.arrays


def test_arrays_are_logged_with_shape_bytes_and_place():
    with emulator.transfers() as log:
        a = cupy.asarray(np.ones((2, 3), "float32"))
        b = (a @ a.T + 1).sum(axis=0) * np.float32(2)
        b.get()
    assert [(one.direction, one.shape, one.nbytes) for one in log.arrays] == [
        ("to device", (2, 3), 24),
        ("to host", (2,), 8),
    ]
    assert all(one.place.startswith("test_cupy_model_arrays.py:") for one in log)
    assert len(log.to_host) == len(log.to_device) == 1


def test_a_transfer_inside_the_library_is_placed_there():
    from minirnn import Tensor

    tensor = Tensor(cupy.ones(3))
    with emulator.transfers() as log:
        tensor.numpy() if hasattr(tensor, "numpy") else repr(tensor)
    assert len(log) >= 1
    assert all(one.place.startswith("minirnn/") for one in log), str(log)


@pytest.mark.parametrize(
    "compute",
    [
        lambda a: a + 1, lambda a: np.float32(2) * a, lambda a: a.sum(), lambda a: a[1:], np.exp,
        lambda a: cupy.zeros(4), lambda a: cupy.arange(4), lambda a: cupy.full(3, 2.0),
        lambda a: a.__setitem__(0, 3.0), lambda a: cupy.where(a > 0, a, 0), lambda a: a.copy(),
        lambda a: a.astype("float64"), lambda a: cupy.stack([a, a]), lambda a: cupy.array([a, a]),
        lambda a: cupy.isfinite(a).all(), lambda a: a.fill(2), lambda a: cupy.asarray(1.5),
    ],
)  # fmt: skip
def test_what_a_kernel_does_alone_moves_nothing(compute):
    a = cupy.ones(3)
    with emulator.transfers() as log:
        compute(a)
    assert len(log) == 0, str(log)


@pytest.mark.parametrize(
    ("wait", "moved"),
    [
        (lambda a: a[a > 0], ["to host"]),
        (lambda a: cupy.nonzero(a), ["to host"]),
        (lambda a: a.nonzero(), ["to host"]),
        (lambda a: cupy.flatnonzero(a), ["to host"]),
        (lambda a: cupy.where(a), ["to host"]),
        (lambda a: cupy.nanmax(a), ["to host"]),
        (lambda a: bool((a == 1).all()), ["to host"]),
        (lambda a: cupy.unique(a), ["to host"]),
        (lambda a: a[[0, 2]], ["to device"]),
        (lambda a: a[np.array([0, 2])], ["to device"]),
        (lambda a: cupy.take(a, np.array([0])), ["to device"]),
        (lambda a: a.__setitem__(a > 0, 2.0), ["to host"]),
        (lambda a: a.__setitem__(a > 0, np.ones(3)), ["to device", "to host"]),
    ],
)
def test_hidden_waits_and_sent_indices_are_logged(wait, moved):
    a = cupy.ones(3)
    with emulator.transfers() as log:
        wait(a)
    assert [one.direction for one in log] == moved


def test_logs_nest():
    with emulator.transfers() as outer:
        cupy.ones(2).get()
        with emulator.transfers() as inner:
            cupy.ones(2).get()
    assert (len(outer), len(inner)) == (2, 1)


# --- results as on a device -----------------------------------------------------------------------


def test_reductions_and_elements_are_arrays_of_no_dimensions():
    a = sequence(2, 3)
    for found in (a.sum(), a[0, 1], a.max(), cupy.argmax(a), cupy.allclose(a, a), a.any()):
        assert type(found) is cupy.ndarray
        assert found.shape == ()


def test_an_element_taken_by_numbers_is_a_view():
    a = sequence(3)
    element = a[1]
    element[...] = 7
    assert a.tolist() == [0, 7, 2]
    taken = a[cupy.asarray(1)]
    taken[...] = 9
    assert a.tolist() == [0, 7, 2]


def test_results_lie_in_c_order_whatever_the_operands_order():
    a = sequence(2, 3).T
    assert a.flags.f_contiguous
    assert (a + a).flags.c_contiguous
    assert cupy.exp(a).flags.c_contiguous
    assert a.copy().flags.c_contiguous
    assert a.astype("float64").flags.f_contiguous
    assert cupy.zeros_like(a).flags.f_contiguous
    assert cupy.copy(a).flags.f_contiguous


def test_views_share_memory_and_can_be_written():
    a = sequence(2, 3).copy()
    for view in (a.T, a[1:], a.reshape(3, 2), a.ravel(), cupy.broadcast_to(a, (4, 2, 3))):
        assert view.base is a
        assert cupy.may_share_memory(view, a)
    cupy.diagonal(a)[...] = 5
    assert a.tolist() == [[5, 1, 2], [3, 5, 5]]
    assert a.flatten().base is None
    assert (a + 0).base is None


def test_fresh_memory_is_poison():
    assert cupy.isnan(cupy.empty(5, "float32")).all()
    assert cupy.isnan(cupy.empty(5)).all()
    assert (cupy.empty(5, "int32") > 1 << 30).all()
    assert cupy.isnan(cupy.empty_like(cupy.ones(3))).all()
    scratch = cupy.empty(8, "uint8")
    assert cupy.isnan(scratch.view("float32")).all()


def test_memory_is_aligned_as_the_pool_of_cupy_aligns_it():
    for count in (1, 3, 1000):
        assert cupy.empty(count, "float32").data.ptr % 512 == 0
    a = sequence(4, 4)
    assert a[1:].data.ptr == a.data.ptr + 16
    assert cupy.empty((0, 3)).data.ptr == 0


def test_an_index_out_of_range_is_wrapped_around():
    a = sequence(3)
    assert a[cupy.asarray([3, -4])].tolist() == [0, 2]
    a[cupy.asarray([4])] = 9
    assert a.tolist() == [0, 9, 2]
    b = sequence(2, 3)
    assert b[:, cupy.asarray([5])].tolist() == [[2], [5]]
    assert b[..., None, cupy.asarray([3])].shape == (2, 1, 1)
    with pytest.raises(IndexError):
        a[3]


def test_of_several_values_for_one_element_not_the_last_wins():
    a = cupy.zeros(2)
    a[cupy.asarray([0, 0, 1])] = cupy.asarray([1.0, 2.0, 3.0])
    assert a.tolist() == [1, 3]


def test_scatter_adds_every_value():
    a = cupy.zeros((3, 2), "float32")
    cupy.add.at(a, cupy.asarray([0, 0, 2]), cupy.ones((3, 2), "float32"))
    assert a.tolist() == [[2, 2], [0, 0], [1, 1]]
    with pytest.raises(TypeError):
        cupy.add.at(cupy.zeros(3, "int8"), cupy.asarray([0]), 1)
    with pytest.raises(NotImplementedError):
        cupy.multiply.at(a, cupy.asarray([0]), 2)


def test_the_device_warns_of_nothing():
    zero = cupy.zeros(2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cupy.isnan(zero / zero).all()
        assert cupy.isinf(cupy.log(zero)).all()
        assert cupy.isnan(cupy.nanmean(zero / zero))
        assert cupy.isnan(cupy.empty(0).mean())
        (cupy.ones(2) * 1e300).astype("float32")
        cupy.linalg.inv(cupy.zeros((2, 2)))


def test_dtypes_are_promoted_as_in_numpy_2():
    one = cupy.ones(2, "float32")
    assert (one * 2.5).dtype == "float32"
    assert (one * np.float64(2)).dtype == "float64"
    assert (np.float64(2) * one).dtype == "float64"
    assert (one * cupy.ones((), "float64")).dtype == "float64"
    assert (cupy.ones(2, "int32") / 2).dtype == "float64"


def test_copies_and_pickles_are_arrays_of_the_device():
    a = sequence(2, 2)
    for other in (copy.copy(a), copy.deepcopy(a), pickle.loads(pickle.dumps(a))):
        assert type(other) is cupy.ndarray
        assert other is not a
        assert (other == a).all()


def test_dlpack_and_the_array_interface_share_the_memory():
    a = sequence(2, 3)
    assert a.__dlpack_device__() == (2, 0)
    shared = cupy.from_dlpack(a)
    shared[0, 0] = 8
    assert a[0, 0].item() == 8
    assert not cupy.may_share_memory(a, cupy.from_dlpack(a, copy=True))
    with pytest.raises(TypeError, match="CPU arrays"):
        cupy.from_dlpack(np.ones(3))
    with pytest.raises(RuntimeError, match="different"):
        cupy.from_dlpack(np.ones(3).__dlpack__())

    class Other:
        __cuda_array_interface__ = a.T.__cuda_array_interface__

    other = cupy.asarray(Other())
    assert other.shape == (3, 2)
    assert other.data.ptr == a.data.ptr


def test_numpy_s_functions_are_cupy_s_on_arrays_of_the_device():
    a = sequence(2, 3)
    assert type(np.mean(a, axis=0)) is cupy.ndarray
    assert np.concatenate([a, a]).shape == (4, 3)
    assert np.linalg.norm(a).shape == ()
    assert np.shape(a) == (2, 3)


# --- the same numbers as NumPy --------------------------------------------------------------------

A = np.random.default_rng(0).normal(size=(3, 4, 5))
S = A[0] @ A[0].T


@pytest.mark.parametrize(
    "compute",
    [
        lambda xp, a: xp.sum(a, axis=1, keepdims=True), lambda xp, a: a.mean(axis=(0, 2)),
        lambda xp, a: a.std(axis=0, ddof=1), lambda xp, a: xp.diagonal(a, axis1=1, axis2=2),
        lambda xp, a: xp.trace(a, axis1=1, axis2=2), lambda xp, a: xp.roll(a, 2, axis=1),
        lambda xp, a: xp.moveaxis(a, 0, -1), lambda xp, a: xp.transpose(a, (2, 0, 1)),
        lambda xp, a: a.transpose(2, 0, 1), lambda xp, a: xp.split(a, [1, 3], axis=2)[1],
        lambda xp, a: xp.stack([a, a], axis=1), lambda xp, a: xp.concatenate([a, a], axis=-1),
        lambda xp, a: xp.einsum("tbi,tbj->ij", a, a), lambda xp, a: xp.tensordot(a, a, axes=3),
        lambda xp, a: a @ a.swapaxes(1, 2), lambda xp, a: xp.sort(a, axis=0),
        lambda xp, a: xp.argsort(a, axis=1), lambda xp, a: xp.argmax(a, axis=2),
        lambda xp, a: a.argmin(axis=0), lambda xp, a: xp.cumsum(a, axis=1),
        lambda xp, a: xp.take_along_axis(a, xp.argsort(a, axis=1), axis=1),
        lambda xp, a: xp.quantile(a, 0.3, axis=0), lambda xp, a: xp.median(a, axis=(1, 2)),
        lambda xp, a: xp.percentile(a, 30), lambda xp, a: xp.clip(a, -1, 1),
        lambda xp, a: a.clip(None, 0.5), lambda xp, a: xp.where(a > 0, a, -1),
        lambda xp, a: xp.tile(a, (1, 2, 1)), lambda xp, a: xp.repeat(a, 2, axis=1),
        lambda xp, a: xp.pad(a, ((0, 0), (1, 2), (0, 0))), lambda xp, a: xp.flip(a, axis=0),
        lambda xp, a: xp.ptp(a, axis=0), lambda xp, a: xp.diff(a, axis=1),
        lambda xp, a: xp.linalg.norm(a, axis=2), lambda xp, a: xp.count_nonzero(a > 0, axis=1),
        lambda xp, a: xp.nanmax(a, axis=0), lambda xp, a: xp.linalg.qr(a[0].T)[1],
        lambda xp, a: xp.linalg.svd(a[0], full_matrices=False)[1], lambda xp, a: a[1, :, ::-2],
        lambda xp, a: a[xp.asarray([2, 0]), :, xp.asarray([1, 1])], lambda xp, a: a[a > 0],
        lambda xp, a: a[:, xp.asarray([[0, 1], [2, 3]])], lambda xp, a: a[..., None, -1],
        lambda xp, a: xp.bincount(xp.abs(a[0, 0] * 3).astype("int64"), minlength=4),
        lambda xp, a: xp.average(a, axis=0, weights=xp.abs(a)), lambda xp, a: divmod(a, 0.3)[1],
        lambda xp, a: xp.fft.irfft(xp.fft.rfft(a, axis=1), n=4, axis=1), lambda xp, a: 2.0**a,
        lambda xp, a: xp.interp(a[0, 0], xp.sort(a[1, 0]), a[2, 0]), lambda xp, a: a // 0.3 % 2,
        lambda xp, a: xp.searchsorted(xp.sort(a[0, 0]), a[0, 1]), lambda xp, a: xp.tri(3, 4, 1),
        lambda xp, a: xp.linspace(0, 1, 7), lambda xp, a: xp.rot90(a, axes=(1, 2)),
        lambda xp, a: xp.outer(a[0, 0], a[1, 1]), lambda xp, a: xp.cross(a[0, :, :3], a[1, :, :3]),
        lambda xp, a: xp.nan_to_num(xp.where(a > 1, xp.nan, a)), lambda xp, a: xp.eye(3, k=1),
    ],
)  # fmt: skip
def test_functions_give_numpy_s_numbers(compute):
    wanted, found = compute(np, A), compute(cupy, cupy.asarray(A))
    assert type(found) is cupy.ndarray
    assert found.shape == np.shape(wanted)
    assert found.dtype == np.asarray(wanted).dtype
    np.testing.assert_array_equal(found.get(), wanted)


def test_eigenvalues_are_complex_as_the_real_ones_are():
    values = cupy.linalg.eigvals(cupy.asarray(S))
    assert values.dtype == np.complex128
    np.testing.assert_allclose(np.sort(values.get().real), np.linalg.eigvalsh(S), rtol=1e-10)


def test_functions_that_write_write_into_the_device_s_array():
    a = sequence(2, 3)
    cupy.put_along_axis(a, cupy.asarray([[1], [2]]), 9, axis=1)
    assert a.tolist() == [[0, 9, 2], [3, 4, 9]]
    cupy.add(a, 1, out=a)
    cupy.copyto(a, 0.5, where=a > 9)
    assert a.tolist() == [[1, 0.5, 3], [4, 5, 0.5]]
    assert cupy.sum(a, axis=0, out=(total := cupy.zeros(3, "float32"))) is total
    assert total.tolist() == [5, 5.5, 3.5]
    a.sort()
    assert a.tolist() == [[0.5, 1, 3], [0.5, 4, 5]]
