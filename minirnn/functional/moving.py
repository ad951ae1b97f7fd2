"""From one device to the other."""

from __future__ import annotations

from minirnn.device import check_device, device_of
from minirnn.device import to_device as moved
from minirnn.tensor import Operand, Tensor, apply, as_tensor


def to_device(x: Operand, device: str) -> Tensor:
    """x on `device`, "cpu" or "cuda": itself if it is there, else a copy.

    The gradient is copied back. A copy to the GPU is ordered on CuPy's current stream; one to the
    CPU waits for the GPU.

    Raises: DTypeError; DeviceError for an unknown device, for what "cuda" lacks on this machine,
    and for too little memory there.
    """
    tensor = as_tensor(x, None, "x")
    source = device_of(tensor.data)
    if check_device(device) == source:
        return tensor
    out = moved(tensor.data, device, "x")
    return apply("to_device", (tensor,), (out,), lambda g: (moved(g, source),), fresh=True)[0]
