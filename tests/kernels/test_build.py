"""Compiling: said once, kept for the next process, never stale, and possible without a folder."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import minirnn
from minirnn.kernels import cells
from minirnn.kernels.cpu import build, generated_source, lowering, vector

ONE_CALL = """
import numpy as np
import minirnn as mr
output, _ = mr.RNN(2, 3, rng=0)(np.ones((4, 1, 2), np.float32))
print(output.data.sum())
"""


def begin(code: str, folder: Path | None = None, **environment: str) -> subprocess.Popen[str]:
    plain = {k: v for k, v in os.environ.items() if not k.startswith("MINIRNN_")}
    return subprocess.Popen(
        [sys.executable, "-c", code], env=plain | environment, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, cwd=folder,
    )  # fmt: skip


def end(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    with process:
        printed, told = process.communicate(timeout=300)
    assert process.returncode == 0, told
    return subprocess.CompletedProcess(process.args, 0, printed, told)


def run(
    code: str, folder: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    return end(begin(code, folder, **environment))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(scope="module")
def ended(folder) -> list[subprocess.CompletedProcess[str]]:
    """Two processes that ran at once, as they compile for long: with a cache, and without one."""
    (folder / "file").touch()
    filling = begin(ONE_CALL, MINIRNN_CACHE_DIR=str(folder / "cache"))
    in_the_way = str(folder / "file" / "cache")
    alone = begin(ONE_CALL, MINIRNN_CACHE_DIR=in_the_way, MINIRNN_QUIET="1")
    return [end(filling), end(alone)]


@pytest.fixture
def compiled(folder, ended) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A cache that one process has filled, and what that process said."""
    return folder / "cache", ended[0]


