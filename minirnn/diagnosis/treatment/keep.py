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
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import minirnn
from minirnn.diagnosis.examine import with_what_helps
from minirnn.diagnosis.finding import Attempt, Diagnosis, Finding
from minirnn.diagnosis.recipe import PATHS, Recipe
from minirnn.errors import ArgumentError, DataError
from minirnn.files import strict_json
from minirnn.files.whole import write_whole
from minirnn.training.history import Epoch, History, Stop

FORMAT, VERSION = "minirnn-attempts", 1
LARGEST = 2**30  # bytes; a repair of long trainings takes some hundred thousand
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
        self.attempts: dict[str, Any] = {}
        if self.path.exists():
            self.attempts = self._read()
        self._write()  # rather refused now than after the first training

    def find(self, recipe: Recipe) -> Attempt | None:
        """The attempt that trained this recipe, without its run; None where there was none.

        Raises: DataError, where the file does not hold what an attempt needs.
        """
        entry = self.attempts.get(self._key(recipe))
        if entry is None:
            return None
        try:
            return _attempt(recipe, entry)
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
            if self.path.stat().st_size > LARGEST:
                raise self._damaged(f"more than {LARGEST} bytes")
            text = self.path.read_bytes()
        except OSError as error:
            raise ArgumentError("keep", f"{str(self.path)!r}: {error}", "a readable file") from None
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
        return np.array(decoded(value["$array"]), dtype=np.dtype(value["dtype"]))
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
    found = [
        Finding(**{**each, "evidence": decoded(each["evidence"])}) for each in entry["findings"]
    ]
    figures = decoded(entry["figures"])
    if not isinstance(figures, dict):
        raise TypeError("figures")
    stopped = decoded(entry["stopped"])
    history = History(
        [Epoch(**epoch) for epoch in decoded(entry["epochs"])],
        None if stopped is None else Stop(**stopped),
    )
    return Attempt(recipe, Diagnosis(with_what_helps(found, recipe), figures), history, figures)
