"""Attempts kept in a file, so that a repair that was stopped does not train the same thing twice.

An attempt is found again by its recipe, its data to the last number, the device and this version of
minirnn. What is kept are its figures, its course and its findings, never a weight; remedies are
made anew from the findings, so the repair goes the same way and believes the same things. The file
is JSON, written whole after each training: killed at any moment, it holds every finished one.
"""

from __future__ import annotations

import hashlib
import math
import os
import stat
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import numpy as np

import minirnn
from minirnn.diagnosis.causes import BRINGS
from minirnn.diagnosis.examine import with_what_helps
from minirnn.diagnosis.finding import Attempt, Diagnosis, Finding
from minirnn.diagnosis.recipe import PATHS, Recipe
from minirnn.errors import ArgumentError, DataError
from minirnn.files import strict_json
from minirnn.files.whole import write_whole
from minirnn.training.history import Epoch, History, Stop, StopKind

FORMAT, VERSION = "minirnn-attempts", 1
LARGEST = 2**30  # bytes; a repair of long trainings takes some hundred thousand
NUMBERS = ("_rmse", "_r2", "_accuracy")  # how figures end that are compared
DEEPEST, MOST = 40, 20_000_000  # how deep JSON may be nested, and how many values it may have


class Kept:
    """The attempts of a file: `find` one, `add` one."""

    def __init__(self, path: str | os.PathLike[str], device: str = "cpu") -> None:
        """Read the file, or begin it.

        Raises: ArgumentError, where it cannot be written; DataError, where it holds something else,
        or is damaged. Neither changes it.
        """
        wanted = "the path of a file"
        if not isinstance(path, str | os.PathLike):
            raise ArgumentError("keep", repr(path), wanted)
        if "\0" in os.fspath(path):
            raise ArgumentError("keep", repr(path), wanted)
        self.path, self.device = Path(path), device
        self.attempts: dict[str, Any] = self._read()
        self._write()  # rather refused now than after the first training

    def find(self, recipe: Recipe) -> Attempt | None:
        """The attempt that trained this recipe, without its run; None where there was none.

        Raises: DataError, where the file does not hold what an attempt needs.
        """
        key = self._key(recipe)
        if key not in self.attempts:
            return None
        try:
            return _attempt(recipe, self.attempts[key])
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise self._damaged(f"an attempt without {error}") from error

    def add(self, attempt: Attempt) -> None:
        """Keep a finished attempt. Raises: ArgumentError, where the file cannot be written."""
        self.attempts[self._key(attempt.recipe)] = {
            "findings": [_finding(each) for each in attempt.diagnosis.findings],
            "figures": encoded(dict(attempt.figures)),
            "epochs": encoded([asdict(epoch) for epoch in attempt.history.epochs]),
            "stopped": encoded(asdict(s) if (s := attempt.history.stopped) is not None else None),
        }
        self._write()

    def _key(self, recipe: Recipe) -> str:
        return digest_of(recipe, f"{minirnn.__version__} {self.device}")

    def _read(self) -> dict[str, Any]:
        try:
            text = self._content()
        except OSError as error:
            raise ArgumentError("keep", f"{str(self.path)!r}: {error}", "a readable file") from None
        if text is None:
            return {}
        if len(text) > LARGEST:
            raise self._damaged(f"more than {LARGEST} bytes")
        try:
            read = strict_json.read(text, depth=DEEPEST, values=MOST)
        except ValueError as error:
            raise self._damaged(f"something else: {error}") from None
        held = read if isinstance(read, dict) else {}
        if held.get("format") != FORMAT or held.get("version") != VERSION:
            raise self._damaged("something else")
        attempts = held.get("attempts")
        if not isinstance(attempts, dict):
            raise self._damaged("no attempts")
        return attempts

    def _content(self) -> bytes | None:
        """What the file holds, up to one byte more than is allowed; None where there is none.

        A pipe would be waited for, and a device may never end: only a regular file is opened.
        """
        try:
            mode = self.path.stat().st_mode
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(mode):
            raise ArgumentError("keep", f"{str(self.path)!r}, which is no file", "a readable file")
        with self.path.open("rb") as file:
            return file.read(LARGEST + 1)

    def _write(self) -> None:
        held = {"format": FORMAT, "version": VERSION, "attempts": self.attempts}
        try:
            write_whole(self.path, strict_json.write(held))
        except OSError as error:
            came = f"{str(self.path)!r}: {error}"
            raise ArgumentError("keep", came, "a path that can be written") from error

    def _damaged(self, came: str) -> DataError:
        wanted = "what an earlier call kept (or a path where nothing is yet)"
        return DataError("keep", f"{str(self.path)!r} with {came}", wanted)


