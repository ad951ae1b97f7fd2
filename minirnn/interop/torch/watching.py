"""`watch`: a PyTorch model seen from inside, in its own training loop."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from minirnn.errors import TraceError
from minirnn.interop.torch.loop.observer import LoopObserver
from minirnn.interop.torch.recording import WatchRecording
from minirnn.interop.torch.swap import Swap

Module = Any


def watch(model: Module, keep_last: int | None = 4) -> Watch:
    """Look inside a model while the user's own code trains or runs it.

        with minirnn.interop.torch.watch(model) as watch:
            train(model)                             # the loop as it was
        watch.recording.traces[-1].gates["forget"]
        print(watch.diagnosis())

    Every `nn.RNN`, `nn.GRU`, `nn.LSTM` and cell inside runs by minirnn's kernels while the block is
    open, and leaves a `Trace` for each layer and direction of each call, with gradients once the
    loop's own backward has run. A cell stepped in a loop leaves one trace for each sequence.
    Results and gradients are PyTorch's, to rounding; the loop, loss, optimiser and hooks are left
    as they are. All is restored at the end of the block, whatever happens in it.

    keep_last   how many calls to keep of each module, with gradients and without (validation), so
                that memory stays bounded however long the loop; None keeps all

    Raises: ArgumentError if `model` is no `torch.nn.Module`, or for another `keep_last`.
    """
    return Watch(model, keep_last)


class Watch:
    """What was seen of a model; made by `watch`.

    model        the user's
    recording    `.traces` of the calls that were kept, as of `minirnn.record`
    observer     what was seen of the loop around it
    swapped, kept   which modules were watched, and which were not and why, as of `Swap`
    """

    def __init__(self, model: Module, keep_last: int | None) -> None:
        self.model = model
        self.recording = WatchRecording(keep_last)
        self._swap: Swap | None = None
        swap = Swap(model, cells=True, watch=self)  # tells what can be watched, or why not
        swap.restore()
        self.swapped, self.kept = swap.swapped, swap.kept
        self.observer = LoopObserver(model)

    @property
    def names(self) -> dict[int, str]:
        """Number of a kept call → dotted name of the module that was called."""
        return dict(self.recording.names)

    def start(self) -> Self:
        """Begin, as entering the with block does. Raises: TraceError if it is watching already."""
        if self._swap is not None:
            raise TraceError("this watch is already open")
        self._swap = Swap(self.model, cells=True, watch=self)
        try:
            self.observer.start()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End, and restore everything; what was seen stays. Harmless when it is not watching."""
        swap, self._swap = self._swap, None
        try:
            self.observer.stop()
        finally:
            if swap is not None:
                swap.restore()

    def diagnosis(self) -> Any:
        """What is wrong with the model and with the loop that trains it: a `Diagnosis`."""
        from minirnn.interop.torch.loop.diagnosis import diagnose_watch

        return diagnose_watch(self)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = "watching" if self._swap is not None else "closed"
        names = ", ".join(name or type(self.model).__name__ for name in self.swapped) or "nothing"
        return f"<Watch of {names}: {self.recording!r}, {state}>"
