"""Models of a recurrent layer and a linear head: `SequenceModel` in PyTorch, and knowing one."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from minirnn.interop.torch.equations import LAYERS

Tensor = Any
Module = Any

STEPS, SEQUENCES = 7, 3  # of the sequences on which a model is tried
CLOSE = 1e-11  # of the largest output, in float64: the same computation in another order at most


class TorchSequenceModel(nn.Module):
    """`minirnn.SequenceModel` as a PyTorch module: recurrent layer(s), dropout, a linear head.

    readout   "last": the head sees the last layer's final states (both directions side by side),
              "all": its output at every step
    """

    def __init__(self, recurrent: Module, head: Module, dropout: float, readout: str) -> None:
        super().__init__()
        self.recurrent = recurrent
        self.head_dropout = nn.Dropout(dropout)
        self.head = head
        self.readout = readout

    def forward(self, input: Tensor | PackedSequence, hx: Any = None) -> Tensor:
        """Map (T, B, I), with batch_first (B, T, I), or a PackedSequence to the head's output."""
        output, last = self.recurrent(input, hx)
        if self.readout == "last":
            hidden = last[0] if isinstance(last, tuple) else last
            ends = 2 if self.recurrent.bidirectional else 1
            output = torch.cat([*hidden[-ends:]], -1)
        elif isinstance(output, PackedSequence):
            output, _ = pad_packed_sequence(output, batch_first=self.recurrent.batch_first)
        return self.head(self.head_dropout(output))

    def extra_repr(self) -> str:
        """The readout."""
        return f"readout={self.readout!r}"


Parts = tuple[Module, Module, float, str]  # recurrent, head, dropout before it, readout


def readout_of(model: Module) -> Parts | str:
    """The parts of a model that is one recurrent layer and a linear head; or why it is not.

    Its forward may be anybody's. So a copy, in float64, is run on random sequences, in evaluation
    and (for dropout, with equal draws) in training, beside the same parts put together as
    `TorchSequenceModel`; it is taken for one only if the results agree.
    """
    if isinstance(model, TorchSequenceModel):
        return model.recurrent, model.head, model.head_dropout.p, model.readout
    found: dict[str, list[Module]] = {"recurrent": [], "linear": [], "dropout": []}
    for part in model.modules():
        if isinstance(part, LAYERS):
            found["recurrent"].append(part)
        elif type(part) is nn.Linear:
            found["linear"].append(part)
        elif type(part) is nn.Dropout:
            found["dropout"].append(part)
    if len(found["recurrent"]) != 1 or len(found["linear"]) != 1 or len(found["dropout"]) > 1:
        counts = ", ".join(f"{len(parts)} {kind}" for kind, parts in found.items())
        return f"its layers are {counts}"
    recurrent, head = found["recurrent"][0], found["linear"][0]
    others = {id(p) for p in model.parameters()}
    others -= {id(p) for part in (recurrent, head) for p in part.parameters()}
    if others:
        return f"{len(others)} parameters belong to neither its recurrent layer nor its nn.Linear"
    dropout = found["dropout"][0].p if found["dropout"] else 0.0
    for readout in ("last", "all"):
        candidate = TorchSequenceModel(recurrent, head, dropout, readout)
        outcome = _agree(model, candidate, recurrent)
        if outcome is True:
            return recurrent, head, dropout, readout
        if isinstance(outcome, str):
            return outcome
    return "its forward gives neither the head of the last state nor that of every output"


def _agree(model: Module, candidate: Module, recurrent: Module) -> bool | str:
    """Whether two models compute the same; or the error that running the first one met."""
    generator = torch.Generator().manual_seed(0)
    shape = [STEPS, SEQUENCES, recurrent.input_size]
    if recurrent.batch_first:
        shape[:2] = shape[1], shape[0]
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    ours, theirs = copy.deepcopy((candidate, model))  # together: they share their parts
    ours, theirs = ours.double().cpu(), theirs.double().cpu()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        for training in (False, True):
            results = []
            for each in (theirs, ours):
                each.train(training)
                torch.manual_seed(0)
                try:
                    results.append(each(x))
                except Exception as error:  # noqa: BLE001 (anything may happen in a user's forward)
                    if each is ours:
                        return False
                    return f"its forward, on an input {tuple(shape)}, raises {error!r}"
            given, wanted = results
            if not isinstance(given, torch.Tensor) or given.shape != wanted.shape:
                return False
            if not (given - wanted).abs().max() <= CLOSE * wanted.abs().max():
                return False
    return True
