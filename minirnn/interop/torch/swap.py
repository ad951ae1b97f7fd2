"""`accelerate`: our kernels in the place of the recurrent layers inside someone else's model."""

from __future__ import annotations

import re
import warnings
import weakref
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from torch import nn

from minirnn.errors import ArgumentError
from minirnn.interop.torch.equations import CELLS, base_of
from minirnn.interop.torch.stand import Stand

if TYPE_CHECKING:
    from minirnn.interop.torch.watching import Watch

Module = Any


def accelerate(model: Module, *, cells: bool = False) -> Swap:
    """Let every `nn.RNN`, `nn.GRU` and `nn.LSTM` inside a model run by minirnn's kernels.

        minirnn.interop.torch.accelerate(model)      # before or after making the optimiser

    The model stays as it is, of its classes, with its parameters, hooks and state dict; arguments,
    results, gradients and random draws are those of PyTorch, to rounding. Where our kernels cannot
    follow (bfloat16, autocast, tracing, torch.func, …) PyTorch's own forward runs, and a warning
    says why, once for each module and reason.

    cells   swap `nn.RNNCell`, `nn.GRUCell` and `nn.LSTMCell` too. Step by step in a Python loop
            nothing is gained by it

    Returns what was swapped and what was not; its `restore()`, or leaving it as a with block,
    undoes it. Copies of the model (`copy.deepcopy`) are swapped and restored with it; pickles hold
    PyTorch's modules alone. Calling it twice is harmless.

    Raises: ArgumentError if `model` is no `torch.nn.Module`.
    """
    swap = Swap(model, cells=cells)
    if not swap.swapped:
        warnings.warn(f"nothing was swapped: {swap.why_nothing()}", UserWarning, stacklevel=2)
    return swap


class Swap:
    """Which modules of a model run by our kernels; `restore()`, or a with block's end, ends it.

    swapped    dotted names of the modules that were swapped ("" is the model itself)
    kept       dotted name → why a recurrent module was left as it was
    """

    def __init__(self, model: Module, *, cells: bool, watch: Watch | None = None) -> None:
        if not isinstance(model, nn.Module):
            raise ArgumentError("model", f"a {type(model).__name__}", "a torch.nn.Module")
        self._class_name = type(model).__name__
        self._model = weakref.ref(model)  # which holds this: it shall go when the user lets it go
        self.watch = watch
        self.kept: dict[str, str] = {}
        self._stands: list[Stand] = []
        swapped = []
        for name, module in model.named_modules():
            why = _why_kept(module, cells)
            if why is None:
                stand = vars(module).get("forward")
                if stand is None:
                    stand = vars(module)["forward"] = Stand(module)
                self.add(stand, name)
                swapped.append(name)
            elif why:
                self.kept[name] = why
        self.swapped = tuple(swapped)

    @property
    def model(self) -> Module:
        """The model; None once nobody else holds it."""
        return self._model()

    def add(self, stand: Stand, name: str) -> None:
        """Take in a module, or a copy of one."""
        self._stands.append(stand)
        stand.join(self, name)

    def restore(self) -> None:
        """Give the modules back their own forward, unless others still want them swapped."""
        for stand in self._stands:
            stand.leave(self)
        self._stands = []

    @property
    def is_active(self) -> bool:
        """Whether it is still in place."""
        return bool(self._stands)

    def why_nothing(self) -> str:
        """Why no module was swapped, in words."""
        reasons = "; ".join(f"{name or 'the model'}: {why}" for name, why in self.kept.items())
        return reasons or "the model has no nn.RNN, nn.GRU or nn.LSTM inside"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.restore()

    def __repr__(self) -> str:
        told = dict.fromkeys(self.swapped, "swapped")
        told |= {name: f"not swapped, {why}" for name, why in self.kept.items()}
        lines = [f"  {name or '(the model)'}: {what}" for name, what in told.items()]
        if self.model is None:
            state = "which nobody holds any more"
        else:
            state = "in place" if self.is_active else "restored or empty"
        return "\n".join([f"<Swap in {self._class_name}, {state}>", *lines])


_RECURRENT = re.compile(r"(RNN|GRU|LSTM)")


def _why_kept(module: Module, cells: bool) -> str | None:
    """Why a module is left as it is: None if it is not, "" if it is not recurrent at all."""
    base = base_of(module)
    if base is None:
        name = getattr(module, "original_name", type(module).__name__)
        holds_one = any(base_of(below) is not None for below in module.modules())
        if holds_one or not _RECURRENT.search(name):
            return ""
        return f"a {name} is no recurrent layer of PyTorch's, or one that torch.jit compiled"
    if base in CELLS and not cells:
        return "a cell, stepped by a Python loop, gains nothing: cells=True swaps it"
    if type(module).forward is not base.forward:
        return f"the class {type(module).__name__} has a forward of its own"
    if not isinstance(vars(module).get("forward"), Stand | None):
        return "something else has replaced its forward"
    return None
