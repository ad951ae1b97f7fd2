"""What the doctor says: findings, remedies, and the diagnosis that holds them.

A finding names a symptom and shows its evidence. A diagnosis leads with the root of the trouble:
`unscaled-input` that saturates the gates, kills their gradient and leaves one output for every
input is one illness with three consequences, not four illnesses.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from minirnn.diagnosis.code import CodeEdit
from minirnn.diagnosis.wording import measured
from minirnn.errors import ArgumentError

if TYPE_CHECKING:
    from minirnn.diagnosis.recipe import Recipe
    from minirnn.diagnosis.run import Run
    from minirnn.training import History

Severity = Literal["note", "warning", "illness"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)


@dataclass(frozen=True)
class Remedy:
    """One edit, why it should help, and what should be seen if it does.

    `edit` maps dotted recipe keys to new values, as `Recipe.edit` takes them. Where a training loop
    of the user's own was watched it is empty, and `code` is the edit of their lines.
    """

    edit: Mapping[str, object]
    reason: str
    expected: str
    code: CodeEdit | None = None

    @property
    def what(self) -> str:
        """What to do, in a line: the recipe's keys, or the edit of the user's lines in words."""
        return edit_text(self.edit) if self.code is None else self.code.words

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return {
            "edit": plain(dict(self.edit)),
            "reason": self.reason,
            "expected": self.expected,
            "code": None if self.code is None else self.code.to_dict(),
        }

    def __str__(self) -> str:
        told = f"{self.what}: {self.reason}"
        return told if self.code is None else "\n".join([told, *self.code.diff.splitlines()])


@dataclass(frozen=True)
class Advice:
    """Popular advice that would not help here, and why."""

    advice: str
    why: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return {"advice": self.advice, "why": self.why}


@dataclass(frozen=True)
class Finding:
    """One symptom, seen.

    symptom       a stable id, such as "saturated-gates"
    severity      "note" (worth knowing), "warning" (may do harm), "illness" (does harm now)
    where         where it was seen, in words: layer and direction, gates, steps, part of the data
    evidence      named figures behind it: numbers, words, and lists or dicts of them
    cause         why it is so, in one or two sentences; told before the explanation
    consequences  ids of the other symptoms found that follow from this one
    remedies      edits of the recipe, or of the user's own lines, best first
    would_not_help  popular advice that does not cure this, with the reason
    explanation   what that does, in plain words, for someone who has never looked inside a network;
                  it may refer to the cause, but does not repeat it
    """

    symptom: str
    severity: Severity
    where: str
    evidence: Mapping[str, object]
    cause: str
    explanation: str
    consequences: tuple[str, ...] = ()
    remedies: tuple[Remedy, ...] = ()
    would_not_help: tuple[Advice, ...] = ()

    def __post_init__(self) -> None:
        """Raises: ArgumentError, when the severity is not one of the three."""
        if not isinstance(self.severity, str) or self.severity not in SEVERITIES:
            raise ArgumentError("severity", repr(self.severity), f"one of {', '.join(SEVERITIES)}")

    @property
    def harmful(self) -> bool:
        """Whether the finding is above "note"."""
        return self.severity != "note"

    @property
    def words(self) -> str:
        """Cause and explanation, as they are told: the one is read before the other."""
        return f"{self.cause} {self.explanation}".strip()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON; a figure that is not finite becomes its name ("nan")."""
        return {
            "symptom": self.symptom,
            "severity": self.severity,
            "where": self.where,
            "evidence": plain(dict(self.evidence)),
            "cause": self.cause,
            "explanation": self.explanation,
            "consequences": list(self.consequences),
            "remedies": [remedy.to_dict() for remedy in self.remedies],
            "would_not_help": [advice.to_dict() for advice in self.would_not_help],
        }

    def __str__(self) -> str:
        return self.told()

    def told(self, without: Collection[str] = ()) -> str:
        """The finding in words, with its best remedy, unless that is among those told already."""
        lines = [f"[{self.severity}] {self.symptom}: {self.where}", f"  {self.words}"]
        if self.consequences:
            lines.append(f"  it brings: {', '.join(self.consequences)}")
        if self.remedies and (remedy := str(self.remedies[0])) not in without:
            first, *diff = remedy.splitlines()
            lines += [f"  remedy: {first}", *(f"    {line}" for line in diff)]
        return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class Attempt:
    """One training on the way to a cure: the recipe as it was, and what was found.

    edit       what changed against the recipe it started from; empty for the first
    remedy     the remedy applied, None for the first
    aimed_at   the symptom the remedy was for, "" for the first
    kept       whether the repair went on from here (always true of the first)
    verdict    one sentence: what this attempt did
    figures    named figures of the run: errors in the data's own units beside naive baselines
    run        the trained model, its data, forecasts and traces; None where the attempt was read
               back from a file (`doctor(keep=...)`)
    cut        what ended the training before its time, in words: the keyboard, or the limit of
               time; "" where it ran as the recipe says. Such an attempt proves nothing of a remedy
    """

    recipe: Recipe
    diagnosis: Diagnosis
    history: History
    figures: Mapping[str, object]
    edit: Mapping[str, object] = field(default_factory=dict)
    remedy: Remedy | None = None
    aimed_at: str = ""
    kept: bool = True
    verdict: str = ""
    run: Run | None = None
    cut: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON; the model and its arrays are left out."""
        return {
            "edit": plain(dict(self.edit)),
            "aimed_at": self.aimed_at,
            "kept": self.kept,
            "verdict": self.verdict,
            "cut": self.cut,
            "figures": plain(dict(self.figures)),
            "recipe": self.recipe.describe(),
            "history": plain(self.history.to_dict()),
            "findings": [finding.to_dict() for finding in self.diagnosis.findings],
            "healthy": self.diagnosis.healthy,
        }


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """The findings about one network, root first; after a repair, about the network as it is now.

    figures    named figures of the run, as in `Attempt`
    attempts   every training that was made, in order; empty for `mr.diagnose`, which makes none
    run        the trained model, its data, predictions and traces, where there are any
    ended      why a repair ended before it had cured, in words: no remedy is left, the trainings or
               the time are used up, it was interrupted; "" of one that cured, and without repair
    interrupted  whether the keyboard ended it: what stands here is what was known by then
    """

    findings: tuple[Finding, ...] = ()
    figures: Mapping[str, object] = field(default_factory=dict)
    attempts: tuple[Attempt, ...] = ()
    run: Run | None = None
    ended: str = ""
    interrupted: bool = False

    @property
    def symptoms(self) -> set[str]:
        """The ids of everything found, notes included."""
        return {finding.symptom for finding in self.findings}

    @property
    def healthy(self) -> bool:
        """Whether nothing above "note" was found."""
        return not any(finding.harmful for finding in self.findings)

    @property
    def root(self) -> Finding | None:
        """The finding to treat first: the root of the harm, or None when there is no harm."""
        return next((finding for finding in self.findings if finding.harmful), None)

    @property
    def before(self) -> Diagnosis:
        """What was found before any remedy: the first attempt's diagnosis, or this one."""
        return self.attempts[0].diagnosis if self.attempts else self

    @property
    def cured(self) -> bool:
        """Whether harm was found at first and, after the remedies, none of any kind is left."""
        return self.healthy and not self.before.healthy

    def finding(self, symptom: str) -> Finding | None:
        """The finding of that symptom, or None."""
        return next((found for found in self.findings if found.symptom == symptom), None)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return {
            "healthy": self.healthy,
            "cured": self.cured,
            "ended": self.ended,
            "interrupted": self.interrupted,
            "symptoms": sorted(self.symptoms),
            "findings": [finding.to_dict() for finding in self.findings],
            "figures": plain(dict(self.figures)),
            "attempts": [attempt.to_dict() for attempt in self.attempts],
        }

    def save_html(self, path: str | PathLike[str]) -> None:
        """Write one self-contained page with the findings and the pictures behind them.

        Raises: MissingExtraError, when the extra `report` is not installed.
        """
        from minirnn import report  # the one arrow that points up: only here, and late

        report.save_diagnosis_html(self, path)

    def _repr_html_(self) -> str:
        from minirnn.diagnosis.table import findings_table

        return findings_table(self)

    def __str__(self) -> str:
        head = "healthy" if self.healthy else f"ill: {self.root.symptom}" if self.root else ""
        if self.cured:
            head = f"cured of {self.before.root.symptom if self.before.root else 'its illness'}"
        steps = [f"{number}. {attempt.verdict}" for number, attempt in enumerate(self.attempts)]
        told: set[str] = set()  # a remedy for the root is often that for what follows, too
        lines = [head, *measured(self.figures), *steps]
        if self.ended:
            lines.append(f"the repair ended: {self.ended}")
        for finding in self.findings:
            lines.append(finding.told(told))
            told |= {str(remedy) for remedy in finding.remedies[:1]}
        return "\n".join(lines)


def edit_text(edit: Mapping[str, object]) -> str:
    """`{"data.scale": "standard"}` -> `data.scale = "standard"`, as a recipe spells it.

    Arrays, which would fill pages, are told by shape and type.
    """
    return ", ".join(f"{key} = {_spelt(value)}" for key, value in edit.items())


def _spelt(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"an array {value.shape} of {value.dtype.name}"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def plain(value: object) -> Any:
    """Turn figures into what JSON can hold: NumPy scalars and arrays, NaN and infinities too."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, float):
        # JSON has no NaN or infinity, and a missing figure would hide the worst of news.
        return value if math.isfinite(value) else str(value)
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)
