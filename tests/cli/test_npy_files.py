"""`.npy` files from anywhere: read exactly, or refused with one error, and never unpickled."""

from __future__ import annotations

import io
import os
import pickle
import struct
import tracemalloc
from contextlib import suppress

import numpy as np
import pytest

from minirnn.commands.arrays import as_floats, read_array
from minirnn.errors import DataError, DTypeError


def saved(array, tmp_path, **options):
    path = tmp_path / "a.npy"
    np.save(path, array, **options)
    return str(path)


@pytest.mark.parametrize("dtype", ["bool", "u1", "i2", "<i4", ">i4", "u8", "f2", ">f4", "f8"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3, 4), (2, 0, 3)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_come_back_as_they_were(dtype, shape, order, tmp_path):
    array = np.asarray(np.random.default_rng(0).normal(size=shape) * 9).astype(dtype, order=order)
    came = read_array(saved(array, tmp_path), "--input")
    assert came.dtype == array.dtype.newbyteorder("=")
    assert came.dtype.isnative
    np.testing.assert_array_equal(came, array)


def header(text, version=1, length=None):
    text = text.encode("latin1")
    size = struct.pack("<H" if version == 1 else "<I", len(text) if length is None else length)
    return b"\x93NUMPY" + bytes([version, 0]) + size + text


HUGE = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000, 1000000)}\n"
PLAIN = "{'descr': '<f8', 'fortran_order': False, 'shape': (2,)}\n"
BAD = {
    "empty": b"",
    "text": b"1,2,3\n",
    "a pickle": pickle.dumps([1, 2]),
    "a zip of arrays": b"PK\x03\x04" + bytes(60),
    "huge shape": header(HUGE),
    "huge shape of nothing": header(HUGE.replace("(1000000,", "(0,")),
    "negative shape": header(PLAIN.replace("(2,)", "(-2,)")),
    "long header": header(PLAIN, 2, 2**32 - 1),
    "longer header than the file": header(PLAIN, 1, 9000),
    "version 3": header(PLAIN, 3),
    "no dict": header("[1, 2]\n"),
    "no expression": header("{'descr': open('x')}\n"),
    "nested": header("(" * 5000 + ")" * 5000),
    "too short": header(PLAIN) + bytes(15),
    "too long": header(PLAIN) + bytes(17),
    "records": header(PLAIN.replace("'<f8'", "[('a', '<f8')]")) + bytes(16),
    "objects": header(PLAIN.replace("<f8", "|O")) + bytes(16),
    "complex": header(PLAIN.replace("<f8", "<c16")) + bytes(32),
    "dates": header(PLAIN.replace("<f8", "<M8[s]")) + bytes(16),
}


@pytest.mark.parametrize("kind", list(BAD))
def test_what_is_no_array_of_numbers_is_refused(kind, tmp_path):
    path = tmp_path / "a.npy"
    path.write_bytes(BAD[kind])
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"--input: got .*; wanted a \.npy file of numbers"):
            read_array(str(path), "--input")
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_objects_are_not_unpickled(tmp_path, monkeypatch):
    path = saved(np.array([{"a": 1}], object), tmp_path, allow_pickle=True)
    monkeypatch.setattr(pickle, "load", lambda *_, **__: pytest.fail("unpickled"))
    with pytest.raises(DataError, match=r"\|O"):
        read_array(path, "--input")


def test_every_truncation_and_every_flipped_header_byte_is_an_array_or_the_error(tmp_path):
    stream = io.BytesIO()
    np.save(stream, np.arange(4.0))
    content, path = stream.getvalue(), tmp_path / "a.npy"
    path.write_bytes(content)
    with path.open("r+b", buffering=0) as file:
        for at in range(128):
            for flip in (1, 4, 32, 255):
                os.pwrite(file.fileno(), bytes([content[at] ^ flip]), at)
                with suppress(DataError):  # or a space is another blank, <f8 is >f8 or <i8
                    assert read_array(str(path), "--input").nbytes == 32
            os.pwrite(file.fileno(), content[at : at + 1], at)
        for end in reversed(range(len(content))):
            file.truncate(end)
            with pytest.raises(DataError):
                read_array(str(path), "--input")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs files of other kinds")
def test_a_pipe_is_refused_without_waiting_for_its_writer(tmp_path):
    os.mkfifo(tmp_path / "p")
    with pytest.raises(DataError, match="a device or a pipe"):
        read_array(str(tmp_path / "p"), "--input")


def test_numbers_are_rounded_only_when_told_so():
    single, double = np.dtype("f4"), np.dtype("f8")
    for array in (
        np.array([0.5, np.nan, np.inf, -0.0, 2.0**-149]),
        np.array([2**24, -(2**24)]),
        np.array([True, False]),
        np.array([1.5], np.float16),
    ):
        floats = as_floats(array, single, "--input", cast=False)
        assert floats.dtype == single
        np.testing.assert_array_equal(floats, array)
    for array in (np.array([0.1]), np.array([2**24 + 1]), np.array([1e300]), np.array([2.0**-150])):
        with pytest.raises(DTypeError, match=r"--input: got .*--cast"):
            as_floats(array, single, "--input", cast=False)
        assert as_floats(array, single, "--input", cast=True).dtype == single
    with pytest.raises(DTypeError, match="9007199254740993"):
        as_floats(np.array([2**53 + 1]), double, "--input", cast=False)
    kept = np.array([0.1])
    assert as_floats(kept, double, "--input", cast=False) is kept
