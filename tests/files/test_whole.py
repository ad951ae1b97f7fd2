"""Files are written whole or not at all, whatever happens on the way."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import minirnn
from minirnn.errors import CheckpointError
from minirnn.files import tensors, whole
from minirnn.files.whole import write_whole

ROOT = Path(__file__).parents[2]
POSIX = pytest.mark.skipif(os.name != "posix", reason="of POSIX's files")


def names(folder):
    return sorted(each.name for each in folder.iterdir())


def leftover(path, digits="0123456789abcdef"):
    """What a killed save of `path` leaves."""
    left = path.with_name(f".{path.name}.{digits}.tmp")
    left.write_bytes(b"half")
    return left


@pytest.mark.parametrize("content", [b"", b"new", [b"ne", memoryview(b"w")]])
def test_an_old_file_is_replaced_whole(content, tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"a much longer old one")
    write_whole(path, content)
    assert path.read_bytes() == (b"".join(content) if isinstance(content, list) else content)
    assert names(tmp_path) == ["f"]


@POSIX
def test_bytes_are_on_the_disk_before_the_name_and_the_name_before_it_returns(
    tmp_path, monkeypatch
):
    path, done = tmp_path / "f", []
    fsync, replace = os.fsync, Path.replace

    def flush(handle):
        kind = "folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file"
        done.append((kind, os.fstat(handle).st_size if kind == "file" else path.exists()))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(
        Path, "replace", lambda self, to: (done.append("renamed"), replace(self, to))
    )
    write_whole(path, b"content")
    assert done == [("file", 7), "renamed", ("folder", True)]


@pytest.mark.parametrize("at", ["write", "fchmod", "fsync", "replace"])
@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_a_failure_anywhere_leaves_the_old_file_and_no_other(at, fault, tmp_path, monkeypatch):
    path = tmp_path / "f"
    path.write_bytes(b"old")

    def fail(*_):
        raise fault

    def parts():
        yield b"first part"
        if at == "write":
            fail()
        yield b"second"

    if at == "fsync":
        monkeypatch.setattr(os, "fsync", fail)
    elif at == "replace":
        monkeypatch.setattr(Path, "replace", fail)
    elif at == "fchmod":
        monkeypatch.setattr(os, "fchmod", fail)
    with pytest.raises(type(fault)):
        write_whole(path, parts())
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["f"]


@POSIX
def test_a_full_disk_is_the_typed_error_and_the_old_file_stays(tmp_path):
    """The limit of a file's size stands in for the disk: write() fails half way through."""
    path = tmp_path / "f"
    tensors.save(path, {"a": np.zeros(10)}, {})
    before = path.read_bytes()
    code = f"""
import resource, sys
import numpy as np
from minirnn.errors import CheckpointError
from minirnn.files import tensors
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    tensors.save({str(path)!r}, {{"a": np.ones(100_000)}}, {{}})
except CheckpointError as error:
    print(error)
"""
    home = str(Path(minirnn.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": home}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=environment, text=True, capture_output=True, check=True,
    )  # fmt: skip
    assert "File too large; wanted a file to write" in done.stdout
    assert path.read_bytes() == before
    assert names(tmp_path) == ["f"]


def test_what_a_killed_save_left_is_removed_by_the_next_and_nothing_else_is(tmp_path):
    path = tmp_path / "f"
    left = leftover(path)
    others = [leftover(tmp_path / "g"), leftover(path, "0123"), leftover(path, "x" * 16)]
    (tmp_path / "f.tmp").write_bytes(b"")
    write_whole(path, b"new")
    assert not left.exists()
    assert all(each.exists() for each in [*others, tmp_path / "f.tmp"])


@POSIX
def test_a_leftover_that_is_a_link_or_a_pipe_is_not_followed(tmp_path):
    (tmp_path / "precious").write_bytes(b"kept")
    (tmp_path / ".f.0123456789abcdef.tmp").symlink_to(tmp_path / "precious")
    os.mkfifo(tmp_path / ".f.0123456789abcde0.tmp")
    write_whole(tmp_path / "f", b"new")
    assert (tmp_path / "precious").read_bytes() == b"kept"


@POSIX
def test_a_save_under_way_is_not_taken_for_a_leftover(tmp_path):
    path, halfway, done = tmp_path / "f", threading.Event(), threading.Event()

    def slowly():
        yield b"slow"
        halfway.set()
        assert done.wait(10)

    slow = threading.Thread(target=write_whole, args=(path, slowly()))
    slow.start()
    assert halfway.wait(10)
    write_whole(path, b"quick")
    assert path.read_bytes() == b"quick"
    done.set()
    slow.join()
    assert path.read_bytes() == b"slow"
    assert names(tmp_path) == ["f"]


@POSIX
def test_a_temporary_file_that_was_taken_for_a_leftover_is_made_again(tmp_path, monkeypatch):
    """Between its making and its lock another save may remove it."""
    import fcntl

    flock, removed = fcntl.flock, []

    def late(handle, operation):
        if not removed:
            removed.extend(tmp_path.iterdir())
            removed[0].unlink()
        flock(handle, operation)

    monkeypatch.setattr(whole.fcntl, "flock", late)
    write_whole(tmp_path / "f", b"new")
    assert len(removed) == 1
    assert names(tmp_path) == ["f"]


def test_many_saves_at_once_leave_one_whole_file(tmp_path):
    path = tmp_path / "f"
    contents = [bytes([k]) * 50_000 for k in range(8)]
    threads = [threading.Thread(target=write_whole, args=(path, each)) for each in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in contents
    assert names(tmp_path) == ["f"]


@POSIX
@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664])
def test_the_permissions_of_a_file_are_kept(mode, tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"old")
    path.chmod(mode)
    seen = []

    def parts():
        seen.extend(stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir())
        yield b"new"

    write_whole(path, parts())
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert seen == [mode, mode]  # not for a moment more


