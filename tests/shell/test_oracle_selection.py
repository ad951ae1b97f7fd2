"""What `make oracle` chooses is all that `make test` had to skip, and little else."""

from __future__ import annotations

from pathlib import Path

import oracle_selection
import pytest

WANT = "Skipped: could not import 'torch': No module named 'torch'"
# A test file, and those of its names that reach a framework; "*" stands for all of them.
FILES = {
    "import torch": "*",
    "from torch import nn": "*",
    "import pytest\ntorch = pytest.importorskip('torch')": "*",
    "import pytest\npytest.importorskip('onnx')": "*",
    "import pytest\n@pytest.fixture(autouse=True)\ndef f(): pytest.importorskip('torch')": "* f",
    "def test_a(): import torch\ndef test_b(): import numpy": "test_a",
    "def test_a():\n '''Not PyTorch's torch.'''": "",
    "def test_a(): run('import torch, sys')": "test_a",
    "def test_a(): run('import torches')": "",
    "def pair(): import keras\ndef test_a(): pair()\ndef test_b(): repair()": "pair test_a",
    "NAMES = ['torch']\nclass TestA:\n def test(self): f(NAMES)": "NAMES TestA",
    "def mine(): import onnx\ndef test_a(mine): pass\ndef test_b(): pass": "mine test_a",
    "def mine(): import onnx\n@p.mark.usefixtures('mine')\ndef test_a(): pass": "mine test_a",
    "def any_of(name): pytest.importorskip(name)\ndef test_a(): any_of(x)": "any_of test_a",
    "from torch_loop import run\ndef test_a(): pass": "*",
    "from problems import run\ndef test_a(): run()": "",
}


@pytest.mark.parametrize("text", FILES)
def test_what_reaches_a_framework_is_found(text: str, tmp_path: Path) -> None:
    path = tmp_path / "test_something.py"
    path.write_text(text)
    found = oracle_selection.reaching(path)
    if "*" in FILES[text]:
        assert oracle_selection.reaches(path, "test_anything")
    else:
        assert found == set(FILES[text].split())


def test_a_test_that_make_oracle_would_lose_is_told(tmp_path: Path) -> None:
    path = tmp_path / "test_something.py"
    path.write_text("def test_a(): import torch\ndef test_b(): ask_somebody()")
    assert oracle_selection.lost(path, "test_b", WANT)
    assert oracle_selection.lost(path, None, WANT)  # the whole file was skipped
    assert not oracle_selection.lost(path, "test_a", WANT)
    assert not oracle_selection.lost(path, "test_b", "Skipped: could not import 'plotly'")
