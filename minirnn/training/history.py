"""What a training run was like, epoch by epoch, and why it ended."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from minirnn.errors import ArgumentError

COLUMNS = (
    "number",
    "batches",
    "loss",
    "validation_loss",
    "gradient_norm",
    "gradient_norm_max",
    "learning_rate",
    "seconds",
    "complete",
)

StopKind = Literal["non-finite", "interrupted", "requested"]


@dataclass(frozen=True)
class Epoch:
    """One epoch. Losses and metrics are means over the data, not over batches.

    `loss` and `metrics` are taken batch by batch while the weights move; `validation_loss` and
    `validation_metrics` after the epoch, in evaluation mode. `gradient_norm` is the mean, and
    `gradient_norm_max` the largest, of the batches' norms over all parameters, before clipping.
    `complete` is False for an epoch that was cut short, which tells of its batches up to there.
    """

    number: int  # from 1
    batches: int  # whose loss and gradients were finite
    loss: float
    gradient_norm: float
    gradient_norm_max: float
    learning_rate: float
    seconds: float
    validation_loss: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    validation_metrics: dict[str, float] = field(default_factory=dict)
    complete: bool = True


@dataclass(frozen=True)
class Stop:
    """Why training ended before its last epoch, and where (both counted from 1).

    kind  "non-finite": a loss, gradient or parameter became NaN or infinite; "interrupted": by the
          keyboard; "requested": by a callback
    """

    kind: StopKind
    message: str
    epoch: int
    batch: int


@dataclass
class History:
    """The epochs of a training run, in order, and `stopped`: None when it ran all of them."""

    epochs: list[Epoch] = field(default_factory=list)
    stopped: Stop | None = None

    def __len__(self) -> int:
        """How many epochs there are."""
        return len(self.epochs)

    @property
    def loss(self) -> list[float]:
        """The training loss of each epoch."""
        return [epoch.loss for epoch in self.epochs]

    @property
    def validation_loss(self) -> list[float | None]:
        """The validation loss of each epoch; None where there was none."""
        return [epoch.validation_loss for epoch in self.epochs]

    @property
    def gradient_norm(self) -> list[float]:
        """The mean gradient norm of each epoch."""
        return [epoch.gradient_norm for epoch in self.epochs]

    @property
    def seconds(self) -> list[float]:
        """The time each epoch took, validation included."""
        return [epoch.seconds for epoch in self.epochs]

    def __getitem__(self, name: str) -> list[Any]:
        """A column by name: "loss", "gradient_norm_max", "rmse", "validation_rmse", …

        Raises: ArgumentError for an unknown name; it lists those there are.
        """
        columns = self._columns()
        if name not in columns:
            raise ArgumentError("name", repr(name), f"one of {', '.join(columns)}")
        return columns[name]

    def to_dict(self) -> dict[str, Any]:
        """Columns by name, and `stopped` as a dict or None; plain Python values."""
        return {**self._columns(), "stopped": asdict(self.stopped) if self.stopped else None}

    def _columns(self) -> dict[str, list[Any]]:
        columns = {name: [getattr(epoch, name) for epoch in self.epochs] for name in COLUMNS}
        for name in {name: None for epoch in self.epochs for name in epoch.metrics}:
            columns[name] = [epoch.metrics.get(name) for epoch in self.epochs]
        for name in {name: None for epoch in self.epochs for name in epoch.validation_metrics}:
            values = [epoch.validation_metrics.get(name) for epoch in self.epochs]
            columns[f"validation_{name}"] = values
        return columns

    def __repr__(self) -> str:
        """How many epochs, the last losses, and why it stopped."""
        if not self.epochs:
            ended = f": {self.stopped.message}" if self.stopped else ""
            return f"History(no epochs{ended})"
        last = self.epochs[-1]
        parts = [f"{len(self)} epochs", f"loss {last.loss:.4g}"]
        if last.validation_loss is not None:
            parts.append(f"validation loss {last.validation_loss:.4g}")
        if self.stopped:
            parts.append(f"stopped: {self.stopped.message}")
        return f"History({', '.join(parts)})"
