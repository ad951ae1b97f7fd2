"""The failures that users report, as cases that can be run: what is blamed, advised, and true.

Five articles and the mistakes in people's own loops. Every cause and every fix that they name is
trained, right or wrong, and judged by what comes of it (`minirnn cases`, docs/cases.md).
"""

from __future__ import annotations

from minirnn.diagnosis.cases import (
    constant_lstm,
    free_runs,
    identical_data,
    identical_outputs,
    lstm_examples,
    no_progress,
    output_loops,
    own_code,
    stuck_forecast,
    unclean_data,
)
from minirnn.diagnosis.cases.case import ARTICLES, Case, Fix
from minirnn.diagnosis.cases.catalogue import NAMED
from minirnn.diagnosis.cases.play import play
from minirnn.diagnosis.cases.pool import play_all
from minirnn.diagnosis.cases.rows import Row, rows_of
from minirnn.diagnosis.cases.seen import CaseSeen
from minirnn.errors import ArgumentError

CASES: tuple[Case, ...] = (
    *output_loops.CASES,
    *free_runs.CASES,
    *identical_outputs.CASES,
    *identical_data.CASES,
    *lstm_examples.CASES,
    *constant_lstm.CASES,
    *stuck_forecast.CASES,
    *no_progress.CASES,
    *unclean_data.CASES,
    *own_code.CASES,
)


def case_of(name: str) -> Case:
    """The case of that id. Raises: ArgumentError."""
    for case in CASES:
        if case.id == name:
            return case
    raise ArgumentError("case", repr(name), f"one of {', '.join(case.id for case in CASES)}")


def cases_of(asked: tuple[str, ...]) -> tuple[Case, ...]:
    """The cases of some articles ("003"), or some of theirs by their ids ("003.one-step").

    Raises: ArgumentError for what is neither.
    """
    chosen: dict[str, Case] = {}
    for name in asked or tuple(ARTICLES):
        found = [case for case in CASES if name in (case.article, case.id)]
        if not found:
            ids = [case.id for case in CASES if case.article == name.partition(".")[0]]
            wanted = f"one of {', '.join(ids or ARTICLES)}"
            raise ArgumentError("article", repr(name), wanted)
        chosen |= {case.id: case for case in found}
    return tuple(case for case in CASES if case.id in chosen)


__all__ = [
    "ARTICLES",
    "CASES",
    "NAMED",
    "Case",
    "CaseSeen",
    "Fix",
    "Row",
    "case_of",
    "cases_of",
    "play",
    "play_all",
    "rows_of",
]
