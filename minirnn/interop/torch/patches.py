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
    """What was changed outside, in order; `undo` puts all of it back, whatever happens.

    A function that somebody else replaced in the meantime is left as they made it: what they hold
    on to is ours, which goes on working and sees nothing any more.
    """

    def __init__(self) -> None:
        self._replaced: list[tuple[Any, str, Any, Any]] = []
        self._handles: list[Removable] = []

    def replace(self, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        """Put `make(original)` in the place of `owner.name`."""
        original = getattr(owner, name)
        ours = make(original)
        setattr(owner, name, ours)
        self._replaced.append((owner, name, original, ours))

    def hook(self, handle: Removable) -> None:
        """Take over a hook's handle."""
        self._handles.append(handle)

    def undo(self) -> None:
        """Put everything back."""
        while self._handles:
            self._handles.pop().remove()
        while self._replaced:
            owner, name, original, ours = self._replaced.pop()
            if getattr(owner, name) is ours:
                setattr(owner, name, original)
