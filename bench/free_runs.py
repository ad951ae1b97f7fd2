"""What is said of free runs, measured: articles 000 (loops) and 003 (stuck on a value).

python -m bench.free_runs [--seeds 10]

003: article's series, a sine of 200 steps a period with noise of 0.1, standardised; an LSTM of 32
units, 20 epochs; from the end of training 600 steps on its own answers. Frozen is a run whose last
150 steps move by less than 5% of what the data do in as many.
000: 20,000 characters of prose; an LSTM of 64 units, read in windows of 32, asked at each step;
600 characters on its own. Repetition is the share of 8-grams that came before.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import minirnn as mr
from minirnn.diagnosis.detectors.output_loop import data_repetition
from minirnn.diagnosis.doctor import perform
from minirnn.diagnosis.evidence.movement import ranges
from minirnn.diagnosis.examine import findings_in
from minirnn.diagnosis.run import Run
from minirnn.inspect import find_loop, repetition_rate

STEPS = 600

WAYS: dict[str, dict[str, Any]] = {
    "length 1, as the article": {"data.window": 1},
    "length 1, relu": {"data.window": 1, "model.activation": "relu"},
    "length 1, dropout before the head": {"data.window": 1, "model.head_dropout": 0.2},
    "length 1, layer normalisation": {"data.window": 1, "model.norm": "layer"},
    "length 1, 100 epochs": {"data.window": 1, "training.epochs": 100},
    "window 32": {"data.window": 32},
    "window 32, scheduled sampling 0.5": {
        "data.window": 32,
        "training.scheduled_sampling": 0.5,
    },
    "window 32, read 1 at a time": {"data.window": 32, "generation.context": 1},
}


def waves(folder: Path, seed: int) -> str:
    """The article's series in a file."""
    rng = np.random.default_rng(seed)
    values = np.sin(np.linspace(0, 10 * np.pi, 1000)) + 0.1 * rng.normal(size=1000)
    path = folder / f"waves{seed}.csv"
    path.write_text("level\n" + "".join(f"{value:.8f}\n" for value in values), encoding="utf-8")
    return str(path)


def stuck(folder: Path, seed: int, edit: Mapping[str, object]) -> Run:
    """One training and its free run."""
    recipe = mr.Recipe.from_dict(
        {
            "data": {"csv": waves(folder, seed), "scale": "standard"},
            "model": {"hidden_size": 32},
            "training": {"learning_rate": 3e-3, "epochs": 20, "seed": seed},
            "generation": {"steps": STEPS},
        }
    )
    return perform(recipe.edit(edit), progress=False)


def told(run: Run) -> str:
    """The root that the doctor names."""
    harmful = [finding.symptom for finding in findings_in(run.evidence) if finding.harmful]
    return ", ".join(harmful) or "healthy"


def movement(run: Run) -> float:
    """Of the last quarter, against the data's."""
    free = run.evidence.free_run
    assert free is not None
    last = STEPS // 4
    return float(np.ptp(free.given[-last:]) / np.median(ranges(free.known, last)))


def article_003(seeds: int) -> Iterator[str]:
    """A row for each way."""
    yield "| 003, 600 steps | frozen | movement, median | named (how often) |"
    yield "|---|---|---|---|"
    with tempfile.TemporaryDirectory() as folder:
        for name, edit in WAYS.items():
            runs = [stuck(Path(folder), seed, edit) for seed in range(seeds)]
            moves = [movement(run) for run in runs]
            names = [told(run) for run in runs]
            counts = "; ".join(f"{each} ({names.count(each)})" for each in sorted(set(names)))
            frozen = sum(each < 0.05 for each in moves)
            yield f"| {name} | {frozen} of {seeds} | {np.median(moves):.3f} | {counts} |"


def article_000(seeds: int) -> Iterator[str]:
    """Repetition as training goes on, greedy and drawn."""
    yield "| 000, epochs | sample | repetition, median (range) | loops | gradient norm | named |"
    yield "|---|---|---|---|---|---|"
    data = 0.0
    for epochs in (5, 20, 60):
        for sample in ({}, {"sample": "temperature"}):
            rates, loops, norms, names = [], 0, [], []
            for seed in range(seeds):
                run = perform(
                    mr.Recipe.from_dict(
                        {
                            "data": {"builtin": "text", "characters": 20_000, "window": 32},
                            "model": {"hidden_size": 64, "readout": "all"},
                            "training": {
                                "loss": "cross_entropy",
                                "learning_rate": 5e-3,
                                "epochs": epochs,
                                "seed": seed,
                            },
                            "generation": {"steps": STEPS, **sample},
                        }
                    ),
                    progress=False,
                )
                free = run.evidence.free_run
                assert free is not None
                data = max(data, data_repetition(free.past, STEPS))
                rates.append(repetition_rate(free.given, 8))
                loops += find_loop(free.given) is not None
                norms.append(run.history.epochs[-1].gradient_norm)
                names.append(told(run))
            counts = "; ".join(f"{each} ({names.count(each)})" for each in sorted(set(names)))
            yield (
                f"| {epochs} | {'drawn at 1' if sample else 'greedy'} | {np.median(rates):.2f} "
                f"({min(rates):.2f} to {max(rates):.2f}) | {loops} of {seeds} "
                f"| {np.median(norms):.2f} | {counts} |"
            )
    yield f"Repetition of the text itself, its most repetitive stretch of 600: {data:.2f}"


def main() -> None:
    """Print both tables, row by row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    given = parser.parse_args()
    mr.set_num_threads(1)
    for rows in (article_003(given.seeds), article_000(given.seeds)):
        for row in rows:
            print(row, flush=True)


if __name__ == "__main__":
    main()