@POSIX
def test_a_link_stays_and_its_file_is_replaced(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "f").write_bytes(b"old")
    (tmp_path / "link").symlink_to(Path("far") / "f")
    write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "far" / "f").read_bytes() == b"new"


def test_what_is_no_file_is_not_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("folder", "loop", "none/f", "", "f\0"):
        with pytest.raises(CheckpointError, match="wanted a file to write"):
            tensors.save(os.path.join(tmp_path, name), {}, {})  # noqa: PTH118
    assert names(tmp_path) == ["folder", "loop"]


def test_names_as_long_as_the_file_system_allows_are_written(tmp_path):
    path = tmp_path / ("n" * 255)
    write_whole(path, b"new")
    assert names(tmp_path) == [path.name]


@POSIX
@pytest.mark.parametrize("fault", [errno.EINVAL, errno.ENOTSUP, errno.EIO])
def test_a_folder_that_cannot_be_flushed_is_told_unless_there_is_no_way(
    fault, tmp_path, monkeypatch
):
    fsync = os.fsync

    def flush(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(fault, "no")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", flush)
    if fault == errno.EIO:
        with pytest.raises(OSError, match="no"):
            write_whole(tmp_path / "f", b"new")
    else:
        write_whole(tmp_path / "f", b"new")
    assert (tmp_path / "f").read_bytes() == b"new"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
def test_a_kill_at_any_moment_loses_nothing_and_would_be_noticed(tmp_path):
    """tools/kill_while_saving.py --times 200 does it oftener."""
    code = """
import sys, time
from pathlib import Path
import kill_while_saving as kills
from minirnn.files import tensors

folder = Path(sys.argv[1])
print(kills.kill_many(folder, 20, seed=1))

def in_place(path, parts):
    with open(path, "wb") as file:
        for part in parts:
            file.write(part)
            time.sleep(0.005)

tensors.write_whole = in_place
try:
    kills.kill_many(folder, 20, seed=1)
except kills.LostError as error:
    print("noticed:", error)
"""
    home = str(Path(minirnn.__file__).parents[1])
    paths = os.pathsep.join([home, str(ROOT / "tools")])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": paths}, text=True, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    killed, noticed = done.stdout.splitlines()
    assert killed.startswith("20 kills after")
    assert killed.endswith("nothing was lost")
    assert noticed.startswith("noticed:")
