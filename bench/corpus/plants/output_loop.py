"""output-loop: the likeliest character each time, and phrases that lead back to themselves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bench.corpus.plants.generating import (
    of_numbers,
    of_text,
    patiently,
    prose,
    pulses,
    refrain,
    sentences,
    sine,
)
from bench.corpus.sample import Sample

SYMPTOM = "output-loop"


def faulty(rng: np.random.Generator) -> Sample:
    """Greedy decoding, or next to it."""
    recipe, name = _of_a_text(rng)
    if rng.random() < 0.25:
        temperature = round(float(rng.uniform(0.02, 0.1)), 2)
        recipe["generation"] |= {"sample": "temperature", "temperature": temperature}
        words = f"temperature {temperature}"
    else:
        words = "greedy"
    return Sample(SYMPTOM, f"{_network(recipe)}, {name}; {words}", recipe)


def healthy(rng: np.random.Generator) -> Sample:
    """The same networks, drawing; or greedy, where the data go round in circles themselves."""
    kind = int(rng.integers(4))
    if kind < 2:
        recipe, name = _of_a_text(rng)
        temperature = round(float(rng.uniform(0.8, 1.2)), 2)
        recipe["generation"] |= {"sample": "temperature", "temperature": temperature}
        return Sample(None, f"{_network(recipe)}, {name}; temperature {temperature}", recipe)
    if kind == 2:
        text = refrain(rng, int(rng.integers(2200, 3000)))
        recipe = of_text(rng, text, epochs=36)
        # Windows as long as a third of the line would begin at three places of it alone: those are
        # learned by heart, and what is held out begins elsewhere (R2 -0.4, where it is 0.95 else).
        while math.gcd(recipe["data"]["window"], text.index(text[:30], 1)) > 1:
            recipe["data"]["window"] += 1
        return Sample(None, f"{_network(recipe)}, one line over and over; greedy", recipe)
    make, name = ((sine, "a sine"), (pulses, "pulses"))[int(rng.integers(2))]
    values, period = make(rng, int(rng.integers(400, 520)))
    recipe = of_numbers(rng, values, period + int(rng.integers(2, 8)), layers=1)
    words = f"{_network(recipe)}, {name}: its loop is the data's"
    return Sample(None, words, patiently(recipe))


def _of_a_text(rng: np.random.Generator) -> tuple[dict[str, Any], str]:
    # With one answer a window there is a window for each character, and fewer are enough.
    every = bool(rng.random() < 0.7)
    n = int(rng.integers(3000, 5000) if every else rng.integers(1600, 2400))
    text, name = (prose, "prose") if rng.random() < 0.65 else (sentences, "random sentences")
    return of_text(rng, text(rng, n), every), f"{n} characters of {name}"


def _network(recipe: dict[str, Any]) -> str:
    model, data = recipe["model"], recipe["data"]
    readout = f", readout {model['readout']}" if "readout" in model else ""
    return f"{model['cell']} {model['hidden_size']}{readout}, window {data['window']}"