@pytest.fixture
def cache(compiled, tmp_path) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A copy of it to do harm to; Numba goes by the time of a file, which the copy keeps."""
    return shutil.copytree(compiled[0], tmp_path / "cache"), compiled[1]


def test_first_call_says_that_it_compiles_and_how_long_it_took_the_next_process_nothing(compiled):
    folder, first = compiled
    assert "compiling rnn loops (float32)" in first.stderr
    assert " s (once for this processor)" in first.stderr
    again = run(ONE_CALL, MINIRNN_CACHE_DIR=str(folder))
    assert again.stderr == ""
    assert again.stdout == first.stdout


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs a file system with owners")
def test_without_a_folder_to_write_to_it_compiles_for_this_process_alone(ended):
    assert ended[1].stderr == ""
    assert ended[1].stdout == ended[0].stdout


def test_a_damaged_file_of_the_cache_is_made_anew(cache):
    folder, first = cache
    for kind, left in (("nbi", 0), ("nbi", 100), ("nbc", 0), ("nbc", 100)):
        # Of all that one call compiles, these are compiled soonest.
        files = sorted((folder / "__pycache__").glob(f"routines_*.{kind}"))
        assert files
        for file in files:
            os.truncate(file, left)
        again = run(ONE_CALL, MINIRNN_CACHE_DIR=str(folder))
        assert again.stdout == first.stdout
        assert all(file.stat().st_size > left for file in files)


def test_a_damaged_text_of_the_cache_is_written_anew(cache):
    folder, first = cache
    texts = sorted(folder.glob("*.py"))
    assert texts
    for text in texts:
        text.write_text("")
    again = run(ONE_CALL, MINIRNN_CACHE_DIR=str(folder))
    assert again.stdout == first.stdout
    assert all(text.stat().st_size > 0 for text in texts)


def test_an_edit_of_the_package_leads_to_another_file(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIRNN_CACHE_DIR", str(tmp_path))
    written = []
    monkeypatch.setattr(build, "_import", lambda path: written.append(path.name))
    for toolchain in ("as it is", "as it is", "after an edit"):
        monkeypatch.setattr(build, "_toolchain", lambda text=toolchain: text)
        build._load("lstm_float32", lambda cached: "text", "", "lstm")
    assert written[0] == written[1] != written[2]


def test_a_compilation_that_was_interrupted_is_begun_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIRNN_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(build, "interrupts", True, raising=False)
    text = (
        "from minirnn.kernels.cpu import build\n"
        "if build.interrupts:\n"
        "    raise KeyboardInterrupt\n"
        "compiled = True\n"
    )
    with pytest.raises(KeyboardInterrupt):
        build._load("interrupted", lambda cached: text, "", "interrupted")
    monkeypatch.setattr(build, "interrupts", False)
    module = build._load("interrupted", lambda cached: text, "", "interrupted")
    assert module.compiled
    assert build._load("interrupted", lambda cached: text, "", "interrupted") is module


def test_an_edited_kernel_never_runs_stale(cache, tmp_path):
    """One cache, three processes, a changed line of a kernel between them."""
    folder, before = cache
    package = Path(minirnn.__file__).parent
    shutil.copytree(package, tmp_path / "minirnn", ignore=shutil.ignore_patterns("__pycache__"))
    places = {"PYTHONPATH": str(tmp_path), "MINIRNN_CACHE_DIR": str(folder)}
    first = run(ONE_CALL + "print(mr.__file__)", tmp_path, **places)
    assert first.stderr == ""  # the copy of the package is the package to the cache
    assert first.stdout == f"{before.stdout}{tmp_path / 'minirnn' / '__init__.py'}\n"
    source = tmp_path / "minirnn" / "kernels" / "cpu" / "lowering.py"
    text = source.read_text(encoding="utf-8")
    line = "            return v.tanh(a[0])\n"
    assert text.count(line) == 1
    source.write_text(text.replace(line, line.replace("a[0]", "v.add(a[0], a[0])")), "utf-8")
    edited = run(ONE_CALL, tmp_path, **places)
    assert "compiling rnn equations" in edited.stderr
    assert float(edited.stdout) != float(before.stdout)
    source.write_text(text, "utf-8")
    again = run(ONE_CALL, tmp_path, **places)
    assert again.stderr == ""
    assert again.stdout == before.stdout


def test_the_digest_covers_every_source_of_the_package_and_the_vector_width():
    text = build._toolchain()
    folder = Path(build.__file__).parent
    for source in folder.glob("*.py"):
        assert source.read_text(encoding="utf-8") in text
    assert str(vector.vector_bytes()) in text.split("\0")


def test_variants_of_a_cell_have_equations_of_their_own_and_one_loop():
    variants = [cells.lstm(), cells.lstm("relu"), cells.gru(), cells.rnn(), cells.rnn("relu")]
    assert len({cell.fingerprint() for cell in variants}) == len(variants)
    assert len({lowering.source(cell, "float32") for cell in variants}) == len(variants)
    assert len({generated_source(cell) for cell in variants}) == 3
    tanh, relu = (build.kernels_of(cell, "float32") for cell in variants[:2])
    assert tanh.forward_share is relu.forward_share
    assert (tanh.addresses == relu.addresses).tolist() == [True] * 9 + [False] * 2


def test_a_cell_is_one_object_however_it_is_asked_for():
    assert cells.gru() is cells.gru("tanh") is cells.gru(activation="tanh")


NARROW = """
import sys
sys.path.insert(0, {folder!r})
import numpy as np
from minirnn.kernels import cells, cpu
from minirnn.kernels.contract import Needs, Weights
from minirnn.kernels.cpu.vector import vector_bytes
from minirnn.testing import assert_matches_reference, reference
from minirnn.testing.reference import named_arrays

assert vector_bytes() == {width}
rng = np.random.default_rng(0)
for cell, dtype in ((cells.gru(), "float32"), (cells.lstm(), "float64")):
    gx, gh, T, B, I, H = len(cell.input_slots), len(cell.hidden_slots), 6, 9, 5, 21
    weights = Weights(*[
        rng.uniform(-0.3, 0.3, s).astype(dtype)
        for s in ((gx * H, I), (gh * H, H), (gx * H,), (gh * H,))
    ])
    x = rng.normal(size=(T, B, I)).astype(dtype)
    state = [rng.normal(size=(B, H)).astype(dtype) for _ in cell.states]
    dy = rng.normal(size=(T, B, H)).astype(dtype)
    output, last, tape = cpu.forward(cell, x, state, weights, keep="tape")
    g = cpu.backward(cell, dy, None, tape, needs=Needs())
    expected = reference(cell, x, state, weights, doutput=dy)
    actual = {{"output": output, "grad.x": g.x, "grad.weight_ih": g.weight_ih,
              "grad.weight_hh": g.weight_hh, "grad.bias_hh": g.bias_hh}}
    assert_matches_reference(actual, expected)
"""


def test_narrow_vectors_agree_with_the_reference(tmp_path):
    processes = []
    for width in (16, 32):  # at the same time: each compiles for half a minute
        folders = {"MINIRNN_CACHE_DIR": str(tmp_path / str(width))}
        code = NARROW.format(folder=str(Path(__file__).parent), width=width)
        processes.append(begin(code, MINIRNN_VECTOR_BYTES=str(width), MINIRNN_QUIET="1", **folders))
    for process in processes:
        end(process)
