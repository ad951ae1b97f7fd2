"""A diagnosis as a small HTML table, for notebooks; made with the standard library alone."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from minirnn.diagnosis.wording import measured

if TYPE_CHECKING:
    from minirnn.diagnosis.finding import Diagnosis, Finding

COLOURS = {"illness": "#b3261e", "warning": "#8a5a00", "note": "#3b5b8c"}
CELL = "text-align:left;vertical-align:top;padding:4px 10px;border-bottom:1px solid #8884"


def findings_table(diagnosis: Diagnosis) -> str:
    """One row a finding: symptom, where, what it means, first remedy. All text is escaped."""
    verdict = "cured" if diagnosis.cured else "healthy" if diagnosis.healthy else "ill"
    told = "".join(f"<br>{escape(line)}" for line in measured(diagnosis.figures))
    if not diagnosis.findings:
        return f"<p><b>{verdict}</b>: nothing found{told}</p>"
    head = "".join(
        f'<th style="{CELL}">{title}</th>'
        for title in ("symptom", "where", "in plain words", "first remedy")
    )
    rows = "".join(_row(finding) for finding in diagnosis.findings)
    return (
        f'<table style="border-collapse:collapse"><caption style="text-align:left">'
        f"<b>{verdict}</b>{told}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _row(finding: Finding) -> str:
    colour = COLOURS[finding.severity]
    words = escape(finding.words)
    if finding.consequences:
        words += f"<br><i>it brings: {escape(', '.join(finding.consequences))}</i>"
    first = finding.remedies[0] if finding.remedies else None
    remedy = f"<code>{escape(first.what)}</code>" if first else ""
    if first and first.code and first.code.diff:
        remedy += f"<pre>{escape(first.code.diff)}</pre>"
    symptom = (
        f'<b style="color:{colour}">{escape(finding.symptom)}</b><br>{escape(finding.severity)}'
    )
    cells = (symptom, escape(finding.where), words, remedy)
    return "<tr>" + "".join(f'<td style="{CELL}">{cell}</td>' for cell in cells) + "</tr>"
