"""shape-broadcast: a loop whose target has another shape than the answers, and stretches.

A recipe refuses such a target at the door, so all of these are loops.
"""

from __future__ import annotations

import numpy as np

from bench.corpus.plants import learnable
from bench.corpus.sample import Sample
from minirnn.diagnosis.cases.training_loop import STEP, training_loop

SYMPTOM = "shape-broadcast"

LOSSES = (
    ("criterion = nn.MSELoss()", "criterion(out, yb)"),
    ("criterion = nn.L1Loss()", "criterion(out, yb)"),
    ("criterion = nn.SmoothL1Loss()", "criterion(out, yb)"),
    ("", "nn.functional.mse_loss(out, yb)"),
    ("", "((out - yb) ** 2).mean()"),
    ("", "((yb - out) ** 2).mean()"),
    ("", "(out - yb).abs().mean()"),
)


def _loop(rng: np.random.Generator, shape: str) -> tuple[str, str]:
    """A loop whose answers and targets are (B, 1) or (B,), as `shape` tells: "one:flat"."""
    given, wanted = shape.split(":")
    k, H, both = int(rng.integers(2, 4)), int(rng.integers(16, 33)), bool(rng.integers(4) == 0)
    criterion, loss = LOSSES[int(rng.integers(len(LOSSES)))]
    total = f"x[:, -{k}:, 0].sum(1)"
    read = "out[:, -1]"
    if both:  # of the reverse direction, its own last step
        read = f"torch.cat([out[:, -1, :{H}], out[:, 0, {H}:]], 1)"
    cell, features = str(rng.choice(["LSTM", "GRU", "RNN"])), int(rng.integers(1, 4))
    T = int(rng.integers(6, 14))
    answers = f"self.head({read})" + (".squeeze(1)" if given == "flat" else "")
    target = total + (".unsqueeze(1)" if wanted == "one" else "")
    batch = int(rng.choice([16, 32, 48, 64]))
    text = training_loop(
        f"nn.{cell}({features}, {H}, batch_first=True{', bidirectional=True' if both else ''})",
        2 * H if both else H,
        f"x = torch.randn(640, {T}, {features})\ny = {target}",
        batch=batch,
        epochs=10 if batch < 48 else 20,  # after 80 steps an LSTM of some explained 0.80 only
        optimizer=str(rng.choice(["Adam", "RMSprop"])),
        rate=float(rng.choice([3e-3, 5e-3])),
        forward=f"out, _ = self.cell(x)\nreturn {answers}",
        setup=f"{criterion}\n",
        step=STEP.replace(
            "loss = nn.functional.mse_loss(model(xb), yb)", f"out = model(xb)\nloss = {loss}"
        ),
    ).replace("SEED", str(learnable.seed(rng)), 1)
    # A batch of one left over would be compared with itself: 512 is divided evenly or leaves more.
    return text, f"{cell} loop{', both directions' if both else ''}, {loss}"


def faulty(rng: np.random.Generator) -> Sample:
    """Answers (B, 1) against targets (B,), or the other way round."""
    shape = ("one:flat", "one:flat", "flat:one")[int(rng.integers(3))]
    text, what = _loop(rng, shape)
    # The best answer to all targets at once is their mean, and that is what is learned.
    also = frozenset({"stalled-loss", "constant-output", "state-collapse", "underfitting"})
    return Sample(SYMPTOM, f"{what}; {shape}", script=text, also=also)


def healthy(rng: np.random.Generator) -> Sample:
    """The same with shapes that agree; and a loss whose scalar is meant."""
    shape = ("one:one", "flat:flat")[int(rng.integers(2))]
    text, what = _loop(rng, shape)
    if rng.integers(3) == 0:
        # One number beside many, as a weight decay by hand: stretched, and meant so.
        weight = (
            " + 1e-5 * sum((p**2).sum() for p in model.parameters())\n            loss.backward"
        )
        text = text.replace("\n            loss.backward", weight, 1)
        what += " + a penalty"
    return Sample(None, f"{what}; {shape}", script=text)
