"""Unchanged PyTorch training scripts on the CPU, end to end, with and without `accelerate`.

    python -m bench.accelerate [--quick] [--rounds 7] [--only NAME] [--whole 20]

Each script is as a user writes it: a DataLoader, a model, a loss, Adam, clipping, and validation
after training; an epoch of all of it is what is timed. Nothing differs between the sides but
`minirnn.interop.torch.accelerate(model)`. Before anything is timed the sides are compared: the
gradients of a batch in float64, and the losses of an epoch in float32, from the same seed. Then
they take turns, so that a machine that slows down slows both. With --whole, each turn is a process
of its own that imports everything, loads the kernels and trains for so many epochs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence
from torch.utils.data import DataLoader, TensorDataset

import minirnn as mr
from bench.quiet import Others
from minirnn.interop.torch import accelerate

GRADIENTS_AGREE = 1e-9  # of an array's largest value, in float64
LOSSES_AGREE = 2e-3  # relative, in float32, over an epoch of updates
SETTLE = 0.05  # seconds in which a side's threads fall asleep


@dataclass
class Script:
    """A model, its data, and one epoch of training and validation."""

    name: str
    about: str
    make_model: Callable[[], Any]
    batches: list[Any]  # of training; each is what `loss` takes
    held_out: list[Any]
    loss: Callable[[Any, Any], Any]

    def model(self) -> Any:
        """A fresh one, of the same weights every time."""
        torch.manual_seed(0)
        return self.make_model()

    def epoch(self, model: Any, optimizer: Any) -> list[float]:
        """Train once over the batches, then validate; the losses."""
        losses = []
        model.train()
        for batch in self.batches:
            optimizer.zero_grad()
            loss = self.loss(model, batch)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
        model.eval()
        with torch.no_grad():
            losses.extend(self.loss(model, batch).item() for batch in self.held_out)
        return losses


class Reader(nn.Module):
    """A recurrent layer and a linear head: on the last step, or on all of them."""

    def __init__(
        self,
        kind: str,
        inputs: int,
        hidden: int,
        outputs: int,
        last: bool = True,
        vocabulary: int = 0,
        **options: Any,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, inputs) if vocabulary else nn.Identity()
        self.recurrent = getattr(nn, kind)(inputs, hidden, batch_first=True, **options)
        directions = 2 if options.get("bidirectional") else 1
        self.head = nn.Linear(hidden * directions, outputs)
        self.last = last

    def forward(self, x: Any) -> Any:
        """The head's outputs."""
        output, h = self.recurrent(self.embedding(x))
        if not self.last:
            return self.head(output)
        hidden = h[0] if isinstance(h, tuple) else h
        ends = 2 if self.recurrent.bidirectional else 1
        return self.head(torch.cat([*hidden[-ends:]], 1))


