"""reads-padding: the answer is read from the padding behind a sequence's end."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.corpus.plants import learnable
from bench.corpus.sample import Sample
from minirnn.diagnosis.cases.training_loop import LAST, training_loop

SYMPTOM = "reads-padding"
# What was read is forgotten over tens of steps of padding: the gradient dies on them, the states
# merge, one answer is left, and nothing is learned from it. Where it does not die it is the product
# of a hundred equal steps: it leaps, and throws the weights to where gates are pinned.
BROUGHT = frozenset(
    {"vanishing-gradient", "state-collapse", "constant-output", "stalled-loss", "overfitting"}
) | {"slow-learning", "underfitting", "exploding-gradient", "saturated-gates"}

DATA = """\
x = torch.randn(640, {T}, {features})
y = torch.zeros(640, 1)
for row in range(640):
    end = {least} + row % {spread}
    x[row, end:] = {value}
    y[row] = x[row, end - {k} : end, 0].sum()"""
STATE = "out, {state} = self.cell(x)\nreturn self.head(h[-1])"
AT_END = """\
out, _ = self.cell(x)
ends = x.size(1) - (x == {value}).all(-1).int().flip(1).cumprod(1).sum(1)
return self.head(out[torch.arange(len(ends)), ends - 1])"""


def _loop(rng: np.random.Generator, *, reads_padding: bool) -> tuple[str, str]:
    value = float(rng.choice([0.0, 0.0, -1.0, 5.0]))
    cell = str(rng.choice(["LSTM", "GRU", "RNN"]))
    least, spread = int(rng.integers(4, 7)), int(rng.integers(4, 7))
    by_state = bool(rng.integers(2)) and reads_padding
    features, H = int(rng.integers(1, 3)), int(rng.integers(20, 33))
    T, k = least + spread + int(rng.integers(60, 90)), int(rng.integers(2, 4))
    if not reads_padding:
        read = AT_END.format(value=value)
    else:
        read = STATE.format(state="h" if cell != "LSTM" else "(h, _)") if by_state else LAST
    text = training_loop(
        f"nn.{cell}({features}, {H}, batch_first=True)",
        H,
        DATA.format(T=T, features=features, least=least, spread=spread, value=value, k=k),
        batch=int(rng.choice([32, 48, 64])),
        rate=float(rng.choice([5e-3, 1e-2])),
        epochs=12,
        forward=read,
    ).replace("SEED", str(learnable.seed(rng)), 1)
    how = "its last state" if by_state else "its last output"
    return text, f"{cell} loop, padded with {value:g} to {T} steps, reads {how}"


def _padded(rng: np.random.Generator, behind: tuple[int, int]) -> tuple[learnable.Problem, Any]:
    """A sum of the last values before an end that differs, and constants from there on; ends."""
    n, features, k = int(rng.integers(350, 550)), int(rng.integers(1, 3)), int(rng.integers(2, 4))
    least, spread = int(rng.integers(k + 1, 8)), int(rng.integers(4, 12))
    T = least + spread + int(rng.integers(*behind))
    ends = least + rng.integers(0, spread + 1, n)
    x = rng.normal(size=(n, T, features))
    score = np.array([x[row, end - k : end, 0].sum() for row, end in enumerate(ends)])
    value = float(rng.choice([0.0, 0.0, -1.0, 2.0]))
    x[np.arange(T) >= ends[:, None]] = value
    what = f"sum of the last {k} of {least} to {least + spread} steps, padded with {value:g} to {T}"
    if rng.integers(2):
        labels = (score > np.median(score)).astype(np.int64)
        return learnable.Problem(x, labels, f"sign of the {what}", "cross_entropy"), ends
    return learnable.Problem(x, score[:, None] / np.sqrt(k), what), ends


def faulty(rng: np.random.Generator) -> Sample:
    """Padded sequences without their lengths; or a loop that reads `out[:, -1]`, or h, of them."""
    if rng.integers(2):
        text, what = _loop(rng, reads_padding=True)
        return Sample(SYMPTOM, what, script=text, also=BROUGHT)
    problem, _ = _padded(rng, (90, 120))
    table = learnable.recipe(rng, problem)
    return Sample(SYMPTOM, learnable.told("no lengths", table, problem.what), table, also=BROUGHT)


def healthy(rng: np.random.Generator) -> Sample:
    """Padded with lengths; read at each end; few steps of padding; ends that are constant truly."""
    kind = int(rng.integers(4))
    if kind == 0:
        text, what = _loop(rng, reads_padding=False)
        return Sample(None, f"{what} at each sequence's end", script=text)
    if kind == 1:
        problem, ends = _padded(rng, (30, 60))
        table = learnable.recipe(rng, problem, {"lengths": ends})
        return Sample(None, learnable.told("lengths given", table, problem.what), table)
    if kind == 2:
        # A machine that is switched off, and the question is for how long it ran.
        n, T = int(rng.integers(400, 600)), int(rng.integers(12, 20))
        ends = rng.integers(2, T, n)
        x = 1.0 + 0.2 * rng.normal(size=(n, T, 1))
        x[np.arange(T) >= ends[:, None]] = 0.0
        problem = learnable.Problem(x, ends[:, None] / T, f"how long of {T} steps it ran")
        table = learnable.recipe(rng, problem)
        return Sample(None, learnable.told("a quiet end", table, problem.what), table)
    problem = learnable.any_of(rng, learnable.LAST)
    # Each sequence holds its own last value for a step or two: no padding.
    x = problem.x.copy()
    x[:, -1] = x[:, -2]
    y = x[:, -3:, 0].sum(axis=1, keepdims=True) / 2
    problem = learnable.Problem(x, y, f"sum of the last 3 of {x.shape[1]} steps")
    table = learnable.recipe(rng, problem)
    return Sample(None, learnable.told("the last value is held", table, problem.what), table)
