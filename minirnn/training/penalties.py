"""`Penalty`: L1 and L2 regularisation, added to the loss.

Added to the loss, a penalty's gradient goes the way of the loss's own: through clipping, momentum
and the division by Adam's running squares. A weight decay of AdamW bypasses all that. The two are
the same for plain SGD alone (Loshchilov and Hutter 2019, ICLR).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from minirnn.errors import ArgumentError
from minirnn.nn import Linear, Module
from minirnn.nn.recurrent import Recurrent
from minirnn.nn.single_step import RecurrentCell
from minirnn.real import is_real
from minirnn.tensor import Tensor

KINDS = ("kernel", "recurrent", "bias")
PenaltyFunction = Callable[[Module], Tensor]
"""penalty(model) -> Tensor of one element, which `fit` adds to the loss of every batch."""


class Penalty:
    """l1 sum |w| + l2 sum w^2 over the weights of recurrent layers and `Linear`s.

    l1, l2   a number of at least 0 for all of them, or a mapping with any of "kernel" (weight_ih,
             weight_hr and Linear's weight), "recurrent" (weight_hh) and "bias" (both biases of a
             recurrent layer, each as the parameter it is, and Linear's)

    As Keras's `L1L2` for `kernel_regularizer`, `recurrent_regularizer` and `bias_regularizer`: the
    gradient of l2 is 2 l2 w, where a weight decay d adds d w. What normalises, embeddings and
    learned initial states are left alone.

    Raises: ArgumentError that names the argument.
    """

    def __init__(
        self, l1: float | Mapping[str, float] = 0.0, l2: float | Mapping[str, float] = 0.0
    ) -> None:
        """Check the strengths, which are told at the class."""
        self.l1, self.l2 = _strengths("l1", l1), _strengths("l2", l2)

    def __call__(self, model: Module) -> Tensor:
        """The penalty, a Tensor of one element.

        Raises: ArgumentError for a model without a weight that is penalised.
        """
        if not isinstance(model, Module):
            raise ArgumentError("model", f"a {type(model).__name__}", "a minirnn Module")
        weights = penalised(model)
        terms = [term for kind, weight in weights for term in self._terms(kind, weight)]
        if not terms and weights and self.off:
            return 0.0 * weights[0][1].sum()
        if not terms:
            wanted = f"one with a weight that {self!r} is of"
            raise ArgumentError("model", f"a {type(model).__name__}", wanted)
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total

    def _terms(self, kind: str, weight: Tensor) -> list[Tensor]:
        terms = []
        if self.l1[kind]:
            terms.append(self.l1[kind] * abs(weight).sum())
        if self.l2[kind]:
            terms.append(self.l2[kind] * (weight * weight).sum())
        return terms

    @property
    def off(self) -> bool:
        """Whether nothing is penalised."""
        return not any((*self.l1.values(), *self.l2.values()))

    def __repr__(self) -> str:
        return f"Penalty(l1={self.l1}, l2={self.l2})"


def penalised(model: Module) -> list[tuple[str, Tensor]]:
    """The parameters that a penalty is of, each once, with their kind: one of `KINDS`."""
    found: dict[int, tuple[str, Tensor]] = {}
    for module in model.modules():
        if not isinstance(module, Recurrent | RecurrentCell | Linear):
            continue
        for name, parameter in module._parameters.items():
            kind = "bias" if name.startswith("bias") else "kernel"
            kind = "recurrent" if name.startswith("weight_hh") else kind
            found.setdefault(id(parameter), (kind, parameter))
    return list(found.values())


def _strengths(argument: str, given: Any) -> dict[str, float]:
    """The strength for each kind."""
    table = given if isinstance(given, Mapping) else dict.fromkeys(KINDS, given)
    for kind in table:
        if kind not in KINDS:
            raise ArgumentError(f"{argument}[{kind!r}]", "an unknown kind", ", ".join(KINDS))
    for kind, value in table.items():
        named = f"{argument}[{kind!r}]" if isinstance(given, Mapping) else argument
        if not is_real(value) or not 0.0 <= value < math.inf:
            raise ArgumentError(named, repr(value), "a number of at least 0; 0 does not penalise")
    return {kind: float(table.get(kind, 0.0)) for kind in KINDS}
