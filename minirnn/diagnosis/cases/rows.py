"""Rows of the table: what was seen of each cause and each fix, over all seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from minirnn.diagnosis.cases.case import Case, Fix
from minirnn.diagnosis.cases.judge import well
from minirnn.diagnosis.cases.seen import CaseSeen, Seen

MOST = 0.8  # of the seeds have to come out as expected


@dataclass(frozen=True)
class Row:
    """One line: a cause, a fix of the article's or of ours, or what the doctor did by itself.

    expected   the symptoms of which one should be at the root, of a cause; else the verdicts
    roots      how often which symptom stood at the root (of a fix: of what was left)
    others     how often which other harmful symptom was named
    before, after   the figures shown, of the seeds that have one; a cause has only `before`
    verdicts   how often which
    right      of `seeds`, how many came out as expected
    error      the message of what cannot be run
    """

    kind: Literal["cause", "fix", "ours", "doctor"]
    case: str
    id: str
    says: str
    measure: str
    expected: tuple[str, ...]
    seeds: int
    right: int
    roots: dict[str, int] = field(default_factory=dict)
    others: dict[str, int] = field(default_factory=dict)
    before: tuple[float, ...] = ()
    after: tuple[float, ...] = ()
    verdicts: dict[str, int] = field(default_factory=dict)
    error: str = ""
    skipped: str = ""

    @property
    def as_expected(self) -> bool:
        """Whether it came out as expected: always of a few seeds, else in most of them."""
        return bool(self.skipped) or self.right >= MOST * self.seeds

    @property
    def verdict(self) -> str:
        """The commonest verdict."""
        return next(iter(self.verdicts), "")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return {
            "kind": self.kind,
            "case": self.case,
            "id": self.id,
            "says": self.says,
            "measure": self.measure,
            "expected": list(self.expected),
            "seeds": self.seeds,
            "right": self.right,
            "as_expected": self.as_expected,
            "roots": self.roots,
            "others": self.others,
            "before": list(self.before),
            "after": list(self.after),
            "verdict": self.verdict,
            "verdicts": self.verdicts,
            "error": self.error,
            "skipped": self.skipped,
        }


def rows_of(case: Case, seen: Iterable[CaseSeen]) -> list[Row]:
    """The rows of a case: its cause, its fixes, and the doctor's own cure where one is needed."""
    all_seen = sorted(seen, key=lambda each: each.seed)
    ran = [each for each in all_seen if not each.skipped]
    rows = [_cause(case, ran), *(_fix(case, fix, ran) for fix in case.fixes)]
    treated = [each for each in ran if each.doctor is not None]
    if treated:
        rows.append(_doctor(case, treated))
    if all_seen and not ran:
        return [_skipped(each, all_seen[0].skipped) for each in rows]
    return rows


def _cause(case: Case, seen: Sequence[CaseSeen]) -> Row:
    right = sum(named_rightly(case, each) for each in seen)
    return Row(
        "cause",
        case.id,
        "",
        case.says,
        case.measure.name,
        case.expect or ("cannot run" if "cannot run" in case.cause else "healthy",),
        len(seen),
        right,
        _count(each.sick.root for each in seen),
        _count(name for each in seen for name in each.sick.named[1:]),
        _shown(each.sick for each in seen),
        (),
        _count(each.cause for each in seen),
        _error(each.sick for each in seen),
    )


def named_rightly(case: Case, seen: CaseSeen) -> bool:
    """Whether the root is one that is expected, and the verdict on the cause, too."""
    if seen.cause not in case.cause:
        return False
    return seen.sick.root in ("healthy", "cannot run", *case.expect)[0 if not case.expect else 2 :]


def _fix(case: Case, fix: Fix, seen: Sequence[CaseSeen]) -> Row:
    tried = [each.fixes[fix.id] for each in seen if fix.id in each.fixes]
    return Row(
        "ours" if fix.ours else "fix",
        case.id,
        fix.id,
        fix.says,
        case.measure.name,
        fix.expect,
        len(tried),
        sum(each.verdict in fix.expect for each in tried),
        _count(each.seen.root for each in tried),
        _count(name for each in tried for name in each.seen.named[1:]),
        _shown(each.sick for each in seen),
        _shown(each.seen for each in tried),
        _count(each.verdict for each in tried),
        _error(each.seen for each in tried),
    )


def _doctor(case: Case, treated: Sequence[CaseSeen]) -> Row:
    """Right where it cured, or one of our own fixes did."""
    made = [each.doctor for each in treated if each.doctor is not None]
    kept = Counter("; ".join(each.kept) or "nothing" for each in made)
    right = 0
    for each in treated:
        ours = (each.fixes[fix.id].verdict for fix in case.fixes if fix.ours)
        assert each.doctor is not None
        right += "cures" in (each.doctor.verdict, *ours)
    return Row(
        "doctor",
        case.id,
        "doctor",
        kept.most_common(1)[0][0],
        case.measure.name,
        ("cures",),
        len(made),
        right,
        _count(each.seen.root for each in made),
        _count(name for each in made for name in each.seen.named[1:]),
        _shown(each.sick for each in treated),
        _shown(each.seen for each in made),
        _count(each.verdict for each in made),
    )


def cured(case: Case, seen: CaseSeen) -> bool | None:
    """Whether something cured it: the doctor, or any fix; None where nothing ails, or can be."""
    curable = case.curable or any("cures" in fix.expect for fix in case.fixes)
    if seen.skipped or not curable or well(case.measure, seen.sick):
        return None
    verdicts = [each.verdict for each in seen.fixes.values()]
    return "cures" in [*verdicts, seen.doctor.verdict if seen.doctor is not None else ""]


def _skipped(row: Row, why: str) -> Row:
    return Row(row.kind, row.case, row.id, row.says, row.measure, row.expected, 0, 0, skipped=why)


def _count(words: Iterable[str]) -> dict[str, int]:
    return dict(Counter(words).most_common())


def _shown(seen: Iterable[Seen]) -> tuple[float, ...]:
    return tuple(each.shown for each in seen if each.shown is not None)


def _error(seen: Iterable[Seen]) -> str:
    return next((each.error for each in seen if each.error), "")


def figure(values: Sequence[float]) -> str:
    """The median, and the range where there is one: `0.98 (0.97 to 0.99)`; "-" of none."""
    if not values:
        return "-"
    middle = short(float(np.median(values)))
    low, high = short(min(values)), short(max(values))
    return middle if low == high else f"{middle} ({low} to {high})"


def short(value: float) -> str:
    """Two decimals, and more of what is small; what is far off as a power of ten."""
    if abs(value) >= 1000:
        return f"{value:.0e}".replace("e+0", "e").replace("e+", "e")
    text = f"{value:.2f}"
    if text in ("0.00", "-0.00"):
        return f"{value:.0e}".replace("e-0", "e-") if abs(value) > 1e-12 else "0"
    return text


def counted(counts: dict[str, int], of: int) -> str:
    """`cures 9 of 10, helps 1`; the word alone where all are the same and there is one."""
    if of == 1:
        return next(iter(counts), "")
    words = [f"{word} {n}" for word, n in counts.items()]
    if words:
        words[0] += f" of {of}"
    return ", ".join(words)
