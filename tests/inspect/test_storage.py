"""Traces in files: whole, exact, and never believed blindly."""

from __future__ import annotations

import errno
import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from networks import LAYERS, batch, minimal, run, trace_of

import minirnn as mr
from minirnn.errors import CheckpointError, TraceError
from minirnn.inspect import storage

OLD = Path(__file__).parent / "data" / "lstm-version-1.safetensors"
LENGTHS = np.array([5, 0, 3])


def assert_same(mine, theirs):
    mine, theirs = mine.numpy(), theirs.numpy()
    assert list(mine) == list(theirs)
    for path, array in mine.items():
        assert array.dtype == theirs[path].dtype, path
        np.testing.assert_array_equal(array, theirs[path], err_msg=path)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", list(LAYERS))
def test_what_is_loaded_is_what_was_saved(kind, dtype, tmp_path):
    x = batch(dtype=dtype)
    network = LAYERS[kind](3, 4, num_layers=2, bidirectional=True, dtype=dtype, rng=1)
    for number, trace in enumerate(run(network, x, lengths=LENGTHS)):
        path = tmp_path / f"{number}.safetensors"
        trace.save(path)
        loaded = mr.Trace.load(path)
        assert_same(trace, loaded)
        for attribute in ("name", "call", "layer", "direction", "truncated", "shape", "dtype"):
            assert getattr(loaded, attribute) == getattr(trace, attribute)
        assert loaded.cell.fingerprint() == trace.cell.fingerprint()
        assert repr(loaded) == repr(trace)
        np.testing.assert_array_equal(loaded.jacobian(2), trace.jacobian(2))
        np.testing.assert_array_equal(loaded.grad_input, trace.grad_input)
        assert trace.compare(loaded).equal
        for gate, z in trace.preactivations.items():
            np.testing.assert_array_equal(loaded.preactivations[gate], z)


def test_options_of_the_cell_are_kept(tmp_path):
    trace = trace_of("gru", activation="relu")
    trace.save(tmp_path / "t")
    loaded = mr.Trace.load(tmp_path / "t").cell
    assert loaded.options == {"activation": "relu"}
    assert loaded.fingerprint() == mr.cells.gru("relu").fingerprint()


def test_a_trace_without_gradients_or_biases_or_steps_is_kept_as_that(tmp_path):
    for trace in (
        trace_of(backward=False),
        trace_of("gru", bias=False),
        trace_of(T=0),
        trace_of(lengths=np.array([0, 0, 0])),
    ):
        trace.save(tmp_path / "t")
        loaded = mr.Trace.load(str(tmp_path / "t"))
        assert_same(trace, loaded)
        assert loaded.has_gradients == trace.has_gradients
    trace_of(backward=False).save(tmp_path / "t")
    loaded = mr.Trace.load(tmp_path / "t")
    with pytest.raises(TraceError, match="backward"):
        _ = loaded.grad_hidden


def test_numbers_that_are_not_finite_are_kept(tmp_path):
    x = batch()
    x[2, 0, 0] = np.nan
    with np.errstate(all="ignore"):
        (trace,) = run(LAYERS["lstm"](3, 4, dtype="float64", rng=1), x)
    trace.save(tmp_path / "t")
    assert_same(trace, mr.Trace.load(tmp_path / "t"))


@pytest.mark.parametrize("path", ["", "missing/t"])
def test_a_path_that_cannot_be_written_is_named(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=r"path: got .* wanted a file to write"):
        trace_of(T=0).save(path)


def test_a_cell_of_ones_own_is_loaded_without_its_equations(tmp_path):
    (trace,) = run(mr.Recurrent(minimal, 3, 4, dtype="float64", rng=1), batch())
    trace.save(tmp_path / "t")
    loaded = mr.Trace.load(tmp_path / "t")
    assert_same(trace, loaded)
    assert loaded.cell.name == "minimal"
    np.testing.assert_array_equal(loaded.grad_input, trace.grad_input)
    for norms in ("weight_ih", "weight_hh"):
        np.testing.assert_array_equal(
            loaded.weight_gradient_norms(norms), trace.weight_gradient_norms(norms)
        )
    assert set(mr.inspect.gate_saturation(loaded)) == {"forget", "new"}
    for ask in (lambda: loaded.preactivations, lambda: loaded.jacobian(0)):
        with pytest.raises(TraceError, match="cell=") as caught:
            ask()
        assert "'minimal'" in str(caught.value)
    loaded.save(tmp_path / "again")
    assert_same(mr.Trace.load(tmp_path / "again", cell=minimal), trace)


