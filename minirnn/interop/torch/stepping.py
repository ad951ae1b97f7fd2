"""What an optimiser does to a model: rates, gradients, updates, and whether gradients are cleared.

Whether a gradient was cleared between a step and the next backward pass is told by the tensor's own
version counter, which every change in place moves; no number is looked at while all is well.
"""

from __future__ import annotations

from typing import Any

import torch

from minirnn.diagnosis.loop import Optimisation
from minirnn.interop.torch.tallies import Curve

MEASURED_FIRST, MEASURED_EVERY = 10, 20  # steps whose update is measured


class OptimiserWatch:
    """The steps of the optimisers that hold the model's parameters.

    norms, rates, ratios   of each step (`Curve`); |update| / |parameters| of some
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self._model = model
        self.norms, self.rates, self.ratios = Curve(), Curve(), Curve()
        self.name = ""
        self.first_rate = self.last_rate = float("nan")
        self.momentum = 0.0
        self.steps = self.backwards = self.first_backwards = 0
        self.stale = self.strangers = 0
        self._applied: list[tuple[torch.Tensor, int, int]] = []  # parameter, memory, version
        self._clip_norm: torch.Tensor | float | None = None
        self._before: list[torch.Tensor] | None = None

    def _parameters(self) -> list[torch.Tensor]:
        return [p for p in self._model.parameters() if p.requires_grad]

    # Backward.

    def before_backward(self) -> None:
        """Count a pass, and whether it adds to gradients that a step has used already."""
        self.backwards += 1
        if not self._applied:
            return
        self.first_backwards += 1
        there = [
            p.grad
            for p, memory, version in self._applied
            if p.grad is not None and (p.grad.data_ptr(), p.grad._version) == (memory, version)
        ]
        # `.data.zero_()` moves no counter: where nothing seems to have changed, look.
        if len(there) == len(self._applied) and any(bool(gradient.any()) for gradient in there):
            self.stale += 1
        self._applied = []

    def after_backward(self) -> None:
        """A norm measured by clipping tells of these gradients only if it comes later."""
        self._clip_norm = None

    def clipped(self, norm: Any) -> None:
        """Clipping tells the norm before it."""
        if isinstance(norm, torch.Tensor | float):
            self._clip_norm = norm.detach() if isinstance(norm, torch.Tensor) else norm

    # Steps.

    def begins(self, optimiser: Any) -> bool:
        """A step is about to be made; whether it is one of the model's."""
        held = {id(p) for group in optimiser.param_groups for p in group["params"]}
        parameters = self._parameters()
        mine = [p for p in parameters if id(p) in held]
        if not mine:
            self.strangers += 1
            return False
        gradients = [p.grad for p in mine if p.grad is not None]
        norm = self._clip_norm if self._clip_norm is not None else norm_of(gradients)
        self._clip_norm = None
        self.norms.add(norm)
        group = optimiser.param_groups[0]
        self.last_rate = float(group["lr"])
        if self.steps == 0:
            self.name, self.first_rate = type(optimiser).__name__, self.last_rate
            betas = group.get("betas", (0.0,))
            self.momentum = float(group.get("momentum", betas[0]))
        self.rates.add(self.last_rate)
        if self.steps < MEASURED_FIRST or self.steps % MEASURED_EVERY == 0:
            self._before = [p.detach().clone() for p in mine]
        self.steps += 1
        return True

    def ended(self, optimiser: Any) -> None:
        """A step was made: measure it, and remember which gradients it applied."""
        held = {id(p) for group in optimiser.param_groups for p in group["params"]}
        mine = [p for p in self._parameters() if id(p) in held]
        if not mine:
            return
        if self._before is not None and len(self._before) == len(mine):
            with torch.no_grad():
                moved = [p - b for p, b in zip(mine, self._before, strict=True)]
                size = norm_of(self._before)
                self.ratios.add(norm_of(moved) / (size + 1e-30))
        self._before = None
        # Where they lie, not the gradients themselves: those may be let go of by `zero_grad`.
        self._applied = [
            (p, p.grad.data_ptr(), p.grad._version) for p in mine if p.grad is not None
        ]

    def let_go(self) -> None:
        """Of tensors held while watching."""
        self._applied, self._before, self._clip_norm = [], None, None

    def seen(self) -> Optimisation:
        """What was seen."""
        norms = self.norms.numbers()
        return Optimisation(
            self.name,
            self.first_rate,
            self.last_rate,
            self.momentum,
            self.steps,
            self.backwards,
            self.first_backwards,
            self.stale,
            round(self.steps * float((norms == 0.0).mean())) if len(norms) else 0,
            foreign=self.strangers > 0 and self.steps == 0,
        )


def norm_of(each: list[torch.Tensor]) -> torch.Tensor:
    """The norm of all numbers in some tensors, on their device."""
    if not each:
        return torch.zeros(())
    with torch.no_grad():
        norms = torch._foreach_norm([t.detach() for t in each])
        return torch.linalg.vector_norm(torch.stack([n.to(norms[0].device) for n in norms]))
