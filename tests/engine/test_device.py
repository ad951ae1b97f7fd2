"""Which array library an array belongs to."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

from minirnn.device import array_namespace, check_device, device_of
from minirnn.errors import DeviceError


def test_numpy_arrays_and_scalars_are_numpys():
    assert array_namespace(np.zeros(2)) is np
    assert array_namespace(np.float32(1)) is np
    assert device_of(np.zeros(2)) == "cpu"


def test_an_array_from_the_gpu_library_brings_its_own_module(monkeypatch):
    library = types.ModuleType("cupy")
    monkeypatch.setitem(sys.modules, "cupy", library)
    array = type("ndarray", (), {"__module__": "cupy"})()
    assert array_namespace(array) is library
    assert device_of(array) == "cuda"


def test_other_objects_are_refused():
    with pytest.raises(DeviceError, match="list"):
        array_namespace([1.0])


@pytest.mark.parametrize("name", ["gpu", "cuda", "CPU", None, 0])
def test_an_unknown_device_names_those_there_are(name):
    assert check_device("cpu") == "cpu"
    with pytest.raises(DeviceError, match="'cpu'"):
        check_device(name)
