"""CuPy's errors of the driver and the runtime, with the numbers and words that CUDA gives them."""

from __future__ import annotations

INVALID_VALUE = 1
OUT_OF_MEMORY = 2
INVALID_DEVICE = 101
INVALID_HANDLE = 400
NOT_FOUND = 500
NOT_READY = 600
ILLEGAL_ADDRESS = 700
OUT_OF_RESOURCES = 701
LAUNCH_FAILED = 719
TOO_LARGE = 720
NOT_SUPPORTED = 801

_DRIVER = {
    INVALID_VALUE: "CUDA_ERROR_INVALID_VALUE: invalid argument",
    INVALID_DEVICE: "CUDA_ERROR_INVALID_DEVICE: invalid device ordinal",
    NOT_FOUND: "CUDA_ERROR_NOT_FOUND: named symbol not found",
    ILLEGAL_ADDRESS: "CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was encountered",
    OUT_OF_RESOURCES: (
        "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES: too many resources requested for launch"
    ),
    LAUNCH_FAILED: "CUDA_ERROR_LAUNCH_FAILED: unspecified launch failure",
    TOO_LARGE: "CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE: too many blocks in cooperative launch",
    NOT_SUPPORTED: "CUDA_ERROR_NOT_SUPPORTED: operation not supported",
}
_RUNTIME = {
    INVALID_VALUE: "cudaErrorInvalidValue: invalid argument",
    INVALID_DEVICE: "cudaErrorInvalidDevice: invalid device ordinal",
    INVALID_HANDLE: "cudaErrorInvalidResourceHandle: invalid resource handle",
    NOT_READY: "cudaErrorNotReady: device not ready",
}


class CUDADriverError(RuntimeError):
    """An error of the driver; `status` is its number."""

    def __init__(self, status: int):
        self.status = status
        super().__init__(_DRIVER.get(status, f"CUDA_ERROR: {status}"))


class CUDARuntimeError(RuntimeError):
    """An error of the runtime; `status` is its number."""

    def __init__(self, status: int):
        self.status = status
        super().__init__(_RUNTIME.get(status, f"cudaError: {status}"))


CUDADriverError.__module__ = "cupy_backends.cuda.api.driver"
CUDARuntimeError.__module__ = "cupy_backends.cuda.api.runtime"
