"""From what was watched to what the detectors read: arrays of the last batches, and the loop.

Dimensions: T steps, B sequences, O outputs, N rows that a loss compares.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from minirnn.device import to_device
from minirnn.diagnosis.evidence import Answers, Evidence, is_finite
from minirnn.diagnosis.evidence.layout import padding_ends
from minirnn.diagnosis.evidence.loop import LoopSeen, Padding
from minirnn.inspect.host import on_host
from minirnn.inspect.probe import Probe
from minirnn.inspect.trace import Trace
from minirnn.interop.torch.loop.batches import Batch
from minirnn.interop.torch.loop.losses import CLASSES, LossCall
from minirnn.interop.torch.loop.observer import LoopObserver

Array = Any

LEAST_BATCHES = 4  # whose losses are put beside their errors


def evidence_of(watch: Any) -> Evidence | None:
    """Everything the detectors may see of a watched loop; None where nothing was trained.

    The inputs are those of the model's first recurrent layer, of its last batches of equal length.
    """
    observer: LoopObserver = watch.observer
    if not observer.optimiser.backwards:
        return None
    traces = last_traces(watch)
    device = traces[0].device if traces else "cpu"
    batches = alike(observer.batches) or of_trace(observer, traces)
    inputs, lengths = _inputs(batches)
    answers, targets = compared(batches)
    naive = None if answers is None else naive_loss(batches, answers)
    loop = replace(seen(observer, traces, naive), agrees=agreement(batches))
    parameters = {name: numpy(p) for name, p in watch.model.named_parameters()}
    there = to_device(inputs, device)
    probe = None
    if traces:
        last = observer.values.numbers()
        prediction = answers.given if answers is not None else np.zeros((0, 1))
        value = float(last[-1]) if len(last) else float("nan")
        probe = Probe(value, to_device(prediction, device), tuple(traces), gradient_sizes(watch))
    return Evidence(
        inputs=there,
        targets=to_device(targets, device),
        lengths=lengths,
        probe=probe,
        answers=None
        if answers is None
        else Answers(to_device(answers.given, device), to_device(answers.wanted, device)),
        parameters={name: to_device(array, device) for name, array in parameters.items()},
        loop=loop,
    )


def numpy(tensor: torch.Tensor) -> Array:
    """A copy for the host; bfloat16 and float16, which NumPy or our kernels lack, as float32."""
    tensor = tensor.detach()
    if tensor.dtype in (torch.bfloat16, torch.float16):
        tensor = tensor.float()
    return np.array(tensor.cpu().numpy())


def alike(batches: Iterable[Batch]) -> list[Batch]:
    """The last batches whose inputs and losses have the last one's shapes, but for B."""
    kept = list(batches)
    if not kept:
        return []
    last = kept[-1]

    def form(batch: Batch) -> tuple[Any, ...]:
        x, loss = batch.x, batch.loss
        per_row = None if loss is None else (loss.kind, loss.prediction.shape[1:])
        return (batch.layer, x.shape[0], x.shape[2], batch.lengths is None, per_row)

    # The rest of an epoch may read like another shape where its axes are swapped: leave it out.
    return [batch for batch in kept if form(batch) == form(last)] or [last]


def of_trace(observer: LoopObserver, traces: Sequence[Trace]) -> list[Batch]:
    """The last batch of a model whose cells are stepped in a loop: what its trace was fed.

    Empty where there is no trace either: then the model has nothing recurrent that could be seen.
    """
    if not traces:
        return []
    x = torch.from_numpy(on_host(traces[0].inputs).copy())
    name = traces[0].class_name
    value = torch.tensor(observer.values.numbers()[-1:]).sum()
    return [Batch(x, None, observer.loss, name, value, root=False)]


def _inputs(batches: Sequence[Batch]) -> tuple[Array, Array | None]:
    """(T, B, I) of all batches side by side, and their lengths."""
    if not batches:
        return np.zeros((0, 0, 1)), None
    x = np.concatenate([numpy(batch.x) for batch in batches], axis=1)
    if batches[0].lengths is None:
        return x, None
    lengths = [numpy(b.lengths) for b in batches if b.lengths is not None]
    return x, np.concatenate(lengths).astype(np.int64)


