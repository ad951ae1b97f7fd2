"""`Checkpointing`: a training saved as it goes; and going on from what was saved."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import zip_longest
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from minirnn.errors import ArgumentError, CheckpointError
from minirnn.files.whole import as_path
from minirnn.training.callbacks import Callback, Run
from minirnn.training.checkpoint import (
    Checkpoint,
    Stateful,
    check_dict,
    check_kind,
    check_stateful,
    load_all,
    load_checkpoint,
    save_checkpoint,
)
from minirnn.training.history import Stop
from minirnn.training.random_state import checked_states, given_generators
from minirnn.training.windows import check_count

NUMBER = re.compile(r"\{epoch(?::0?\d*d?)?\}")


class Checkpointing(Callback):
    """Save a checkpoint after every `every`-th epoch, and after the last.

    path        one file, written anew each time; or, with "{epoch}" or "{epoch:04d}" in its name, a
                file an epoch
    keep_last   with "{epoch}": how many of the newest stay, files of earlier runs included; None
                keeps all
    scheduler, rng, recipe, extra   as in `save_checkpoint`; the first two are put back by
                `fit(resume=...)`

    It comes after all other callbacks, whose states (where they have `state_dict`) it saves. Only
    whole epochs are saved: what is interrupted goes on from the last of them, with
    `fit(..., resume=saving.latest())`, as if nothing had happened.

    Raises: ArgumentError that names the argument; CheckpointError for a folder that is missing.
    """

    runs_last = True

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        every: int = 1,
        keep_last: int | None = None,
        scheduler: Stateful | None = None,
        rng: np.random.Generator | Mapping[str, np.random.Generator] | None = None,
        recipe: Any = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """Check the arguments, which are told at the class."""
        self.path = as_path(path)
        self.every = check_count("every", every)
        self.keep_last = None if keep_last is None else check_count("keep_last", keep_last)
        # Rather refused now than after the first epoch.
        if scheduler is not None:
            check_stateful("scheduler", scheduler)
        if rng is not None:
            given_generators(rng)
        if not hasattr(recipe, "describe"):
            check_dict("recipe", recipe)
        check_dict("extra", extra)
        self.scheduler, self.rng, self.recipe, self.extra = scheduler, rng, recipe, extra
        self._numbered = NUMBER.search(self.path.name)
        if self._numbered is None and keep_last is not None:
            wanted = "a name with '{epoch}', such as 'run-{epoch:04d}.safetensors'"
            raise ArgumentError("path", f"{str(path)!r} with keep_last", wanted)
        if not self.path.parent.is_dir():
            raise CheckpointError("path", repr(str(path)), "a path in a folder that exists")
        self._saved = 0

    def path_of(self, epoch: int) -> Path:
        """The file of an epoch."""
        if self._numbered is None:
            return self.path
        return self.path.with_name(_numbered(self.path.name, self._numbered, epoch))

    def latest(self) -> Path | None:
        """The newest file there is; None before the first. For `fit(resume=...)`."""
        if self._numbered is None:
            return self.path if self.path.exists() else None
        epochs = self._epochs()
        return self.path_of(max(epochs)) if epochs else None

    def training_began(self, run: Run) -> None:
        """Begin anew: one object may watch one run after another."""
        self._saved = run.epoch

    def epoch_ended(self, run: Run) -> None:
        """Save, if it is this epoch's turn and the epoch was whole."""
        if run.epoch % self.every == 0:
            self._save(run)

    def training_ended(self, run: Run) -> None:
        """Save the last whole epoch, if it was not yet and nothing came after it."""
        self._save(run)

    def _save(self, run: Run) -> None:
        last = run.history.epochs[-1] if run.history.epochs else None
        # Interrupted before the first batch of an epoch was over, that epoch is not in the history.
        if (
            last is None
            or not last.complete
            or last.number != run.epoch
            or last.number == self._saved
        ):
            return
        save_checkpoint(
            self.path_of(run.epoch),
            model=run.model,
            optimizer=run.optimizer,
            scheduler=self.scheduler,
            rng=self.rng,
            recipe=self.recipe,
            history=run.history,
            extra=self.extra,
            progress=progress_of(run),
        )
        self._saved = run.epoch
        if self.keep_last is not None:
            for epoch in sorted(e for e in self._epochs() if e <= run.epoch)[: -self.keep_last]:
                self.path_of(epoch).unlink(missing_ok=True)

    def _epochs(self) -> list[int]:
        """The epochs of which there are files."""
        assert self._numbered is not None
        begin, end = self._numbered.span()
        name = self.path.name
        pattern = re.compile(rf"{re.escape(name[:begin])}(\d+){re.escape(name[end:])}")
        found = [pattern.fullmatch(each.name) for each in self.path.parent.iterdir()]
        epochs = [int(match[1]) for match in found if match is not None]
        return [epoch for epoch in epochs if self.path_of(epoch).is_file()]


def _numbered(name: str, number: re.Match[str], epoch: int) -> str:
    """The name with the epoch in it; other braces are the user's own."""
    return name[: number.start()] + number[0].format(epoch=epoch) + name[number.end() :]


