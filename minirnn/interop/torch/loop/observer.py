"""LoopObserver: sees what a training loop does, line by line, and changes nothing in it.

It hooks the model, its recurrent layers and the optimiser, and stands in for the losses, for
`backward` and for gradient clipping while it is on. What it computes of its own (norms, digests) is
computed on detached tensors, without a random number of PyTorch's, and is bounded in memory however
long the run.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from minirnn.interop.torch.loop import graph, losses
from minirnn.interop.torch.loop.batches import Batches
from minirnn.interop.torch.loop.order import OrderWatch
from minirnn.interop.torch.loop.patches import Hook, Patches
from minirnn.interop.torch.loop.places import Places
from minirnn.interop.torch.loop.soundness import SoundnessWatch
from minirnn.interop.torch.loop.stepping import OptimiserWatch
from minirnn.interop.torch.loop.tallies import Curve, LayerTally

__all__ = ["LoopObserver"]


LOOKED_AT = 10  # backward passes whose graph is searched, where a parameter has no gradient


def looking(see: Callable[..., Any]) -> Callable[..., Any]:
    """A look at the user's loop: none where the observer is off, and never an error in their loop.

    One of our own is warned of once, and ends the looking: the user's training is theirs.
    """

    @functools.wraps(see)
    def look(self: LoopObserver, *args: Any) -> Any:
        if not self._names or self.trouble is not None:
            return None
        try:
            return see(self, *args)
        except Exception as error:  # noqa: BLE001
            self.trouble = error
            warnings.warn(
                f"minirnn saw no more of this training loop: {error!r}",
                RuntimeWarning,
                stacklevel=2,
            )
            return None

    return look


class LoopObserver:
    """Watches a model's training loop between `start` and `stop`.

    model: the `torch.nn.Module` that the loop trains. Everything is put back by `stop`, which may
    be called more than once. What was seen stays in the attributes:

        places      lines of the user's, by what happens there
        layers      {name: LayerTally} of the recurrent layers
        loss        the last LossCall; `loss_calls` how many there were, `grown` the broadcast ones
        batches     the last batches that a backward pass went through (`Batches`)
        optimiser   what the optimiser did (`OptimiserWatch`)
        values      the loss at each step (`Curve`), the mean of the backward passes before it
        order       what follows what in the data (`OrderWatch`)
        soundness   batches that held a NaN or an infinity (`SoundnessWatch`)
        clipped     the bound of gradient clipping, or None
        flat_end    the function behind which no gradient is left, where none arrives; "" else
        bounded     the model's last function, where it bounds the answers; "" else
        modes       training calls by `model.training`
        trouble     an error of the observer's own, which ended what it sees, or None
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model
        self.places = Places()
        self.layers: dict[str, LayerTally] = {}
        self.loss: losses.LossCall | None = None
        self.loss_calls = self.grown = 0
        self.batches = Batches()
        self.optimiser = OptimiserWatch(model)
        self.values = Curve()
        self.order = OrderWatch()
        self.soundness = SoundnessWatch()
        self.clipped: float | None = None
        self.flat_end = self.bounded = ""
        self.modes = {True: 0, False: 0}
        self.trouble: Exception | None = None
        self._patches = Patches()
        self._names: dict[int, str] = {}
        self._first = ""
        self._depth = 0
        self._trains = False  # whether the model's present call has gradients
        self._model_input: torch.Tensor | None = None
        self._fed: tuple[str, Any, Any] | None = None
        self._output: torch.Tensor | None = None
        self._calls: list[losses.LossCall] = []
        self._step_losses: list[torch.Tensor] = []

    # On and off.

    def start(self) -> None:
        """Begin to watch. Nothing happens where it is on already."""
        if self._names:
            return
        patches = self._patches
        self.trouble = None
        # Instances, not classes: another model in the same program is none of our business.
        patches.hook(self.model.register_forward_pre_hook(Hook(self._enter), with_kwargs=True))
        patches.hook(self.model.register_forward_hook(Hook(self._leave), always_call=True))
        for name, module in self.model.named_modules():
            if isinstance(module, torch.nn.RNNBase):
                self._names[id(module)] = name
                known = LayerTally(name, bool(module.batch_first), bool(module.bidirectional))
                self.layers.setdefault(name, known)
                patches.hook(module.register_forward_pre_hook(Hook(self._feed), with_kwargs=True))
                patches.hook(module.register_forward_hook(Hook(self._fed_on)))
        self._names.setdefault(id(self.model), "")
        functional = torch.nn.functional
        for name in losses.KINDS:
            patches.replace(
                functional,
                name,
                functools.partial(losses.standing_in, name=name, see=self._compared),
            )
        patches.replace(torch.autograd, "backward", self._around_backward)
        patches.replace(torch.nn.utils, "clip_grad_norm_", self._around_clip)
        patches.replace(torch.nn.utils.clip_grad, "clip_grad_norm_", self._around_clip)
        patches.hook(register_optimizer_step_pre_hook(self._before_step))
        patches.hook(register_optimizer_step_post_hook(self._after_step))

    def stop(self) -> None:
        """Put everything back, and let go of what was only needed while watching."""
        self._patches.undo()
        self._names.clear()
        self._output = self._model_input = self._fed = None
        self._calls.clear()
        self.optimiser.let_go()

    # The model and its layers.

    @looking
    def _enter(self, module: Any, args: Any, kwargs: Any) -> None:
        self._depth += 1
        if self._depth == 1:
            self._trains = torch.is_grad_enabled()
        if self._depth == 1 and self._trains:
            self.places.see("call")
            self._fed = None
            self._model_input = next(tensors((args, kwargs)), None)

    @looking
    def _leave(self, module: Any, args: Any, output: Any) -> None:
        self._depth = max(0, self._depth - 1)
        if self._depth or not torch.is_grad_enabled():
            return
        first = next((t for t in tensors(output) if t.requires_grad), None)
        if first is not None:
            self.modes[bool(module.training)] += 1
            self._output = first

    @looking
    def _feed(self, module: Any, args: Any, kwargs: Any) -> None:
        name = self._names.get(id(module), "")
        tally = self.layers[name]
        cut = not torch.is_grad_enabled()
        if cut and (tally.calls or not (self._depth and self._trains)):
            return
        self.places.see(f"layer {name}")
        named = dict(zip(("input", "hx"), args, strict=False)) | kwargs
        x, given = named.get("input"), named.get("hx")
        tally.cut += cut
        tally.calls += not cut
        carried = tally.takes(tuple(tensors(given)), self.optimiser.backwards)
        lengths = None
        if isinstance(x, PackedSequence):
            tally.packed += 1
            with torch.no_grad():
                x, lengths = pad_packed_sequence(PackedSequence(*[_bare(part) for part in x]))
        elif isinstance(x, torch.Tensor) and x.ndim in (2, 3):
            x = x.detach()
            if x.ndim == 2:
                tally.unbatched += 1
                x = x.unsqueeze(1)
            elif module.batch_first:
                x = x.transpose(0, 1)
        else:
            return
        tally.steps[x.shape[0]] += 1
        tally.sequences[x.shape[1]] += 1
        first = next(iter(self.layers), name)
        if name == first:
            self._fed = (name, x, lengths)
            if not x.is_cuda:
                self.order.see(self._raw(x, module), carried=carried)

    def _raw(self, x: torch.Tensor, module: Any) -> Any:
        """What the order is read off: the model's input where it is laid out as the layer's is.

        An embedding's output changes as it learns; the symbols that go in do not.
        """
        given = self._model_input
        if given is not None and given.ndim in (2, 3) and not given.requires_grad:
            given = given.detach()
            if module.batch_first and given.ndim >= 2:
                given = given.transpose(0, 1)
            if given.shape[:2] == x.shape[:2]:
                x = given if given.ndim == 3 else given.unsqueeze(2)
        return x.float().numpy() if x.dtype == torch.bfloat16 else x.numpy()

    @looking
    def _fed_on(self, module: Any, args: Any, output: Any) -> None:
        if torch.is_grad_enabled():
            tally = self.layers[self._names.get(id(module), "")]
            # Aliases, so that their memory is not given to another tensor in the meantime.
            tally.last_states = tuple(state.detach() for state in tensors(output[1]))
            tally.last_passes = self.optimiser.backwards

    # Loss and backward.

    @looking
    def _compared(self, call: losses.LossCall) -> None:
        self.places.see("loss")
        self.loss_calls += 1
        self.grown += call.grown
        if len(self._calls) < 8:
            self._calls.append(call)

    def _around_backward(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def backward(of: Any, *args: Any, **kwargs: Any) -> Any:
            begun = self._begin_backward(of) if self._depth == 0 else None
            result = original(of, *args, **kwargs)
            if begun is not None:
                self._end_backward(*begun)
            return result

        return backward

    @looking
    def _begin_backward(self, of: Any) -> tuple[torch.Tensor, losses.LossCall | None, bool] | None:
        """The loss, what it compared, and whether that is written by hand, before the pass.

        Autograd lets go of what a graph remembers during the pass.
        """
        loss = next(tensors(of), None)
        if loss is None or not loss.requires_grad:
            return None
        self.places.see("backward")
        call, by_hand = self._calls[0] if self._calls else None, not self._calls
        if by_hand and self._output is not None:
            call = losses.by_hand(loss, self._output)
        self._calls.clear()
        if self.optimiser.lacks and not self.flat_end and self.optimiser.looked_at <= LOOKED_AT:
            self.flat_end = graph.flat_end(loss)
        if self.optimiser.backwards == 0:
            self.bounded = graph.bounded_by(self._output)
        self.optimiser.before_backward()
        return loss, call, by_hand

    @looking
    def _end_backward(
        self, loss: torch.Tensor, call: losses.LossCall | None, by_hand: bool
    ) -> None:
        """Put aside what a pass compared, if it went through the model."""
        if not self.optimiser.after_backward(called=self._output is not None):
            return
        self.soundness.see(loss.detach(), self.values, self._model_input, call)
        if call is not None:
            self.loss = call
            if by_hand:
                self.loss_calls += 1
                self.grown += call.grown
        if self._fed is not None:
            name, x, lengths = self._fed
            self.batches.keep(name, x, lengths, call, loss)
            self._fed = None
        if loss.numel() == 1:
            self._step_losses.append(loss.detach())

    # The optimiser.

    def _around_clip(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def clip_grad_norm_(*args: Any, **kwargs: Any) -> Any:
            norm = original(*args, **kwargs)
            self._bounded(kwargs.get("max_norm", args[1] if len(args) > 1 else None), norm)
            return norm

        return clip_grad_norm_

    @looking
    def _bounded(self, bound: Any, norm: Any) -> None:
        self.places.see("clip")
        if bound is not None:
            self.clipped = float(bound)
        self.optimiser.clipped(norm)

    @looking
    def _before_step(self, optimiser: Any, args: Any, kwargs: Any) -> None:
        if self.optimiser.begins(optimiser):
            self.places.see("step")
            if self._step_losses:
                total = self._step_losses[0]
                for more in self._step_losses[1:]:
                    total = total + more
                self.values.add(total / len(self._step_losses))
                self._step_losses.clear()

    @looking
    def _after_step(self, optimiser: Any, args: Any, kwargs: Any) -> None:
        self.optimiser.ended(optimiser)


def tensors(value: Any) -> Iterator[torch.Tensor]:
    """The tensors in nested tuples, lists and dicts, in order."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors(item)


def _bare(part: Any) -> Any:
    return part.detach() if isinstance(part, torch.Tensor) else part
