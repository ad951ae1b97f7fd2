"""`fit`: train a model on sequences, and keep the story of it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from os import PathLike
from typing import Any, Literal, TextIO

import numpy as np

from minirnn import functional
from minirnn.device import array_namespace
from minirnn.errors import ArgumentError
from minirnn.nn import Module, SequenceModel
from minirnn.nn.arguments import boolean
from minirnn.optim import Optimizer, clip_grad_norm, clip_grad_value
from minirnn.real import is_real
from minirnn.tensor import Tensor, no_grad
from minirnn.training.augment import Augment, GaussianNoise, augmented
from minirnn.training.callbacks import Callback, Run, check_callbacks
from minirnn.training.checkpoint import Checkpoint
from minirnn.training.checkpointing import as_checkpoint, resume_run
from minirnn.training.history import Epoch, History, Stop
from minirnn.training.interrupts import Interrupts
from minirnn.training.losses import (
    LOSSES,
    Loss,
    align,
    check_fit,
    check_labels,
    check_model,
    check_number,
    check_steps,
    on_device_of,
    resolve_loss,
    run_model,
)
from minirnn.training.metrics import Metric, resolve_metrics
from minirnn.training.penalties import Penalty, PenaltyFunction
from minirnn.training.predict import Tally, measure, mode
from minirnn.training.progress import open_display
from minirnn.training.scheduled_sampling import (
    ScheduledSampling,
    check_probability,
    check_scheduled_sampling,
)
from minirnn.training.sequences import Sequences, as_sequences
from minirnn.training.truncation import check_truncation, in_chunks
from minirnn.training.windows import check_count


def fit(
    model: Module,
    train: Sequences | tuple[Any, ...],
    validation: Sequences | tuple[Any, ...] | None = None,
    *,
    loss: str | Loss,
    optimizer: Optimizer,
    epochs: int,
    metrics: Iterable[str | Metric] = (),
    callbacks: Iterable[Callback] = (),
    batch_size: int = 32,
    clip_norm: float = 0.0,
    clip_value: float = 0.0,
    penalty: PenaltyFunction | None = None,
    augment: Augment | None = None,
    truncate: int = 0,
    scheduled_sampling: float = 0.0,
    shuffle: bool = True,
    seed: int = 0,
    progress: bool | TextIO | None = None,
    resume: Checkpoint | str | PathLike[str] | None = None,
) -> History:
    """Train `model` in place and return the `History` of it.

    train, validation  `Sequences`, or tuples (x, y) or (x, y, lengths); see `Sequences`
    loss               "mse", "l1", "huber", "cross_entropy", "bce", or a callable
    optimizer          holds the model's parameters
    metrics            "rmse", "mae", "r2", "accuracy", or callables (prediction, target) -> float
    clip_norm          largest norm of all gradients together; 0 does not clip
    clip_value         largest absolute value of a gradient, clipped after the norm; 0 does not
    penalty            a `Penalty` (L1, L2), or a callable (model) -> Tensor of one element: added
                       to the loss of every batch before its gradient is taken, and so part of the
                       gradient's norm. The losses told are those of the data alone
    augment            `GaussianNoise`, or a callable (batch, rng) -> batch: what is done to each
                       training batch, by numbers drawn anew from `seed`; never to `validation`.
                       Training losses and metrics are those of the batches as they were then
    truncate           steps that the gradient reaches back (see `truncation`); 0, or as many as
                       the sequences have, is all of them
    scheduled_sampling  the probability with which, in the last epoch, an input after the first is
                       replaced by the model's own answer to the steps before it; it rises to it
                       from 0 (see `ScheduledSampling`). Training losses and metrics are those of
                       the inputs as they were then
    shuffle, seed      the order of the sequences, new in every epoch; the same seed gives the
                       same bits (if the model's own randomness is seeded too)
    progress           None or True: a live display where stderr is a terminal, plain lines where
                       it is not; a text stream: the same there; False: silence
    resume             a checkpoint that `Checkpointing` made in a run with the same arguments, or
                       its path: model, optimiser, callbacks and all random states are put back, and
                       training goes on with the epoch after it, to the same bits as if it had never
                       ended. `epochs` counts from the beginning, and may be other than it was (not
                       with scheduled sampling, whose probabilities depend on it). None begins anew

    With a model on the GPU, data that come as NumPy arrays go there once. Nothing comes back during
    training but numbers, two a batch: its loss and its gradient's norm, which decide whether a step
    is taken. Metrics of one's own then see CuPy's arrays.

    What is wrong with data, loss and model together is found before the first step. Training ends
    early, and `history.stopped` says why, when a loss, a gradient or a parameter is no longer
    finite (no step is taken on such a loss or gradient), at a KeyboardInterrupt, and when a
    callback asks. Afterwards each module is in the mode (training or evaluation) it was in before.

    Raises: ShapeError, DTypeError, DeviceError or ArgumentError that names the argument; a
    CheckpointError for one that cannot be resumed, before anything is changed.
    """
    check_model(model)
    checkpoint = None if resume is None else as_checkpoint(resume)
    if validation is not None:
        validation = on_device_of(model, as_sequences(validation, "validation"), "validation")
    fitting = _Fitting(
        model=model,
        train=on_device_of(model, as_sequences(train, "train"), "train"),
        validation=validation,
        loss=resolve_loss(loss),
        optimizer=optimizer,
        metrics=resolve_metrics(metrics),
        epochs=check_count("epochs", epochs),
        batch_size=check_count("batch_size", batch_size),
        clip_norm=_limit("clip_norm", clip_norm),
        clip_value=_limit("clip_value", clip_value),
        penalty=_function("penalty", penalty, "a Penalty"),
        augment=_function("augment", augment, "GaussianNoise"),
        truncate=check_count("truncate", truncate, 0),
        scheduled_sampling=check_probability(scheduled_sampling),
        seed=check_count("seed", seed, 0),
        rng=np.random.default_rng(seed) if boolean("shuffle", shuffle) else None,
    )
    fitting.check()
    watchers = check_callbacks(callbacks)
    with open_display(progress) as display:
        return fitting.train((*watchers, *display), checkpoint)


class _NotFiniteError(Exception):
    """A loss, a gradient or a parameter is NaN or infinite; the message says which."""


class _Fitting:
    """One run of `fit`: its arguments, checked, and the loops."""

    def __init__(
        self,
        *,
        model: Module,
        train: Sequences,
        validation: Sequences | None,
        loss: Loss,
        optimizer: Optimizer,
        metrics: dict[str, Metric],
        epochs: int,
        batch_size: int,
        clip_norm: float,
        clip_value: float,
        penalty: PenaltyFunction | None,
        augment: Augment | None,
        truncate: int,
        scheduled_sampling: float,
        seed: int,
        rng: np.random.Generator | None,
    ) -> None:
        self.model = model
        self.data = train
        self.validation = validation
        self.loss = loss
        self.optimizer = optimizer
        self.metrics = metrics
        self.batch_size = batch_size
        self.clip_norm = clip_norm
        self.clip_value = clip_value
        self.penalty = penalty
        self.augment = augment
        self.truncate = truncate
        self.scheduled_sampling = ScheduledSampling(scheduled_sampling, epochs, seed)
        self.seed = seed
        self.rng = rng
        self.run = Run(model, optimizer, epochs, math.ceil(len(train) / batch_size), rng=rng)
        self.run.train, self.run.loss_function = train, loss
        names = [name for name, known in LOSSES.items() if known is loss]
        self.run.settings = {
            "loss": names[0] if names else _name(loss),
            "batch_size": batch_size,
            "clip_norm": clip_norm,
            "clip_value": clip_value,
            "penalty": _name(penalty),
            "augment": _name(augment),
            "augment_seed": None if augment is None else seed,
            "truncate": truncate,
            "scheduled_sampling": scheduled_sampling,
            # What the model is fed of its own depends on these: on the epochs by its schedule.
            "scheduled_sampling_seed": seed if scheduled_sampling else None,
            "scheduled_sampling_epochs": epochs if scheduled_sampling else None,
            "shuffle": rng is not None,
            "sequences": list(train.x.shape),
            "targets": list(train.y.shape),
            "validation": validation is not None,
            "dtype": train.x.dtype.name,
            # Its class is its owner's, and may have another name by now.
            "model": repr(model).removeprefix(type(model).__name__).splitlines(),
        }
        self.callbacks: tuple[Callback, ...] = ()
        self.interrupts = Interrupts()

    def check(self) -> None:
        """Try the model on a few sequences, off the tape, and hold its output against targets."""
        own = {id(parameter) for parameter in self.model.parameters()}
        held = getattr(self.optimizer, "parameters", ())
        if not any(id(parameter) in own for parameter in held):
            came = "one that holds none of the model's parameters"
            raise ArgumentError("optimizer", came, "e.g. Adam(model.parameters())")
        for argument, data in (("train", self.data), ("validation", self.validation)):
            if data is None:
                continue
            check_steps(data, argument)
            few = data.take(slice(0, 2))
            with mode(self.model, training=False), no_grad(), np.errstate(all="ignore"):
                output = run_model(self.model, few)
                check_fit(output, few, self.loss)
                if self.loss is functional.cross_entropy:
                    check_labels(data, output.shape[-1])
                prediction, target = align(output, few)
                if len(target) == 0:  # no step of these two counts
                    continue
                value = self.loss(prediction, target)
            check_number("loss", value)
        check_truncation(self.model, self.truncate)
        check_scheduled_sampling(self.model, self.data, self.loss, self.scheduled_sampling.most)
        if self.penalty is not None:
            with no_grad(), np.errstate(all="ignore"):
                check_number("penalty", self.penalty(self.model))

    def train(
        self, callbacks: tuple[Callback, ...], checkpoint: Checkpoint | None = None
    ) -> History:
        """Run the epochs. The history is kept up to date, so that it stands whatever happens."""
        run = self.run
        self.callbacks = run.callbacks = callbacks
        wake_callbacks = None if checkpoint is None else resume_run(run, checkpoint)
        # As IEEE 754 has it: overflow gives inf and then NaN, which is found below, not warned of.
        with mode(self.model, training=True), np.errstate(all="ignore"), self.interrupts:
            try:
                for callback in callbacks:
                    callback.training_began(run)
                if wake_callbacks is not None:
                    wake_callbacks()
                while run.epoch < run.epochs and run.history.stopped is None:
                    self._epoch()
                    if run.history.stopped is None:
                        self.interrupts.check()
            except KeyboardInterrupt:
                run.history.stopped = self._stop("interrupted", "interrupted by the keyboard")
            for callback in callbacks:
                callback.training_ended(run)
        return run.history

    def _epoch(self) -> None:
        run = self.run
        run.epoch, run.batch = run.epoch + 1, 0
        for module in self.model.modules():
            if isinstance(module, SequenceModel):
                module.reset_state()
        for callback in self.callbacks:
            callback.epoch_began(run)
        started = time.perf_counter()
        tally = Tally(self.metrics)
        norms: list[float] = []
        stopped: Stop | None = None
        held_out: tuple[float | None, dict[str, float]] = (None, {})
        try:
            for batch in self.data.batches(self.batch_size, self.rng):
                run.batch += 1
                if self.augment is not None:
                    batch = augmented(self.augment, batch, self.seed, run.epoch, run.batch)
                self._step(batch, tally, norms)
                self.interrupts.check()
                for callback in self.callbacks:
                    callback.batch_ended(run)
                if run.stop_message:
                    stopped = self._stop("requested", run.stop_message)
                    break
            else:
                self._check_parameters()
                if self.validation is not None:
                    held_out = measure(self.model, self.validation, self.loss, self.metrics)
        except _NotFiniteError as fault:
            stopped = self._stop("non-finite", str(fault))
        except KeyboardInterrupt:
            stopped = self._stop("interrupted", "interrupted by the keyboard")
        run.history.stopped = stopped
        if not norms:
            return
        run.history.epochs.append(
            Epoch(
                number=run.epoch,
                batches=len(norms),
                loss=tally.loss,
                gradient_norm=float(np.mean(norms)),
                gradient_norm_max=max(norms),
                learning_rate=self.optimizer.learning_rate,
                seconds=time.perf_counter() - started,
                validation_loss=held_out[0],
                metrics=tally.metrics(),
                validation_metrics=held_out[1],
                complete=stopped is None,
            )
        )
        for callback in self.callbacks:
            callback.epoch_ended(run)
        if stopped is None and run.stop_message:
            run.history.stopped = self._stop("requested", run.stop_message)

    def _step(self, batch: Sequences, tally: Tally, norms: list[float]) -> None:
        """One forward, one backward, one step; nothing, where no step of the batch counts."""
        run = self.run
        self.optimizer.zero_grad()
        if self.scheduled_sampling.most:
            batch = self.scheduled_sampling(self.model, batch, run.epoch, run.batch)
        if 0 < self.truncate < batch.x.shape[1]:
            penalty = None if self.penalty is None else self.penalty(self.model)
            mean, given, target = in_chunks(self.model, batch, self.truncate, self._backward)
            if len(target) == 0:
                return
            if penalty is not None:
                penalty.backward()
        else:
            prediction, target = align(run_model(self.model, batch), batch)
            if len(target) == 0:
                return
            mean, given = self._backward(prediction, target, 1.0, self.penalty), prediction.data
        run.loss = mean
        run.gradient_norm = clip_grad_norm(self.optimizer.parameters, self.clip_norm or math.inf)
        if not math.isfinite(run.gradient_norm):
            raise _NotFiniteError(f"the gradient's norm became {run.gradient_norm}")
        if self.clip_value:
            clip_grad_value(self.optimizer.parameters, self.clip_value)
        self.optimizer.step()
        tally.add(run.loss, given, target)
        norms.append(run.gradient_norm)

    def _backward(
        self,
        prediction: Tensor,
        target: Any,
        share: float,
        penalty: PenaltyFunction | None = None,
    ) -> float:
        """The mean loss of some rows, a share of a batch's, and with it backward."""
        loss = self.loss(prediction, target)
        self.run.loss = mean = float(loss.item())
        if not math.isfinite(mean):
            raise _NotFiniteError(f"the loss became {mean}")
        if share < 1.0:
            loss = loss * share
        if penalty is not None:
            loss = loss + penalty(self.model)
        loss.backward()
        return mean

    def _check_parameters(self) -> None:
        named = self.model.named_parameters()
        finite = [array_namespace(p.data).isfinite(p.data).all() for _, p in named]
        # One number where all is well, which the GPU is asked for once.
        if bool(array_namespace(finite[0]).stack(finite).all()):
            return
        name = next(name for (name, _), each in zip(named, finite, strict=True) if not each)
        raise _NotFiniteError(f"the parameter {name!r} is no longer finite")

    def _stop(self, kind: Literal["non-finite", "interrupted", "requested"], message: str) -> Stop:
        where = f"in epoch {self.run.epoch}, batch {self.run.batch} of {self.run.batches}"
        return Stop(kind, f"{message} {where}", self.run.epoch, self.run.batch)


def _function(argument: str, given: Any, wanted: str) -> Any:
    if given is not None and not callable(given):
        raise ArgumentError(argument, repr(given), f"None, {wanted}, or a callable")
    return given


def _name(function: Any) -> str | None:
    """What a setting is called in a checkpoint: our own are told with their numbers."""
    if function is None or isinstance(function, Penalty | GaussianNoise):
        return None if function is None else repr(function)
    return str(getattr(function, "__name__", type(function).__name__))


def _limit(argument: str, value: Any) -> float:
    if not is_real(value) or not 0 <= value < math.inf:
        raise ArgumentError(argument, repr(value), "a number of at least 0; 0 does not clip")
    return float(value)
