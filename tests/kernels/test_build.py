"""Compiling: said once, kept for the next process, never stale, and possible without a folder."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import minirnn
from minirnn.kernels import cells
from minirnn.kernels.cpu import build, generated_source, vector

ONE_CALL = """
import numpy as np
import minirnn as mr
output, _ = mr.RNN(2, 3, rng=0)(np.ones((4, 1, 2), np.float32))
print(output.data.sum())
"""


def run(
    code: str, folder: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    plain = {k: v for k, v in os.environ.items() if not k.startswith("MINIRNN_")}
    return subprocess.run(
        [sys.executable, "-c", code], env=plain | environment, capture_output=True, text=True,
        check=True, timeout=300, cwd=folder,
    )  # fmt: skip


def test_first_call_says_that_it_compiles_and_how_long_it_took_the_next_process_nothing(tmp_path):
    folder = str(tmp_path / "kernels")
    first = run(ONE_CALL, MINIRNN_CACHE_DIR=folder)
    assert "compiling rnn kernels (float32)" in first.stderr
    assert " s (once for this processor)" in first.stderr
    again = run(ONE_CALL, MINIRNN_CACHE_DIR=folder)
    assert again.stderr == ""
    assert again.stdout == first.stdout


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs a file system with owners")
def test_without_a_folder_to_write_to_it_compiles_for_this_process_alone(tmp_path):
    file_in_the_way = tmp_path / "file"
    file_in_the_way.write_text("")
    result = run(ONE_CALL, MINIRNN_CACHE_DIR=str(file_in_the_way / "kernels"), MINIRNN_QUIET="1")
    assert result.stderr == ""
    assert float(result.stdout) != 0.0


def test_a_damaged_file_of_the_cache_is_made_anew(tmp_path):
    first = run(ONE_CALL, MINIRNN_CACHE_DIR=str(tmp_path))
    for kind, left in (("nbi", 0), ("nbi", 100), ("nbc", 0), ("nbc", 100)):
        files = sorted((tmp_path / "__pycache__").glob(f"rnn_*.{kind}"))
        assert files
        for file in files:
            os.truncate(file, left)
        again = run(ONE_CALL, MINIRNN_CACHE_DIR=str(tmp_path))
        assert again.stdout == first.stdout
        assert all(file.stat().st_size > left for file in files)


def test_a_damaged_text_of_the_cache_is_written_anew(tmp_path):
    first = run(ONE_CALL, MINIRNN_CACHE_DIR=str(tmp_path))
    for text in tmp_path.glob("*.py"):
        text.write_text("")
    again = run(ONE_CALL, MINIRNN_CACHE_DIR=str(tmp_path))
    assert again.stdout == first.stdout


def test_an_edit_of_the_package_leads_to_another_file(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIRNN_CACHE_DIR", str(tmp_path))
    written = []
    monkeypatch.setattr(build, "_import", lambda path: written.append(path.name))
    for toolchain in ("as it is", "as it is", "after an edit"):
        monkeypatch.setattr(build, "_toolchain", lambda text=toolchain: text)
        build._load("lstm_float32", lambda cached: "text", "", "lstm")
    assert written[0] == written[1] != written[2]


def test_an_edited_kernel_never_runs_stale(tmp_path):
    """One cache, two processes, a changed line of a kernel between them."""
    package = Path(minirnn.__file__).parent
    shutil.copytree(package, tmp_path / "minirnn", ignore=shutil.ignore_patterns("__pycache__"))
    places = {"PYTHONPATH": str(tmp_path), "MINIRNN_CACHE_DIR": str(tmp_path / "cache")}
    first = run(ONE_CALL, tmp_path, **places)
    source = tmp_path / "minirnn" / "kernels" / "cpu" / "lowering.py"
    text = source.read_text(encoding="utf-8")
    line = "            return v.tanh(a[0])\n"
    assert text.count(line) == 1
    source.write_text(text.replace(line, line.replace("a[0]", "v.add(a[0], a[0])")), "utf-8")
    edited = run(ONE_CALL, tmp_path, **places)
    assert "compiling rnn kernels" in edited.stderr
    assert float(edited.stdout) != float(first.stdout)
    source.write_text(text, "utf-8")
    again = run(ONE_CALL, tmp_path, **places)
    assert again.stderr == ""
    assert again.stdout == first.stdout


def test_the_digest_covers_every_source_of_the_package_and_the_vector_width():
    text = build._toolchain()
    folder = Path(build.__file__).parent
    for source in folder.glob("*.py"):
        assert source.read_text(encoding="utf-8") in text
    assert str(vector.vector_bytes()) in text.split("\0")


def test_variants_of_a_cell_have_kernels_of_their_own():
    variants = [cells.lstm(), cells.lstm("relu"), cells.gru(), cells.rnn(), cells.rnn("relu")]
    assert len({cell.fingerprint() for cell in variants}) == len(variants)
    assert len({generated_source(cell) for cell in variants}) == len(variants)


def test_a_cell_is_one_object_however_it_is_asked_for():
    assert cells.gru() is cells.gru("tanh") is cells.gru(activation="tanh")


@pytest.mark.parametrize("width", ["16", "32"])
def test_narrow_vectors_agree_with_the_reference(width, tmp_path):
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
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
    run(code, MINIRNN_VECTOR_BYTES=width, MINIRNN_CACHE_DIR=str(tmp_path), MINIRNN_QUIET="1")
