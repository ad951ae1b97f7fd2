"""`Stream`: a recurrent layer step by step, for samples that arrive one at a time.

B streams side by side (most often 1), I input size, H hidden size, L layers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minirnn.device import array_namespace, check_beside
from minirnn.errors import ArgumentError, DTypeError, ShapeError
from minirnn.gpu import cupy_array
from minirnn.kernels import kernel_set
from minirnn.kernels.contract import Array, Weights, check_call
from minirnn.nn import states
from minirnn.nn.arguments import positive_int

if TYPE_CHECKING:
    from minirnn.nn.recurrent import Recurrent


class Stream:
    """A layer's state, advanced by one step a call, without a tape; made by `layer.stream()`.

        stream = layer.stream()
        for sample in source:           # sample (1, I)
            h = stream.step(sample)     # (1, H)

    The weights are packed when the stream is made, and a step takes no memory for a contiguous x
    (another is copied): it costs a few microseconds, where a layer's call packs weights and builds
    a tape. The results are those of the layer, bit for bit. In evaluation mode or not, nothing is
    dropped out between layers.

    Not for several threads at once.
    """

    def __init__(self, layer: Recurrent, batch: int = 1, state: Any = None) -> None:
        """Begin at `state` (L, B, H), or a tuple of them (LSTM: (h, c)); None is zeros.

        Raises: ArgumentError, ShapeError, DTypeError or DeviceError that names the argument.
        """
        if layer.bidirectional:
            wanted = "a layer of one direction: the other needs the end of the sequence first"
            raise ArgumentError("layer", repr(layer), wanted)
        if layer.norm != "none" and layer.num_layers > 1:
            wanted = "one with norm='none': nothing acts between the layers of a stream"
            raise ArgumentError("layer", f"a layer with norm={layer.norm!r}", wanted)
        self._layer = layer
        self.batch = positive_int("batch", batch)
        self._shape = (self.batch, layer.input_size)
        weights = self._weights()
        kernels = kernel_set(layer.device)
        self._like = weights[0].weight_ih  # an array of the kind that the stream works on
        self._kind = type(self._like)
        levels = self._levels(state)
        self._steps = [
            kernels.Stream(layer.cell, start, level)
            for start, level in zip(levels, weights, strict=True)
        ]

    def step(self, x: Array) -> Array:
        """Advance by x (B, I), an array of the layer's dtype on its device.

        Returns the last layer's h (B, H): memory of the stream, which the step after the next
        writes over. Copy what is to stay.

        Raises: ShapeError, DTypeError or DeviceError; the stream stands where it stood.
        """
        if type(x) is not self._kind:
            x = self._checked(x)
        flags = x.flags
        if not (flags.c_contiguous and getattr(flags, "writeable", True)):
            x = x.copy(order="C")
        if x.shape != self._shape:
            raise ShapeError("x", f"shape {x.shape}", f"{self._shape}, which is (B, I)")
        if x.dtype != self._layer.dtype:
            raise DTypeError("x", str(x.dtype), self._layer.dtype.name)
        for level in self._steps:
            x = level.step(x)
        return x

    @property
    def state(self) -> Any:
        """The states (L, B, H) after the last step, copies, as the layer's call returns them.

        Assign to go on from others, or None to begin again at zeros.
        """
        levels = zip(*[s.state for s in self._steps], strict=True)
        stacked = tuple([array_namespace(each[0]).stack(each) for each in levels])
        return stacked[0] if len(stacked) == 1 else stacked

    @state.setter
    def state(self, state: Any) -> None:
        for level, start in zip(self._steps, self._levels(state), strict=True):
            level.state = start

    def refresh(self) -> None:
        """Take up the layer's parameters of now; the states stay.

        Raises: ShapeError or DTypeError for a parameter that was replaced by one that does not fit,
        DeviceError for a layer that was moved; the stream keeps the ones it had.
        """
        layer, all_weights = self._layer, self._weights()
        check_beside(all_weights[0].weight_ih, self._like, "weight_ih")
        width = layer.input_size
        for level, weights in zip(self._steps, all_weights, strict=True):
            x = array_namespace(weights.weight_ih).empty((1, self.batch, width), layer.dtype)
            check_call(layer.cell, x, level.state, weights, None, "nothing")
            width = layer.hidden_size
        for level, weights in zip(self._steps, all_weights, strict=True):
            level.pack(weights)

    def _weights(self) -> list[Weights]:
        layer = self._layer
        return [
            Weights(*[None if w is None else w.data for w in layer.weights(number)])
            for number in range(layer.num_layers)
        ]

    def _levels(self, state: Any) -> list[tuple[Array, ...]]:
        layer = self._layer
        shape = (layer.num_layers, self.batch, layer.hidden_size)
        names = layer.cell.states
        if state is None:
            given = states.zero_states(len(names), shape, layer.dtype, self._like)
        else:
            given = states.given_states(state, names, shape, layer.dtype, self._like)
        return list(zip(*[each.data for each in given], strict=True))

    def _checked(self, x: Any) -> Array:
        """x where it is no plain array of the layer's device, but will do (of a subclass, say)."""
        if not isinstance(x, np.ndarray) and not cupy_array(x):
            wanted = f"an array {self._shape}, which is (B, I)"
            raise ArgumentError("x", type(x).__name__, wanted)
        check_beside(x, self._like, "x")
        return array_namespace(x).array(x, order="C")
