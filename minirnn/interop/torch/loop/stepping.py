"""What an optimiser does to a model: rates, gradients, updates, and whether gradients are cleared.

Whether a gradient was cleared between a step and the next backward pass is told by the tensor's own
version counter, which every change in place moves; no number is looked at while all is well. The
same counters tell whether a backward pass went through this model at all: a program may train two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from minirnn.diagnosis.evidence.loop import Optimisation
from minirnn.interop.torch.loop.tallies import Curve

MEASURED_FIRST, MEASURED_EVERY = 10, 20  # steps whose update is measured
LOOKED_FOR_BY_HAND = 4  # backward passes without a step, between which the weights are compared

Mark = tuple[int, int] | None


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
        self.moved_by_hand = self._reached = False
        # Of the backward passes looked at: how many left no gradient, which parameters had one and
        # which had one that is not 0, and whether a parameter has had none so far.
        self.lacks = False
        self.looked_at = self.flat = 0
        self._reached_names: set[str] = set()
        self._told_names: set[str] = set()
        # By optimiser: gradients that its step used; whether they are as it left them; and the
        # parameters whose gradients were added to, until a step or a clearing.
        self._applied: dict[int, list[tuple[torch.Tensor, Mark]]] = {}
        self._unchanged: dict[int, bool] = {}
        self._used_again: dict[int, list[torch.Tensor]] = {}
        self._found: dict[torch.Tensor, Mark] = {}  # gradients that a backward pass began with
        self._weights: list[torch.Tensor] = []
        self._clip_norm: torch.Tensor | float | None = None
        self._before: list[torch.Tensor] | None = None
        # Names of parameters that some optimiser held; those that none held at the first step, as
        # they were then; and of these the ones to which a gradient came.
        self._held: set[str] = set()
        self._left: dict[str, torch.Tensor] = {}
        self._reached_left: set[str] = set()
        self._left_out: tuple[str, ...] = ()

    def _parameters(self) -> list[torch.Tensor]:
        return [p for p in self._model.parameters() if p.requires_grad]

    # Backward.

    def before_backward(self) -> None:
        """Look at the gradients before a pass: those of a step, or cleared meanwhile."""
        parameters = self._parameters()
        self._found = {p: mark(p.grad) for p in parameters}
        for by, applied in self._applied.items():
            there = [p.grad for p, left in applied if mark(p.grad) == left]
            # `.data.zero_()` moves no counter: where nothing seems to have changed, look.
            self._unchanged[by] = len(there) == len(applied) and any_in(there)
        for by, parts in list(self._used_again.items()):
            if not any_in([p.grad for p in parts]):
                del self._used_again[by]
        if self.steps == 0 and self.backwards < LOOKED_FOR_BY_HAND and not self.moved_by_hand:
            weights = [p.detach().clone() for p in parameters]
            self.moved_by_hand = len(weights) == len(self._weights) and not all(
                map(torch.equal, weights, self._weights)
            )
            self._weights = weights

    def after_backward(self, *, called: bool) -> bool:
        """Count a pass, if it went through the model; whether it did.

        One that reaches none of its parameters is another model's. Only where none ever did, and
        the model was `called`, is it taken for one of this model, which then gets no gradient.
        """
        reached = {p for p, before in self._found.items() if mark(p.grad) != before}
        self._found = {}
        if not reached and (self._reached or not called):
            return False
        self._reached = self._reached or bool(reached)
        self._clip_norm = None  # measured by clipping, it tells of these gradients if it is later
        self.backwards += 1
        if self.backwards <= MEASURED_FIRST or self.backwards % MEASURED_EVERY == 0:
            self._see_arrived()
        for by, applied in list(self._applied.items()):
            if not reached.isdisjoint(p for p, _ in applied):
                self.first_backwards += 1
                if self._unchanged.get(by):
                    self._used_again[by] = [p for p, _ in applied]
                del self._applied[by]
        return True

    def _see_arrived(self) -> None:
        """Whether a pass left any gradient at all, and which parameters have had one so far."""
        named = {n: p.grad for n, p in self._model.named_parameters() if p.requires_grad}
        there = {name for name, gradient in named.items() if any_in([gradient])}
        self.looked_at += 1
        self.flat += not there
        self._reached_names |= {name for name, gradient in named.items() if gradient is not None}
        self._told_names |= there
        self.lacks = not self._told_names.issuperset(named)

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
        # A pass for something else (of a GAN's other half, an adversarial input) is cleared first.
        self.stale += any_in([p.grad for p in self._used_again.pop(id(optimiser), ())])
        self._weights = []
        self._see_left_out(held)
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

    def _see_left_out(self, held: set[int]) -> None:
        """Which parameters a step leaves out, and whether they have gradients all the same."""
        if self.steps and not (self._left or self._left_out):
            return
        named = {n: p for n, p in self._model.named_parameters() if p.requires_grad}
        self._held |= {name for name, p in named.items() if id(p) in held}
        if self.steps == 0:
            left = {name: p for name, p in named.items() if name not in self._held}
            self._left = {name: p.detach().clone() for name, p in left.items()}
        if self.steps < MEASURED_FIRST:
            self._reached_left |= {
                name for name in self._left if name in named and any_in([named[name].grad])
            }

    def left_out(self) -> tuple[str, ...]:
        """The parameters that had gradients, and were held by no optimiser nor moved."""
        now = dict(self._model.named_parameters())
        self._left_out += tuple(
            name
            for name, begun in self._left.items()
            if name in self._reached_left and name in now and torch.equal(now[name], begun)
        )
        self._left = {}
        return tuple(name for name in self._left_out if name not in self._held)

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
        applied = [(p, mark(p.grad)) for p in mine if p.grad is not None]
        self._applied.pop(id(optimiser), None)
        if applied:
            self._applied[id(optimiser)] = applied

    def without(self, had: set[str]) -> tuple[str, ...]:
        """Parameters that want a gradient, and are not among those that had one.

        Those that no optimiser holds want none: they are left alone on purpose.
        """
        named = self._model.named_parameters() if self.looked_at else ()
        wanted = [name for name, p in named if p.requires_grad and name not in had]
        return tuple(name for name in wanted if not self._held or name in self._held)

    def let_go(self) -> None:
        """Of tensors held while watching."""
        self._applied, self._used_again, self._found, self._weights = {}, {}, {}, []
        self._before = self._clip_norm = None
        self.left_out()

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
            by_hand=self.moved_by_hand,
            left_out=self.left_out(),
            looked_at=self.looked_at,
            flat=self.flat,
            unreached=self.without(self._reached_names),
            untold=self.without(self._told_names),
        )


def mark(gradient: torch.Tensor | None) -> Mark:
    """Where a gradient lies and how often it was changed in place; None where there is none."""
    if gradient is None:
        return None
    sparse = gradient.layout is not torch.strided  # has no memory of its own
    return id(gradient) if sparse else gradient.data_ptr(), gradient._version


def any_in(gradients: Sequence[torch.Tensor | None]) -> bool:
    """Whether any of them is there and not zero."""
    return any(bool(dense(g).any()) for g in gradients if g is not None)


def dense(gradient: torch.Tensor) -> torch.Tensor:
    """A gradient's numbers; of a sparse one, those that are not 0."""
    gradient = gradient.detach()
    if gradient.layout is torch.sparse_coo:
        return gradient.coalesce().values()
    return gradient if gradient.layout is torch.strided else gradient.to_dense()


def norm_of(each: list[torch.Tensor]) -> torch.Tensor:
    """The norm of all numbers in some tensors, on their device."""
    if not each:
        return torch.zeros(())
    with torch.no_grad():
        norms = torch._foreach_norm([dense(t) for t in each])
        return torch.linalg.vector_norm(torch.stack([n.to(norms[0].device) for n in norms]))
