"""Series and tasks made by rule, from a seed."""

from __future__ import annotations

from typing import Any

import numpy as np

from minirnn.datasets.records import Series, Task
from minirnn.errors import ArgumentError
from minirnn.real import is_real
from minirnn.training.windows import check_count


def sine(n: int = 1000, period: int = 25, noise: float = 0.0, seed: int = 0) -> Series:
    """A sine of amplitude 1 with Gaussian noise of standard deviation `noise`; `n` steps.

    Raises: ArgumentError for n or period below 1 or 2, or a negative noise.
    """
    n, period = check_count("n", n), check_count("period", period, 2)
    if not is_real(noise) or not 0 <= noise < np.inf:
        raise ArgumentError("noise", repr(noise), "a finite number of at least 0")
    rng = np.random.default_rng(check_count("seed", seed, 0))
    values = np.sin(2 * np.pi * np.arange(n) / period) + noise * rng.standard_normal(n)
    return Series(
        name="sine",
        unit="1",
        values=values,
        dates=None,
        period=period,
        missing=0,
        gaps=0,
        provenance=f"made by rule: sin(2 pi t / {period}) + {noise:g} * normal, seed {seed}",
    )


def adding(n: int = 1000, length: int = 50, seed: int = 0) -> Task:
    """The adding problem: find two marked numbers in a long sequence, and answer with their sum.

    `x (n, length, 2)`: a number drawn uniformly from [0, 1), and a mark that is 1 at two steps, one
    in each half, and else 0. `y (n, 1)`: the sum of the two. The best constant answer is 1, with a
    mean squared error of 1/6.

    Source: Hochreiter and Schmidhuber 1997, "Long short-term memory", experiment 4, in the form of
    Arjovsky, Shah and Bengio 2016 (arXiv 1511.06464), section 4.2.

    Raises: ArgumentError for n below 1 or length below 2.
    """
    n, length = check_count("n", n), check_count("length", length, 2)
    rng = np.random.default_rng(check_count("seed", seed, 0))
    numbers = rng.random((n, length))
    rows, half = np.arange(n), length // 2
    first, second = rng.integers(0, half, n), rng.integers(half, length, n)
    marks: Any = np.zeros((n, length))
    marks[rows, first] = marks[rows, second] = 1.0
    total = numbers[rows, first] + numbers[rows, second]
    return Task(
        name="adding",
        x=np.stack([numbers, marks], axis=2),
        y=total[:, None],
        baseline=1 / 6,
        provenance="made by rule: Hochreiter and Schmidhuber 1997, experiment 4, in the form of "
        f"arXiv 1511.06464; seed {seed}",
    )
