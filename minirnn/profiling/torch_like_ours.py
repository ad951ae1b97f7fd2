"""PyTorch on the GPU, made to compute as our kernels do: its stream and its precision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def on_cupys_stream(torch: Any) -> Iterator[None]:
    """Inside, what PyTorch launches goes to CuPy's current stream, in order with what we launch."""
    import cupy

    pointer = cupy.cuda.get_current_stream().ptr
    stream = torch.cuda.ExternalStream(pointer) if pointer else torch.cuda.default_stream()
    with torch.cuda.stream(stream):
        yield


@contextmanager
def float32_products(torch: Any, tf32: bool) -> Iterator[None]:
    """Inside, cuDNN's recurrent networks and matrix products round float32 to tf32, or do not.

    PyTorch has two ways to say so, and its default for cuDNN is tf32. From 2.9 on each operation
    has a precision of its own, and mixing that with the older flags is an error, so those are
    touched only where there is nothing else.
    """
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    if hasattr(getattr(cudnn, "rnn", None), "fp32_precision"):
        places, value = [(cudnn.rnn, "fp32_precision"), (matmul, "fp32_precision")], _name(tf32)
    else:
        places, value = [(cudnn, "allow_tf32"), (matmul, "allow_tf32")], tf32
    before = [getattr(place, name) for place, name in places]
    for place, name in places:
        setattr(place, name, value)
    try:
        yield
    finally:
        for (place, name), old in zip(places, before, strict=True):
            setattr(place, name, old)


def _name(tf32: bool) -> Any:
    return "tf32" if tf32 else "ieee"