def compared(batches: Sequence[Batch]) -> tuple[Answers | None, Array]:
    """Answers (N, O), and targets as `Evidence` has them.

    The targets are (B, O) or labels (B,) where the loss has one row a sequence, (T, B, O) or (T, B)
    where it has one a step; (B, 0) where it is neither: what is not known tells nothing.
    """
    if not batches:
        return None, np.zeros((0, 0))
    x = batches[-1].x
    sequences = sum(batch.x.shape[1] for batch in batches)
    nothing = np.zeros((sequences, 0))
    rows = [in_rows(batch.loss) for batch in batches if batch.loss is not None]
    if not rows or any(row is None for row in rows):
        return None, nothing
    pairs = [row for row in rows if row is not None]
    if len({given.shape[1] for given, _, _ in pairs}) > 1:
        return None, nothing
    answers = Answers(
        np.concatenate([given for given, _, _ in pairs]),
        np.concatenate([wanted for _, wanted, _ in pairs]),
    )
    if len(pairs) != len(batches):
        return answers, nothing
    targets = [target for _, _, target in pairs]
    if all(len(t) == b.x.shape[1] for t, b in zip(targets, batches, strict=True)):
        return answers, np.concatenate(targets)
    per_step = [by_step(t, batch) for t, batch in zip(targets, batches, strict=True)]
    known = [each for each in per_step if each is not None]
    if x.shape[0] > 1 and len(known) == len(batches):
        return answers, np.concatenate(known, axis=1)
    return answers, nothing


def by_step(target: Array, batch: Batch) -> Array | None:
    """(T, B, ...) of a target with one row a step, in the order that the loss was given."""
    T, B = batch.x.shape[:2]
    call = batch.loss
    if call is None or len(target) != T * B or batch.lengths is not None:
        return None
    # Leading axes as the loss saw them; flattened, (B, T) and (T, B) can only be guessed.
    leading = tuple(call.target.shape[:2])
    if leading == (T, B):
        return target.reshape(T, B, *target.shape[1:])
    if leading == (B, T):
        return target.reshape(B, T, *target.shape[1:]).swapaxes(0, 1)
    return None


def in_rows(call: LossCall) -> tuple[Array, Array, Array] | None:
    """Answers and what was wanted, (N, O) float64 each, and the targets as numbers or labels.

    None where they cannot be put beside each other.
    """
    given, wanted = numpy(call.prediction).astype(np.float64), numpy(call.target)
    if call.kind in CLASSES:
        if wanted.dtype.kind not in "iu" or given.ndim != wanted.ndim + 1:
            return None
        classes = 1 if given.ndim > 1 else 0
        given = np.moveaxis(given, classes, -1).reshape(-1, given.shape[classes])
        labels = wanted.reshape(-1)
        counts = labels != call.ignored
        given, labels = given[counts], labels[counts]
        chances = np.exp(given - given.max(axis=-1, keepdims=True))
        if call.kind != "nll":
            chances /= chances.sum(axis=-1, keepdims=True)
        else:
            chances = np.exp(given)
        indicators = (labels[:, None] == np.arange(given.shape[1])).astype(np.float64)
        return chances, indicators, labels if counts.all() else labels[:0]
    if call.kind == "bce":
        with np.errstate(over="ignore"):
            given = 1.0 / (1.0 + np.exp(-given))
    wanted = wanted.astype(np.float64)
    if wanted.size != given.size:
        return None
    width = given.shape[-1] if given.ndim > 1 else 1
    given, wanted = given.reshape(-1, width), wanted.reshape(-1, width)
    return given, wanted, wanted


# Traces.


def last_traces(watch: Any) -> list[Trace]:
    """Of the last batch that a backward pass went through: each layer's last call, of more than
    one step where there is one; under the module's name in the model.
    """
    latest: dict[str, int] = {}
    found = [trace for trace in watch.recording.traces if trace.has_gradients]
    for trace in found:
        latest[watch.names.get(trace.call, "")] = trace.call
    kept = []
    for trace in found:
        name = watch.names.get(trace.call, "")
        if latest[name] == trace.call and all(trace.shape[:2]):
            trace.class_name = name or trace.class_name
            kept.append(trace)
    long = [trace for trace in kept if trace.shape[0] > 1]
    return long or kept


def gradient_sizes(watch: Any) -> dict[str, float]:
    """The norm of each parameter's gradient as it is now."""
    return {
        name: 0.0 if p.grad is None else float(p.grad.detach().norm())
        for name, p in watch.model.named_parameters()
    }


def seen(observer: LoopObserver, traces: Sequence[Trace], naive: float | None) -> LoopSeen:
    """The detectors' view of the loop."""
    loss = observer.loss
    losses = observer.values.numbers()
    top = outermost(traces)
    return LoopSeen(
        iterations=observer.optimiser.steps,
        losses=losses,
        gradient_norms=observer.optimiser.norms.numbers(),
        rates=observer.optimiser.rates.numbers(),
        update_ratios=observer.optimiser.ratios.numbers(),
        naive=naive,
        loss=None if loss is None else loss.seen(observer.loss_calls, observer.grown),
        optimisation=replace(observer.optimiser.seen(), flat_end=observer.flat_end),
        layers=tuple(tally.fed() for tally in observer.layers.values() if tally.calls),
        cut=tuple(name for name, tally in observer.layers.items() if tally.cut),
        order=observer.order.seen(),
        bounded=observer.bounded,
        unsound=observer.soundness.seen(),
        padding=padding_of(traces, top),
        single_sequence=last_row(top),
        clipped=observer.clipped,
        places={what: tuple(places) for what, places in observer.places.found.items()},
    )


