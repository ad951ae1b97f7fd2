"""What stands in a module's `forward` while it is swapped.

A module keeps its class, parameters and hooks. What changes is one attribute of the instance,
`forward`, and taking it away restores the module.
"""

from __future__ import annotations

import warnings
import weakref
from inspect import signature
from typing import TYPE_CHECKING, Any

from minirnn.interop.torch import modes
from minirnn.interop.torch.cells import run_cell
from minirnn.interop.torch.equations import CELLS
from minirnn.interop.torch.layers import run_layers
from minirnn.interop.torch.traces import Call
from minirnn.nn.arguments import level_of_the_user

if TYPE_CHECKING:
    from minirnn.interop.torch.swap import Swap
    from minirnn.interop.torch.watching import Watch

Module = Any
Tensor = Any


class Stand:
    """A swapped module's `forward`: ours where our kernels can, PyTorch's own elsewhere.

    swaps        who asked for it, and what the module is called there; the last to go takes it away
    watches      those of them that record, with that name
    last_states  of the latest recorded call
    """

    def __init__(self, module: Module) -> None:
        self._module = weakref.ref(module)  # a module that held itself would outlive its model
        self._run = run_cell if isinstance(module, CELLS) else run_layers
        self._warned: set[str] = set()
        self.class_name = type(module).__name__
        self.swaps: list[tuple[Swap, str]] = []
        self.watches: tuple[tuple[Watch, str], ...] = ()
        self.last_states: tuple[Tensor, ...] | None = None
        own = type(module).forward.__get__(module)
        self.__name__, self.__doc__, self.__signature__ = "forward", own.__doc__, signature(own)

    def __call__(self, *given: Any, **named: Any) -> Any:
        """What the module's own forward gives, and what it raises."""
        module: Any = self._module()
        if self.swaps:
            try:
                input, hx = _taken(*given, **named)
            except TypeError:  # which their forward says in words of its own
                return type(module).forward(module, *given, **named)
            # First of all, for a tracer would follow the checks of the arguments too.
            result = modes.tracing() or self._run(module, input, hx, Call(self))
            if not isinstance(result, str):
                return result
            if result:
                self._warn(result)
        return type(module).forward(module, *given, **named)

    def __getattr__(self, name: str) -> Any:
        # torch.export reads a forward's code: that of the module's own, which it traces.
        if name == "_module":  # not made yet
            raise AttributeError(name)
        module: Any = self._module()
        return getattr(type(module).forward.__get__(module), name)

    def _warn(self, why: str) -> None:
        if why not in self._warned:
            self._warned.add(why)
            name = self.swaps[0][1] or self.class_name
            text = f"{name} runs PyTorch's own forward, which nothing speeds up or records: {why}"
            warnings.warn(text, UserWarning, stacklevel=level_of_the_user("torch"))

    def join(self, swap: Swap, name: str) -> None:
        """Stand for one more, who calls the module `name`."""
        self.swaps.append((swap, name))
        self._find_watches()

    def leave(self, swap: Swap) -> None:
        """Stand for one less; with the last, the module's own forward comes back."""
        self.swaps = [each for each in self.swaps if each[0] is not swap]
        self._find_watches()
        module = self._module()
        if not self.swaps and module is not None and vars(module).get("forward") is self:
            del vars(module)["forward"]

    def _find_watches(self) -> None:
        watches = [(swap.watch, name) for swap, name in self.swaps if swap.watch is not None]
        self.watches = tuple(watches)
        if not watches:
            self.last_states = None

    def __reduce__(self) -> tuple[Any, ...]:
        # In a file the module is PyTorch's alone: it is read, as it was written, without minirnn.
        return getattr, (self._module(), "forward")

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """A copy of the module is swapped too, and is restored with the original."""
        copied = memo.get(id(self._module()))
        if copied is None:  # this method was copied, not its module
            return self
        stand = Stand(copied)
        for swap, name in self.swaps:
            swap.add(stand, name)
        return stand


def _taken(input: Any, hx: Any = None) -> tuple[Any, Any]:
    """The arguments of forward, by place or by name. Raises: TypeError for others."""
    return input, hx
