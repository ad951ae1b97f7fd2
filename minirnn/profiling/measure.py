"""`profile`: runs a network forward and backward, and says where the time goes."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np

from minirnn.device import AVAILABLE, check_device
from minirnn.errors import ArgumentError, DeviceError
from minirnn.kernels.cpu.threads import get_num_threads, set_num_threads
from minirnn.nn.arguments import boolean, positive_int
from minirnn.profiling.assemble import memory_of, pass_of
from minirnn.profiling.beside_torch import Twin, is_installed, obstacle
from minirnn.profiling.break_even import find_break_even
from minirnn.profiling.build import one, subject_of
from minirnn.profiling.calls import Call, noted
from minirnn.profiling.growth import DIMENSIONS, measure_growth
from minirnn.profiling.operations import added, backward_work, forward_work
from minirnn.profiling.result import Comparison, Level, Pass, Profile
from minirnn.profiling.subject import Subject, on_device, untouched
from minirnn.profiling.timing import (
    Halves,
    Sample,
    Step,
    rounds,
    spread,
    time_halves,
    time_inference,
    time_plainly,
    time_training,
    warm_up,
)
from minirnn.profiling.transfers import measure_transfers


def profile(
    target: Any,
    *,
    inputs: Any = None,
    targets: Any = None,
    loss: Any = None,
    lengths: Any = None,
    steps: int | None = None,
    batch: int | None = None,
    input_size: int | None = None,
    hidden_size: int | None = None,
    num_layers: int | None = None,
    bidirectional: bool | None = None,
    dtype: Any = None,
    recompute: bool | None = None,
    devices: Sequence[str] = ("cpu",),
    threads: int | None = None,
    repeats: int | None = None,
    growth: bool = False,
    compare: Literal["torch", "auto"] | None = None,
) -> Profile:
    """Time a recurrent network forward and backward, and say where the time goes.

    Everything runs through the public layers, autograd included, after it has run untimed, so that
    nothing is compiled inside a timing; the times are medians. The peaks that they are held against
    are measured in the same run. The model is left as it was. On a GPU the times are those between
    events on CuPy's current stream, with what it waits for the host in between; its products have
    the precision of `minirnn.set_matmul_precision`.

    target    "rnn", "gru", "lstm", or a cell made with `minirnn.cell`; a recurrent layer, a
              `SequenceModel` or another `Module` with recurrent layers; or a `Recipe`, of which the
              untrained network gets its first batch
    inputs    what the model is fed: (T, B, I), or (B, T, I) with `batch_first`; a Tensor that
              requires a gradient gets one. A layer or `SequenceModel` without inputs is fed noise
    targets   with `loss`, as `minirnn.diagnose` takes them; without a loss, "mse" or for labels
              "cross_entropy". Without targets a random gradient is sent into the output
    lengths   (B,), how many steps of each sequence count
    steps, batch             T and B, of a cell (100, 32) or a model without inputs
    input_size, hidden_size  I and H of a cell (32, 64)
    num_layers, bidirectional, dtype, recompute   of a cell, as the layers'
    devices   "cpu", "cuda" or both: each is profiled by itself, with a copy of the model if that
              is elsewhere, and the first one's profile holds the others. With both, B and then H
              are doubled until the GPU is the faster
    threads   as many as `minirnn.get_num_threads()` if None; afterwards that is as it was
    repeats   how often each is timed; None is at least 9 times, and more until a second has passed
    growth    also double T, B and H in turn, and time that
    compare   "torch": also time the same network in PyTorch, in turns with ours, after comparing
              outputs and gradients; "auto": if PyTorch is installed and has that network

    Raises: DeviceError, RecipeError, DataError, ShapeError, DTypeError or ArgumentError that names
    the argument; MissingExtraError without PyTorch.
    """
    names = _names(devices)
    repeats = None if repeats is None else positive_int("repeats", repeats)
    grows = boolean("growth", growth)
    if compare not in (None, "torch", "auto"):
        raise ArgumentError("compare", repr(compare), "'torch', 'auto' or None")
    feed = {"inputs": inputs, "targets": targets, "loss": loss, "lengths": lengths}
    sizes = {
        "steps": steps, "batch": batch, "input_size": input_size, "hidden_size": hidden_size,
        "num_layers": num_layers, "bidirectional": bidirectional, "dtype": dtype,
        "recompute": recompute,
    }  # fmt: skip
    # Values that are missing, or weights that explode, take no less time.
    with _threads(threads), np.errstate(all="ignore"):
        subject = subject_of(target, feed, sizes)
        with untouched(subject.model):
            profiles = [
                _profile(on_device(subject, name), repeats, grows, compare) for name in names
            ]
            both = len(profiles) > 1
            return replace(
                profiles[0],
                beside=tuple(profiles[1:]),
                break_even=find_break_even(subject) if both else (),
            )


class _Taken(NamedTuple):
    """What the rounds gave: seconds, of ours also under the clock, of PyTorch if it is there."""

    inferences: list[float]
    trainings: list[Halves]
    clocked_inferences: list[Sample]
    clocked_trainings: list[Step]
    torch_inferences: Sequence[float] = ()
    torch_trainings: Sequence[float] = ()


def _profile(subject: Subject, repeats: int | None, grows: bool, compare: str | None) -> Profile:
    notes: list[str] = []
    device = subject.device
    calls, held = _calls(subject)
    twin, difference = None, 0.0
    if compare is not None:
        twin, difference = _twin(subject, compare, notes)
    dtype = f"float{8 * calls[0].itemsize}"
    peak = device.measure_peak(dtype)
    taken = _take_turns(subject, twin, repeats)
    peak = device.better_peak(peak)

    T = subject.sizes[0]
    halves, steps = taken.trainings, taken.clocked_trainings
    infer_counts = added(forward_work(call, keeps=False) for call in calls)
    forward_counts = added(forward_work(call, keeps=True) for call in calls)
    backward_counts = added(backward_work(call) for call in calls)
    counts = added([forward_counts, backward_counts])
    inference = pass_of(
        "inference", taken.inferences, taken.clocked_inferences, infer_counts, T, peak
    )
    forward = pass_of(
        "forward", [h.forward for h in halves], [s.forward for s in steps], forward_counts, T, peak
    )
    backward = pass_of(
        "backward", [h.backward for h in halves], [s.backward for s in steps], backward_counts,
        T, peak,
    )  # fmt: skip
    training = pass_of(
        "training", [sum(h) for h in halves], [s.forward + s.backward for s in steps], counts,
        T, peak,
    )  # fmt: skip
    grown = measure_growth(subject, repeats) if grows else ()
    if grows and len(grown) < len(DIMENSIONS):
        notes.append(f"H was not doubled: how to build a wider {subject.name} is not known")
    return Profile(
        name=subject.name,
        device=device.name,
        dtype=dtype,
        steps=T,
        batch=subject.sizes[1],
        inference=inference,
        forward=forward,
        backward=backward,
        training=training,
        memory=memory_of(calls, held),
        peak=peak,
        levels=tuple(Level(c.cell.name, c.T, c.B, c.I, c.H, c.kept) for c in calls),
        growth=grown,
        torch=None if twin is None else _comparison(twin, difference, taken, inference, training),
        transfers=measure_transfers(subject) if device.apart else (),
        notes=tuple(notes),
    )


def _calls(subject: Subject) -> tuple[list[Call], int | None]:
    """The kernel calls of a training step, noted after a warm-up, and what forward leaves held.

    Raises: ArgumentError if there are none.
    """
    warm_up(subject)
    subject.prepare(training=True)
    before = subject.device.held()
    with noted(subject.device.kernels) as calls:
        result = subject.forward()
        after = subject.device.held()
        subject.backward(result)
    if not calls:
        came = f"{one(subject.model)} that runs no recurrent layer"
        raise ArgumentError("target", came, "a model with a recurrent layer")
    return calls, None if before is None or after is None else after - before


def _twin(subject: Subject, compare: str, notes: list[str]) -> tuple[Twin | None, float]:
    """The same in PyTorch, and how far the two are apart; or None, and a note that says why.

    Raises: MissingExtraError or ArgumentError, if PyTorch was asked for by name.
    """
    why_not = obstacle(subject) if is_installed() else "it is not installed"
    if compare == "auto" and why_not:
        notes.append(f"PyTorch was left out: {why_not}")
        return None, 0.0
    twin = Twin(subject)
    try:
        # What rounding to a narrow format explains would hide a mistake: so without it.
        with twin.like_ours(get_num_threads(), exact=True):
            return twin, twin.difference()
    except ArgumentError as error:
        if compare == "torch":
            raise
        notes.append(f"PyTorch was left out: {error}")
        return None, 0.0


def _take_turns(subject: Subject, twin: Twin | None, repeats: int | None) -> _Taken:
    """Time ours, plainly and under the clock, and PyTorch's in turns."""
    turns: list[Any] = [
        partial(time_plainly, subject, training=False),
        partial(time_halves, subject),
        partial(time_inference, subject),
        partial(time_training, subject),
    ]
    if twin is None:
        return _Taken(*rounds(turns, repeats, subject.device))
    turns += [partial(time_plainly, twin, training) for training in (False, True)]
    with twin.like_ours(get_num_threads()):
        return _Taken(*rounds(turns, repeats, subject.device))


def _comparison(
    twin: Twin, difference: float, taken: _Taken, inference: Pass, training: Pass
) -> Comparison:
    inferred = statistics.median(taken.torch_inferences)
    trained = statistics.median(taken.torch_trainings)
    return Comparison(
        version=twin.version,
        inference=inferred,
        training=trained,
        inference_spread=spread(taken.torch_inferences),
        training_spread=spread(taken.torch_trainings),
        inference_ratio=inferred / inference.seconds,
        training_ratio=trained / training.seconds,
        difference=difference,
    )


def _names(devices: Any) -> list[str]:
    """The devices to run on. Raises: DeviceError unless there is each of them, and named once."""
    given = list(devices) if isinstance(devices, (tuple, list)) else [devices]
    names = [check_device(name) for name in given]
    if not names or len(set(names)) < len(names):
        wanted = f"{' or '.join(map(repr, AVAILABLE))}, or each once, in a tuple"
        raise DeviceError("devices", repr(devices), wanted)
    return names


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Let kernels use so many threads inside the block."""
    before = get_num_threads()
    if count is not None:
        set_num_threads(positive_int("threads", count))
    try:
        yield
    finally:
        set_num_threads(before)
