"""PyTorch training loops as people write them, as text: the cases, the corpus and the tests plant
their mistakes in it, each from here.

Only text is made: PyTorch has to be there to run it, not to write it. A loop is run with `watch`
(and `SEED`, where the text still says so) in its globals, and leaves `watched`, and `skill`: the R2
of the trained model on sequences that it has not seen.
"""

from __future__ import annotations

from textwrap import indent

LAST = "out, _ = self.cell(x)\nreturn self.head(out[:, -1])"
STEP = """\
optimizer.zero_grad()
loss = nn.functional.mse_loss(model(xb), yb)
loss.backward()
optimizer.step()"""
MODEL = """\


class Model(nn.Module):
    def __init__(self):
        super().__init__()
{layers}

    def forward({given}):
{forward}


"""
HEAD = """
import torch
from torch import nn

torch.manual_seed(SEED)
"""
LOADER = """\
loader = torch.utils.data.DataLoader(
    torch.utils.data.TensorDataset(x[:512], y[:512]), batch_size={batch}, shuffle=True
)
"""
TRAINING = """\
model = Model()
optimizer = torch.optim.{optimizer}(model.parameters(), lr={rate})
{setup}with watch(model) as watched:
    for epoch in range({epochs}):
"""
SCORE = """\
with torch.no_grad():
    given, wanted = model(x[512:]).reshape(-1), y[512:].reshape(-1)
    skill = float(1 - ((given - wanted) ** 2).mean() / wanted.var(unbiased=False))
"""
ALONG = """\
        state = None
        for k in range(0, {steps}, {chunk}):
            if state is not None:
                state = {cut}
            out, state = model(x[:, k : k + {chunk}], state)
            loss = nn.functional.mse_loss(out, y[:, k : k + {chunk}])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
skill = 1 - loss.item() / y.var().item()
"""


def training_loop(
    layer: str,
    width: int,
    data: str,
    *,
    batch: int,
    rate: float | str,
    epochs: int = 10,
    optimizer: str = "Adam",
    name: str = "cell",
    further: str = "",
    forward: str = LAST,
    setup: str = "",
    batches: str = "xb, yb in loader",
    step: str = STEP,
    then: str = "",
) -> str:
    """A model of one recurrent layer and a head, and a loop that trains it on 512 of 640 sequences.

    layer, width   the layer as it is built, "nn.LSTM(1, 24, batch_first=True)", and what its head
                   reads; `name` is its attribute, `further` more lines of the model's `__init__`
    data           lines that make `x` (640, ...) and `y`
    forward, step  the lines of the model's forward call, and of what is done with a batch
    setup, then    lines before the loop, and between it and the score; each ends its last line
    batches        how the loader is walked through
    """
    layers = f"self.{name} = {layer}\nself.head = nn.Linear({width}, 1)\n{further}".rstrip("\n")
    return (
        HEAD
        + _model(layers, "self, x", forward)
        + f"{data}\n"
        + LOADER.format(batch=batch)
        + TRAINING.format(optimizer=optimizer, rate=rate, setup=setup, epochs=epochs)
        + f"        for {batches}:\n{indent(step, ' ' * 12)}\n{then}"
        + SCORE
    )


def truncated_loop(
    layer: str,
    width: int,
    series: str,
    *,
    steps: int,
    chunk: int,
    cut: str,
    epochs: int,
    name: str = "cell",
) -> str:
    """Truncated BPTT along series (8, steps + 1): the state goes on from chunk to chunk, cut off.

    `series` are lines that make `series`, `cut` is the state without its past, as an expression.
    Its `skill` is what the last loss leaves of the targets' variance.
    """
    layers = f"self.{name} = {layer}\nself.head = nn.Linear({width}, 1)"
    forward = f"out, state = self.{name}(x, state)\nreturn self.head(out), state"
    model = _model(layers, "self, x, state", forward)
    training = TRAINING.format(optimizer="Adam", rate="1e-2", setup="", epochs=epochs)
    targets = "x, y = series[:, :-1, None], series[:, 1:, None]\n"
    return (
        HEAD
        + f"{series}\n"
        + model
        + training.replace("with watch", f"{targets}with watch", 1)
        + ALONG.format(steps=steps, chunk=chunk, cut=cut)
    )


def changed(script: str, *pairs: tuple[str, str]) -> str:
    """A script with some text in place of other text. Raises: ValueError where that is missing."""
    for old, new in pairs:
        if old not in script:
            raise ValueError(f"the script has no {old!r}")
        script = script.replace(old, new)
    return script


def _model(layers: str, given: str, forward: str) -> str:
    return MODEL.format(
        layers=indent(layers, " " * 8), given=given, forward=indent(forward, " " * 8)
    )
