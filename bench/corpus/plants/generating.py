"""Series and texts to be continued, and the recipes of networks that learn them."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from bench.corpus.plants.learnable import CELLS, Array, csv, seed
from minirnn import datasets


def sine(rng: np.random.Generator, n: int) -> tuple[Array, int]:
    """One wave with a little noise; and the values that tell where it is."""
    period = rng.uniform(12, 26)
    t = np.arange(n)
    wave = np.sin(2 * np.pi * t / period + rng.uniform(0, 6)) + 0.03 * rng.normal(size=n)
    return wave, int(np.ceil(period))


def two_sines(rng: np.random.Generator, n: int) -> tuple[Array, int]:
    """Two waves whose periods are no multiples of each other."""
    slow = rng.uniform(18, 30)
    fast, t = slow / rng.uniform(2.2, 3.6), np.arange(n)
    wave = np.sin(2 * np.pi * t / slow + rng.uniform(0, 6))
    wave += rng.uniform(0.4, 0.7) * np.sin(2 * np.pi * t / fast + rng.uniform(0, 6))
    return wave + 0.03 * rng.normal(size=n), int(np.ceil(slow))


def pulses(rng: np.random.Generator, n: int) -> tuple[Array, int]:
    """Short pulses far apart: between them only the distance to the last one tells the next."""
    every, width = int(rng.integers(16, 25)), int(rng.integers(4, 7))
    up = (np.arange(n) + int(rng.integers(every))) % every < width
    return up + 0.03 * rng.normal(size=n), every


def henon(rng: np.random.Generator, n: int) -> tuple[Array, int]:
    """Henon's map, a chaotic one: two values tell the next."""
    a, b = rng.uniform(0.05, 0.1, 2)
    made = []
    for _ in range(n + 50):
        a, b = 1.0 - 1.4 * a * a + b, 0.3 * a
        made.append(a)
    return np.array(made[50:]), 2


def of_numbers(
    rng: np.random.Generator,
    values: Array,
    window: int,
    context: int | None = None,
    layers: int = 0,
) -> dict[str, Any]:
    """A recipe that learns to continue a series, given in any unit, and then does."""
    data: dict[str, Any] = {"window": window}
    if rng.random() < 0.4:
        level, size = float(rng.choice([-20.0, 50.0, 300.0])), float(rng.choice([4.0, 15.0]))
        values = level + size * values
        data["scale"] = "standard"
    layers = layers or (2 if rng.random() < 0.25 else 1)
    generation: dict[str, Any] = {"steps": int(rng.integers(150, 300))}
    if context is not None:
        generation["context"] = context
    return {
        "data": {**csv(values), **data},
        "model": {
            "cell": CELLS[int(rng.integers(3))],
            "hidden_size": int(rng.integers(16, 29)),
            "num_layers": layers,
        },
        "training": {
            "learning_rate": float(rng.choice([5e-3, 7e-3])),
            "epochs": int(rng.integers(20, 27)),
            "batch_size": int(rng.choice([16, 32])),
            "seed": seed(rng),
        },
        "generation": generation,
    }


def patiently(recipe: dict[str, Any]) -> dict[str, Any]:
    """With time enough to learn pulses, whose distance is found late."""
    recipe["training"] |= {"epochs": 36, "learning_rate": 7e-3, "batch_size": 16}
    return recipe


def prose(rng: np.random.Generator, n: int) -> str:
    """Some of the book, from anywhere in it."""
    whole = datasets.text().text
    begin = int(rng.integers(0, len(whole) - n))
    return whole[begin : begin + n]


def sentences(rng: np.random.Generator, n: int) -> str:
    """Sentences of a small grammar, drawn at random: no two stretches are alike for long."""
    words = {
        "one": ("the cat", "a dog", "the queen", "my sister", "an old man", "the rabbit"),
        "does": ("sees", "follows", "likes", "calls", "forgets", "paints"),
        "how": ("slowly", "at night", "again", "in the rain", "with joy", "for a while"),
    }

    def draw(kind: str) -> str:
        return words[kind][int(rng.integers(len(words[kind])))]

    text = ""
    while len(text) < n:
        text += f"{draw('one')} {draw('does')} {draw('one')} {draw('how')}. "
    return text[:n]


def refrain(rng: np.random.Generator, n: int) -> str:
    """One line over and over: a text that loops by itself."""
    # No word comes twice but for the smallest: a few characters tell the place.
    lines = (
        "jack and jill went up the hill to fetch a pail of water. ",
        "mary had a little lamb whose fleece was white as snow. ",
        "humpty dumpty sat on a wall and had a great fall. ",
        "the grand old duke of york, he had ten thousand men; ",
    )
    line = lines[int(rng.integers(len(lines)))]
    return (line * (n // len(line) + 1))[:n]


def text_file(text: str) -> str:
    """The path of a file that holds it."""
    folder = Path(tempfile.gettempdir()) / "minirnn-corpus"
    folder.mkdir(exist_ok=True)
    path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:20]}.txt"
    if not path.exists():
        draft = folder / f"{path.stem}-{os.getpid()}"
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    return str(path)


def of_text(
    rng: np.random.Generator, text: str, every: bool = True, epochs: int = 0
) -> dict[str, Any]:
    """A recipe that learns a text character by character, and then goes on with it.

    every   whether each step is asked for what follows, or only the last of each window
    """
    usual = int(rng.integers(16, 27)) if every else int(rng.integers(4, 7))
    return {
        "data": {"text": text_file(text), "window": int(rng.integers(12, 25))},
        "model": {
            "cell": CELLS[int(rng.integers(3))],
            "hidden_size": int(rng.integers(20, 33)),
            "readout": "all" if every else "last",
        },
        "training": {
            "loss": "cross_entropy",
            "learning_rate": 1e-2,
            "epochs": epochs or usual,
            "seed": seed(rng),
        },
        "generation": {"steps": int(rng.integers(120, 220))},
    }
