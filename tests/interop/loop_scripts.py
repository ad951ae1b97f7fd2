"""Training loops as people write them, each with one mistake, as the text of a script.

A script is run with `watch` and `SEED` in its globals, and leaves `watched` and `skill`: the R2 (or
the gain in accuracy over the most usual class) of the trained model on data it has not seen.
`HEALTHY` are loops that look like a mistake and are none.
"""

from __future__ import annotations

from minirnn.diagnosis.cases.scripts import CARRYING, CLEAR, LSTM, PADDING, SUM, plain
from minirnn.diagnosis.cases.training_loop import changed, truncated_loop

PLAIN = plain(batch=48, epochs=10)
STEP = "            optimizer.step()\n"
FLAT = ("y = x[:, -3:].sum(1)", "y = x[:, -3:].sum(1)[:, 0]")
# What a cured loop with a target (N,) needs to be scored is the same: SCORE flattens both.

SICK: dict[str, str] = {
    "shape-broadcast": changed(PLAIN, FLAT),
    "shape-broadcast by hand": changed(
        PLAIN, FLAT, ("loss = criterion(out, yb)", "loss = ((yb - out) ** 2).mean()")
    ),
    "accumulated-gradients": changed(
        PLAIN,
        (CLEAR, ""),
        ("Adam", "SGD"),
        ("lr=1e-2", "lr=0.3"),
        ("range(10)", "range(30)"),  # cured, SGD needs them
    ),
    "batch-time-swap": changed(PLAIN, (", batch_first=True", "")),
    "oscillating-loss": changed(PLAIN, ("lr=1e-2", "lr=2.0")),
    "slow-learning": changed(PLAIN, ("lr=1e-2", "lr=1e-6")),
    "slow-learning of SGD": changed(
        PLAIN, ("Adam", "SGD"), ("lr=1e-2", "lr=1e-5"), ("range(10)", "range(30)")
    ),
    "stalled-loss, cleared too late": changed(
        PLAIN,
        (CLEAR, ""),
        (STEP, CLEAR + STEP),
    ),
    "stalled-loss, no step": changed(PLAIN, (STEP, "")),
    "unscaled-input": changed(
        PLAIN,
        (SUM, f"{SUM}x = 300 + 12 * x\n"),
    ),
    "reads-padding": changed(
        PLAIN,
        (SUM, PADDING),
    ),
    "carried-state": changed(PLAIN, *CARRYING, ("batch_size=48", "batch_size=64")),
    "carried-state with its graph": changed(
        PLAIN,
        (
            "out, _ = self.lstm(x)",
            "out, self.state = self.lstm(x, self.state)",
        ),
        ("self.head = nn.Linear(24, 1)", "self.head = nn.Linear(24, 1)\n        self.state = None"),
        ("batch_size=48", "batch_size=64"),
        ("model(x[512:])", "model(x[512:576])"),
        ("y[512:].reshape", "y[512:576].reshape"),
    ),
    "no-recurrence": changed(
        PLAIN,
        ("nn.LSTM(1, 24", "nn.LSTM(8, 24"),
        ("self.lstm(x)", "self.lstm(x.unsqueeze(1))"),
        (SUM, f"{SUM}x = x[:, :, 0]\n"),
    ),
}