def test_a_cell_given_to_load_brings_the_equations_back(tmp_path):
    (trace,) = run(mr.Recurrent(minimal, 3, 4, dtype="float64", rng=1), batch())
    trace.save(tmp_path / "t")
    loaded = mr.Trace.load(tmp_path / "t", cell=minimal)
    np.testing.assert_array_equal(loaded.jacobian(1), trace.jacobian(1))

    @mr.cell(states=("h",), forget="xh", new="xh")
    def other(z, last):
        f, n = mr.cells.sigmoid(z.forget), mr.cells.sigmoid(z.new)
        return {"h": f * last.h + (1 - f) * n}, {"forget": f, "new": n}

    other.name = "minimal"  # the same names, other equations
    for cell in (other, mr.cells.lstm()):
        with pytest.raises(CheckpointError, match="equations"):
            mr.Trace.load(tmp_path / "t", cell=cell)


def test_a_cell_that_borrows_a_built_in_name_is_not_taken_for_it(tmp_path):
    @mr.cell(states=("h",), new="xh")
    def rnn(z, last):
        n = mr.cells.sigmoid(z.new)
        return {"h": n}, {"new": n}

    (trace,) = run(mr.Recurrent(rnn, 3, 4, dtype="float64", rng=1), batch())
    trace.save(tmp_path / "t")
    with pytest.raises(TraceError, match="equations"):
        _ = mr.Trace.load(tmp_path / "t").preactivations


def saved(tmp_path):
    path = tmp_path / "trace.safetensors"
    trace_of().save(path)
    return path, path.read_bytes()


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(share, tmp_path):
    path, content = saved(tmp_path)
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match="path"):
        mr.Trace.load(path)


def test_a_flipped_bit_is_found_wherever_it_is(tmp_path):
    path, content = saved(tmp_path)
    for at in np.random.default_rng(0).integers(0, len(content), size=60):
        damaged = bytearray(content)
        damaged[at] ^= 1 << (at % 8)
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError):
            mr.Trace.load(path)


@pytest.mark.parametrize("content", [b"", b"not a trace", b"\x80\x04N.", b"\xff" * 64])
def test_another_kind_of_file_is_refused(content, tmp_path):
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(CheckpointError, match="path"):
        mr.Trace.load(tmp_path / "t")


def test_a_safetensors_file_of_something_else_is_refused(tmp_path):
    from safetensors.numpy import save_file

    for metadata in (None, {"format": "pt"}, {"minirnn": "[]"}, {"minirnn": "{not json"}):
        save_file({"weight": np.zeros(3)}, tmp_path / "t", metadata=metadata)
        with pytest.raises(CheckpointError, match="trace of minirnn"):
            mr.Trace.load(tmp_path / "t")


def with_header(content, change):
    """The file with its metadata about the trace changed, and nothing else."""
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    about = json.loads(header["__metadata__"]["minirnn"])
    change(about)
    header["__metadata__"]["minirnn"] = json.dumps(about)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + size :]


def test_a_later_version_is_refused_by_number(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "VERSION", 99)
    path, _ = saved(tmp_path)
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="99"):
        mr.Trace.load(path)


def test_a_file_of_version_1_is_read_and_its_own_checksum_held(tmp_path):
    (trace,) = run(LAYERS["lstm"](3, 4, dtype="float64", rng=1), batch(), lengths=LENGTHS)
    loaded = mr.Trace.load(OLD)
    assert trace.compare(loaded).difference < 1e-12
    np.testing.assert_array_equal(loaded.inputs, trace.inputs)
    content = OLD.read_bytes()
    for at in np.random.default_rng(0).integers(0, len(content), size=60):
        damaged = bytearray(content)
        damaged[at] ^= 1 << (at % 8)
        (tmp_path / "t").write_bytes(damaged)
        with pytest.raises(CheckpointError):
            mr.Trace.load(tmp_path / "t")


def test_metadata_that_was_edited_is_found(tmp_path):
    path, content = saved(tmp_path)
    path.write_bytes(with_header(content, lambda about: about.update(layer=7)))
    with pytest.raises(CheckpointError, match="damaged"):
        mr.Trace.load(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(CheckpointError, match="path"):
            mr.Trace.load(path)


def test_saving_where_nothing_can_be_written_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match="no_such_folder"):
        trace_of().save(tmp_path / "no_such_folder" / "t")


def test_a_save_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path, content = saved(tmp_path)

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="No space left"):
        trace_of("gru").save(path)
    assert path.read_bytes() == content
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_loading_never_unpickles(tmp_path, monkeypatch):
    import pickle

    def refuse(*arguments, **options):
        raise AssertionError("something was unpickled")

    path, _ = saved(tmp_path)
    monkeypatch.setattr(pickle, "loads", refuse)
    monkeypatch.setattr(pickle, "load", refuse)
    mr.Trace.load(path)
