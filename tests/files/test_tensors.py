"""Safetensors files: what others read and write, and what nobody shall make us believe."""

from __future__ import annotations

import json
import os
import re
import tracemalloc

import numpy as np
import pytest
from damage import accepted, accepted_when_truncated, header_bytes
from raw_files import bfloat16, entry, raw

from minirnn.errors import ArgumentError, CheckpointError
from minirnn.files import document, tensors
from minirnn.files.header import LIMITS, Limits

MOST = 64 * 2**20  # bytes that reading a bad file may take, beyond the file's own tensors
BITS = [1 << k for k in range(8)]
DTYPES = ["bool", "u1", "i1", "u2", "i2", "f2", "u4", "i4", "f4", "u8", "i8", "f8"]


def arrays_of(dtype="f4"):
    rng = np.random.default_rng(0)
    shapes = {"plain": (3, 4), "scalar": (), "empty": (0, 5), "deep": (2, 1, 3), "ünïcode.é": (2,)}
    return {name: np.asarray(rng.normal(size=s) * 9).astype(dtype) for name, s in shapes.items()}


def assert_same(mine, theirs):
    assert set(mine) == set(theirs)
    for name, array in mine.items():
        assert (array.dtype, array.shape) == (theirs[name].dtype, theirs[name].shape)
        assert array.tobytes() == theirs[name].tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_loaded_is_what_was_saved_and_what_the_library_of_the_format_reads(dtype, tmp_path):
    from safetensors import safe_open

    wanted = arrays_of(dtype)
    tensors.save(tmp_path / "t", wanted, {"b": "2", "a": 'é\n"\\'})
    found = tensors.load(tmp_path / "t")
    assert_same(found.arrays, wanted)
    assert found.verified
    assert found.metadata == {"a": 'é\n"\\', "b": "2"}
    with safe_open(tmp_path / "t", framework="numpy") as file:
        assert_same({name: file.get_tensor(name) for name in file.keys()}, wanted)  # noqa: SIM118
        assert {name: file.metadata()[name] for name in "ab"} == found.metadata


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_the_library_of_the_format_writes_is_read(dtype, tmp_path):
    from safetensors.numpy import save_file

    wanted = arrays_of(dtype)
    save_file(wanted, tmp_path / "t", metadata={"a": "1"})
    found = tensors.load(tmp_path / "t")
    assert_same(found.arrays, wanted)
    assert (found.verified, found.metadata) == (False, {"a": "1"})
    save_file({}, tmp_path / "t")
    assert tensors.load(tmp_path / "t").arrays == {}


def test_the_same_arrays_give_the_same_bytes_however_they_lie_in_memory(tmp_path, device):
    from minirnn.device import to_device

    array = np.arange(24.0).reshape(4, 6)
    for number, given in enumerate((
        array, np.asfortranarray(array), np.repeat(array, 2, axis=1)[:, ::2],
        array.astype(">f8"), to_device(array, device),
    )):  # fmt: skip
        tensors.save(tmp_path / str(number), {"a": given, "b": array[0]}, {})
    contents = {path.read_bytes() for path in tmp_path.iterdir()}
    assert len(contents) == 1


def test_every_tensor_lies_at_a_multiple_of_its_elements_size(tmp_path):
    given = {"a": np.zeros(3, "u1"), "b": np.zeros(3, "f8"), "c": np.zeros(5, "f2")}
    tensors.save(tmp_path / "t", given, {})
    content = (tmp_path / "t").read_bytes()
    begin = header_bytes(content)
    header = json.loads(content[8:begin])
    for name, array in given.items():
        assert (begin + header[name]["data_offsets"][0]) % array.itemsize == 0


def test_what_the_format_cannot_hold_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(tensors, "LIMITS", Limits(tensors=3))
    for given, told in (
        ({"a": np.zeros(2, complex)}, "complex128"),
        ({"a": np.array(["x"])}, "str"),
        ({"a": np.array([{}])}, "object"),
        ({"__metadata__": np.zeros(2)}, "__metadata__"),
        ({3: np.zeros(2)}, "name 3"),
        ({"a": [1.0]}, "list"),
    ):  # fmt: skip
        with pytest.raises(ArgumentError, match=told):
            tensors.save(tmp_path / "t", given, {})
    for given, metadata, told in (
        ({"\ud800": np.zeros(2)}, {}, "surrogates|Unicode"),
        ({}, {"a": "x" * LIMITS.header}, "header has"),
        ({str(k): np.zeros(0) for k in range(4)}, {}, "4 tensors, more than 3"),
    ):  # fmt: skip
        with pytest.raises(CheckpointError, match=told):
            tensors.save(tmp_path / "t", given, metadata)
    assert list(tmp_path.iterdir()) == []


