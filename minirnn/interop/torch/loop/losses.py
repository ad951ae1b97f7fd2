"""How a user's loop computes its loss: what is compared with what, and in which shapes.

The losses of `torch.nn.functional`, which the modules of `torch.nn` call too, are stood in for. A
loss written by hand (`((output - y) ** 2).mean()`) is read off its graph when backward begins.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from minirnn.diagnosis.evidence.loop import LossSeen

KINDS = {
    "mse_loss": "mse",
    "l1_loss": "l1",
    "smooth_l1_loss": "huber",
    "huber_loss": "huber",
    "cross_entropy": "cross_entropy",
    "nll_loss": "nll",
    "binary_cross_entropy": "binary_cross_entropy",
    "binary_cross_entropy_with_logits": "bce",
}
CLASSES = ("cross_entropy", "nll")
SQUASHING = {"bce": "Sigmoid", "cross_entropy": "Softmax"}  # what the loss does itself
RESHAPING = (
    "View", "UnsafeView", "Reshape", "Squeeze", "Unsqueeze", "Select", "Slice", "Index",
    "Transpose", "Permute", "TBackward", "Clone", "ToCopy",
)  # fmt: skip
MOST_NODES = 12  # of a loss's graph, walked from its value


@dataclass(frozen=True, eq=False)
class LossCall:
    """One call: detached prediction and target, which are the user's own and may yet change."""

    kind: str
    prediction: torch.Tensor
    target: torch.Tensor
    ignored: int = -100  # the label of rows that do not count
    squashed: str = ""  # as in `LossSeen`

    @property
    def grown(self) -> bool:
        """Whether prediction and target broadcast into more errors than either has numbers."""
        if self.kind in CLASSES:
            return False
        shapes = self.prediction.shape, self.target.shape
        if shapes[0] == shapes[1]:
            return False
        try:
            compared = torch.broadcast_shapes(*shapes)
        except RuntimeError:
            return False
        largest = max(self.prediction.numel(), self.target.numel())
        return bool(compared.numel() > largest)

    @property
    def nbytes(self) -> int:
        """Bytes of both."""
        return int(self.prediction.nbytes + self.target.nbytes)

    def part(self, B: int, at: torch.Tensor) -> LossCall:
        """A copy, of some of B sequences where an axis of them is seen: the first of that size.

        Rows that are flattened from sequences and steps stay all.
        """

        def of(tensor: torch.Tensor) -> torch.Tensor:
            axis = next((k for k in range(min(2, tensor.ndim)) if tensor.shape[k] == B), None)
            return tensor.clone() if axis is None else tensor.index_select(axis, at)

        return replace(self, prediction=of(self.prediction), target=of(self.target))

    def seen(self, calls: int, grown: int) -> LossSeen:
        """The detectors' view of it."""
        shapes = tuple(self.prediction.shape), tuple(self.target.shape)
        return LossSeen(self.kind, *shapes, calls, grown, self.squashed)


def standing_in(original: Callable[..., Any], name: str, see: Callable[..., None]) -> Any:
    """A loss function that tells `see(kind, prediction, target, ignored)` of calls with a graph."""
    kind = KINDS[name]

    @functools.wraps(original)
    def loss(*args: Any, **kwargs: Any) -> Any:
        named = dict(zip(("input", "target"), args, strict=False)) | kwargs
        prediction, target = named.get("input"), named.get("target")
        if (
            isinstance(prediction, torch.Tensor)
            and isinstance(target, torch.Tensor)
            and prediction.requires_grad
        ):
            ignored = _ignored(name, args, kwargs)
            squashed = squashed_by(kind, prediction)
            see(LossCall(kind, prediction.detach(), target.detach(), ignored, squashed))
        return original(*args, **kwargs)

    return loss


def _ignored(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """ignore_index, wherever it was given: it is the fifth argument of both losses of classes."""
    if KINDS[name] not in CLASSES:
        return -100
    given = kwargs.get("ignore_index", args[4] if len(args) > 4 else -100)
    return given if isinstance(given, int) else -100


def squashed_by(kind: str, prediction: torch.Tensor) -> str:
    """Which function made chances of what a loss takes for logits; "" where none did.

    It is the last thing done to the prediction, but for its shape.
    """
    function = SQUASHING.get(kind)
    node = prediction.grad_fn
    for _ in range(MOST_NODES if function else 0):
        if node is None:
            return ""
        name = node.name()
        if name.startswith(f"{function}Backward"):
            return str(function).lower()
        if not name.startswith(RESHAPING):
            return ""
        node = next((each for each, _ in node.next_functions if each is not None), None)
    return ""


def by_hand(loss: torch.Tensor, output: torch.Tensor | None) -> LossCall | None:
    """What a loss written by hand compares, where it is a mean or sum of (a - b)^2 or |a - b|.

    output: the model's. The prediction is taken for it, in another shape perhaps; the target is
    what is left when the difference is taken away. None where the graph shows something else.
    """
    node, squared = loss.grad_fn, None
    for _ in range(MOST_NODES):
        if node is None or output is None:
            return None
        name = node.name()
        if name.startswith(("PowBackward", "AbsBackward", "MulBackward")) and squared is None:
            squared = getattr(node, "_saved_self", None)
        elif name.startswith("SubBackward") and squared is not None:
            return _difference(node, squared, output.detach())
        elif squared is not None or not name.startswith(
            ("MeanBackward", "SumBackward", "SqrtBackward", "DivBackward")
        ):
            return None
        node = next((each for each, _ in node.next_functions if each is not None), None)
    return None


def _difference(node: Any, difference: Any, output: torch.Tensor) -> LossCall | None:
    """prediction - target = difference, or the other way round."""
    sides = [each for each, _ in node.next_functions]
    at = next((k for k, each in enumerate(sides) if each is not None), None)
    if at is None or not isinstance(difference, torch.Tensor):
        return None
    shape = sides[at]._input_metadata[sides_index(node, at)].shape
    if torch.Size(shape).numel() != output.numel():
        return None
    prediction = output.reshape(tuple(shape))
    difference = difference.detach()
    target = prediction - difference if at == 0 else prediction + difference
    if target.shape != prediction.shape:
        target = narrowest(target)
    return LossCall("by hand", prediction, target)


def is_root(loss: torch.Tensor) -> bool:
    """Whether the last thing done to a loss was to take its square root."""
    node = loss.grad_fn
    if node is None:
        return False
    power = getattr(node, "_saved_exponent", None) if node.name().startswith("Pow") else None
    return bool(node.name().startswith("Sqrt") or power == 0.5)


def sides_index(node: Any, at: int) -> int:
    """Which output of the node before it this side is."""
    return int(node.next_functions[at][1])


def narrowest(target: torch.Tensor) -> torch.Tensor:
    """A broadcast target as it was: axes along which nothing changes were not there, or 1 long.

    Rounding in the difference makes them change a little.
    """
    slack = 1e-4 * float(target.abs().max()) if target.numel() else 0.0
    for axis in range(target.ndim):
        if target.shape[axis] > 1:
            spread = target.amax(axis) - target.amin(axis)
            if float(spread.max()) <= slack:
                target = target.narrow(axis, 0, 1)
    while target.ndim and target.shape[0] == 1:
        target = target[0]
    return target
