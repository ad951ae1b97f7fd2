"""The tape: which tensor was made from which, and how gradients flow back through it.

An operation that will need a gradient leaves a `Node`. A node knows its inputs as *edges* and keeps
the closure that turns the gradients of its outputs into gradients of its inputs; it knows nothing
of the tensors it made. References therefore run from results to inputs only: there is no cycle,
and a tape that is never run backward is freed with its last result.

Nothing here recurses, freeing included, so a chain of 100,000 operations is as safe as a chain of
three. Nodes are numbered as they are made, and an operation's inputs exist before it does; so the
nodes that a result depends on, newest first, are in topological order.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from operator import attrgetter
from typing import Any, Protocol, TypeAlias

import numpy as np

from minirnn.device import Array, check_beside
from minirnn.errors import DTypeError, ShapeError, TapeError
from minirnn.gpu import memory_error


class Leaf(Protocol):
    """A tensor that came from no operation and collects its gradient in `grad`."""

    data: Array
    grad: Array | None


# The result of an operation, as a tape sees it: (node, output index, shape, dtype). A plain tuple,
# because one is made for every operation and a named one costs as much as the rest of the record.
Origin: TypeAlias = "tuple[Node, int, tuple[int, ...], np.dtype[Any]]"
Edge: TypeAlias = "Origin | Leaf | None"  # None: this input needs no gradient
Backward: TypeAlias = "Callable[..., Sequence[Array | None]]"


class Mode(threading.local):
    """Whether this thread records what it computes."""

    enabled = True


mode = Mode()
_serial = itertools.count()
_lock = threading.Lock()


def _replace_lock() -> None:
    # A thread of the parent may have held the lock at the fork; in the child nobody would free it.
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_replace_lock)


def is_grad_enabled() -> bool:
    """Whether operations of this thread are recorded (when an input requires a gradient)."""
    return mode.enabled


@contextmanager
def no_grad() -> Iterator[None]:
    """Record nothing inside: `with no_grad(): ...`, or `@no_grad()` above a function.

    Holds for the calling thread only; may be nested.
    """
    before = mode.enabled
    mode.enabled = False
    try:
        yield
    finally:
        mode.enabled = before


class _Dying(threading.local):
    """What the nodes that this thread is freeing held, until it is their turn to be let go."""

    def __init__(self) -> None:
        self.held: list[object] = []
        self.busy = False


_dying = _Dying()


class Node:
    """One recorded operation. `used` once a backward pass has claimed it."""

    __slots__ = (
        "__weakref__",
        "backward",
        "edges",
        "fresh",
        "gradients",
        "name",
        "outputs",
        "serial",
        "used",
    )

    def __init__(
        self, name: str, edges: Sequence[Edge], outputs: int, backward: Backward, fresh: bool
    ) -> None:
        self.name = name
        self.fresh = fresh  # whether `backward` makes new arrays, which a leaf may keep
        self.edges = edges
        self.outputs = outputs
        self.backward: Backward | None = backward
        self.gradients: list[Array | None] | None = None  # of the outputs, while backward runs
        self.used = False
        self.serial = next(_serial)

    def __del__(self) -> None:
        # When a tape is dropped, its last node lets go of the one before, and so on: left to the
        # interpreter that nests as deep as the tape is long, and overflows a thread's stack (in
        # Python 3.13, whose own guard is generous). So a node hands over what it holds, and only
        # the outermost of the nested calls lets go, one after another.
        if not self.edges:
            return
        dying = _dying
        dying.held.append((self.edges, self.backward))
        self.release()
        if not dying.busy:
            dying.busy = True
            try:
                while dying.held:
                    dying.held.pop()
            finally:
                dying.busy = False

    def release(self) -> None:
        """Let go of everything the node keeps alive."""
        self.backward = None
        self.edges = ()
        self.gradients = None


def run_backward(origin: Origin, gradient: Array) -> None:
    """Carry `gradient` from `origin` back to the leaves, adding to their `grad`.

    Nodes are released as they are passed. The leaves are written at the end, so if an operation
    fails no leaf has half of a sum.

    Raises: TapeError if any part of the tape was used before; ShapeError, DTypeError or DeviceError
    if an operation returns a gradient that does not fit its input; DeviceError for too little
    memory on the GPU.
    """
    node, index, _, _ = origin
    order = _claim(node)
    node.gradients = [None] * node.outputs
    node.gradients[index] = gradient
    sums: dict[Leaf, Array] = {}
    # As IEEE 754 has it: overflow gives inf, inf - inf NaN, and both travel on in silence.
    with np.errstate(all="ignore"):
        try:
            for node in order:
                _propagate(node, sums)
        except MemoryError as error:
            raise memory_error(error) from None
    add_to_leaves(sums)


def add_to_leaves(sums: dict[Leaf, Array]) -> None:
    """Add to each leaf's `grad` the array given for it, which becomes the leaf's own.

    The old array is left as it was: a caller may have put it there, or may still look at it.

    Raises: DeviceError if an old one is not on its leaf's device; then no leaf was changed.
    """
    with _lock:
        for leaf, total in sums.items():
            if leaf.grad is not None and type(leaf.grad) is not type(total):
                check_beside(leaf.grad, total, "grad")
        for leaf, total in sums.items():
            if leaf.grad is not None:
                total += leaf.grad
            leaf.grad = total


def own_copy(gradient: Array) -> Array:
    """A copy that shares no memory with its source, and is an array even where 0-dimensional."""
    copied = gradient.copy()
    return np.asarray(copied) if isinstance(copied, np.generic) else copied


def _claim(root: Node) -> list[Node]:
    """The nodes that `root` depends on and itself, newest first; marked as used, all or none."""
    order = [root]
    seen = {root}
    with _lock:
        for node in order:  # grows while it is walked
            if node.used:
                raise TapeError(
                    f"backward reached {node.name!r}, a part of the tape that an earlier backward "
                    "has already used and freed. Compute the result again; or add the losses and "
                    "call backward once; or .detach() a state that is carried over"
                )
            for edge in node.edges:
                if isinstance(edge, tuple) and edge[0] not in seen:
                    seen.add(edge[0])
                    order.append(edge[0])
        for node in order:
            node.used = True
    order.sort(key=attrgetter("serial"), reverse=True)
    return order


def _propagate(node: Node, sums: dict[Leaf, Array]) -> None:
    """Turn the gradients that reached `node` into gradients of its inputs, and release it."""
    gradients, edges, backward = node.gradients, node.edges, node.backward
    node.release()
    if gradients is None or backward is None:
        return  # everything above it answered None
    for edge, gradient in zip(edges, backward(*gradients), strict=True):
        if edge is None or gradient is None:
            continue
        if isinstance(edge, tuple):
            parent, index, shape, dtype = edge
            _check(node.name, gradient, shape, dtype)
            if parent.gradients is None:
                parent.gradients = [None] * parent.outputs
            held = parent.gradients[index]
            # Out of place: an operation may hand the same array to two inputs.
            parent.gradients[index] = gradient if held is None else held + gradient
        else:
            _check(node.name, gradient, edge.data.shape, edge.data.dtype)
            if type(gradient) is not type(edge.data):  # a leaf that was moved after forward
                check_beside(gradient, edge.data, f"gradient of {node.name!r}")
            if edge in sums:
                sums[edge] += gradient
            else:
                sums[edge] = gradient if node.fresh else own_copy(gradient)


def _check(name: str, gradient: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Check that the gradient that operation `name` returned fits the input it is for."""
    if gradient.shape != shape:
        raise ShapeError(f"gradient of {name!r}", f"shape {gradient.shape}", f"{shape}")
    if gradient.dtype is not dtype and gradient.dtype != dtype:
        raise DTypeError(f"gradient of {name!r}", gradient.dtype.name, dtype.name)
