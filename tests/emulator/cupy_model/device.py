"""The emulated device, and what `cupy.cuda.runtime` and `cupy.cuda.driver` say of it."""

from __future__ import annotations

import types

from . import errors, memory, properties

# cudaDevAttr…, as Device.attributes names them, by the property with the same value.
_ATTRIBUTES = {
    "CooperativeLaunch": "cooperativeLaunch",
    "L2CacheSize": "l2CacheSize",
    "MaxBlocksPerMultiprocessor": "maxBlocksPerMultiProcessor",
    "MaxRegistersPerBlock": "regsPerBlock",
    "MaxRegistersPerMultiprocessor": "regsPerMultiprocessor",
    "MaxSharedMemoryPerBlock": "sharedMemPerBlock",
    "MaxSharedMemoryPerBlockOptin": "sharedMemPerBlockOptin",
    "MaxSharedMemoryPerMultiprocessor": "sharedMemPerMultiprocessor",
    "MaxThreadsPerBlock": "maxThreadsPerBlock",
    "MaxThreadsPerMultiProcessor": "maxThreadsPerMultiProcessor",
    "MultiProcessorCount": "multiProcessorCount",
    "ReservedSharedMemoryPerBlock": "reservedSharedMemPerBlock",
    "WarpSize": "warpSize",
}
# Their numbers in CUDA's enum cudaDeviceAttr.
_NUMBERS = {
    "MaxThreadsPerBlock": 1,
    "MaxSharedMemoryPerBlock": 8,
    "WarpSize": 10,
    "MaxRegistersPerBlock": 12,
    "MultiProcessorCount": 16,
    "L2CacheSize": 38,
    "MaxThreadsPerMultiProcessor": 39,
    "MaxSharedMemoryPerMultiprocessor": 81,
    "MaxRegistersPerMultiprocessor": 82,
    "CooperativeLaunch": 95,
    "MaxSharedMemoryPerBlockOptin": 97,
    "MaxBlocksPerMultiprocessor": 106,
    "ReservedSharedMemoryPerBlock": 111,
}


class Device:
    """Device(device=None)"""

    def __init__(self, device: int | None = None):
        self.id = int(device or 0)

    def _check(self) -> None:
        if self.id != 0:
            raise errors.CUDARuntimeError(errors.INVALID_DEVICE)

    def __int__(self) -> int:
        return self.id

    def __enter__(self) -> Device:
        self._check()
        return self

    def __exit__(self, *_exception: object) -> None:
        pass

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"

    def use(self) -> None:
        self._check()

    def synchronize(self) -> None:
        self._check()

    @property
    def compute_capability(self) -> str:
        self._check()
        return "{major}{minor}".format(**properties.current)

    @property
    def attributes(self) -> dict[str, int]:
        self._check()
        return {name: properties.current[key] for name, key in _ATTRIBUTES.items()}

    @property
    def mem_info(self) -> tuple[int, int]:
        return memory.memory_info()

    @property
    def pci_bus_id(self) -> str:
        return "0000:00:00.0"


Device.__module__ = "cupy.cuda.device"


def _get_device_properties(device: int) -> dict[str, object]:
    Device(device)._check()
    return dict(properties.current)


def _device_get_attribute(attrib: int, device: int) -> int:
    Device(device)._check()
    for name, number in _NUMBERS.items():
        if number == attrib:
            return properties.current[_ATTRIBUTES[name]]
    raise errors.CUDARuntimeError(errors.INVALID_VALUE)


def runtime() -> types.ModuleType:
    """`cupy.cuda.runtime`."""
    made = types.ModuleType("cupy.cuda.runtime")
    made.CUDARuntimeError = errors.CUDARuntimeError
    made.getDeviceCount = lambda: 1
    made.getDevice = lambda: 0
    made.setDevice = lambda device: Device(device).use()
    made.getDeviceProperties = _get_device_properties
    made.deviceGetAttribute = _device_get_attribute
    made.memGetInfo = memory.memory_info
    made.driverGetVersion = made.runtimeGetVersion = lambda: 13000
    made.deviceSynchronize = lambda: None
    made.streamSynchronize = lambda _stream: None
    made.is_hip = False
    for name, number in _NUMBERS.items():
        setattr(made, f"cudaDevAttr{name}", number)
    return made


def blocks_per_multiprocessor(threads: int, registers: int, shared: int) -> int:
    """How many blocks of so many threads one multiprocessor holds at a time.

    Warps, registers (allotted to a warp 256 at a time) and shared memory (of which the system takes
    1 KiB for each block) all set a bound. `shared` counts static and dynamic bytes of a block.
    """
    one = properties.current
    warps = -(-threads // one["warpSize"])
    for_a_warp = -(-registers * one["warpSize"] // 256) * 256
    bounds = [
        one["maxBlocksPerMultiProcessor"],
        one["maxThreadsPerMultiProcessor"] // one["warpSize"] // warps,
        one["regsPerMultiprocessor"] // max(1, for_a_warp) // warps,
        one["sharedMemPerMultiprocessor"] // (shared + one["reservedSharedMemPerBlock"]),
    ]
    return min(bounds)
