"""A layer as a function of its inputs and parameters, for checks of gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import minirnn as mr


def as_function(
    layer: mr.Module, call: Callable[..., Any] | None = None, *, inputs: int = 1
) -> Callable[..., tuple[mr.Tensor, ...]]:
    """f(*inputs, *parameters), the parameters in the order of `layer.parameters()`.

    `call(*inputs)` runs the layer; without it, the layer is called. Results are flattened.
    """
    owners = [(module, name) for module in layer.modules() for name in module._parameters]

    def function(*tensors: mr.Tensor) -> tuple[mr.Tensor, ...]:
        for (module, name), value in zip(owners, tensors[inputs:], strict=True):
            setattr(module, name, value)
        return tuple(flat((call or layer)(*tensors[:inputs])))

    return function


def flat(result: Any) -> list[mr.Tensor]:
    if isinstance(result, mr.Tensor):
        return [result]
    return [tensor for part in result for tensor in flat(part)]
