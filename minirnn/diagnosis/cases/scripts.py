"""Training loops in PyTorch as people write them, as text; each case plants its mistake in one.

A loop is run with `watch` and `SEED` in its globals, and leaves `watched`, and `skill`: the R2 of
the trained model on sequences that it has not seen.
"""

from __future__ import annotations

from minirnn.diagnosis.cases.loops import changed

MODEL = """
import torch
from torch import nn

torch.manual_seed(SEED)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(1, 24, batch_first=True)
        self.head = nn.Linear(24, 1)

    def forward(self, x):
        out, _ = self.lstm(x)
        return self.head(out[:, -1])

"""
DATA = """
x = torch.randn(640, 8, 1)
y = x[:, -3:].sum(1)
train = torch.utils.data.TensorDataset(x[:512], y[:512])
loader = torch.utils.data.DataLoader(train, batch_size=64, shuffle=True)
"""
LOOP = """
model = Model()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
criterion = nn.MSELoss()
with watch(model) as watched:
    for epoch in range(14):
        for xb, yb in loader:
            optimizer.zero_grad()
            out = model(xb)
            loss = criterion(out, yb)
            loss.backward()
            optimizer.step()
"""
SCORE = """
with torch.no_grad():
    given, wanted = model(x[512:]).reshape(-1), y[512:].reshape(-1)
    skill = float(1 - ((given - wanted) ** 2).mean() / wanted.var(unbiased=False))
"""
PLAIN = MODEL + DATA + LOOP + SCORE
SUM = "y = x[:, -3:].sum(1)\n"
CLEAR = "            optimizer.zero_grad()\n"

SIGMOID = changed(
    PLAIN,
    (
        (
            "nn.LSTM(1, 24, batch_first=True)",
            "nn.RNN(1, 24, nonlinearity='sigmoid', batch_first=True)",
        ),
    ),
)
BROADCAST = changed(PLAIN, ((SUM, "y = x[:, -3:].sum(1)[:, 0]\n"),))
FORGOTTEN = changed(
    PLAIN,
    (
        (CLEAR, ""),
        ("optim.Adam", "optim.SGD"),
        ("lr=1e-2", "lr=0.1, momentum=0.9"),
        ("range(14)", "range(28)"),
    ),
)
SHUFFLED = changed(PLAIN, ((SUM, SUM + "y = y[torch.randperm(640)]\n"),))
SWAPPED = changed(PLAIN, ((", batch_first=True", ""),))
PADDED = changed(
    PLAIN,
    (
        (
            SUM,
            "y = torch.zeros(640, 1)\nx = torch.cat([x, torch.zeros(640, 72, 1)], 1)\n"
            "for k in range(640):\n    end = 8 - k % 4\n    x[k, end:] = 0\n"
            "    y[k] = x[k, end - 3 : end].sum()\n",
        ),
    ),
)
CARRIED = changed(
    PLAIN,
    (
        (
            "out, _ = self.lstm(x)",
            "out, state = self.lstm(x, self.state if self.training else None)\n"
            "        self.state = tuple(s.detach() for s in state)",
        ),
        ("self.head = nn.Linear(24, 1)", "self.head = nn.Linear(24, 1)\n        self.state = None"),
        ("model(x[512:])", "model.eval()(x[512:])"),
    ),
)
LEVELS = "levels = torch.linspace(0, 1, 640).exp() * 40\n"
