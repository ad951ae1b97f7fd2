"""Functions of a framework stood in for while something is watched, and put back afterwards."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, Protocol


class Removable(Protocol):
    """A handle of one of PyTorch's hooks."""

    def remove(self) -> None:
        """Take the hook away."""
        ...


class Hook:
    """A hook that stays behind where its module is copied or pickled: an idle one goes along.

    A copy of a model (the best one so far, an average, a target) is not the one that is watched,
    and a file is read without minirnn.
    """

    def __init__(self, see: Callable[..., Any]) -> None:
        self._see = see

    def __call__(self, *args: Any) -> Any:
        """What a hook is called with, handed on."""
        return self._see(*args)

    def __reduce__(self) -> tuple[Any, ...]:
        # Python's own function that takes whatever it is given, and returns None.
        return getattr, (nullcontext(), "__exit__")


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
