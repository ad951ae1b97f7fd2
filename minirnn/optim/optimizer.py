"""What all optimisers share: their parameters, their settings, and state that can be saved."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from minirnn.device import array_namespace, beside, check_beside
from minirnn.errors import ArgumentError, DTypeError, ShapeError
from minirnn.gpu import memory_error
from minirnn.kernels.contract import Array
from minirnn.real import is_real
from minirnn.tensor import Tensor


class Optimizer(ABC):
    """Changes parameters in place, by their gradients.

    A parameter without a gradient is passed over, and its own count of steps does not advance, as
    in PyTorch. `learning_rate` may be set between steps. One thread at a time may step. What is
    kept for a parameter lies on the parameter's device, and follows it when a model is moved.

    A subclass names its scalars in `settings`, each with the function that checks it, and in
    `buffers` the arrays it keeps for each parameter; they start as zeros.
    """

    settings: ClassVar[Mapping[str, Callable[[str, Any], Any]]]
    buffers: ClassVar[tuple[str, ...]]

    def __init__(self, parameters: Iterable[Tensor], **settings: Any) -> None:
        """Check the parameters and settings, and make the buffers."""
        self.parameters = checked_parameters(parameters)
        for name, check in self.settings.items():
            setattr(self, name, check(name, settings[name]))
        self._steps = [0] * len(self.parameters)
        try:
            self._buffers = [
                tuple(array_namespace(p.data).zeros_like(p.data) for _ in self.buffers)
                for p in self.parameters
            ]
        except MemoryError as error:
            raise memory_error(error) from None
        self._spare: dict[Any, Array] = {}

    @property
    def learning_rate(self) -> float:
        """The learning rate, at least 0."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._learning_rate = at_least_zero("learning_rate", value)

    def step(self) -> None:
        """Update every parameter that has a gradient; gradients are left as they are.

        Raises: DeviceError for a gradient that is not on its parameter's device.
        """
        # As on the tape: overflow gives inf and then NaN, which travel on in silence.
        with np.errstate(all="ignore"):
            for index, parameter in enumerate(self.parameters):
                if parameter.grad is not None:
                    kept, kind = self._buffers[index], type(parameter.data)
                    if type(parameter.grad) is not kind:
                        check_beside(parameter.grad, parameter.data, f"parameters[{index}].grad")
                    if kept and type(kept[0]) is not kind:  # the parameter was moved
                        kept = tuple([beside(array, parameter.data) for array in kept])
                        self._buffers[index] = kept
                    count = self._steps[index] + 1
                    self._update(parameter, parameter.grad, count, *kept)
                    self._steps[index] = count

    def zero_grad(self) -> None:
        """Forget the parameters' gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @abstractmethod
    def _update(self, parameter: Tensor, gradient: Array, step: int, *buffers: Array) -> None:
        """Update one parameter; `step` is 1 at its first. The gradient is not written to."""

    def _workspace(self, like: Array, which: int) -> Array:
        """An array for intermediate results, shaped like `like`, valid until the next update.

        All parameters share it, so that a step allocates nothing once it is large enough. `which`
        tells apart the arrays that are in use together.
        """
        key = (which, like.dtype, type(like))
        spare = self._spare.get(key)
        if spare is None or spare.size < like.size:
            try:
                spare = array_namespace(like).empty(like.size, like.dtype)
            except MemoryError as error:
                raise memory_error(error) from None
            self._spare[key] = spare
        return spare[: like.size].reshape(like.shape)

    def _decayed(self, parameter: Tensor, gradient: Array, weight_decay: float) -> Array:
        """gradient + weight_decay * parameter: the gradient of an added weight_decay/2 |p|^2."""
        if weight_decay == 0.0:
            return gradient
        total = self._workspace(gradient, 1)
        array_namespace(gradient).multiply(parameter.data, weight_decay, out=total)
        total += gradient
        return total

    def state_dict(self) -> dict[str, Array]:
        """Everything needed to go on exactly, as arrays (copies) by name.

        Settings are 0-d; `steps` counts the updates of each parameter; arrays kept for parameter i
        are named "name.i", i in the order in which the parameters were given, and are on the device
        where the optimiser has them; those of another device can be loaded.
        """
        state: dict[str, Array] = {name: np.array(getattr(self, name)) for name in self.settings}
        state["steps"] = np.array(self._steps, dtype=np.int64)
        for index, kept in enumerate(self._buffers):
            for name, array in zip(self.buffers, kept, strict=True):
                state[f"{name}.{index}"] = array.copy()
        return state

    def load_state_dict(self, state_dict: Mapping[str, Array]) -> None:
        """Take over what `state_dict` of an optimiser of the same kind and parameters returned.

        Raises: ArgumentError, ShapeError or DTypeError that names `state_dict` and the entry; then
        nothing was changed.
        """
        current = self.state_dict()
        if not isinstance(state_dict, Mapping) or set(state_dict) != set(current):
            came = sorted(state_dict) if isinstance(state_dict, Mapping) else type(state_dict)
            raise ArgumentError("state_dict", str(came), f"the entries {sorted(current)}")
        for name, wanted in current.items():
            array, entry = state_dict[name], _entry(name)
            if not hasattr(array, "dtype"):
                raise DTypeError(entry, f"a {type(array).__name__}", "an array")
            if array.dtype != wanted.dtype:
                raise DTypeError(entry, array.dtype.name, wanted.dtype.name)
            if array.shape != wanted.shape:
                raise ShapeError(entry, f"shape {array.shape}", f"shape {wanted.shape}")
        steps = [int(count) for count in state_dict["steps"]]
        if min(steps) < 0:
            raise ArgumentError(_entry("steps"), str(steps), "counts of at least 0")
        settings = {
            name: check(_entry(name), state_dict[name].item())
            for name, check in self.settings.items()
        }
        for name, value in settings.items():
            setattr(self, name, value)
        self._steps = steps
        for index, kept in enumerate(self._buffers):
            for name, array in zip(self.buffers, kept, strict=True):
                array[...] = beside(state_dict[f"{name}.{index}"], array)


def _entry(name: str) -> str:
    return f"state_dict[{name!r}]"


def checked_parameters(parameters: Iterable[Tensor]) -> list[Tensor]:
    """The parameters as a list, checked.

    Raises: ArgumentError for a lone Tensor, for none, for what is no Tensor, for a Tensor that is
    the result of an operation, for one given twice, and if none of them requires a gradient.
    """
    if isinstance(parameters, Tensor) or not isinstance(parameters, Iterable):
        came = f"a {type(parameters).__name__}"
        raise ArgumentError("parameters", came, "an iterable of Tensors, e.g. model.parameters()")
    found = list(parameters)
    if not found:
        raise ArgumentError("parameters", "none", "at least one Tensor")
    seen: set[int] = set()
    for index, parameter in enumerate(found):
        name = f"parameters[{index}]"
        if not isinstance(parameter, Tensor):
            raise ArgumentError(name, type(parameter).__name__, "a Tensor")
        if not parameter.is_leaf:
            raise ArgumentError(name, "the result of an operation", "a parameter, made as a Tensor")
        if id(parameter) in seen:
            raise ArgumentError(name, "a Tensor that was given before", "each parameter once")
        seen.add(id(parameter))
    if not any(parameter.requires_grad for parameter in found):
        raise ArgumentError("parameters", "only frozen Tensors", "one that requires a gradient")
    return found


def at_least_zero(name: str, value: Any) -> float:
    """`value` as a finite float of at least 0; raises ArgumentError naming `name`."""
    wanted = "a finite number of at least 0"
    number = float(value) if is_real(value) else math.nan
    if not (math.isfinite(number) and number >= 0.0):
        raise ArgumentError(name, repr(value), wanted)
    return number


def below_one(name: str, value: Any) -> float:
    """`value` as a float with 0 <= value < 1; raises ArgumentError naming `name`."""
    number = at_least_zero(name, value)
    if number >= 1.0:
        raise ArgumentError(name, repr(value), "a number of at least 0 and below 1")
    return number


def boolean(name: str, value: Any) -> bool:
    """`value` if it is True or False; raises ArgumentError naming `name`."""
    if not isinstance(value, bool):
        raise ArgumentError(name, repr(value), "True or False")
    return value