def outermost(traces: Sequence[Trace]) -> list[Trace]:
    """The traces of the first module's last layer: what gradient enters its outputs."""
    if not traces:
        return []
    calls = [trace for trace in traces if trace.call == traces[0].call]
    last = max(trace.layer for trace in calls)
    return [trace for trace in calls if trace.layer == last and is_finite(trace)]


def entering(traces: Sequence[Trace]) -> Array | None:
    """(T, B): the squared gradient that enters each output, over directions; None without."""
    if not traces:
        return None
    squares = [on_host(trace.direct_grad_hidden).astype(np.float64) ** 2 for trace in traces]
    total = np.asarray(sum(each.sum(axis=2) for each in squares))
    return total if total.any() else None


def last_row(traces: Sequence[Trace]) -> float | None:
    """The share of the gradient that enters through the batch's last row, at more than one step."""
    squares = entering(traces)
    if squares is None or (squares[:, -1] > 0).sum() < 2:
        return None
    return float(squares[:, -1].sum() / squares.sum())


def padding_of(traces: Sequence[Trace], top: Sequence[Trace]) -> Padding | None:
    """Constant ends of the last batch's sequences, all of the same value; None without gradient."""
    squares = entering(top)
    if squares is None or (traces[0].lengths < traces[0].shape[0]).any():
        return None
    x = on_host(traces[0].inputs)
    if squares.shape != x.shape[:2]:
        return None
    ends = padding_ends(x.swapaxes(0, 1))
    if ends is None:
        return None
    value = x[-1, np.argmin(ends)]
    total = squares.sum(axis=0)
    shares = np.divide(squares, total, out=np.zeros_like(squares), where=total > 0)
    return Padding(float(value[0]), ends.astype(np.int64), shares)


def naive_loss(batches: Sequence[Batch], answers: Answers) -> float | None:
    """The loss of the best constant answer to the targets at hand, as the user's loop counts it.

    A sum, a part (of accumulated gradients), a weight or a root is told by what the loop's loss was
    for the answers at hand. None where the kind of loss, or its best constant, is not known.
    """
    last = batches[-1]
    if last.loss is None:
        return None
    kind, wanted = last.loss.kind, answers.wanted
    best = np.median(wanted, axis=0) if kind == "l1" else wanted.mean(axis=0)
    naive = mean_loss(kind, np.broadcast_to(best, wanted.shape), wanted)
    here = mean_loss(kind, answers.given, wanted)
    value = float(np.mean([float(batch.value.float().mean()) for batch in batches]))
    if naive is None or here is None or not here > 0.0 or not np.isfinite([value, here]).all():
        return naive
    if last.root:
        naive, here = naive**0.5, here**0.5
    return naive * value / here


def agreement(batches: Sequence[Batch]) -> float | None:
    """The correlation of the loop's loss and the error of the answers, batch by batch.

    None of fewer than four batches, of equal ones, or of a kind of loss that is not known.
    """
    pairs = []
    for batch in batches:
        rows = None if batch.loss is None else in_rows(batch.loss)
        error = (
            None if batch.loss is None or rows is None else mean_loss(batch.loss.kind, *rows[:2])
        )
        if error is not None:
            pairs.append((float(batch.value.float().mean()), error))
    values = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    if len(values) < LEAST_BATCHES or not np.isfinite(values).all() or not values.std(0).all():
        return None
    told: float = np.corrcoef(values[:, 0], values[:, 1]).item(1)
    return told


def mean_loss(kind: str, given: Array, wanted: Array) -> float | None:
    """The mean loss of answers as `in_rows` gives them; None of a kind that is not known."""
    if kind in ("mse", "by hand"):
        return float(((given - wanted) ** 2).mean())
    if kind == "l1":
        return float(np.abs(given - wanted).mean())
    chances = np.clip(given, 1e-12, 1.0)
    if kind in CLASSES:
        return float(-(wanted * np.log(chances)).sum(axis=1).mean())
    if kind in ("bce", "binary_cross_entropy"):
        against = np.log(np.clip(1.0 - given, 1e-12, 1.0))
        return float(-(wanted * np.log(chances) + (1.0 - wanted) * against).mean())
    return None
