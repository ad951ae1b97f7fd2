"""A regression test for training: a network that ails fails the test, with what ails it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from minirnn.diagnosis.diagnose import diagnose
from minirnn.diagnosis.finding import SEVERITIES, Diagnosis, Finding
from minirnn.errors import ArgumentError, MinirnnError

if TYPE_CHECKING:
    from minirnn.nn import Module

__all__ = ["UnhealthyError", "assert_healthy"]


class UnhealthyError(MinirnnError, AssertionError):
    """A network ails. Attributes: `diagnosis`, the whole; `findings`, what made the test fail."""

    def __init__(self, diagnosis: Diagnosis, findings: tuple[Finding, ...]) -> None:
        self.diagnosis = diagnosis
        self.findings = findings
        super().__init__(diagnosis, findings)

    def __str__(self) -> str:
        names = ", ".join(finding.symptom for finding in self.findings)
        return "\n".join([f"the network is not healthy: {names}", *map(str, self.findings)])


def assert_healthy(
    model: Module | Any,
    x: Any,
    y: Any,
    *,
    loss: str | Callable[..., Any] = "mse",
    lengths: Any = None,
    severity: str = "warning",
    allow: Iterable[str] = (),
) -> Diagnosis:
    """Fail if a network ails: one look, forward and backward, in evaluation mode.

    model     a minirnn `Module`, as `minirnn.diagnose` takes it; or a `torch.nn.Module`, which is
              looked into by `minirnn.interop.torch.watch`
    x, y      inputs and targets, as the model and its loss take them: arrays or Tensors of the
              model's own kind
    loss      a name ("mse", "l1", "huber", "cross_entropy", "bce"), or a callable
              (prediction, target)
    lengths   (B,) lengths of the sequences, or None; of a minirnn model only: another's are its own
              affair, as in `lambda model, x: model(x, lengths)` around it
    severity  the least severity that fails: "note", "warning" or "illness"
    allow     ids of symptoms that do not fail, such as "saturated-gates"

    Nothing in the model is changed: training mode and gradients are as before. Returns the
    diagnosis.

    Raises: UnhealthyError, an AssertionError that lists the findings, root first; ArgumentError for
    another severity or a model of neither kind; what `minirnn.diagnose` raises.
    """
    __tracebackhide__ = True
    if severity not in SEVERITIES:
        raise ArgumentError("severity", repr(severity), f"one of {', '.join(SEVERITIES)}")
    if isinstance(allow, str):
        raise ArgumentError("allow", repr(allow), "a list of symptoms")
    torch = sys.modules.get("torch")  # whoever has a model of PyTorch's has imported it
    if torch is not None and isinstance(model, torch.nn.Module):
        if lengths is not None:
            raise ArgumentError(
                "lengths", "lengths beside a PyTorch model", "a model that has them in its forward"
            )
        diagnosis = _of_torch(torch, model, x, y, loss)
    else:
        diagnosis = diagnose(model, x, y, loss=loss, lengths=lengths)
    least = SEVERITIES.index(severity)
    failing = tuple(
        finding
        for finding in diagnosis
        if SEVERITIES.index(finding.severity) >= least and finding.symptom not in set(allow)
    )
    if failing:
        raise UnhealthyError(diagnosis, failing)
    return diagnosis


def _of_torch(torch: Any, model: Any, x: Any, y: Any, loss: str | Callable[..., Any]) -> Diagnosis:
    """What a watched forward and backward shows; the model's gradients and modes are put back."""
    from minirnn.interop.torch import watch

    functions = {
        "mse": torch.nn.functional.mse_loss,
        "l1": torch.nn.functional.l1_loss,
        "huber": torch.nn.functional.huber_loss,
        "cross_entropy": torch.nn.functional.cross_entropy,
        "bce": torch.nn.functional.binary_cross_entropy_with_logits,
    }
    if isinstance(loss, str) and loss not in functions:
        raise ArgumentError("loss", repr(loss), f"one of {', '.join(functions)}, or a callable")
    function = functions[loss] if isinstance(loss, str) else loss
    gradients = {parameter: parameter.grad for parameter in model.parameters()}
    modes = {module: module.training for module in model.modules()}
    for parameter in gradients:
        parameter.grad = None
    try:
        model.eval()
        with watch(model) as watched:
            function(model(x), y).backward()
        diagnosis: Diagnosis = watched.diagnosis()
    finally:
        for parameter, gradient in gradients.items():
            parameter.grad = gradient
        for module, training in modes.items():
            module.training = training
    return diagnosis
