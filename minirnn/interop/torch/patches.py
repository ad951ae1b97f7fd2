"""Functions of a framework stood in for while something is watched, and put back afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Removable(Protocol):
    """A handle of one of PyTorch's hooks."""

    def remove(self) -> None:
        """Take the hook away."""
        ...


class Patches:
    """What was changed outside; `undo` puts all of it back, whatever happens, in any order.

    Watches of two models may overlap, and end in the order they began: what is then not on top is
    marked as done with, and goes when what stands on it goes. A function that somebody else put on
    top in the meantime stays: what they hold on to is ours, which goes on working.
    """

    def __init__(self) -> None:
        self._replaced: list[tuple[Any, str, Any]] = []
        self._handles: list[Removable] = []

    def replace(self, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        """Put `make(original)` in the place of `owner.name`."""
        original = getattr(owner, name)
        ours = make(original)
        ours.minirnn_stands_for, ours.minirnn_is_done = original, False
        setattr(owner, name, ours)
        self._replaced.append((owner, name, ours))

    def hook(self, handle: Removable) -> None:
        """Take over a hook's handle."""
        self._handles.append(handle)

    def undo(self) -> None:
        """Put everything back."""
        while self._handles:
            self._handles.pop().remove()
        while self._replaced:
            owner, name, ours = self._replaced.pop()
            ours.minirnn_is_done = True
            while getattr(top := getattr(owner, name), "minirnn_is_done", False):
                setattr(owner, name, top.minirnn_stands_for)
