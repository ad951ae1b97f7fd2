"""What a plant makes: a run to be diagnosed, and what is true of it by construction."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

Part = Literal["tuning", "seen", "test"]

# What names a part in its random numbers. A test part whose mistakes have been looked at is no
# test any more: it goes to `seen`, where it helps to set thresholds, and `test` gets a new name.
NAMES: dict[Part, str] = {"tuning": "tuning", "seen": "test", "test": "test, second edition"}


@dataclass(frozen=True)
class Sample:
    """One run of the corpus.

    symptom   what was planted, the root of the trouble; None in a healthy run
    what      in a line: cell, task, sizes, and what was done to it
    recipe    nested dicts, as `Recipe.from_dict` takes them; {} where a script is given
    script    a PyTorch training loop instead, text that `tools/loop_mistakes.py` could run
    also      symptoms that this fault brings by its nature, and may be named besides; never more
              than the plant's author can give a reason for (in a comment there)
    curable   whether an edit of the recipe can cure it: no edit makes random labels predictable
    """

    symptom: str | None
    what: str
    recipe: Mapping[str, Any] = field(default_factory=dict)
    script: str = ""
    also: frozenset[str] = frozenset()
    curable: bool = True


def generator(symptom: str, kind: str, part: Part, number: int) -> np.random.Generator:
    """The random numbers of one sample: other ones for each part, plant and number.

    The test part is for `evaluate` alone; thresholds are set on the two others.
    """
    key = zlib.crc32(f"{symptom}/{kind}/{NAMES[part]}".encode())
    return np.random.default_rng([key, number])
