"""The model has no name, parameter or property that the real CuPy lacks."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
import subprocess
import sys
from importlib.machinery import PathFinder
from pathlib import Path

import numpy as np
import pytest
from cupy_model import device, module, names, properties

MODULES = module.modules()
_SUBMODULES = ("linalg", "fft", "cuda", "cuda.runtime", "cuda.nvtx", "cuda.driver", "cuda.memory")

# Run by a Python in which the real CuPy is not replaced.
_ASK = """
import importlib, inspect, json, sys
import cupy
def signature(found):
    try:
        return str(inspect.signature(found))
    except (TypeError, ValueError):
        return None
def describe(module):
    return {name: signature(getattr(module, name)) for name in dir(module)}
out = {"": describe(cupy)}
for part in sys.argv[1].split():
    found = cupy
    for name in part.split("."):
        found = getattr(found, name)
    out[part] = describe(found)
for name in ("ndarray", "ufunc", "RawModule", "RawKernel"):
    out[name] = dict.fromkeys(dir(getattr(cupy, name)))
for name in ("Device", "Stream", "Event", "MemoryPool", "MemoryPointer"):
    out[name] = dict.fromkeys(dir(getattr(cupy.cuda, name)))
out["methods"] = {
    name: (getattr(getattr(cupy.ndarray, name), "__doc__", None) or "").split("\\n")[0]
    for name in dir(cupy.ndarray)
}
out["nin"] = {
    name: [found.nin, found.nout]
    for name, found in vars(cupy).items()
    if isinstance(found, cupy.ufunc)
}
print(json.dumps(out))
"""


@pytest.fixture(scope="module")
def real() -> dict[str, dict[str, str | None]]:
    """Names and signatures of the CuPy that is installed."""
    if PathFinder.find_spec("cupy") is None:
        pytest.skip("the real CuPy is not installed")
    asked = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _ASK, " ".join(_SUBMODULES)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert asked.returncode == 0, asked.stderr
    return json.loads(asked.stdout)


def _public(found: object) -> list[str]:
    return [name for name in vars(found) if not name.startswith("_")]


@pytest.mark.parametrize("part", ["", *_SUBMODULES])
def test_every_name_of_a_module_is_in_the_real_one(real, part):
    ours = MODULES[f"cupy.{part}".rstrip(".")]
    assert [name for name in _public(ours) if name not in real[part]] == []


_CLASSES = "ndarray ufunc RawModule RawKernel Device Stream Event MemoryPool MemoryPointer"


@pytest.mark.parametrize("name", _CLASSES.split())
def test_every_attribute_of_a_class_is_in_the_real_one(real, name):
    cupy = MODULES["cupy"]
    ours = getattr(cupy, name, None) or getattr(cupy.cuda, name)
    own = {"nin", "nout", "nargs", "name", "ptr", "id", "mem", "file_path", "__name__", "device_id"}
    missing = [one for one in _public(ours) if one not in real[name] and one not in own]
    assert missing == []


@pytest.mark.parametrize("name", sorted(one for one in dir(np.ndarray) if one.startswith("__")))
def test_a_special_method_is_there_only_if_the_real_array_has_it(real, name):
    ours = MODULES["cupy"].ndarray
    inherited = getattr(object, name, None)
    if getattr(ours, name, inherited) is not inherited:
        assert name in real["ndarray"]


def _tables():
    for part, table in (("", names.FUNCTIONS), ("linalg", names.LINALG), ("fft", names.FFT)):
        for name, text in names.signatures(table):
            yield pytest.param(part, name, text, id=f"{part}.{name}".lstrip("."))


def _parameters(text: str) -> str:
    """A signature without annotations, and with its defaults as numbers and names."""
    text = text.split(" -> ")[0].replace("<class 'float'>", "float").replace("<class 'int'>", "int")
    tree = ast.parse(f"def f{text}: pass").body[0]
    assert isinstance(tree, ast.FunctionDef)
    for one in ast.walk(tree):
        if isinstance(one, ast.arg):
            one.annotation = None
    return ast.unparse(tree.args)


@pytest.mark.parametrize(("part", "name", "text"), list(_tables()))
def test_a_function_takes_what_the_real_one_takes(real, part, name, text):
    theirs = real[part][name]
    assert theirs is not None
    assert _parameters(text) == _parameters(theirs)


@pytest.mark.parametrize(
    ("name", "text"), [pytest.param(*one, id=one[0]) for one in names.signatures(names.METHODS)]
)
def test_a_method_takes_what_the_real_one_takes(real, name, text):
    line = real["methods"][name].split(" -> ")[0]
    if name == "view":  # written in Python, so its docstring tells no signature
        return
    theirs = line[line.index("(") :]
    for kind in ("_ndarray_base ", "Py_ssize_t ", "int ", "tuple "):
        theirs = theirs.replace(kind, "")
    assert _parameters(text) == _parameters(theirs)


def test_a_ufunc_has_as_many_operands_and_results_as_the_real_one(real):
    cupy = MODULES["cupy"]
    ours = {name: one for name, one in vars(cupy).items() if isinstance(one, cupy.ufunc)}
    assert len(ours) > 80
    assert {name: [one.nin, one.nout] for name, one in ours.items()} == {
        name: real["nin"][name] for name in ours
    }


def test_the_properties_of_the_device_are_those_that_the_real_one_reports():
    spec = PathFinder.find_spec("cupy_backends")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("the real CuPy is not installed")
    api = Path(spec.submodule_search_locations[0]) / "cuda" / "api"
    (library,) = api.glob("runtime.*.so")
    text = library.read_bytes()
    assert [name for name in properties.current if name.encode() not in text] == []
    assert len(device._ATTRIBUTES) == len(device._NUMBERS)


def test_what_is_not_listed_does_not_exist():
    cupy = MODULES["cupy"]
    for name in ("nanquantile", "errstate", "float128", "lib"):
        assert not hasattr(cupy, name)


def test_a_keyword_that_only_numpy_has_is_refused():
    cupy = MODULES["cupy"]
    with pytest.raises(TypeError, match="where"):
        cupy.sum(cupy.ones(3), where=True)
    assert "initial" not in inspect.signature(cupy.sum).parameters
    assert importlib.util.find_spec("cupy_model") is not None
