"""Functions on CuPy's arrays: CUDA kernels, launched from Python."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from minirnn.device import to_device
from minirnn.inspect.host import on_host
from minirnn.testing.adapters.adapter import Adapter


def cupy_function(
    forward: Callable[..., Any], backward: Callable[..., Any] | None = None, **conventions: Any
) -> Adapter:
    """Two functions as `check_cell` takes them, but on CuPy's arrays.

    Every array goes to the GPU on the way in and comes back on the way out, so neither guards nor
    strides reach the kernels; NaN around the arrays would have to be put there by the function.

    conventions  arguments of `check_cell`, such as `cell`

    Raises: DeviceError without a GPU, when it is called.
    """
    parameters = inspect.signature(forward).parameters

    def run(x: Any, state: Any, weights: Any, **options: Any) -> Any:
        given = {key: _moved(value) for key, value in options.items() if key in parameters}
        result = forward(_moved(x), _moved(state), _moved(weights), **given)
        output, state, *saved = result if isinstance(result, tuple) else (result, None)
        return (_back(output), _back(state), *saved)

    def differentiate(doutput: Any, dstate: Any, saved: Any) -> Any:
        assert backward is not None
        return _back(backward(_moved(doutput), _moved(dstate), saved))

    return Adapter(
        run,
        {
            "lengths": "any" if "lengths" in parameters else "none",
            "reverse": "reverse" in parameters,
            "strided": False,
            **conventions,
        },
        None if backward is None else differentiate,
    )


def _moved(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_moved, value))
    return to_device(value, "cuda") if hasattr(value, "shape") else value


def _back(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _back(v) for key, v in value.items()}
    if isinstance(value, tuple | list):
        return tuple(map(_back, value))
    return on_host(value) if hasattr(value, "shape") else value
