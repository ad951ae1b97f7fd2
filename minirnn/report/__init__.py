"""What a person reads: the terminal's tables, the page, its figures.

The page needs plotly and jinja2 (the extra `report`); they are imported when it is made.
"""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minirnn.diagnosis import Diagnosis
    from minirnn.inspect import Trace

__all__ = ["save_diagnosis_html", "save_trace_html"]


def save_diagnosis_html(diagnosis: Diagnosis, path: str | PathLike[str]) -> None:
    """Write one self-contained page: every attempt, its findings, and the pictures behind them.

    Raises: MissingExtraError when plotly or jinja2 is not installed (extra `report`); ArgumentError
    naming `path` when it cannot be written.
    """
    from minirnn.report.diagnosis_page import diagnosis_page
    from minirnn.report.files import check_writable
    from minirnn.report.page import write

    check_writable(path)
    write(diagnosis_page(diagnosis), path)


def save_trace_html(
    trace: Trace, path: str | PathLike[str], *, sequence: int | None = None
) -> None:
    """Write one self-contained page: gates, states and gradients of a trace over time.

    `sequence` is the batch entry whose maps are shown; by default the longest.
    Raises: MissingExtraError when plotly or jinja2 is not installed (extra `report`); ArgumentError
    naming `sequence` or `path`.
    """
    from minirnn.report.files import check_writable
    from minirnn.report.page import write
    from minirnn.report.trace_page import trace_page

    check_writable(path)
    write(trace_page(trace, sequence=sequence), path)
