"""carried-state: a sequence begins with the state that an unrelated one ended with."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.corpus.plants import learnable
from bench.corpus.sample import Sample

SYMPTOM = "carried-state"

LOOP = """
import torch
from torch import nn

torch.manual_seed(SEED)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.{cell}({I}, {H}, batch_first=True)
        self.head = nn.Linear({H}, 1)
        self.state = None

    def forward(self, x):
        out, state = self.cell(x, self.state if self.training else None)
        self.state = {cut}
        return self.head(out[:, -1])


x = torch.randn(640, {T}, {I})
y = x[:, -{k}:, 0].sum(1, keepdim=True)
loader = torch.utils.data.DataLoader(
    torch.utils.data.TensorDataset(x[:512], y[:512]), batch_size={batch}, shuffle=True
)
model = Model()
optimizer = torch.optim.Adam(model.parameters(), lr={rate})
with watch(model) as watched:
    for epoch in range(10):
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(xb), yb)
            loss.backward()
            optimizer.step()
model.eval()
with torch.no_grad():
    given, wanted = model(x[512:]).reshape(-1), y[512:].reshape(-1)
    skill = float(1 - ((given - wanted) ** 2).mean() / wanted.var(unbiased=False))
"""

SERIES = """
import torch
from torch import nn

torch.manual_seed(SEED)
series = torch.sin(torch.randn(8, 961).cumsum(1) / {slow}) + 0.05 * torch.randn(8, 961)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.{cell}(1, {H}, batch_first=True)
        self.head = nn.Linear({H}, 1)

    def forward(self, x, state):
        out, state = self.cell(x, state)
        return self.head(out), state


model = Model()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
x, y = series[:, :-1, None], series[:, 1:, None]
with watch(model) as watched:
    for epoch in range(8):
        state = None
        for k in range(0, 960, {chunk}):
            if state is not None:
                state = {cut}
            out, state = model(x[:, k : k + {chunk}], state)
            loss = nn.functional.mse_loss(out, y[:, k : k + {chunk}])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
skill = 1 - loss.item() / y.var().item()
"""


def _loop(rng: np.random.Generator, text: str) -> tuple[str, str]:
    cell = str(rng.choice(["LSTM", "GRU", "RNN"]))
    chosen: dict[str, Any] = {
        "cell": cell,
        "I": int(rng.integers(1, 4)),
        "H": int(rng.integers(16, 33)),
        "T": int(rng.integers(4, 10)),
        "k": int(rng.integers(2, 5)),
        # Batches of one size: a state that is carried fits no other.
        "batch": int(rng.choice([32, 64])),
        "rate": float(rng.choice([5e-3, 1e-2])),
        "cut": "tuple(s.detach() for s in state)" if cell == "LSTM" else "state.detach()",
        "slow": int(rng.integers(3, 6)),
        "chunk": int(rng.choice([32, 48, 60])),
    }
    return text.format(**chosen).replace("SEED", str(learnable.seed(rng)), 1), cell


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
        text, cell = _loop(rng, LOOP)
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
        text, cell = _loop(rng, SERIES)
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
