"""Without the package onnx: nothing breaks but what needs it, and that says what to install."""

from __future__ import annotations

import subprocess
import sys

import pytest

import minirnn as mr
from minirnn.interop import onnx as interop


@pytest.mark.parametrize("name", ["MinirnnBackend", "OnnxModel", "from_onnx", "to_onnx"])
def test_every_name_names_the_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)  # as if it were not installed
    with pytest.raises(mr.MissingExtraError, match="pip install onnx, which the extra 'onnx' of"):
        getattr(interop, name)


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'from_tensorflow'"):
        interop.from_tensorflow  # noqa: B018
    assert set(interop.__all__) <= set(dir(interop))


def test_to_import_the_package_costs_no_onnx() -> None:
    code = "import sys, minirnn.interop.onnx; sys.exit('onnx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
