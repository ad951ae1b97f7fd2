"""frozen-generation: a free run made from too few values to tell where the data are."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.corpus.plants.generating import henon, of_numbers, patiently, pulses, sine, two_sines
from bench.corpus.plants.learnable import Array
from bench.corpus.sample import Sample

SYMPTOM = "frozen-generation"


def faulty(rng: np.random.Generator) -> Sample:
    """One or two values of context; or a window that ends before the next pulse is due."""
    n = int(rng.integers(380, 520))
    if rng.random() < 0.3:
        values, every = pulses(rng, n)
        window = int(rng.integers(2, 4))  # shorter than a pulse
        recipe, words = of_numbers(rng, values, window), f"windows of {window}"
        name = f"pulses every {every}"
    else:
        name, make, most = KINDS[int(rng.integers(len(KINDS)))]
        values, needs = make(rng, n)
        window = max(needs, 6) + int(rng.integers(0, 5))
        context = int(rng.integers(1, most + 1))
        recipe = of_numbers(rng, values, window, context)
        words = f"windows of {window}, a context of {context}"
    return Sample(SYMPTOM, f"{_network(recipe)}, {name}: {words}", recipe)


# Not pulses, which some networks do not learn at all; nor Henon's map: from one value of it a run
# comes to rest, or goes to and fro between two.
KINDS: tuple[tuple[str, Any, int], ...] = (
    ("a sine", sine, 2),
    ("two sines", two_sines, 2),
)


def healthy(rng: np.random.Generator) -> Sample:
    """Enough context; or data that come to rest themselves, or that noise alone moves."""
    name, make = NEAR_MISSES[int(rng.integers(len(NEAR_MISSES)))]
    values, window, context = make(rng, int(rng.integers(400, 520)))
    recipe = of_numbers(rng, values, window, context, layers=1 if name == "pulses" else 0)
    if name == "pulses":
        patiently(recipe)
    if make is _noise_moves:
        # Little is to be learned, and the rest would be learned by heart.
        recipe["model"] |= {"hidden_size": 8, "num_layers": 1}
        recipe["training"]["epochs"] = 10
    words = f"windows of {window}" + ("" if context is None else f", a context of {context}")
    return Sample(None, f"{_network(recipe)}, {name}: {words}", recipe)


def _whole(make: Any) -> Any:
    def made(rng: np.random.Generator, n: int) -> tuple[Array, int, int | None]:
        values, needs = make(rng, n)
        return values, needs + int(rng.integers(2, 8)), None

    return made


def _two_are_enough(rng: np.random.Generator, n: int) -> tuple[Array, int, int | None]:
    values, needs = henon(rng, n)
    return values, int(rng.integers(needs, needs + 3)), None


def _settles(rng: np.random.Generator, n: int) -> tuple[Array, int, int | None]:
    """A swing that is let go half-way, and has come to rest before training ends."""
    period, t = rng.uniform(10, 16), np.arange(n)
    fades = np.exp(-np.maximum(t - 0.45 * n, 0) / rng.uniform(0.05, 0.07) / n)
    return (
        fades * np.sin(2 * np.pi * t / period) + 0.003 * rng.normal(size=n),
        int(period) + 4,
        None,
    )


def _noise_moves(rng: np.random.Generator, n: int) -> tuple[Array, int, int | None]:
    """Each value is a share of the last one and a draw: what is farther on cannot be known."""
    keeps = rng.uniform(0.7, 0.85)
    values = np.zeros(n)
    for t in range(1, n):
        values[t] = keeps * values[t - 1] + rng.normal() * np.sqrt(1 - keeps**2)
    return values, int(rng.integers(8, 16)), None


NEAR_MISSES: tuple[tuple[str, Any], ...] = (
    ("a sine", _whole(sine)),
    ("two sines", _whole(two_sines)),
    ("pulses", _whole(pulses)),
    ("Henon's map, of which two values are enough", _two_are_enough),
    ("a swing that comes to rest", _settles),
    ("a series that noise moves", _noise_moves),
)


def _network(recipe: dict[str, Any]) -> str:
    model = recipe["model"]
    return f"{model['cell']} {model['hidden_size']}, {model['num_layers']} layer(s)"
