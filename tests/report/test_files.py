"""A page is written whole or not at all."""

from __future__ import annotations

import os

import pytest

from minirnn.errors import ArgumentError
from minirnn.files.whole import write_whole
from minirnn.report.files import check_writable, write_atomically


def test_text_is_written_and_nothing_else_is_left(tmp_path):
    target = tmp_path / "page.html"
    assert write_atomically(target, "ü\n") == target
    assert target.read_bytes() == "ü\n".encode()
    assert list(tmp_path.iterdir()) == [target]


def test_an_existing_file_is_replaced_whole(tmp_path):
    target = tmp_path / "page.html"
    target.write_text("a much longer old text")
    write_atomically(target, "new")
    assert target.read_text() == "new"


@pytest.mark.parametrize("failure", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch, failure):
    target = tmp_path / "page.html"
    target.write_text("old")

    def fail(_):
        raise failure

    monkeypatch.setattr(os, "fsync", fail)
    wanted = ArgumentError if isinstance(failure, OSError) else KeyboardInterrupt
    with pytest.raises(wanted):
        write_atomically(target, "new")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_it_is_flushed_to_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    target = tmp_path / "page.html"
    seen = []
    monkeypatch.setattr(os, "fsync", lambda _: seen.append(target.exists()))
    write_atomically(target, "new")
    assert seen == [False, True]  # the text, and then the folder with its name


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs files of other kinds")
def test_a_device_or_pipe_is_not_replaced_by_a_file(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ArgumentError, match="a device or pipe"):
        write_atomically(pipe, "text")
    with pytest.raises(OSError, match="a device or a pipe"):
        write_whole(pipe, b"text")
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]


def test_what_cannot_be_written_is_refused_by_name(tmp_path):
    for path in (tmp_path / "missing" / "page.html", tmp_path):
        with pytest.raises(ArgumentError, match="output"):
            check_writable(path, "output")
