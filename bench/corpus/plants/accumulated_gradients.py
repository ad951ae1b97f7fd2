"""accumulated-gradients: a loop that never clears what its steps have used, and one that does.

A recipe's training clears them, so that all of these are loops. Healthy: accumulation on purpose
over two to four batches, gradients cleared through `.data`, by the model, or at the loop's end.
"""

from __future__ import annotations

import numpy as np

from bench.corpus.sample import Sample
from minirnn.diagnosis.cases.training_loop import training_loop

SYMPTOM = "accumulated-gradients"
# A sum of all gradients that only grows is a step that only grows: the loss swings, gates are
# thrown to their ends, and at last the numbers end. Adam's rates, in turn, forget to move at all.
BRINGS = frozenset(
    {
        "oscillating-loss",
        "exploding-gradient",
        "non-finite",
        "saturated-gates",
        "vanishing-gradient",
        "dead-units",
        "state-collapse",
        "constant-output",
        "stalled-loss",
        "slow-learning",
        "underfitting",
    }
)

FORGOTTEN = (
    "loss = criterion(model(xb), yb)\nloss.backward()\noptimizer.step()\n",
    "out = model(xb)\nloss = criterion(out, yb)\nloss.backward()\n"
    "nn.utils.clip_grad_norm_(model.parameters(), {bound})\noptimizer.step()\n",
    # Cleared once an epoch: every batch but the first finds what the one before has used.
    "if step == 0:\n    optimizer.zero_grad()\nloss = criterion(model(xb), yb)\nloss.backward()\n"
    "optimizer.step()\n",
)
CLEARED = (
    # accumulation on purpose
    "loss = criterion(model(xb), yb) / {count}\nloss.backward()\n"
    "if step % {count} == {count} - 1:\n    optimizer.step()\n    optimizer.zero_grad()\n",
    "for p in model.parameters():\n    if p.grad is not None:\n        p.grad.data.zero_()\n"
    "loss = criterion(model(xb), yb)\nloss.backward()\noptimizer.step()\n",
    "model.zero_grad()\nloss = criterion(model(xb), yb)\nloss.backward()\noptimizer.step()\n",
    "loss = criterion(model(xb), yb)\nloss.backward()\noptimizer.step()\n"
    "optimizer.zero_grad(set_to_none=False)\n",
    "for p in model.parameters():\n    p.grad = None\nloss = criterion(model(xb), yb)\n"
    "loss.backward()\nnn.utils.clip_grad_norm_(model.parameters(), 1.0)\noptimizer.step()\n",
)


def faulty(rng: np.random.Generator) -> Sample:
    """Nothing clears the gradients."""
    which = int(rng.integers(len(FORGOTTEN)))
    optimiser = str(rng.choice(["SGD", "SGD", "Adam", "RMSprop"]))
    rate = float(rng.choice([0.1, 0.3] if optimiser == "SGD" else [3e-3, 1e-2]))
    # At 0.1 SGD has learned nothing in 10 epochs whose gradients are cleared, of a smooth error.
    epochs = 30 if optimiser == "SGD" else 10
    script, what = _loop(rng, FORGOTTEN[which], optimiser, rate, epochs)
    how = ("never cleared", "clipped and never cleared", "cleared once an epoch")[which]
    return Sample(SYMPTOM, f"{what}, {how}", script=script, also=BRINGS)


def healthy(rng: np.random.Generator) -> Sample:
    """Something clears them, or they are gathered on purpose."""
    which = int(rng.integers(len(CLEARED)))
    script, what = _loop(rng, CLEARED[which], "Adam", float(rng.choice([7e-3, 1e-2])), epochs=14)
    how = (
        "gathered on purpose", "cleared through .data", "cleared by the model",
        "cleared after the step", "let go of, one by one",
    )[which]  # fmt: skip
    return Sample(None, f"{what}, {how}", script=script)


def _loop(
    rng: np.random.Generator, body: str, optimiser: str, rate: float, epochs: int = 10
) -> tuple[str, str]:
    """The text of a loop, and what it is."""
    H, both, k = int(rng.integers(16, 30)), bool(rng.integers(4) == 0), int(rng.integers(2, 4))
    count = int(rng.integers(2, 5))
    cell, features = str(rng.choice(["LSTM", "GRU", "RNN"])), int(rng.integers(1, 3))
    T = int(rng.integers(6, 16))
    read = f"torch.cat([out[:, -1, :{H}], out[:, 0, {H}:]], 1)" if both else "out[:, -1]"
    batch = 16 if "{count}" in body else int(rng.choice([32, 48]))
    criterion = str(rng.choice(["MSELoss", "SmoothL1Loss"]))
    text = training_loop(
        f"nn.{cell}({features}, {H}, batch_first=True{', bidirectional=True' if both else ''})",
        2 * H if both else H,
        f"x = torch.randn(640, {T}, {features})\ny = x[:, -{k}:, 0].sum(1, keepdim=True)",
        batch=batch,
        optimizer=optimiser,
        rate=rate,
        epochs=epochs,
        forward=f"out, _ = self.cell(x)\nreturn self.head({read})",
        setup=f"criterion = nn.{criterion}()\n",
        batches="step, (xb, yb) in enumerate(loader)",
        step=body.format(count=count, bound=float(rng.choice([1.0, 5.0]))).rstrip("\n"),
    )
    return text, f"{cell} {H}, {optimiser} at {rate:g}, sum of the last {k} of {T}"
