"""`Sequential`: modules one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from minirnn.errors import ArgumentError
from minirnn.nn.module import Module


class Sequential(Module):
    """Each module's result is the next one's input; the modules are named "0", "1", …

    Raises: ArgumentError for no modules, or for what is none.
    """

    def __init__(self, *modules: Module) -> None:
        """Chain `modules`."""
        if not modules:
            raise ArgumentError("modules", "none", "at least one module")
        for index, module in enumerate(modules):
            if not isinstance(module, Module):
                raise ArgumentError(f"modules[{index}]", type(module).__name__, "a Module")
            setattr(self, str(index), module)
        self._length = len(modules)

    def forward(self, x: Any) -> Any:
        """Run the chain.

        Raises: ArgumentError when a module before the last returns more than one value, as
        recurrent layers do.
        """
        for index, module in enumerate(self):
            if isinstance(x, tuple):
                name = type(self[index - 1]).__name__
                raise ArgumentError(
                    f"modules[{index - 1}]",
                    f"a tuple from {name}",
                    "one value to hand to the next module",
                    "SequenceModel joins recurrent layers and a head",
                )
            x = module(x)
        return x

    def __len__(self) -> int:
        """How many modules."""
        return self._length

    def __getitem__(self, index: int) -> Module:
        """The module at `index`, negative ones counted from the end."""
        position = range(self._length)[index]
        module: Module = getattr(self, str(position))
        return module

    def __iter__(self) -> Iterator[Module]:
        """The modules in order."""
        return (self[index] for index in range(self._length))
