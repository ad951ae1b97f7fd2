"""Read one numeric column of a CSV file, with errors that say where the file is wrong."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minirnn.errors import DataError
from minirnn.files.whole import as_path

MISSING_WORDS = frozenset({"", "na", "n/a", "nan", "null", "none"})
"""Cells that stand for a missing value, in any case of letters."""

DELIMITERS = (";", "\t", ",")  # a comma last: it stands in numbers and names, too
LOOKED_AT, LINES = 65536, 20  # characters and lines that tell how cells are parted
MOST_NAMED, LONGEST = 20, 40  # columns that an error names, and letters of each
COMMAS = (
    "Numbers are written with a decimal point, and nothing between thousands: 0.5, not 0,5. "
    "Pandas turns them: read_csv(path, sep=';', decimal=',').to_csv(another, index=False)"
)


@dataclass(frozen=True, eq=False)
class Column:
    """One column of a file: `values (n,)` float64, NaN where the cell was empty or said "NA"."""

    name: str
    values: NDArray[np.float64]
    path: Path

    @property
    def missing(self) -> int:
        """How many cells held no number."""
        return int(np.isnan(self.values).sum())


def read_column(path: str | PathLike[str], name: str | None = None) -> Column:
    """Read the column `name` of a CSV file whose first line names its columns.

    The file is UTF-8 (a byte-order mark is allowed); cells are parted by comma, semicolon or tab,
    whichever parts the lines that follow as it does the first one. Numbers have a decimal point,
    and nothing between thousands: "1,500" may be one and a half, and is refused. Empty cells and
    NA, N/A, NaN, null, none become NaN.
    `name` may be left out when the file has one column and its first line is no number. Blank lines
    are skipped, except that inside a file of one column a blank line is an empty cell.

    Raises: DataError when the file is missing, not readable, not UTF-8 or empty; when the column
    is unknown, not named where it must be, or its name occurs twice; when a row has too many or too
    few cells, a cell is not a number, or no cell is. The message names the line.
    """
    path = as_path(path, error=DataError)
    if name is not None and not isinstance(name, str):
        raise DataError("name", repr(name), "the name of a column, or None")
    rows = _rows(path)
    _, header = next(rows, (0, []))
    names = [cell.strip() for cell in header]
    if not any(names):
        raise DataError("path", f"{str(path)!r}, an empty file", "a CSV file with a header line")
    index = _index_of(name, names, path)

    values: list[float] = []
    blank = 0
    for line, cells in rows:
        if not any(cell.strip() for cell in cells) and len(cells) <= 1:
            blank += 1
            continue
        if len(cells) != len(names):
            raise DataError(
                "path",
                f"{len(cells)} cell(s) in line {line} of {str(path)!r}",
                f"{len(names)}, as in its first line",
                COMMAS if len(cells) > len(names) and all(map(_is_number, cells)) else "",
            )
        if len(names) == 1:  # blank lines before this row were empty cells, not the file's end
            values.extend([math.nan] * blank)
        blank = 0
        values.append(_number(cells[index], names[index], line, path))

    if not values or all(math.isnan(value) for value in values):
        what = "no rows" if not values else "no number in any row"
        raise DataError(
            "path", f"{what} in column {_short(names[index])!r} of {str(path)!r}", "numbers"
        )
    return Column(names[index], np.array(values, dtype=np.float64), path)


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells) of every row."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise DataError("path", f"{str(path)!r}: {reason}", "a readable CSV file") from error
    except UnicodeDecodeError as error:
        raise DataError(
            "path",
            f"{str(path)!r}, which is not UTF-8 (byte {error.start})",
            "a UTF-8 CSV file",
            "Save it again as CSV UTF-8",
        ) from error
    if "\0" in text:
        raise DataError("path", f"{str(path)!r}, a binary file", "a UTF-8 CSV file")
    reader = csv.reader(io.StringIO(text), delimiter=_delimiter(text), strict=True)
    try:
        for cells in reader:
            yield reader.line_num, cells
    except csv.Error as error:
        raise DataError(
            "path", f"line {reader.line_num} of {str(path)!r}: {error}", "well-formed CSV"
        ) from error


def _delimiter(text: str) -> str:
    """What parts the lines after the first as it does the first, or else most of the first one."""
    begun = [line for line in text[:LOOKED_AT].splitlines()[:LINES] if line.strip()]
    header, *rows = begun or [""]

    def parted(line: str, delimiter: str) -> int:
        return len(next(csv.reader([line], delimiter=delimiter)))

    def fits(delimiter: str) -> tuple[bool, int, int]:
        cells = parted(header, delimiter)
        return cells > 1, sum(parted(row, delimiter) == cells for row in rows), cells

    return max(DELIMITERS, key=fits)


def _index_of(name: str | None, names: list[str], path: Path) -> int:
    listed = _listed(names)
    if name is None:
        if len(names) > 1:
            raise DataError(
                "column",
                f"none for {str(path)!r}",
                f"one of its columns: {listed}",
                "Name it: --column in a terminal, data.column in a recipe",
            )
        if _is_number(names[0]):
            raise DataError(
                "path",
                f"the number {_short(names[0])!r} in the first line of {str(path)!r}",
                "the column's name",
                "Put a line with a name first; or, if that is its name, name it as the column",
            )
        return 0
    if names.count(name) == 1:
        return names.index(name)
    if name in names:
        raise DataError("column", f"{name!r}, which occurs twice in {str(path)!r}", "a unique name")
    raise DataError("column", f"{name!r}", f"a column of {str(path)!r}: {listed}")


def _listed(names: list[str]) -> str:
    """The names in quotes; of many the first, for what came may be no table at all."""
    more = len(names) - MOST_NAMED
    shown = ", ".join(repr(_short(name)) for name in names[:MOST_NAMED])
    return shown + (f" and {more} more" if more > 0 else "")


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _number(cell: str, name: str, line: int, path: Path) -> float:
    text = cell.strip()
    if text.lower() in MISSING_WORDS:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.inf
    if not math.isfinite(value) or "_" in text:  # float() reads "1_000" as a thousand
        raise DataError(
            f"column {_short(name)!r}",
            f"{_short(text)!r} in line {line} of {str(path)!r}",
            "a finite number",
            COMMAS if "," in text and _is_number(text.replace(".", "").replace(",", "")) else "",
        )
    return value
