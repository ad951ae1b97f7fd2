"""carried-state: a sequence begins with the state that an unrelated one ended with."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.corpus.plants import learnable
from bench.corpus.sample import Sample
from minirnn.diagnosis.cases.training_loop import training_loop, truncated_loop

SYMPTOM = "carried-state"


CARRIED = """\
out, state = self.cell(x, self.state if self.training else None)
self.state = {cut}
return self.head(out[:, -1])"""


def _loop(rng: np.random.Generator, *, along: bool) -> tuple[str, str]:
    """Text and cell of a loop: chunks along series, or a state that shuffled sequences carry."""
    cell = str(rng.choice(["LSTM", "GRU", "RNN"]))
    features, H = int(rng.integers(1, 4)), int(rng.integers(16, 33))
    T, k = int(rng.integers(4, 10)), int(rng.integers(2, 5))
    # Batches of one size: a state that is carried fits no other.
    batch, rate = int(rng.choice([32, 64])), float(rng.choice([5e-3, 1e-2]))
    cut = "tuple(s.detach() for s in state)" if cell == "LSTM" else "state.detach()"
    slow, chunk = int(rng.integers(3, 6)), int(rng.choice([32, 48, 60]))
    if along:
        walk = f"torch.sin(torch.randn(8, 961).cumsum(1) / {slow})"
        series = f"series = {walk} + 0.05 * torch.randn(8, 961)"
        layer = f"nn.{cell}(1, {H}, batch_first=True)"
        text = truncated_loop(layer, H, series, steps=960, chunk=chunk, cut=cut, epochs=8)
    else:
        text = training_loop(
            f"nn.{cell}({features}, {H}, batch_first=True)",
            H,
            f"x = torch.randn(640, {T}, {features})\ny = x[:, -{k}:, 0].sum(1, keepdim=True)",
            batch=batch,
            rate=rate,
            further="self.state = None",
            forward=CARRIED.format(cut=cut),
            then="model.eval()\n",
        )
    return text.replace("SEED", str(learnable.seed(rng)), 1), cell


def _chunks(rng: np.random.Generator, batch: int) -> learnable.Problem:
    """Slow waves cut in chunks, so that row r of a batch goes on in row r of the next; (N, T, 1).

    At each step the next value, which a chunk alone tells well: the doctor asks from zeros.
    """
    chunks, T = int(rng.integers(24, 36)), int(rng.integers(8, 14))
    t = np.arange(chunks * T + 1)[:, None]
    period = rng.uniform(20, 30, batch)
    whole = np.sin(2 * np.pi * t / period + rng.uniform(0, 6, batch))
    whole = whole + 0.05 * rng.normal(size=whole.shape)
    x, y = whole[:-1], whole[1:]

    def cut(values: Any) -> Any:
        return values.reshape(chunks, T, batch).swapaxes(1, 2).reshape(chunks * batch, T, 1)

    what = f"slow waves in chunks of {T} steps, the next value"
    return learnable.Problem(cut(x), cut(y), what)


def faulty(rng: np.random.Generator) -> Sample:
    """Sequences that have nothing to do with each other, in a recipe that shuffles, and a loop."""
    kind = int(rng.integers(4))
    # What begins with noise is learned late, or not at all.
    also = frozenset({"underfitting", "stalled-loss", "slow-learning", "constant-output"})
    if kind in (0, 1):
        text, cell = _loop(rng, along=False)
        return Sample(
            SYMPTOM, f"{cell} loop; shuffled, and the state carried", script=text, also=also
        )
    if kind == 2:
        problem = learnable.any_of(rng)
        table = learnable.recipe(rng, problem, model={"initial_state": "carried"})
        return Sample(SYMPTOM, learnable.told("carried", table, problem.what), table, also=also)
    # Slow walks in the order given, each from a level of its own: none goes on where another ended.
    n, T = int(rng.integers(350, 450)), int(rng.integers(5, 9))
    walk = np.cumsum(0.2 * rng.normal(size=(n, T)), axis=1) + 2 * rng.normal(size=(n, 1))
    y = 2 * (walk[:, -1:] - walk[:, :1])
    problem = learnable.Problem(walk[..., None], y, f"how far a walk went in {T} steps")
    training = {"shuffle": False, "batch_size": 32}
    model = {"initial_state": "carried"}
    table = learnable.recipe(rng, problem, training=training, model=model)
    words = learnable.told("carried, in order", table, problem.what)
    return Sample(SYMPTOM, words, table, also=also)


def healthy(rng: np.random.Generator) -> Sample:
    """Chunks that continue each other, in order; states of zeros; learned ones."""
    kind = int(rng.integers(4))
    if kind == 0:
        text, cell = _loop(rng, along=True)
        return Sample(None, f"{cell} loop; truncated BPTT along series", script=text)
    if kind == 1:
        batch = 8
        problem = _chunks(rng, batch)
        # Whole batches on both sides of the cut, so that rows keep their places.
        chunks = len(problem.x) // batch
        training = {"shuffle": False, "batch_size": batch, "learning_rate": 5e-3}
        held = max(1, round(0.2 * chunks)) * batch / len(problem.x)
        data = {"split": "last", "validation": held}
        model = {"initial_state": "carried"}
        table = learnable.recipe(rng, problem, data, training, model)
        return Sample(None, learnable.told("carried, continued", table, problem.what), table)
    problem = learnable.any_of(rng)
    start = "zeros" if kind == 2 else "learned"
    table = learnable.recipe(rng, problem, model={"initial_state": start})
    return Sample(None, learnable.told(f"state {start}", table, problem.what), table)
