"""What a loss's graph tells of the way back: where no slope is left, and what bounds the answers.

Read before `backward`, which lets go of what the graph remembers; nothing here changes it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import torch

from minirnn.interop.torch.loop.losses import RESHAPING

MOST_NODES = 64  # of a graph, looked at from the loss on

# Functions that are steps: their slope is 0 wherever it is not infinite.
STEPS = {
    "Round": "round",
    "Sign": "sign",
    "Floor": "floor",
    "Ceil": "ceil",
    "Trunc": "trunc",
    "Heaviside": "heaviside",
}


def _of_result(slope: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Any], bool]:
    return lambda node: not bool(slope(node._saved_result).any())


def _clamped(node: Any) -> bool:
    x = node._saved_self
    least, most = node._saved_min, node._saved_max
    inside = torch.ones_like(x, dtype=torch.bool)
    if least is not None:
        inside &= x >= least
    if most is not None:
        inside &= x <= most
    return not bool(inside.any())


# Functions that have a slope somewhere; whether these inputs met none of it.
FLAT: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "Relu": ("relu", _of_result(lambda r: r > 0)),
    "Threshold": ("threshold", lambda n: not bool((n._saved_self > n._saved_threshold).any())),
    "Clamp": ("clamp", _clamped),
    "Hardtanh": (
        "hardtanh",
        lambda n: (
            not bool(
                ((n._saved_self > n._saved_min_val) & (n._saved_self < n._saved_max_val)).any()
            )
        ),
    ),
    "Tanh": ("tanh", _of_result(lambda r: 1.0 - r * r)),
    "Sigmoid": ("sigmoid", _of_result(lambda r: r * (1.0 - r))),
}


# The last function of a model that bounds its answers.
BOUNDING = {"Tanh": "tanh", "Sigmoid": "sigmoid", "Relu": "relu"}


def bounded_by(output: torch.Tensor | None) -> str:
    """Which function made a model's answers, but for their shape, where it bounds them; "" else."""
    node = None if output is None else output.grad_fn
    for _ in range(MOST_NODES):
        name = "" if node is None else node.name()
        if name.split("Backward")[0] in BOUNDING:
            return BOUNDING[name.split("Backward")[0]]
        if node is None or not name.startswith(RESHAPING):
            return ""
        node = next((each for each, _ in node.next_functions if each is not None), None)
    return ""


def flat_end(loss: torch.Tensor) -> str:
    """The first function on the way back from a loss that has no slope anywhere: `relu`, `round`.

    "" where there is none among the nodes looked at, or it does not show what it remembers.
    """
    waiting, known = deque[Any]([loss.grad_fn]), set[Any]()
    while waiting and len(known) < MOST_NODES:
        node = waiting.popleft()
        if node is None or node in known:
            continue
        known.add(node)
        name = node.name().split("Backward")[0]
        if name in STEPS:
            return STEPS[name]
        if name in FLAT:
            called, is_flat = FLAT[name]
            with torch.no_grad():
                try:
                    if is_flat(node):
                        return called
                except (AttributeError, RuntimeError):
                    return ""  # let go of, or written in place over
        waiting.extend(each for each, _ in node.next_functions)
    return ""