def test_every_truncation_is_refused(tmp_path):
    path = tmp_path / "t"
    tensors.save(path, arrays_of(), {"a": "1"})
    assert accepted_when_truncated(path, tensors.load, CheckpointError) == []


def test_every_flipped_bit_and_every_byte_set_is_refused(tmp_path):
    path = tmp_path / "t"
    arrays = {"w": np.arange(6.0), "flag": np.array([True, False])}
    document.save(path, "minirnn thing", 3, {"a": "é \\ \n"}, arrays)
    size = path.stat().st_size

    def load(path):
        return document.load(path, "minirnn thing", (3,))

    assert accepted(path, load, CheckpointError, BITS, range(size)) == []


def test_a_damaged_tensor_is_named(tmp_path):
    path = tmp_path / "t"
    tensors.save(path, {"first": np.zeros(4), "second": np.zeros(4)}, {})
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged: the tensor 'second'"):
        tensors.load(path)


def test_a_tensor_or_metadata_added_removed_or_exchanged_is_found(tmp_path):
    path = tmp_path / "t"
    tensors.save(path, {"a": np.zeros(4), "b": np.ones(4)}, {"m": "1", "n": "2"})
    content = path.read_bytes()
    begin = header_bytes(content)
    header, payload = json.loads(content[8:begin]), content[begin:]
    assert tensors.load(path)

    def edited(change, data=payload):
        copy = json.loads(json.dumps(header))
        change(copy)
        text = json.dumps(copy, separators=(",", ":"), ensure_ascii=False).encode()
        return raw(text + b" " * (-len(text) % 8), data)

    def exchange(h):
        h["a"], h["b"] = h["b"], h["a"]

    for change, data in (
        (lambda h: h.pop("b"), payload[:32]),
        (lambda h: h.update(c=entry("F32", (0,), 64, 64)), payload),
        (exchange, payload),
        (lambda h: h["a"].update(shape=[2, 2]), payload),
        (lambda h: h["a"].update(dtype="I64"), payload),
        (lambda h: h["__metadata__"].update(m="2"), payload),
        (lambda h: h["__metadata__"].pop("n"), payload),
        (lambda h: h["__metadata__"].update(o="3"), payload),
        (lambda h: h.update(d=h.pop("a")), payload),
    ):
        path.write_bytes(edited(change, data))
        with pytest.raises(CheckpointError, match="damaged"):
            tensors.load(path)
    path.write_bytes(edited(lambda h: None))
    assert tensors.load(path)
    text = content[8:begin]
    for same in (  # JSON of the same meaning, which nobody wrote
        text[:-8] + text[-8:].replace(b" ", b"\t", 1),
        text.replace(b'"m"', b'"\\u006d"').rstrip(b" "),
        text.replace(b":", b": ", 1),
    ):
        path.write_bytes(raw(same, payload))
        with pytest.raises(CheckpointError):
            tensors.load(path)


F = entry("F32", (2,), 0, 8)
TWO = {"a": F, "b": entry("F32", (2,), 8, 16)}


def shaped(*shape, end=8, dtype="F32"):
    return {"a": entry(dtype, shape, 0, end)}