def digest_of(recipe: Recipe, beside: str = "") -> str:
    """A recipe and the data it names, to the last bit, in 32 hexadecimal digits.

    Files count by what is in them; one that cannot be read counts by its name.
    """
    tables = recipe.to_dict()
    made = hashlib.sha256(beside.encode())
    for name in PATHS:
        value = tables["data"].get(name)
        if isinstance(value, str):
            with suppress(OSError):
                tables["data"][name] = hashlib.sha256(Path(value).read_bytes()).hexdigest()
    made.update(strict_json.write(encoded(tables, arrays=False)))
    return made.hexdigest()[:32]


def encoded(value: Any, *, arrays: bool = True) -> Any:
    """What JSON can hold, and `decoded` gives back; without `arrays`, these are but identified."""
    if isinstance(value, dict):
        return {str(key): encoded(item, arrays=arrays) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        if not arrays:
            content = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
            return [value.dtype.str, list(value.shape), content]
        return {"$array": encoded(value.tolist()), "dtype": value.dtype.str}
    if isinstance(value, np.generic):
        return encoded(value.item())
    if isinstance(value, list | tuple | set | frozenset):
        return [encoded(item, arrays=arrays) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": str(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


def decoded(value: Any) -> Any:
    """What `encoded` was given, with lists for tuples and plain numbers for NumPy's."""
    if isinstance(value, list):
        return [decoded(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"$float"}:
        return float(value["$float"])
    if value.keys() == {"$array", "dtype"}:
        dtype = np.dtype(value["dtype"])
        if dtype.kind == "O":
            raise ValueError("an array of numbers")
        return np.array(decoded(value["$array"]), dtype=dtype)
    return {key: decoded(item) for key, item in value.items()}


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "symptom": finding.symptom,
        "severity": finding.severity,
        "where": finding.where,
        "evidence": encoded(dict(finding.evidence)),
        "cause": finding.cause,
        "explanation": finding.explanation,
    }


def _attempt(recipe: Recipe, entry: dict[str, Any]) -> Attempt:
    """Raises: what Python does, or ValueError, where the entry is not as `add` makes it."""
    found = [_found(each) for each in _of(list, entry["findings"], "findings")]
    figures = _of(dict, decoded(entry["figures"]), "figures")
    for name, value in figures.items():
        if name.endswith(NUMBERS):
            _of(float | int | None, value, name)
    stopped = decoded(entry["stopped"])
    history = History(
        [_epoch(each) for each in _of(list, decoded(entry["epochs"]), "epochs")],
        None if stopped is None else _stop(stopped),
    )
    return Attempt(recipe, Diagnosis(with_what_helps(found, recipe), figures), history, figures)


def _found(kept: dict[str, Any]) -> Finding:
    evidence = _of(dict, decoded(kept["evidence"]), "evidence")
    words = ("symptom", "severity", "where", "cause", "explanation")
    if kept.keys() != {*words, "evidence"}:
        raise ValueError(f"what a finding has: {', '.join(kept)}")
    for name in words:
        _of(str, kept[name], name)
    if kept["symptom"] not in BRINGS:
        raise ValueError(f"a known symptom: {kept['symptom']!r}")
    return Finding(**{**kept, "evidence": evidence})


def _epoch(kept: dict[str, Any]) -> Epoch:
    for name in ("number", "batches"):
        _of(int, kept[name], name)
    for name in ("loss", "gradient_norm", "gradient_norm_max", "learning_rate", "seconds"):
        _of(float | int, kept[name], name)
    _of(float | int | None, kept["validation_loss"], "validation_loss")
    for name in ("metrics", "validation_metrics"):
        for key, value in _of(dict, kept[name], name).items():
            _of(float | int, value, key)
    if not isinstance(kept["complete"], bool):
        raise TypeError("complete")
    return Epoch(**kept)


def _stop(kept: dict[str, Any]) -> Stop:
    if kept["kind"] not in get_args(StopKind):
        raise ValueError("a known kind of stop")
    _of(str, kept["message"], "message")
    for name in ("epoch", "batch"):
        _of(int, kept[name], name)
    return Stop(**kept)


def _of(kind: Any, value: Any, name: str) -> Any:
    """A value of this kind; true and false are no numbers."""
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(name)
    return value
