"""Tasks on symbols, made by rule from a seed: each symbol is a one-hot vector."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minirnn.datasets.records import Task
from minirnn.training.windows import check_count

SYMBOLS = 8  # to be copied; a blank and the sign to begin come after them
COPIED = 10  # symbols to be copied

# Reber's grammar as a graph: state -> the symbols that may come, and the state each leads to.
REBER: tuple[dict[str, int], ...] = (
    {"B": 1},
    {"T": 2, "P": 3},
    {"S": 2, "X": 4},
    {"T": 3, "V": 5},
    {"X": 3, "S": 6},
    {"P": 4, "V": 6},
    {"E": -1},
)
ALPHABET = "BTSXPVE"


def copying(n: int = 1000, length: int = 50, seed: int = 0) -> Task:
    """The copying problem: keep ten symbols over a long pause, and repeat them.

    Ten of 8 symbols, `length` blanks of which the last is a sign to begin, then ten blanks, in
    which the ten symbols are to be answered. `x (n, length + 20, 10)`; `y (n, length + 20)`, class
    labels: a blank (8) up to the sign, then the symbols. Without memory the best answer has a cross
    entropy of 10 ln 8 / (length + 20).

    Source: Hochreiter and Schmidhuber 1997, in the form of Arjovsky, Shah and Bengio 2016 (arXiv
    1511.06464), section 4.1.

    Raises: ArgumentError for n or length below 1, or a negative seed.
    """
    n, length = check_count("n", n), check_count("length", length)
    rng = np.random.default_rng(check_count("seed", seed, 0))
    blank, begin, T = SYMBOLS, SYMBOLS + 1, length + 2 * COPIED
    symbols = rng.integers(0, SYMBOLS, (n, COPIED))
    fed = np.full((n, T), blank)
    fed[:, :COPIED] = symbols
    fed[:, COPIED + length - 1] = begin
    y = np.full((n, T), blank)
    y[:, -COPIED:] = symbols
    return Task(
        name="copying",
        x=_one_hot(fed, SYMBOLS + 2),
        y=y,
        baseline=COPIED * math.log(SYMBOLS) / T,
        provenance=f"made by rule: arXiv 1511.06464, section 4.1; seed {seed}",
        loss="cross_entropy",
    )


def temporal_order(n: int = 1000, length: int = 100, seed: int = 0) -> Task:
    """Temporal order: two signs far apart, and which came first decides the class.

    Random distractors of four kinds, but for X or Y at one step of the second tenth and at one of
    the sixth tenth. `x (n, length, 6)`; `y (n,)`: 0 XX, 1 XY, 2 YX, 3 YY. The best answer without
    memory has a cross entropy of ln 4.

    Source: Hochreiter and Schmidhuber 1997, "Long short-term memory", experiment 6a, with a fixed
    length and without its signs for begin and end.

    Raises: ArgumentError for n below 1, length below 10, or a negative seed.
    """
    n, length = check_count("n", n), check_count("length", length, 10)
    rng = np.random.default_rng(check_count("seed", seed, 0))
    fed = rng.integers(2, 6, (n, length))
    rows = np.arange(n)
    signs = rng.integers(0, 2, (n, 2))
    for column, tenth in enumerate((1, 5)):
        at = rng.integers(length * tenth // 10, length * (tenth + 1) // 10, n)
        fed[rows, at] = signs[:, column]
    return Task(
        name="temporal order",
        x=_one_hot(fed, 6),
        y=2 * signs[:, 0] + signs[:, 1],
        baseline=math.log(4),
        provenance="made by rule: Hochreiter and Schmidhuber 1997, experiment 6a, of one length; "
        f"seed {seed}",
        loss="cross_entropy",
    )


def reber(n: int = 1000, length: int = 50, seed: int = 0) -> Task:
    """Embedded Reber strings: say after each symbol which may come next.

    B, then T or P, a string of Reber's grammar, the same T or P again, then E: what came second has
    to be kept over the whole string. Strings of more than `length` + 1 symbols are drawn again.
    `x (n, length, 7)`, with `lengths`: the symbols but for the last; `y (n, length, 7)`: 1 for
    every symbol that may come next, else 0. `baseline` is the binary cross entropy of answering
    each symbol's frequency.

    Source: Cleeremans, Servan-Schreiber and McClelland 1989; Hochreiter and Schmidhuber 1997,
    experiment 1.

    Raises: ArgumentError for n below 1, length below 8 (the shortest string has 9 symbols), or a
    negative seed.
    """
    n, length = check_count("n", n), check_count("length", length, 8)
    rng = np.random.default_rng(check_count("seed", seed, 0))
    x, y = np.zeros((n, length, 7)), np.zeros((n, length, 7))
    lengths = np.zeros(n, np.int64)
    for row in range(n):
        text, following = _embedded(rng)
        while len(text) - 1 > length:
            text, following = _embedded(rng)
        lengths[row] = len(text) - 1
        for step, (symbol, allowed) in enumerate(zip(text[:-1], following, strict=True)):
            x[row, step, ALPHABET.index(symbol)] = 1.0
            y[row, step, [ALPHABET.index(each) for each in allowed]] = 1.0
    valid = np.arange(length) < lengths[:, None]
    p = y[valid].mean(axis=0)
    entropy = -(p * np.log(p) + (1 - p) * np.log1p(-p))[(p > 0) & (p < 1)].sum() / len(p)
    return Task(
        name="reber",
        x=x,
        y=y,
        baseline=float(entropy),
        provenance="made by rule: Hochreiter and Schmidhuber 1997, experiment 1; "
        f"strings up to {length + 1}, seed {seed}",
        loss="bce",
        lengths=lengths,
    )


def _embedded(rng: np.random.Generator) -> tuple[str, list[str]]:
    """One embedded string, and after each symbol but the last, the symbols that may come."""
    branch = "TP"[rng.integers(2)]
    text, following = "B" + branch, ["TP", "B"]
    state = 0
    while state >= 0:
        symbols = "".join(REBER[state])
        symbol = symbols[rng.integers(len(symbols))]
        text += symbol
        state = REBER[state][symbol]
        following.append("".join(REBER[state]) if state >= 0 else branch)
    return text + branch + "E", [*following, "E"]


def _one_hot(symbols: NDArray[Any], width: int) -> NDArray[np.float64]:
    vectors: NDArray[np.float64] = np.eye(width)[symbols]
    return vectors
