"""What watching costs: trainings with and without `Watching`, one after the other in turn.

    python -m bench.watching [--pairs 9] [--seconds 4] [--device cpu]

Each pair is one training watched and one that is not, of the same network on the same data; which
goes first alternates. Before anything is timed the two must have ended with the same bits. Told are
the median of the ratios of their times (of the processor, where that is what trains: other work on
the machine is then not counted), with the middle half of them; and beside it what the callback
took by its own clock, which is steadier on a busy machine. The smallest network is the worst case:
its steps are the shortest.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import numpy as np

import minirnn as mr
from minirnn.diagnosis import Watching

SIZES = (("rnn", 8, 10, 1), ("gru", 16, 20, 1), ("lstm", 32, 48, 1), ("lstm", 128, 100, 2))
N, BATCH = 1024, 32


def training(size: tuple[str, int, int, int], device: str, epochs: int, *watchers: Watching) -> Any:
    """Train once; the seconds, those of each epoch, and what the parameters became."""
    cell, H, T, L = size
    x = np.random.default_rng(0).normal(size=(N, T, 2)).astype(np.float32)
    model: Any = mr.SequenceModel(
        cell, input_size=2, hidden_size=H, output_size=1, num_layers=L,
        head_dropout=0.1, rng=0,
    ).to(device)  # fmt: skip
    data = mr.training.Sequences(x, x[..., :1].sum(1)).to(device)
    optimizer = mr.optim.Adam(model.parameters(), 1e-3)
    clock = time.process_time if device == "cpu" else time.perf_counter
    started = clock()
    history = mr.fit(
        model, data, loss="mse", optimizer=optimizer, epochs=epochs, batch_size=BATCH,
        callbacks=watchers, progress=False,
    )  # fmt: skip
    took = clock() - started
    return took, history.seconds, model.to("cpu").state_dict()


def measure(size: tuple[str, int, int, int], device: str, pairs: int, seconds: float) -> str:
    """A line of figures for one network."""
    training(size, device, 1)  # compiles
    epochs = max(5, round(seconds / training(size, device, 1)[0]))
    eager = Watching(share=1e9)
    watched, alone = training(size, device, 3, eager)[-1], training(size, device, 3)[-1]
    if eager.looks != 3 or any((watched[name] != alone[name]).any() for name in alone):
        raise SystemExit(f"{size}: a watched training has other bits")
    ratios, looks, shares = [], [], []
    alone_each: list[float] = []
    for pair in range(pairs):
        looking = Watching()
        times = {}
        for watch in (pair % 2 == 0, pair % 2 == 1):
            watchers = [looking] if watch else []
            times[watch], each, _ = training(size, device, epochs, *watchers)
            alone_each += [] if watch else each
        ratios.append(100.0 * (times[True] / times[False] - 1.0))
        looks.append(looking.looks)
        shares.append(100.0 * looking.seconds / looking.trained)
    low, middle, high = np.percentile(ratios, [25, 50, 75])
    epoch = float(np.percentile(alone_each, 10))
    cell, H, T, L = size
    return (
        f"{cell:4} H={H:<3} T={T:<3} L={L}: {epochs:4} epochs of {1e3 * epoch:7.1f} ms; "
        f"watched {middle:+.2f}% ({low:+.2f} to {high:+.2f}); by its own clock "
        f"{statistics.median(shares):.2f}%, {statistics.median(looks):.0f} looks"
    )


def main() -> None:
    """Print a line a network."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=4.0, help="of one training (4)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    given = parser.parse_args()
    mr.set_num_threads(1)
    for size in SIZES:
        print(measure(size, given.device, given.pairs, given.seconds), flush=True)


if __name__ == "__main__":
    main()
