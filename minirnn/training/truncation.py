"""Truncated backpropagation through time: a gradient that reaches back a given number of steps.

A batch is read in chunks of k steps. The state goes from chunk to chunk, cut off the tape, so that
every answer, and the loss, is what it would be without chunks; only the gradient ends where its
chunk begins. Each chunk goes backward before the next is read: the tape never holds more than k
steps.

Source: Williams and Peng 1990, "An efficient gradient-based algorithm for on-line training of
recurrent network trajectories" (there BPTT(h; h')); here h = h' = k.

B sequences, T steps, R rows that count (see `losses.align`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from minirnn.device import Array, array_namespace, beside
from minirnn.errors import ArgumentError
from minirnn.functional.indexing import take
from minirnn.nn import BatchNorm, Module, SequenceModel
from minirnn.tensor import Tensor, no_grad
from minirnn.training.losses import align, is_batch_first
from minirnn.training.sequences import Sequences


class Chunk(NamedTuple):
    """What a chunk adds to a batch.

    prediction, target   its rows that count, as `align` gives them
    share    of the batch's rows: what its mean loss weighs in the batch's
    """

    prediction: Tensor
    target: Array
    share: float


def check_truncation(model: Module, truncate: int) -> None:
    """Whether a model can be trained in chunks. Raises: ArgumentError."""
    if not truncate:
        return
    if not isinstance(model, SequenceModel):
        came = f"{truncate} with a {type(model).__name__}"
        raise ArgumentError("truncate", came, "0, or a SequenceModel")
    if model.recurrent.bidirectional:
        raise ArgumentError(
            "truncate", f"{truncate} with a bidirectional model", "0, or one direction",
            "The reverse direction begins at the last step: no chunk can be read before it",
        )  # fmt: skip
    if any(isinstance(module, BatchNorm) for module in model.modules()):
        raise ArgumentError(
            "truncate", f"{truncate} with batch normalisation", "0, or norm='layer'",
            "Its statistics are of whole batches, which a chunk does not see",
        )  # fmt: skip


def chunks(model: Module, batch: Sequences, steps: int) -> Iterator[Chunk]:
    """Read a batch in chunks of `steps`; the loss of each is to go backward before the next.

    With one answer a step each chunk has those of its own steps. With one answer a sequence it has
    those of the sequences that end in it: their gradient reaches back to where it begins, which is
    `steps` before the last step of the longest (it is the first chunk that may be shorter). A chunk
    in which nothing is answered is read off the tape, and not handed over.
    """
    B, T = batch.x.shape[:2]
    ends = np.full(B, T) if batch.lengths is None else batch.lengths
    total = int(ends.sum()) if batch.per_step else B
    first = steps if batch.per_step else T % steps or steps
    state: Any = None
    for begin, end in _bounds(T, first, steps):
        inside = np.clip(ends - begin, 0, end - begin)
        ending = (ends <= end) & ((ends > begin) | (begin == 0))
        counts = int(inside.sum()) if batch.per_step else int(ending.sum())
        lengths = None if batch.lengths is None else inside
        part = _cut(batch, begin, end, lengths)
        if not counts:
            with no_grad():
                _, state = _read(model, part, state)
            state = _cut_off(state)
            continue
        output, state = _read(model, part, state)
        state = _cut_off(state)
        prediction, target = align(output, part)
        if not batch.per_step and counts < B:
            rows = beside(np.flatnonzero(ending), target)
            prediction, target = take(prediction, rows, distinct=True), target[rows]
        yield Chunk(prediction, target, counts / total)


def in_chunks(
    model: Module, batch: Sequences, steps: int, backward: Callable[[Tensor, Array, float], float]
) -> tuple[float, Array, Array]:
    """A batch, chunk by chunk: its mean loss, and its predictions and targets, row by row.

    backward(prediction, target, share) -> the mean loss of a chunk, after its gradient was taken
    """
    loss = 0.0
    made = []
    for chunk in chunks(model, batch, steps):
        loss += chunk.share * backward(chunk.prediction, chunk.target, chunk.share)
        made.append((chunk.prediction.data, chunk.target))
    if not made:
        return 0.0, batch.y[:0], batch.y[:0]
    xp = array_namespace(batch.x)
    predictions, targets = (xp.concatenate(each) for each in zip(*made, strict=True))
    return loss, predictions, targets


def _bounds(T: int, first: int, steps: int) -> Iterator[tuple[int, int]]:
    begin, end = 0, min(first, T)
    while begin < T:
        yield begin, end
        begin, end = end, min(end + steps, T)


def _cut(batch: Sequences, begin: int, end: int, lengths: Any) -> Sequences:
    y = batch.y[:, begin:end] if batch.per_step else batch.y
    return Sequences(batch.x[:, begin:end], y, lengths)


def _read(model: Module, part: Sequences, state: Any) -> tuple[Tensor, Any]:
    """The output, time-major where there is one a step, and the states after it."""
    batch_first = is_batch_first(model)
    x = part.x
    x = x if batch_first else x.swapaxes(0, 1)
    x = array_namespace(x).ascontiguousarray(x)
    output, last = model(x, state, part.lengths, return_state=True)
    return output.swapaxes(0, 1) if batch_first and output.ndim == 3 else output, last


def _cut_off(state: Any) -> Any:
    """The same states as a beginning; a recording marks what begins with them `.truncated`."""
    if isinstance(state, tuple):
        return tuple(_cut_off(each) for each in state)
    cut = state.detach()
    cut._truncated = True  # also where it was made off the tape
    return cut