HEALTHY: dict[str, str] = {
    "lstm": PLAIN,
    "gru, time first, loss of its own": changed(
        PLAIN,
        (LSTM, "nn.GRU(1, 24)"),
        ("self.lstm(x)", "self.lstm(x.transpose(0, 1))"),
        ("out[:, -1]", "out[-1]"),
        ("criterion(out, yb)", "((out - yb) ** 2).mean()"),
    ),
    "a loss with a penalty, which shows no targets": changed(
        PLAIN,
        (
            "criterion(out, yb)",
            "((yb - out) ** 2).mean() + 1e-5 * sum((p**2).sum() for p in model.parameters())",
        ),
    ),
    "rnn, clipped": changed(
        PLAIN,
        ("nn.LSTM(", "nn.RNN("),
        (
            STEP,
            "            nn.utils.clip_grad_norm_(model.parameters(), 1.0)\n"
            "            optimizer.step()\n",
        ),
        ("lr=1e-2", "lr=3e-3"),
    ),
    "accumulation on purpose": changed(
        PLAIN,
        (CLEAR, ""),
        ("for xb, yb in loader", "for k, (xb, yb) in enumerate(loader)"),
        (
            "            loss.backward()\n            optimizer.step()\n",
            "            (loss / 2).backward()\n            if k % 2:\n"
            "                optimizer.step()\n                optimizer.zero_grad()\n",
        ),
        ("batch_size=48", "batch_size=24"),
    ),
    "gradients cleared through .data": changed(
        PLAIN,
        (
            CLEAR,
            "            for p in model.parameters():\n                if p.grad is not None:\n"
            "                    p.grad.data.zero_()\n",
        ),
    ),
    "truncated BPTT of one long series": truncated_loop(
        LSTM,
        24,
        "series = torch.randn(8, 1601).cumsum(1)\n"
        "series = torch.sin(series / 3) + 0.1 * torch.randn(8, 1601)",
        name="lstm",
        steps=1600,
        chunk=64,
        cut="tuple(s.detach() for s in state)",
        epochs=4,
    ),
    "classes of packed sequences": """
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence

torch.manual_seed(SEED)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(2, 24, bidirectional=True)
        self.head = nn.Linear(48, 3)

    def forward(self, packed):
        _, h = self.gru(packed)
        return self.head(torch.cat([h[0], h[1]], 1))


lengths = torch.randint(3, 12, (640,))
x = [torch.randn(int(n), 2) for n in lengths]
y = torch.stack([s.sum(0)[0] for s in x]).div(3).round().clamp(-1, 1).long() + 1
model = Model()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
with watch(model) as watched:
    for epoch in range(8):
        for rows in torch.randperm(512).split(48):
            packed = pack_sequence([x[r] for r in rows], enforce_sorted=False)
            loss = nn.functional.cross_entropy(model(packed), y[rows])
            optimizer.zero_grad(set_to_none=False)
            loss.backward()
            optimizer.step()
with torch.no_grad():
    right = model(pack_sequence(x[512:], enforce_sorted=False)).argmax(1) == y[512:]
skill = float(right.float().mean()) - float((y[512:] == y[512:].mode().values).float().mean())
""",
    "symbols, time first, last chunk shorter": """
import torch
from torch import nn

torch.manual_seed(SEED)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(6, 12)
        self.lstm = nn.LSTM(12, 24)
        self.head = nn.Linear(24, 6)

    def forward(self, x, state):
        out, state = self.lstm(self.embedding(x), state)
        return self.head(out), state


text = torch.cat([(torch.arange(6) * int(k)) % 6 for k in torch.randint(1, 6, (900,))])
data = text[: 5336 // 16 * 16].reshape(16, -1).T
model = Model()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
with watch(model) as watched:
    for epoch in range(6):
        state = (torch.zeros(1, 16, 24), torch.zeros(1, 16, 24))
        for k in range(0, len(data) - 1, 35):
            x, y = data[k : k + 35][:-1], data[k : k + 35][1:]
            if len(x) == 0:
                break
            state = tuple(s.detach() for s in state)
            out, state = model(x, state)
            loss = nn.functional.cross_entropy(out.reshape(-1, 6), y.reshape(-1))
            model.zero_grad()
            loss.backward()
            optimizer.step()
skill = 1.8 - loss.item()
""",
    "padded, and read at each sequence's end": changed(
        SICK["reads-padding"],
        (
            "return self.head(out[:, -1])",
            "ends = 80 - (x == 0).all(-1).int().flip(1).cumprod(1).sum(1)\n"
            "        return self.head(out[torch.arange(len(ends)), ends - 1])",
        ),
    ),
    "a loss at every step, shuffled": changed(
        PLAIN,
        ("self.head(out[:, -1])", "self.head(out)"),
        ("y = x[:, -3:].sum(1)", "y = x.cumsum(1) / 2"),
    ),
    "one step at a time with its state": changed(
        PLAIN,
        (
            "        out, _ = self.lstm(x)\n        return self.head(out[:, -1])\n",
            "        state = None\n        for t in range(x.size(1)):\n"
            "            out, state = self.lstm(x[:, t : t + 1], state)\n"
            "        return self.head(out[:, -1])\n",
        ),
    ),
}
