"""Truncated BPTT beside PyTorch, whose states are detached by hand."""

from __future__ import annotations

import numpy as np
import pytest

import minirnn as mr
from minirnn.nn import SequenceModel
from minirnn.training import Sequences
from minirnn.training.truncation import chunks

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("per_step", [True, False])
def test_gradients_are_those_of_pytorch_with_detached_states(cell: str, per_step: bool) -> None:
    rng = np.random.default_rng(3)
    data = Sequences(
        rng.normal(size=(5, 10, 3)), rng.normal(size=(5, 10, 2) if per_step else (5, 2))
    )
    model = SequenceModel(
        cell, input_size=3, hidden_size=4, output_size=2,
        readout="all" if per_step else "last", dtype="float64", rng=1,
    )  # fmt: skip
    for chunk in chunks(model, data, 4):
        (mr.mse_loss(chunk.prediction, chunk.target) * chunk.share).backward()

    layer = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[cell](3, 4)
    layer, head = layer.double(), torch.nn.Linear(4, 2).double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            part, _, last = name.partition(".")
            getattr(layer if part == "recurrent" else head, last).copy_(
                torch.from_numpy(parameter.data)
            )
    fed, asked = (torch.from_numpy(each.copy()) for each in (data.x.swapaxes(0, 1), data.y))
    state, loss = None, 0.0
    bounds = [(0, 4), (4, 8), (8, 10)] if per_step else [(0, 2), (2, 6), (6, 10)]
    for begin, end in bounds:
        output, state = layer(fed[begin:end], state)
        if per_step:
            part = head(output) - asked.swapaxes(0, 1)[begin:end]
            loss = loss + (part**2).sum() / asked.numel()
        elif end == 10:
            loss = torch.nn.functional.mse_loss(head(output[-1]), asked)
        cut = tuple(each.detach() for each in state) if cell == "lstm" else state.detach()
        state = cut
    loss.backward()
    for name, parameter in model.named_parameters():
        part, _, last = name.partition(".")
        wanted = getattr(layer if part == "recurrent" else head, last).grad.numpy()
        worst = np.abs(parameter.grad - wanted).max()
        assert worst <= 1e-9 * np.abs(wanted).max(), name