BOMBS = {
    "empty file": b"",
    "seven bytes": bytes(7),
    "length bomb": raw(b"{}", length=2**63),
    "largest length": raw(b"{}", length=2**64 - 1),
    "length beyond the file": raw(b"{}", length=3),
    "no header": raw(b""),
    "header of spaces": raw(b"        "),
    "header in spaces": raw(b"  {}"),
    "header of 5 MB": raw(b"{" + b" " * 5_000_000 + b"}"),
    "a list": raw([]),
    "a number": raw(b"1"),
    "no JSON": raw(b"{'a': 1}"),
    "two values": raw(b"{}{}"),
    "NUL": raw(b"{}\0"),
    "not UTF-8": raw(b'{"\xff":1}'),
    "overlong UTF-8": raw(b'{"\xc0\x80":1}'),
    "byte order mark": raw(b"\xef\xbb\xbf{}"),
    "UTF-16": raw("{}".encode("utf-16-le")),
    "half a surrogate pair": raw(rb'{"\ud800":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'),
    "nested lists": raw(b'{"a":' + b"[" * 2_000_000),
    "nested and closed": raw(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "nested objects": raw(b'{"a":' * 500_000),
    "many lists": raw(b'{"a":[' + b"[]," * 1_300_000 + b"[]]}"),
    "many numbers": raw(b'{"a":[' + b"0," * 2_000_000 + b"0]}"),
    "many names": raw("{" + ",".join(f'"{k}":0' for k in range(LIMITS.values // 2 + 1)) + "}"),
    "as many names as are parsed": raw(
        "{" + ",".join(f'"é🎵{k:020}":0' for k in range(LIMITS.values // 2 - 1)) + "}"
    ),
    "many escapes": raw(b'{"a":"' + b"\\n" * 2_000_000 + b'"}'),
    "long names": raw({"é🎵" * 400_000: F}, bytes(8)),
    "long name twice": raw(b'{"%s":1,"%s":1}' % ((("é🎵" * 300_000).encode(),) * 2)),
    "long dtype": raw(shaped(2, dtype="é🎵" * 400_000), bytes(8)),
    "long shape": raw(shaped(*[1] * 200_000, 3), bytes(8)),
    "long metadata": raw({"__metadata__": {"a": "🎵" * 300_000}}, b" "),
    "open string": raw(b'{"a":"' + b"x" * 3_000_000),
    "open string of escapes": raw(b'{"a":"' + b'\\"' * 1_500_000),
    "long number": raw(b'{"a":' + b"9" * 3_000_000 + b"}"),
    "long number in a shape": raw(json.dumps(shaped(10**390)).encode(), bytes(8)),
    "NaN": raw(b'{"a":NaN}'),
    "Infinity": raw(b'{"a":{"dtype":"F32","shape":[Infinity],"data_offsets":[0,8]}}', bytes(8)),
    "duplicate tensor": raw(b'{"a":%s,"a":%s}' % ((json.dumps(F).encode(),) * 2), bytes(8)),
    "duplicate field": raw(b'{"a":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}}'),
    "duplicate metadata": raw(b'{"__metadata__":{"a":"1","a":"1"}}'),
    "metadata is a list": raw({"__metadata__": []}),
    "metadata is null": raw({"__metadata__": None}),
    "metadata of numbers": raw({"__metadata__": {"a": 1}}),
    "nested metadata": raw({"__metadata__": {"a": {"b": "c"}}}),
    "a tensor is a number": raw({"a": 1}),
    "no dtype": raw({"a": {"shape": [2], "data_offsets": [0, 8]}}, bytes(8)),
    "one field more": raw({"a": F | {"more": 1}}, bytes(8)),
    "unknown dtype": raw(shaped(2, dtype="F33"), bytes(8)),
    "dtype of others": raw(shaped(8, dtype="F8_E4M3"), bytes(8)),
    "dtype is a list": raw(shaped(2, dtype=[]), bytes(8)),
    "shape is a number": raw({"a": F | {"shape": 2}}, bytes(8)),
    "shape is true": raw(shaped(True, True, end=4), bytes(4)),
    "shape is a float": raw(shaped(2.0), bytes(8)),
    "shape is negative": raw(shaped(-1, -2), bytes(8)),
    "shape is too large": raw(shaped(3), bytes(8)),
    "shape is too small": raw(shaped(1), bytes(8)),
    "shape bomb": raw(shaped(2**62), bytes(8)),
    "shape that wraps to 8 bytes": raw(shaped(2**63 + 1, 2), bytes(8)),
    "shape that wraps to nothing": raw(shaped(2**32, 2**32, end=0)),
    "empty and huge": raw(shaped(0, 2**62, end=0)),
    "empty and huge beyond words": raw(shaped(2**63, 0, 2**63, end=0)),
    "too many axes": raw(shaped(*[1] * 33, end=4), bytes(4)),
    "wrong dtype": raw(shaped(2, dtype="F64"), bytes(8)),
    "offsets of three": raw({"a": F | {"data_offsets": [0, 8, 8]}}, bytes(8)),
    "offsets of texts": raw({"a": F | {"data_offsets": ["0", "8"]}}, bytes(8)),
    "offsets backwards": raw({"a": F | {"data_offsets": [8, 0]}}, bytes(8)),
    "offsets beyond the file": raw({"a": F | {"data_offsets": [8, 16]}}, bytes(8)),
    "negative offsets": raw({"a": F | {"data_offsets": [-8, 0]}}, bytes(8)),
    "hole at the beginning": raw({"a": entry("F32", (2,), 8, 16)}, bytes(16)),
    "hole between": raw({"a": F, "b": entry("F32", (2,), 12, 20)}, bytes(20)),
    "hole at the end": raw({"a": F}, bytes(9)),
    "overlap": raw({"a": F, "b": entry("F32", (2,), 4, 12)}, bytes(12)),
    "the same bytes twice": raw({"a": F, "b": F}, bytes(8)),
    "overlap by an empty one": raw({"a": F, "b": entry("F32", (0,), 4, 4)}, bytes(8)),
    "neither true nor false": raw(shaped(2, end=2, dtype="BOOL"), b"\x01\x02"),
    "checksums are no JSON": raw({"__metadata__": {tensors.CHECKSUMS: "{"}}),
    "checksums nest": raw({"__metadata__": {tensors.CHECKSUMS: "[" * 100_000}}),
    "a pickle": b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00N.",
}  # fmt: skip


@pytest.mark.parametrize("kind", list(BOMBS))
def test_a_bad_file_is_the_typed_error_and_takes_little_memory(kind, tmp_path):
    path = tmp_path / "t"
    path.write_bytes(BOMBS[kind])
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match="path: got") as caught:
            tensors.load(path)
        assert len(str(caught.value)) < 1000
        assert tracemalloc.get_traced_memory()[1] < MOST
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "good", [TWO, {"b": TWO["b"], "a": F}, TWO | {"e": entry("U8", (0, 3), 8, 8)}]
)
def test_the_bombs_are_bad_for_what_they_say(good, tmp_path):
    """The same frames hold good files, in whatever order the header tells of them."""
    (tmp_path / "t").write_bytes(raw(good, bytes(range(16))))
    assert set(tensors.load(tmp_path / "t").arrays) == set(good)
    (tmp_path / "t").write_bytes(bfloat16({"a": np.float32([1.5, -2.0])}))
    np.testing.assert_array_equal(tensors.load(tmp_path / "t").arrays["a"], [1.5, -2.0])


def test_a_file_larger_than_the_limit_is_refused_before_it_is_read(tmp_path):
    tensors.save(tmp_path / "t", {"a": np.zeros(100), "b": np.zeros(1)}, {})
    size = (tmp_path / "t").stat().st_size
    assert tensors.load(tmp_path / "t", Limits(total=size))
    for limits in (Limits(total=size - 1), Limits(tensors=1), Limits(header=64)):
        with pytest.raises(CheckpointError, match="more than"):
            tensors.load(tmp_path / "t", limits)
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(LIMITS.total + 1)
    with pytest.raises(CheckpointError, match="limit"):
        tensors.load(tmp_path / "sparse")


def test_what_is_no_file_is_refused_without_waiting(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "nowhere").symlink_to(tmp_path / "none")
    (tmp_path / "to_folder").symlink_to(tmp_path)
    paths = ["", ".", "none", "loop", "nowhere", "to_folder", "t\0", "none/t"]
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "to_pipe").symlink_to(tmp_path / "pipe")
        paths += ["pipe", "to_pipe"]
    for name in paths:
        with pytest.raises(CheckpointError, match="path"):
            tensors.load(os.path.join(tmp_path, name))  # noqa: PTH118
    with pytest.raises(CheckpointError, match="a device"):
        tensors.load("/dev/null")


def test_a_link_leads_to_its_file(tmp_path):
    tensors.save(tmp_path / "t", {"a": np.zeros(3)}, {})
    (tmp_path / "link").symlink_to("t")
    assert_same(tensors.load(tmp_path / "link").arrays, {"a": np.zeros(3)})


def test_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "t"
    tensors.save(path, {"a": np.zeros(10_000)}, {})
    parse = tensors.parse

    def shrink(*arguments):
        os.truncate(path, path.stat().st_size - 10_000)
        return parse(*arguments)

    monkeypatch.setattr(tensors, "parse", shrink)
    with pytest.raises(CheckpointError, match="shorter"):
        tensors.load(path)


def test_nothing_is_unpickled(tmp_path, monkeypatch):
    import pickle

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, lambda *_, **__: pytest.fail("unpickled"))
    tensors.save(tmp_path / "t", {"a": np.zeros(3)}, {})
    assert tensors.load(tmp_path / "t")


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("hole at the beginning", "'a' leaves a hole: it begins at 8, not 0"),
        ("hole between", "'b' leaves a hole: it begins at 12, not 8"),
        ("hole at the end", "its tensors have 8 bytes, and the file 9 for them"),
        ("overlap", "'b' overlaps another tensor: it begins at 4, not 8"),
        ("the same bytes twice", "'b' overlaps another tensor: it begins at 0, not 8"),
        (
            "length bomb",
            "its header would be 9,223,372,036,854,775,808 bytes long, in a file of 10",
        ),
        ("shape bomb", "'a' has a shape of more than 2^53 elements: [4611686018427387904]"),
        ("wrong dtype", "'a', F64 of shape [2], needs 16 bytes: has 8"),
        ("duplicate tensor", "it has the key 'a' twice"),
        ("not UTF-8", "it is no UTF-8"),
        ("NaN", "it has NaN, which is no JSON"),
        ("nested and closed", "it is nested more than 3 deep"),
    ],
)
def test_what_is_wrong_is_told(kind, told, tmp_path):
    (tmp_path / "t").write_bytes(BOMBS[kind])
    with pytest.raises(CheckpointError, match=re.escape(told)):
        tensors.load(tmp_path / "t")
