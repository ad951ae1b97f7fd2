"""One training loop in PyTorch, as text, and the cases' mistakes planted in it."""

from __future__ import annotations

from minirnn.diagnosis.cases.training_loop import changed, training_loop

LSTM = "nn.LSTM(1, 24, batch_first=True)"
SUM = "y = x[:, -3:].sum(1)\n"
CLEAR = "            optimizer.zero_grad()\n"


def plain(batch: int, epochs: int) -> str:
    """An LSTM of 24 units that learns the sum of the last three of eight values."""
    return training_loop(
        LSTM,
        24,
        f"x = torch.randn(640, 8, 1)\n{SUM}".rstrip("\n"),
        name="lstm",
        forward="out, _ = self.lstm(x)\nreturn self.head(out[:, -1])",
        batch=batch,
        rate="1e-2",
        epochs=epochs,
        setup="criterion = nn.MSELoss()\n",
        step="optimizer.zero_grad()\nout = model(xb)\nloss = criterion(out, yb)\n"
        "loss.backward()\noptimizer.step()",
    )


# Sequences that end at the fifth to eighth of 80 steps, and their sums before that end.
PADDING = (
    "y = torch.zeros(640, 1)\nx = torch.cat([x, torch.zeros(640, 72, 1)], 1)\n"
    "for k in range(640):\n    end = 8 - k % 4\n    x[k, end:] = 0\n"
    "    y[k] = x[k, end - 3 : end].sum()\n"
)
# What makes a model carry its state from batch to batch, and be asked without it.
CARRYING = (
    (
        "out, _ = self.lstm(x)",
        "out, state = self.lstm(x, self.state if self.training else None)\n"
        "        self.state = tuple(s.detach() for s in state)",
    ),
    ("self.head = nn.Linear(24, 1)", "self.head = nn.Linear(24, 1)\n        self.state = None"),
    ("model(x[512:])", "model.eval()(x[512:])"),
)

PLAIN = plain(batch=64, epochs=14)
SIGMOID = changed(
    PLAIN,
    (LSTM, "nn.RNN(1, 24, nonlinearity='sigmoid', batch_first=True)"),
)
BROADCAST = changed(PLAIN, (SUM, "y = x[:, -3:].sum(1)[:, 0]\n"))
FORGOTTEN = changed(
    PLAIN,
    (CLEAR, ""),
    ("optim.Adam", "optim.SGD"),
    ("lr=1e-2", "lr=0.1, momentum=0.9"),
    ("range(14)", "range(28)"),
)
SHUFFLED = changed(PLAIN, (SUM, SUM + "y = y[torch.randperm(640)]\n"))
SWAPPED = changed(PLAIN, (", batch_first=True", ""))
PADDED = changed(PLAIN, (SUM, PADDING))
CARRIED = changed(PLAIN, *CARRYING)
