"""Writes docs/diagnosis.md."""

from __future__ import annotations

from pathlib import Path

from bench.corpus.row import Row

PAGE = Path(__file__).resolve().parents[2] / "docs" / "diagnosis.md"


def write_page(path: Path, rows: list[Row]) -> Path:
    raise NotImplementedError
