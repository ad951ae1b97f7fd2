"""Causes that show in which cases fail, where no single one tells."""

from __future__ import annotations

from minirnn.testing.conformance_report import Result
from minirnn.testing.conventions import Conventions


def explain(results: list[Result], conventions: Conventions) -> None:
    """Give failures without a cause the one that fits the pattern of failures."""