def progress_of(run: Run) -> dict[str, Any]:
    """Where `fit` is: what a resumed run needs beside model, optimiser and history."""
    return {
        "settings": run.settings,
        "rng": None if run.rng is None else [run.rng.bit_generator.state],
        "stop_message": run.stop_message,
        "callbacks": [[type(each).__name__, each.state_dict()] for each in _stateful(run)],
    }


def as_checkpoint(resume: Any) -> Checkpoint:
    """The checkpoint of `fit`'s argument `resume`.

    Raises: CheckpointError; ArgumentError for what is neither a Checkpoint nor a path.
    """
    if isinstance(resume, Checkpoint):
        return resume
    if not isinstance(resume, str | PathLike):
        wanted = "a Checkpoint, or the path of one"
        raise ArgumentError("resume", f"a {type(resume).__name__}", wanted)
    return load_checkpoint(resume)


def resume_run(run: Run, checkpoint: Checkpoint) -> Callable[[], None]:
    """Bring a run that has not begun to where the checkpoint was.

    Returns a function for after `training_began`, when callbacks have forgotten what they knew: it
    brings them there too.

    Raises: CheckpointError that names what does not fit; then nothing was changed.
    """
    progress, history = checkpoint.progress, checkpoint.history
    if progress is None or history is None:
        wanted = "one that Checkpointing made"
        hint = "Put another back with .restore(model=..., optimizer=...), and begin a new history"
        raise CheckpointError("resume", f"{checkpoint.path!r}, made outside of fit", wanted, hint)
    try:
        settings, callbacks = dict(progress["settings"]), list(progress["callbacks"])
        dealt, stop_message = progress["rng"], str(progress["stop_message"])
        kinds, states = [str(each[0]) for each in callbacks], [dict(each[1]) for each in callbacks]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise CheckpointError("resume", f"progress without {error}", "fit's own") from error
    for name, wanted in settings.items():
        # Of what is held out, only callbacks that remember a loss take notice.
        if name != "validation" or _stateful(run):
            _check_setting(name, run.settings.get(name), wanted)
    if run.epochs < checkpoint.epoch:
        came = f"epochs = {run.epochs}, for a training that is {checkpoint.epoch} epochs old"
        hint = "`epochs` counts from the beginning"
        raise CheckpointError("resume", came, f"at least {checkpoint.epoch}", hint)
    stateful = _stateful(run)
    here = [type(each).__name__ for each in stateful]
    if here != kinds:
        came = f"callbacks with a state: {', '.join(here) or 'none'}"
        raise CheckpointError("resume", came, f"{', '.join(kinds) or 'none'}, as when it was saved")
    for name, each, kind in zip(here, stateful, kinds, strict=True):
        check_kind(name, each, kind)
    shuffling = []
    if run.rng is not None:
        told = {"which": {"": 0}, "states": dealt}
        shuffling = checked_states({"": run.rng}, told, "resume")
    undo = checkpoint.put_back(
        model=run.model, optimizer=run.optimizer, **_of_checkpointing(run, checkpoint)
    )
    for rng, state in shuffling:
        rng.bit_generator.state = state
    run.epoch, run.stop_message = checkpoint.epoch, stop_message
    run.history.epochs[:] = history.epochs
    if stop_message:
        run.history.stopped = Stop(
            "requested",
            f"{stop_message} in epoch {run.epoch}, batch {run.batches} of {run.batches}",
            run.epoch,
            run.batches,
        )

    def wake_callbacks() -> None:
        try:
            load_all(list(zip(here, stateful, states, strict=True)))
        except BaseException:
            undo()
            raise

    return wake_callbacks


def _check_setting(name: str, now: Any, saved: Any) -> None:
    """Raises: CheckpointError that names a setting, what it is and what it was."""
    if now == saved:
        return
    if name == "model" and isinstance(now, list) and isinstance(saved, list):
        # Line by line, as `repr` tells a model: the first that differs says what.
        now, saved = next(
            pair for pair in zip_longest(now, saved, fillvalue="nothing") if pair[0] != pair[1]
        )
        came, wanted = f"a model with {now.strip()}", saved.strip()
    else:
        came, wanted = f"{name} = {now!r}", repr(saved)
    hint = "It goes on as it began"
    raise CheckpointError("resume", came, f"{wanted}, as when it was saved", hint)


def _of_checkpointing(run: Run, checkpoint: Checkpoint) -> dict[str, Any]:
    """The scheduler and generators that a Checkpointing among the callbacks saves."""
    savers = [each for each in run.callbacks if isinstance(each, Checkpointing)]
    found: dict[str, Any] = {}
    for name, saved in (
        ("scheduler", checkpoint.scheduler), ("rng", checkpoint.random.get("given")),
    ):  # fmt: skip
        given = [value for each in savers if (value := getattr(each, name)) is not None]
        if saved is not None and not given:
            came = f"a checkpoint with {name}, and no callback that takes it"
            raise CheckpointError("resume", came, f"Checkpointing(..., {name}=...)")
        if given:
            found[name] = given[0]
    return found


def _stateful(run: Run) -> list[Any]:
    """The callbacks that have a state to save."""
    return [each for each in run.callbacks if isinstance(each, Stateful)]
