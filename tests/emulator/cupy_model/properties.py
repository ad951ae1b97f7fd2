"""What the emulated device says of itself: small, so that grids of several waves are tested."""

from __future__ import annotations

import contextlib

_H100_LIKE = {
    "name": b"Emulated GPU",
    "totalGlobalMem": 8 << 30,
    "sharedMemPerBlock": 49152,
    "regsPerBlock": 65536,
    "warpSize": 32,
    "maxThreadsPerBlock": 1024,
    "maxThreadsDim": (1024, 1024, 64),
    "maxGridSize": (2147483647, 65535, 65535),
    "totalConstMem": 65536,
    "major": 9,
    "minor": 0,
    "multiProcessorCount": 6,
    "integrated": 0,
    "canMapHostMemory": 1,
    "concurrentKernels": 1,
    "ECCEnabled": 1,
    "pciBusID": 0,
    "pciDeviceID": 0,
    "pciDomainID": 0,
    "asyncEngineCount": 3,
    "unifiedAddressing": 1,
    "memoryBusWidth": 5120,
    "l2CacheSize": 50 << 20,
    "maxThreadsPerMultiProcessor": 2048,
    "sharedMemPerMultiprocessor": 233472,
    "regsPerMultiprocessor": 65536,
    "managedMemory": 1,
    "isMultiGpuBoard": 0,
    "cooperativeLaunch": 1,
    "sharedMemPerBlockOptin": 232448,
    "maxBlocksPerMultiProcessor": 32,
    "reservedSharedMemPerBlock": 1024,
    "uuid": b"\0" * 16,
}

current = dict(_H100_LIKE)


@contextlib.contextmanager
def changed(**values: object):
    """Another device for the time being. Raises: KeyError if CuPy reports no such property."""
    for name in values:
        if name not in current:
            raise KeyError(f"getDeviceProperties has no {name!r}; it has {', '.join(current)}")
    before = dict(current)
    current.update(values)
    try:
        yield
    finally:
        current.clear()
        current.update(before)
