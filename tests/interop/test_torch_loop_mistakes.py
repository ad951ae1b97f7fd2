"""Mistakes that a watched loop shows by its graph and its weights: parts left out, chances fed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402, N812
from torch import nn  # noqa: E402

from minirnn.interop.torch.loop.losses import squashed_by  # noqa: E402
from minirnn.interop.torch.loop.observer import LoopObserver  # noqa: E402


class Model(nn.Module):
    """An LSTM and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(2, 4, batch_first=True)
        self.head = nn.Linear(4, 1)

    def forward(self, x: Any) -> Any:
        return self.head(self.rnn(x)[0][:, -1])


def left_out(
    held: Callable[[Model], list[Any]], more: Callable[[Model], None] | None = None
) -> tuple[str, ...]:
    """What optimisers of some parameters each leave out of a loop's steps."""
    torch.manual_seed(0)
    model = Model()
    optimisers = [torch.optim.SGD(part, lr=0.1) for part in held(model)]
    observer = LoopObserver(model)
    observer.start()
    for _ in range(4):
        x = torch.randn(8, 3, 2)
        model.zero_grad()
        F.mse_loss(model(x), x[:, -1, :1]).backward()
        for each in optimisers:
            each.step()
        if more is not None:
            more(model)
    observer.stop()
    found: tuple[str, ...] = observer.optimiser.seen().left_out
    assert observer.optimiser.seen().left_out == found
    return found


def test_parameters_that_no_optimiser_holds_are_seen() -> None:
    names = left_out(lambda model: [model.head.parameters()])
    assert names == tuple(f"rnn.{name}" for name, _ in Model().rnn.named_parameters())


def test_all_held_frozen_or_moved_by_hand_is_none_left_out() -> None:
    assert left_out(lambda model: [model.parameters()]) == ()
    assert left_out(lambda model: [model.rnn.parameters(), model.head.parameters()]) == ()

    def frozen(model: Model) -> list[Any]:
        model.rnn.requires_grad_(False)
        return [model.head.parameters()]

    def by_hand(model: Model) -> None:
        with torch.no_grad():
            for parameter in model.rnn.parameters():
                parameter -= 0.1 * parameter.grad

    assert left_out(frozen) == ()
    assert left_out(lambda model: [model.head.parameters()], by_hand) == ()


def test_chances_are_told_from_logits_by_the_graph() -> None:
    x = torch.randn(8, 5, requires_grad=True)
    assert squashed_by("bce", torch.sigmoid(x)) == "sigmoid"
    assert squashed_by("bce", torch.sigmoid(x).T[:, 2:].unsqueeze(0).squeeze()) == "sigmoid"
    assert squashed_by("cross_entropy", torch.softmax(x, -1)) == "softmax"
    # A state that ends in a sigmoid, and is read by a head; a log of chances is as good as logits.
    assert squashed_by("bce", torch.sigmoid(x) @ torch.ones(5, 1)) == ""
    assert squashed_by("bce", 5.0 * torch.sigmoid(x)) == ""
    assert squashed_by("cross_entropy", torch.log_softmax(x, -1)) == ""
    assert squashed_by("mse", torch.sigmoid(x)) == ""
    assert squashed_by("bce", x) == ""


def test_the_observer_tells_the_loss_of_chances() -> None:
    model = Model()
    observer = LoopObserver(model)
    observer.start()
    x = torch.randn(8, 3, 2)
    nn.BCEWithLogitsLoss()(torch.sigmoid(model(x)), (x[:, -1, :1] > 0).float()).backward()
    observer.stop()
    assert observer.loss is not None
    assert observer.loss.seen(1, 0).squashed == "sigmoid"
    assert observer.loss.part(8, torch.arange(2)).squashed == "sigmoid"
