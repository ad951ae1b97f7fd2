"""An RNN, GRU or LSTM node of ONNX, run by the kernels; a recording sees its directions.

T time steps, B sequences, I input size, H hidden size, D directions, G gates.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minirnn.device import array_namespace
from minirnn.errors import DTypeError, ShapeError
from minirnn.functional.recurrent import recurrent
from minirnn.functional.shaping import broadcast_to, split, stack, swapaxes, transpose, unbind
from minirnn.inspect.recording import Recording
from minirnn.inspect.source import TraceSource
from minirnn.interop.onnx.node import Value
from minirnn.interop.onnx.settings import Settings
from minirnn.kernels.contract import Array, Weights, check_lengths
from minirnn.nn.module import Module
from minirnn.nn.states import zero_states
from minirnn.tensor import Tensor, apply

Calls = list[tuple[Recording, int]]


class RecurrentNode(Module):
    """One node. It has no parameters of its own: its weights come along the graph's edges."""

    def __init__(self, name: str, settings: Settings, layer: int) -> None:
        """`layer` counts the recurrent nodes of the graph, from 0."""
        self.name = name
        self.settings = settings
        self.layer = layer

    def forward(
        self,
        X: Value | None,
        W: Value | None,
        R: Value | None,
        B: Value | None = None,
        sequence_lens: Value | None = None,
        initial_h: Value | None = None,
        initial_c: Value | None = None,
        P: Value | None = None,
        *,
        calls: Calls | None = None,
    ) -> tuple[Tensor, ...]:
        """Run the node; inputs as ONNX has them, None for those that are absent.

        X (T, B, I), W (D, G*H, I), R (D, G*H, H), B (D, 2*G*H), sequence_lens (B,) integers,
        initial_h and initial_c (D, B, H), P (D, 3*H); with layout 1, X (B, T, I) and states
        (B, D, H). `calls` are the recordings that look on, with their numbers for this call.

        Returns Y (T, D, B, H), or with layout 1 (B, T, D, H), then Y_h and, of an LSTM, Y_c, shaped
        as the initial states.

        Raises: ShapeError, DTypeError or ArgumentError that names the input.
        """
        s = self.settings
        x, w, r = self._float("X", X, 3), self._float("W", W, 3), self._float("R", R, 3)
        if s.batch_first:
            x = swapaxes(x, 0, 1)
        T, batch, I = x.shape  # noqa: E741
        D, H = len(s.reverse), r.shape[-1]
        self._check(w, "W", (D, s.gates * H, I))
        self._check(r, "R", (D, s.gates * H, H))
        if s.hidden_size not in (None, H):
            raise ShapeError(self._at("R"), f"hidden size {H}", f"hidden_size={s.hidden_size}")
        b = None if B is None else self._float("B", B, 2)
        if b is not None:
            self._check(b, "B", (D, 2 * s.gates * H))
        lengths = self._lengths(sequence_lens, T, batch)
        starts = self._starts(initial_h, initial_c, P, x, H)
        outputs, finals = [], []
        for d, cell in enumerate(s.cells):
            weights = Weights(
                _blocks(w, d, s.blocks, H),
                _blocks(r, d, s.blocks, H),
                None if b is None else _blocks(b, d, s.blocks, H),
                None if b is None else _blocks(b, d, [s.gates + at for at in s.blocks], H),
            )
            output, final, tape = recurrent(
                cell, x, starts[d], weights,
                lengths=lengths, reverse=s.reverse[d], keep="record" if calls else None,
            )  # fmt: skip
            outputs.append(output)
            finals.append(final)
            if calls and tape is not None:
                source = TraceSource(
                    cell=cell,
                    tape=tape,
                    x=x.data,
                    state=tuple(each.data for each in starts[d]),
                    weights=Weights(*[None if each is None else each.data for each in weights]),
                    lengths=lengths,
                    layer=self.layer,
                    class_name=s.op,
                    copy_x=x.is_leaf,
                )
                for recording, call in calls:
                    recording.add(call, source)
        Y = stack(outputs, axis=1)
        states = [stack(each) for each in list(zip(*finals, strict=True))[: self._visible]]
        if s.batch_first:
            return transpose(Y, (2, 0, 1, 3)), *[swapaxes(each, 0, 1) for each in states]
        return Y, *states

    @property
    def _visible(self) -> int:
        """How many states ONNX knows of: peepholes, which are states of our cell, are none."""
        return 2 if self.settings.op == "LSTM" else 1

    def _starts(
        self, h: Value | None, c: Value | None, P: Value | None, x: Tensor, H: int
    ) -> list[tuple[Tensor, ...]]:
        """The initial states of the cell, (B, H) each, in each direction."""
        s = self.settings
        batch, D = x.shape[1], len(s.reverse)
        shape = (batch, D, H) if s.batch_first else (D, batch, H)
        zeros = zero_states(1, (batch, H), x.dtype, x.data)[0]
        columns: list[tuple[Tensor, ...]] = []
        for name, given in (("initial_h", h), ("initial_c", c))[: self._visible]:
            if given is None:
                columns.append((zeros,) * D)
            else:
                start = self._check(self._float(name, given, 3), name, shape)
                columns.append(unbind(start, 1 if s.batch_first else 0))
        if s.holes:
            p = self._check(self._float("P", P, 2), "P", (D, 3 * H))
            by_direction = [split(_blocks(p, d, s.holes, H), len(s.holes)) for d in range(D)]
            columns += [
                tuple(broadcast_to(each, (batch, H)) for each in column)
                for column in zip(*by_direction, strict=True)
            ]
        return list(zip(*columns, strict=True))

    def _lengths(self, given: Value | None, T: int, batch: int) -> Array | None:
        if given is None:
            return None
        lengths = given.numpy() if isinstance(given, Tensor) else given
        check_lengths(lengths, T, batch)
        return lengths.astype(np.int64)

    def _float(self, name: str, value: Value | None, rank: int) -> Tensor:
        if not isinstance(value, Tensor):
            came = "none" if value is None else value.dtype.name
            raise DTypeError(self._at(name), came, "float32 or float64")
        if value.ndim != rank:
            raise ShapeError(self._at(name), f"shape {value.shape}", f"{rank} dimensions")
        return value

    def _check(self, value: Tensor, name: str, shape: tuple[int, ...]) -> Tensor:
        if value.shape != shape:
            raise ShapeError(self._at(name), f"shape {value.shape}", f"{shape}")
        return value

    def _at(self, name: str) -> str:
        return f"{name} of {self.name!r}"

    def _describe(self) -> str:
        s = self.settings
        direction = {1: "reverse" if s.reverse[0] else "forward", 2: "bidirectional"}
        return f"{s.op}, {direction[len(s.reverse)]}"


def _blocks(t: Tensor, direction: int, order: Any, H: int) -> Tensor:
    """Blocks of H rows of `t[direction]`, in the order given, as one tensor on the tape.

    ONNX keeps its gates in another order; the gradient goes back to where each block stood.
    """
    data, wanted = t.data, list(order)
    rest = data.shape[2:]
    shape = (len(data), -1, H, *rest)
    out = data.reshape(shape)[direction][wanted].reshape(len(wanted) * H, *rest)

    def backward(g: Array) -> tuple[Array]:
        total = array_namespace(data).zeros(data.shape, data.dtype)
        total.reshape(shape)[direction, wanted] = g.reshape(len(wanted), H, *rest)
        return (total,)

    return apply("blocks", (t,), (out,), backward)[0]
