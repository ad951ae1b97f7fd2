"""Air pressure, hour by hour: an LSTM that should tell by how much it changes in the next hour.

Plain PyTorch, as it is written every day. It answers the same whatever it is shown.
"""

import torch
from torch import nn

torch.manual_seed(0)

# Four months of a barometer's readings in hectopascal: weather, two tides a day, and some noise.
hours = torch.arange(24 * 120)
weather = sum(torch.sin(hours / length + phase) for length, phase in ((23.0, 0.0), (37.0, 1.0)))
tides = torch.sin(hours * 2 * torch.pi / 12)
pressure = 1013 + 6 * weather + 1.5 * tides + 0.1 * torch.randn(len(hours))

WINDOW = 24
x = pressure.unfold(0, WINDOW, 1)[:-1].unsqueeze(-1)
y = (pressure[WINDOW:] - pressure[WINDOW - 1 : -1]).unsqueeze(-1)
train, test = slice(0, 2300), slice(2300, None)
data = torch.utils.data.TensorDataset(x[train], y[train])
loader = torch.utils.data.DataLoader(data, batch_size=64, shuffle=True)


class Barometer(nn.Module):
    """An LSTM, and the change it tells from the last hour of a window."""

    def __init__(self, units):
        super().__init__()
        self.lstm = nn.LSTM(1, units, batch_first=True)
        self.head = nn.Linear(units, 1)

    def forward(self, x):
        """Windows (B, T, 1) in hectopascal to changes (B, 1)."""
        output, _ = self.lstm(x)
        return self.head(output[:, -1])


model = Barometer(units=32)
criterion = nn.MSELoss()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)

for epoch in range(5):
    for inputs, targets in loader:
        loss = criterion(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch + 1}: loss {loss.item():.3f}")

with torch.no_grad():
    answers = model(x[test])
print(f"answers from {answers.min():.3f} to {answers.max():.3f} hPa", end=", ")
print(f"where {y[test].min():.3f} to {y[test].max():.3f} came")
print(f"explained of what came (R2): {1 - (answers - y[test]).square().mean() / y[test].var():.3f}")
