"""Findings as plain text that both the terminal and the page show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from minirnn.diagnosis.wording import listed
from minirnn.report.page import Card
from minirnn.report.words import number

if TYPE_CHECKING:
    from minirnn.diagnosis.finding import Finding

MAX_REMEDIES = 3
MAX_ITEMS = 6  # of a list in the evidence; the page's JSON twin has them all
NOTHING_FOUND = "Nothing found: the network shows none of the symptoms that the doctor knows."


def cards(findings: Iterable[Finding]) -> list[Card]:
    """Findings as plain text, in their order; what another one explains is no root."""
    findings = list(findings)
    explained = {symptom for finding in findings for symptom in finding.consequences}
    return [
        _card(finding, root=finding.harmful and finding.symptom not in explained)
        for finding in findings
    ]


def _card(finding: Finding, *, root: bool) -> Card:
    return Card(
        symptom=finding.symptom,
        severity=finding.severity,
        where=finding.where,
        words=finding.words,
        evidence=[(_spaced(name), shown(value)) for name, value in finding.evidence.items()],
        consequences=listed(list(finding.consequences)),
        remedies=[
            (r.what, f"{_sentence(r.reason)} {_sentence(r.expected)}".strip())
            for r in finding.remedies[:MAX_REMEDIES]
        ],
        would_not_help=[(a.advice.rstrip("."), _sentence(a.why)) for a in finding.would_not_help],
        root=root,
    )


def shown(value: object) -> str:
    """A figure of the evidence in words: numbers to three digits, lists cut short."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return f"{int(value):,}"
    if isinstance(value, float | np.floating):
        return "0" if value == 0 else number(float(value))
    if isinstance(value, Mapping):
        return _items([f"{k}: {shown(v)}" for k, v in value.items()], "; ")
    if isinstance(value, np.ndarray):
        return shown(value.tolist())
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, str):
        return _items([shown(item) for item in value], ", ")
    return "–" if value is None else str(value)


def _items(items: list[str], separator: str) -> str:
    more = len(items) - MAX_ITEMS
    tail = [f"and {more} more"] if more > 0 else []
    return separator.join([*items[:MAX_ITEMS], *tail]) or "none"


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _sentence(text: str) -> str:
    """`text` beginning with a capital and ending in a full stop."""
    text = text.strip()
    if not text:
        return ""
    end = "" if text[-1] in ".!?" else "."
    return f"{text[0].upper()}{text[1:]}{end}"