def forecast(kind: str, T: int, B: int, I: int, H: int, count: int, **options: Any) -> Script:  # noqa: E741
    """The next value of a series, from windows of it."""
    torch.manual_seed(1)
    t = torch.arange(count * B + T + 1) * 0.1
    waves = [torch.sin(t * (1 + i / 7)) + 0.1 * torch.randn(t.shape) for i in range(I)]
    series = torch.stack(waves, 1)
    windows = series.unfold(0, T + 1, 1).transpose(1, 2)[: count * B]
    data = TensorDataset(windows[:, :T].contiguous(), windows[:, T, :1].contiguous())
    batches = list(DataLoader(data, B, shuffle=True))

    def loss(model: Any, batch: Any) -> Any:
        x, y = batch
        return nn.functional.mse_loss(model(x), y)

    layers = f", {options['num_layers']} layers" if "num_layers" in options else ""
    return Script(
        f"forecast {kind} {options.get('num_layers', 1)} x {H}",
        f"windows of {T} x {I}, batches of {B}, {kind} {H}{layers}, head on the last state",
        lambda: Reader(kind, I, H, 1, **options),
        batches,
        batches[: max(1, count // 4)],
        loss,
    )


def text(kind: str, T: int, B: int, H: int, count: int, symbols: int = 64) -> Script:
    """The next symbol at every step: an embedding, two layers with dropout, cross entropy."""
    torch.manual_seed(1)
    stream = torch.randint(0, symbols, (count, B, T + 1))

    def loss(model: Any, batch: Any) -> Any:
        logits = model(batch[:, :-1])
        return nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())

    return Script(
        f"text {kind} 2 x {H}",
        f"{T} symbols of {symbols}, batches of {B}, embedding, 2 x {kind} {H} with dropout, head",
        lambda: Reader(
            kind, 64, H, symbols, last=False, vocabulary=symbols, num_layers=2, dropout=0.2
        ),
        list(stream),
        list(stream[: max(1, count // 4)]),
        loss,
    )


def ragged(kind: str, T: int, B: int, I: int, H: int, count: int) -> Script:  # noqa: E741
    """Labels of sequences of different lengths: packed, in both directions."""
    torch.manual_seed(1)
    batches = []
    for _ in range(count):
        lengths = torch.randint(T // 3, T + 1, (B,)).tolist()
        packed = pack_sequence([torch.randn(n, I) for n in lengths], enforce_sorted=False)
        batches.append((packed, torch.randint(0, 5, (B,))))

    def loss(model: Any, batch: Any) -> Any:
        x, y = batch
        return nn.functional.cross_entropy(model(x), y)

    return Script(
        f"ragged {kind} {H}",
        f"packed sequences of {T // 3} to {T} steps x {I}, batches of {B}, {kind} {H}, both ways",
        lambda: Reader(kind, I, H, 5, bidirectional=True),
        batches,
        batches[: max(1, count // 4)],
        loss,
    )


def scripts() -> list[Script]:
    """Sizes that people train on a CPU."""
    return [
        forecast("GRU", 24, 32, 1, 32, count=60),
        forecast("GRU", 48, 32, 4, 64, count=40),
        forecast("GRU", 100, 64, 16, 128, count=12),
        forecast("GRU", 60, 64, 8, 128, count=12, num_layers=2),
        ragged("GRU", 60, 32, 16, 96, count=16),
        text("GRU", 64, 32, 256, count=4),
        forecast("GRU", 50, 64, 64, 512, count=3),
        forecast("RNN", 48, 32, 4, 64, count=40),
        forecast("LSTM", 48, 32, 4, 64, count=40),
        forecast("LSTM", 100, 64, 16, 128, count=12),
    ]


def in_double(batch: Any) -> Any:
    """A batch with its floating-point tensors, packed ones too, in float64."""
    if isinstance(batch, PackedSequence):
        return batch.to(torch.float64)
    if isinstance(batch, list | tuple):
        return tuple(in_double(each) for each in batch)
    return batch.double() if batch.is_floating_point() else batch


def check(script: Script) -> None:
    """Hold one side to the other. Exits where they differ."""
    batch = in_double(script.batches[0])
    found = []
    for ours in (False, True):
        model = script.model().double()
        with accelerate(model) if ours else nullcontext():
            torch.manual_seed(2)
            script.loss(model, batch).backward()
        found.append({name: p.grad for name, p in model.named_parameters()})
    for name, theirs in found[0].items():
        difference = float((found[1][name] - theirs).abs().max() / theirs.abs().max())
        if not difference <= GRADIENTS_AGREE:
            sys.exit(f"{script.name}: the gradient of {name} differs by {difference:.1e}")
    curves = []
    for ours in (False, True):
        model = script.model()
        optimizer = torch.optim.Adam(model.parameters())
        with accelerate(model) if ours else nullcontext():
            torch.manual_seed(2)
            curves.append(script.epoch(model, optimizer))
    for theirs, mine in zip(*curves, strict=True):
        if not abs(theirs - mine) <= LOSSES_AGREE * abs(theirs):
            sys.exit(f"{script.name}: losses differ, {theirs} and {mine}")


def measure(script: Script, rounds: int) -> tuple[float, float, float | None]:
    """Median seconds of an epoch: PyTorch's, ours; and what other processes took meanwhile."""
    sides: dict[bool, list[float]] = {False: [], True: []}
    models = {ours: script.model() for ours in sides}
    optimizers = {ours: torch.optim.Adam(m.parameters()) for ours, m in models.items()}
    others = Others()
    for number in range(rounds + 1):
        for ours, times in sides.items():
            time.sleep(SETTLE)
            with accelerate(models[ours]) if ours else nullcontext():
                start = time.perf_counter()
                script.epoch(models[ours], optimizers[ours])
                took = time.perf_counter() - start
            if number:  # the first warms
                times.append(took)
    return statistics.median(sides[False]), statistics.median(sides[True]), others.share()


def train(script: Script, ours: bool, epochs: int) -> None:
    """What a process does for --whole."""
    model = script.model()
    if ours:
        accelerate(model)
    optimizer = torch.optim.Adam(model.parameters())
    for _ in range(epochs):
        script.epoch(model, optimizer)


def measure_whole(script: Script, rounds: int, epochs: int) -> tuple[float, float, float | None]:
    """As `measure`, of whole processes."""
    sides: dict[str, list[float]] = {"theirs": [], "ours": []}
    others = Others()
    for _ in range(rounds):
        for side, times in sides.items():
            task = ["--only", script.name, "--whole", str(epochs), "--side", side]
            start = time.perf_counter()
            subprocess.run([sys.executable, "-m", "bench.accelerate", *task], check=True)
            times.append(time.perf_counter() - start)
    return statistics.median(sides["theirs"]), statistics.median(sides["ours"]), others.share()


def main() -> None:
    """Check, time and print every script."""
    parser = argparse.ArgumentParser(prog="python -m bench.accelerate", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="turns of each side (default 7)")
    parser.add_argument("--quick", action="store_true", help="three rounds")
    parser.add_argument("--only", default="", help="scripts whose name has this in it")
    parser.add_argument("--whole", type=int, default=0, help="time processes, of so many epochs")
    parser.add_argument("--side", choices=("theirs", "ours"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        (script,) = [each for each in scripts() if each.name == options.only]
        train(script, options.side == "ours", options.whole)
        return
    rounds = 3 if options.quick else options.rounds
    what = f"{options.whole} epochs and the start" if options.whole else "an epoch"
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads; minirnn "
        f"{mr.get_num_threads()} threads; {os.cpu_count()} processors\n"
    )
    print(f"Timed: {what}.\n")
    print("| script | an epoch is | PyTorch ms | accelerated ms | ratio | others |")
    print("|---|---|---|---|---|---|")
    for script in scripts():
        if options.only in script.name:
            check(script)
            if options.whole:
                theirs, ours, others = measure_whole(script, rounds, options.whole)
            else:
                theirs, ours, others = measure(script, rounds)
            share = "?" if others is None else f"{others:.0%}"
            print(
                f"| {script.name} | {len(script.batches)} updates: {script.about} | "
                f"{1e3 * theirs:.0f} | {1e3 * ours:.0f} | {theirs / ours:.2f} | {share} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
