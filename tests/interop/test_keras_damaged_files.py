"""A `.keras` file that is not what it says: CheckpointError and nothing else, or the same model."""

import io
import json
import os
import zipfile

import keras_by_hand as hand
import numpy as np
import pytest

import minirnn as mr
from minirnn.interop.keras import from_keras, keras_weights

h5py = pytest.importorskip("h5py")

WEIGHTS = hand.recurrent_weights("LSTM")
DENSE = [np.random.default_rng(1).standard_normal((3, 1)), np.zeros(1)]
MODEL = hand.entry(
    "Sequential",
    layers=[
        hand.entry("InputLayer", batch_shape=[None, None, 2]),
        hand.recurrent_entry("LSTM"),
        hand.entry("Dense", units=1, activation="linear", use_bias=True),
    ],
)
ARRAYS = hand.stored("layers/lstm/cell", WEIGHTS) | hand.stored("layers/dense", DENSE)


def h5_bytes(fill):
    """An HDF5 file, made by `fill(file)`."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        fill(file)
    return buffer.getvalue()


def plain(file, leave_out=()):
    for name, array in ARRAYS.items():
        if name not in leave_out:
            file[name] = array


def write(path, model=MODEL, fill=plain, packing=zipfile.ZIP_STORED, weights=None):
    """A .keras file as Keras lays it out."""
    config = model if isinstance(model, bytes) else json.dumps(model).encode()
    with zipfile.ZipFile(path, "w", packing) as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", config)
        archive.writestr("model.weights.h5", h5_bytes(fill) if weights is None else weights)
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = write(tmp_path_factory.mktemp("keras") / "model.keras")
    return path.read_bytes()


def loads_as_it_was(path):
    """Whether the file still gives the same weights; CheckpointError is the only other way out."""
    try:
        model = from_keras(path)
    except mr.CheckpointError:
        return False
    for ours, theirs in zip(keras_weights(model), [*WEIGHTS, *DENSE], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    return True


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_whole_file_is_read(tmp_path, packing):
    path = write(tmp_path / "model.keras", packing=packing)
    assert loads_as_it_was(path)
    assert loads_as_it_was(str(path))


def test_a_file_cut_short_anywhere_is_refused(whole, tmp_path):
    path = tmp_path / "cut.keras"
    ends = {*range(0, len(whole), max(1, len(whole) // 150)), *range(len(whole) - 80, len(whole))}
    for end in sorted(ends):
        path.write_bytes(whole[:end])
        assert not loads_as_it_was(path), end


def test_a_flipped_byte_is_refused_or_changes_nothing(whole, tmp_path):
    path = tmp_path / "flipped.keras"
    rng = np.random.default_rng(0)
    head = len(whole) - whole.rindex(b"PK\x01\x02") + 200  # the directory, byte by byte
    places = {*rng.integers(0, len(whole), 200).tolist(), *range(len(whole) - head, len(whole))}
    for place in sorted(places):
        for bits in (0xFF, 1 << int(rng.integers(8))):
            damaged = bytearray(whole)
            damaged[place] ^= bits
            path.write_bytes(damaged)
            loads_as_it_was(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", b"{}" * 50],
    ids=["0", "zip", "h5", "text"],
)
def test_what_is_no_archive_is_refused(tmp_path, content):
    path = tmp_path / "model.keras"
    path.write_bytes(content)
    with pytest.raises(mr.CheckpointError, match="source"):
        from_keras(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.keras", tmp_path):
        with pytest.raises(mr.CheckpointError, match="source"):
            from_keras(path)


def refused(path, match):
    with pytest.raises(mr.CheckpointError, match=match):
        from_keras(path)


def test_members_that_are_missing_or_doubled_are_refused(tmp_path):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(MODEL))
    refused(path, "0 members 'model.weights.h5'")
    write(path)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("config.json", "{}")
    refused(path, "2 members 'config.json'")


def test_a_member_that_unpacks_to_much_more_is_not_unpacked(tmp_path):
    path = write(tmp_path / "m.keras", weights=bytes(50_000_000), packing=zipfile.ZIP_DEFLATED)
    refused(path, "model.weights.h5 of 50,000,000 bytes")
    deep = b"[" * 200_000 + b"]" * 200_000
    refused(write(tmp_path / "m.keras", model=deep), "config|recursion")


def test_an_array_that_claims_more_than_is_stored_is_not_made(tmp_path):
    name = "layers/lstm/cell/vars/0"

    def bomb(file):
        plain(file, leave_out={name})
        file.create_dataset(name, (10**6, 10**6), "float64", chunks=(10, 10), compression="gzip")

    refused(write(tmp_path / "m.keras", fill=bomb), "stored as they are")

    def late(file):  # of a contiguous array that was never written, nothing is stored
        plain(file, leave_out={name})
        file.create_dataset(name, (10**7, 10**4), "float64")

    refused(write(tmp_path / "m.keras", fill=late), "stored as they are")


def test_links_out_of_the_tree_are_refused(tmp_path):
    name = "layers/lstm/cell/vars/0"
    outside = tmp_path / "other.h5"
    outside.write_bytes(h5_bytes(plain))

    def external(file):
        plain(file, leave_out={name})
        file[name] = h5py.ExternalLink(str(outside), name)

    def soft(file):
        plain(file, leave_out={name})
        file[name] = h5py.SoftLink("/layers/dense/vars/0")

    def circle(file):
        plain(file)
        file["layers/lstm/again"] = file["layers"]

    def external_storage(file):
        plain(file, leave_out={name})
        place = (os.fspath(outside), 0, 2 * 12 * 8)
        file.create_dataset(name, (2, 12), "float64", external=[place])

    def virtual(file):
        plain(file, leave_out={name})
        layout = h5py.VirtualLayout((2, 12), "float64")
        layout[:] = h5py.VirtualSource(str(outside), name, (2, 12))
        file.create_virtual_dataset(name, layout)

    faults = {external: "a link", soft: "a link", circle: "a circle"}
    faults |= dict.fromkeys((external_storage, virtual), "no plain array")
    for fill, match in faults.items():
        refused(write(tmp_path / "m.keras", fill=fill), match)


def test_weights_that_are_missing_or_misshapen_are_refused(tmp_path):
    name = "layers/lstm/cell/vars/1"

    def lacking(file):
        plain(file, leave_out={name})

    def misshapen(file):
        plain(file, leave_out={name})
        file[name] = WEIGHTS[1].T

    for fill in (lacking, misshapen):
        refused(write(tmp_path / "m.keras", fill=fill), "LSTM 'sequential/lstm' with weights of")


def test_code_in_a_file_is_never_run(tmp_path, monkeypatch):
    ran = tmp_path / "ran"
    code = f"open({str(ran)!r}, 'w')"
    bad = hand.entry("Lambda", function={"class_name": "__lambda__", "config": {"code": code}})
    model = hand.entry("Sequential", layers=[bad])
    with pytest.raises(mr.ArgumentError, match=r"Lambda.*never run"):
        from_keras(write(tmp_path / "m.keras", model=model))
    for own in ({"module": "os"}, {"registered_name": "mine>LSTM"}):
        with pytest.raises(mr.ArgumentError, match="no class of Keras's own"):
            from_keras(write(tmp_path / "m.keras", model=hand.recurrent_entry("LSTM") | own))
    assert not ran.exists()
