"""Handing arrays to other libraries: DLPack, and CUDA's array interface.

The capsules are NumPy's own with the device written over, so a library that looks at the device, as
it should, refuses them as it refuses a GPU's memory.
"""

from __future__ import annotations

import ctypes

import numpy as np

from . import memory, streams
from .array import ndarray, to_host

_CPU, _CUDA = 1, 2


class _Tensor(ctypes.Structure):
    # The head of DLManagedTensor, which is all that is written over.
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
    ]


_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype = ctypes.POINTER(_Tensor)
_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]


def _mark(capsule: object, device: int) -> object:
    _pointer(capsule, b"dltensor").contents.device_type = device
    return capsule


def capsule(a: ndarray, dl_device: tuple[int, int] | None, copy: bool | None) -> object:
    """The array as a DLPack capsule on the device, or copied to the host where that is asked."""
    if dl_device is not None and dl_device[0] == _CPU:
        if copy is False:
            raise ValueError("Cannot transfer to CPU without a copy")
        return to_host(a, "dlpack").__dlpack__()
    if dl_device is not None and tuple(dl_device) != (_CUDA, 0):
        raise BufferError(f"Cannot export to the device {dl_device}")
    cells = a.copy()._cells if copy else a._cells
    return _mark(cells.__dlpack__(), _CUDA)


class _Exporter:
    def __init__(self, capsule: object):
        self._capsule = capsule

    def __dlpack__(self, **_options):
        return self._capsule

    def __dlpack_device__(self):
        return (_CPU, 0)


def from_dlpack(array, *, device=None, copy=None):
    """`cupy.from_dlpack`: without a copy where it can be. Raises: TypeError for the host's."""
    if not hasattr(array, "__dlpack_device__"):
        made = array
    elif device is not None:
        raise NotImplementedError("from_dlpack() does not support device yet.")
    elif array.__dlpack_device__()[0] == _CPU:
        raise TypeError(
            "CPU arrays cannot be directly imported to CuPy. "
            "Use `cupy.array(numpy.from_dlpack(input))` instead."
        )
    else:
        # The producer is told CuPy's stream: 1 is the null stream. A new one is asked for a new
        # kind of capsule, an old one for what it can.
        stream = streams.get_current_stream().ptr or 1
        try:
            made = array.__dlpack__(stream=stream, max_version=(1, 0), copy=copy)
        except TypeError:
            if copy is not None:
                raise
            made = array.__dlpack__(stream=stream)
    if _pointer(made, b"dltensor").contents.device_type != _CUDA:
        raise RuntimeError(
            "CuPy is built against CUDA, different from the backend that backs the incoming "
            "DLPack tensor"
        )
    return _unowned(np.from_dlpack(_Exporter(_mark(made, _CPU))), array)


def _unowned(host: np.ndarray, owner: object) -> ndarray:
    block = memory.UnownedMemory(host, owner)
    taken = ndarray.__new__(ndarray)
    taken.base = None
    taken._memory = block
    offset = host.ctypes.data - block.ptr
    taken._cells = np.ndarray(host.shape, host.dtype, block.bytes, offset, host.strides)
    return taken


def from_interface(other) -> ndarray:
    """An array of another library on the same device, by `__cuda_array_interface__`."""
    described = other.__cuda_array_interface__
    dtype = np.dtype(described["typestr"])

    host = memory.array_at(
        described["data"][0], described["shape"], dtype, described.get("strides")
    )
    return _unowned(host, other)
