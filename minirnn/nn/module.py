"""`Module`: named parameters and buffers, nested modules, and state dicts that move by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

import numpy as np

from minirnn.device import beside, check_device, to_array, to_device
from minirnn.errors import ArgumentError, DeviceError, DTypeError, MinirnnError, ShapeError
from minirnn.gpu import memory_error
from minirnn.kernels.contract import Array
from minirnn.nn.arguments import boolean
from minirnn.tensor import Tensor


class Module:
    """A layer, or a tree of layers.

    Attributes register themselves: a leaf `Tensor` that requires a gradient becomes a parameter
    (and stays one when it is frozen later), a `Module` becomes a child. Their names are the
    attributes' names, joined by dots. A module that is reached twice (a shared layer, a cycle) and
    a parameter that is reached twice (tied weights) count once, under the first name. An array that
    is no parameter and belongs to the state all the same, such as a running mean, is a buffer: see
    `register_buffer`.

    A subclass defines `forward`; calling the module calls it.
    """

    training: bool  # True after construction and `train()`, False after `eval()`
    forward: Callable[..., Any]
    _parameters: dict[str, Tensor]
    _children: dict[str, Module]
    _buffers: dict[str, Array]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Make room for what is registered: here, so that it is there before any `__init__`."""
        self = super().__new__(cls)
        vars(self).update(training=True, _parameters={}, _children={}, _buffers={})
        return self

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute, and register it if it is a parameter or a module.

        Raises: ArgumentError for a list, tuple or dict of modules or parameters, which would
        otherwise not be trained, saved or moved, silently.
        """
        if isinstance(value, Module):
            self._parameters.pop(name, None)
            self._buffers.pop(name, None)
            self._children[name] = value
        elif isinstance(value, Tensor) and (name in self._parameters or _trainable(value)):
            self._children.pop(name, None)
            self._buffers.pop(name, None)
            self._parameters[name] = value
        else:
            _refuse_hidden_members(name, value)
            self._parameters.pop(name, None)
            self._children.pop(name, None)
            if name in self._buffers:
                value = self._buffers[name] = self._checked_buffer(name, value)
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        """Delete an attribute, and with it the parameter or module of that name."""
        object.__delattr__(self, name)
        self._parameters.pop(name, None)
        self._children.pop(name, None)
        self._buffers.pop(name, None)

    def register_buffer(self, name: str, array: Array) -> None:
        """Make `array` an attribute that is saved, loaded and moved, and not trained.

        It keeps its shape and dtype: assign to `module.name`, or write into it.

        Raises: ArgumentError for a name that is taken or no name; DTypeError for what is no array.
        """
        if not isinstance(name, str) or not name.isidentifier() or hasattr(self, name):
            raise ArgumentError("name", repr(name), "the name of a new attribute")
        if not hasattr(array, "dtype"):
            raise DTypeError("array", f"a {type(array).__name__}", "an array")
        self._buffers[name] = array
        object.__setattr__(self, name, array)

    def _checked_buffer(self, name: str, value: Any) -> Array:
        before = self._buffers[name]
        if not hasattr(value, "dtype"):
            raise DTypeError(name, f"a {type(value).__name__}", "an array")
        if value.dtype != before.dtype:
            raise DTypeError(name, value.dtype.name, before.dtype.name)
        if value.shape != before.shape:
            raise ShapeError(name, f"shape {value.shape}", f"shape {before.shape}")
        return value

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run `forward`.

        Raises: what `forward` raises, and DeviceError for too little memory on the GPU.
        """
        try:
            return self.forward(*args, **kwargs)
        except MemoryError as error:
            raise memory_error(error) from None

    def named_modules(self) -> list[tuple[str, Module]]:
        """This module (named "") and every module below it, each once, parents before children."""
        found: list[tuple[str, Module]] = []
        seen: set[int] = set()
        stack: list[tuple[str, Module]] = [("", self)]
        while stack:
            name, module = stack.pop()
            if id(module) in seen:
                continue
            seen.add(id(module))
            found.append((name, module))
            prefix = f"{name}." if name else ""
            below = [(prefix + key, child) for key, child in module._children.items()]
            stack.extend(reversed(below))
        return found

    def modules(self) -> list[Module]:
        """This module and every module below it, each once."""
        return [module for _, module in self.named_modules()]

    def named_parameters(self) -> list[tuple[str, Tensor]]:
        """Every parameter with its dotted name, each once, in order of registration."""
        found: list[tuple[str, Tensor]] = []
        seen: set[int] = set()
        for name, module in self.named_modules():
            prefix = f"{name}." if name else ""
            for key, parameter in module._parameters.items():
                if id(parameter) not in seen:
                    seen.add(id(parameter))
                    found.append((prefix + key, parameter))
        return found

    def parameters(self) -> list[Tensor]:
        """Every parameter, each once: a list, so that it can be walked more than once."""
        return [parameter for _, parameter in self.named_parameters()]

    def named_buffers(self) -> list[tuple[str, Array]]:
        """Every buffer with its dotted name, in order of registration."""
        return [
            (f"{name}.{key}" if name else key, array)
            for name, module in self.named_modules()
            for key, array in module._buffers.items()
        ]

    def state_dict(self) -> dict[str, Array]:
        """Parameters' values and buffers by name: copies, which later training does not change.

        Each is an array on its parameter's device; any device's model can load it.
        """
        return {name: array.copy() for name, array in self._state().items()}

    def _state(self) -> dict[str, Array]:
        """The arrays that a state dict is of, parameters first."""
        parameters = {name: parameter.data for name, parameter in self.named_parameters()}
        return parameters | dict(self.named_buffers())

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Copy values into the parameters and buffers, in place, by name.

        `state_dict` maps the name of each, and nothing else, to an array (or Tensor, or another
        library's array, such as a PyTorch tensor) of its exact shape and dtype, on any device:
        values are copied to where the parameter is.

        Raises: ShapeError, DTypeError, or (names missing or unexpected, or faults of several
        kinds) ArgumentError, which lists everything that is wrong; then nothing was changed.
        """
        if not isinstance(state_dict, Mapping):
            wanted = "a mapping from parameter names to arrays"
            raise ArgumentError("state_dict", type(state_dict).__name__, wanted)
        state = self._state()
        arrays = {name: _array_of(value) for name, value in state_dict.items()}
        _check_state_dict(state, arrays)
        for name, array in state.items():
            array[...] = beside(arrays[name], array)

    def train(self, mode: bool = True) -> Self:
        """Put this module and all below it into training mode (dropout acts); returns self.

        Raises: ArgumentError, if `mode` is neither True nor False.
        """
        training = boolean("mode", mode)
        for module in self.modules():
            module.training = training
        return self

    def eval(self) -> Self:
        """Put this module and all below it into evaluation mode; returns self."""
        return self.train(False)

    def to(self, device: str) -> Self:
        """Move parameters, their gradients and buffers to `device`, "cpu" or "cuda"; returns self.

        The parameters stay the same Tensors: an optimiser that holds them, made before or after,
        goes on with them and takes its own arrays along. A tape recorded before the move cannot be
        run backward after it.

        Raises: DeviceError, which lists the devices, says what "cuda" lacks on this machine, or how
        much memory; then nothing was moved.
        """
        check_device(device)
        parameters = self.parameters()
        moved = [
            (to_device(p.data, device), None if p.grad is None else to_device(p.grad, device))
            for p in parameters
        ]
        buffers = [
            (module, name, to_device(array, device))
            for module in self.modules()
            for name, array in module._buffers.items()
        ]
        for parameter, (data, grad) in zip(parameters, moved, strict=True):
            parameter.data, parameter.grad = data, grad
        for module, name, array in buffers:
            setattr(module, name, array)
        return self

    def zero_grad(self) -> None:
        """Forget the parameters' gradients."""
        for parameter in self.parameters():
            parameter.grad = None

    def _describe(self) -> str:
        """The arguments shown in the module's `repr`."""
        return ""

    def __repr__(self) -> str:
        """The module and those below it, one a line, indented; a repeated one is not expanded."""
        return _tree(self, set())


def device_of_module(module: Module, default: str = "cpu") -> str:
    """Where a module's parameters are; `default` if it has none.

    Raises: DeviceError that names `model` if they are on two devices.
    """
    found = {parameter.device for parameter in module.parameters()}
    if len(found) > 1:
        came = "one with parameters on 'cpu' and on 'cuda'"
        raise DeviceError("model", came, "all on one device", "Move it with .to(device)")
    return found.pop() if found else default


def _trainable(tensor: Tensor) -> bool:
    return tensor.requires_grad and tensor.is_leaf


def _refuse_hidden_members(name: str, value: Any) -> None:
    members: Iterable[Any]
    if isinstance(value, Mapping):
        members = value.values()
    elif isinstance(value, list | tuple | set):
        members = value
    else:
        return
    for member in members:
        if isinstance(member, Module) or (isinstance(member, Tensor) and _trainable(member)):
            raise ArgumentError(
                name,
                f"a {type(value).__name__} that holds a {type(member).__name__}",
                "modules and parameters as attributes of their own, or modules in a Sequential",
                "Inside a container they would be neither trained nor saved",
            )


def _array_of(value: Any) -> Any:
    """`value` as an array; None stands for what is none."""
    if isinstance(value, Tensor):
        return value.data
    if isinstance(value, np.ndarray | np.generic):
        return np.asarray(value)
    if not any(hasattr(value, way) for way in ("__array__", "__dlpack__")):
        return None
    if getattr(value, "requires_grad", False) is True and hasattr(value, "detach"):
        value = value.detach()  # another library's parameter: its value is what is wanted
    try:
        return to_array(value, None, "state_dict")
    except DTypeError:  # of a dtype that no parameter has: found where all faults are gathered
        return value
    except MinirnnError:
        return None


def _check_state_dict(state: Mapping[str, Array], arrays: Mapping[str, Any]) -> None:
    faults: dict[str, list[str]] = {"missing": [], "unexpected": [], "shape": [], "dtype": []}
    for name, wanted in state.items():
        if name not in arrays:
            faults["missing"].append(repr(name))
            continue
        array = arrays[name]
        if array is None:
            faults["dtype"].append(f"{name!r} is no array")
            continue
        if array.shape != wanted.shape:
            faults["shape"].append(f"{name!r} {array.shape} instead of {wanted.shape}")
        if array.dtype != wanted.dtype:
            faults["dtype"].append(f"{name!r} {array.dtype} instead of {wanted.dtype}")
    faults["unexpected"] = [repr(name) for name in arrays if name not in state]
    present = {kind: found for kind, found in faults.items() if found}
    if not present:
        return
    words = {"missing": "missing", "unexpected": "unexpected", "shape": "wrong shape"}
    words["dtype"] = "wrong dtype"
    came = "; ".join(f"{words[kind]}: {', '.join(found)}" for kind, found in present.items())
    kinds = {"shape": ShapeError, "dtype": DTypeError}
    error = kinds.get(next(iter(present)), ArgumentError) if len(present) == 1 else ArgumentError
    raise error("state_dict", came, "every parameter's name once, with its shape and dtype")


def _tree(module: Module, seen: set[int]) -> str:
    head = f"{type(module).__name__}({module._describe()})"
    if id(module) in seen or not module._children:
        return head
    seen.add(id(module))
    lines = [head]
    for name, child in module._children.items():
        lines.append(f"  {name}: " + _tree(child, seen).replace("\n", "\n  "))
    return "\n".join(lines)
