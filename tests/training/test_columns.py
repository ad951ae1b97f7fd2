"""Reading a column of a CSV file, and saying where the file is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from minirnn.errors import DataError
from minirnn.training import read_column


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "some.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_reads_the_named_column(tmp_path: Path) -> None:
    column = read_column(written(tmp_path, "day,a,b\nmon,1,2.5\ntue,3,-4e2\n"), "b")
    np.testing.assert_array_equal(column.values, [2.5, -400.0])
    assert column.values.dtype == np.float64
    assert column.name == "b"
    assert column.missing == 0


@pytest.mark.parametrize("word", ["", " ", "NA", "n/a", "NaN", "null", "None"])
def test_a_missing_word_becomes_nan_and_is_counted(tmp_path: Path, word: str) -> None:
    column = read_column(written(tmp_path, f"a,b\n1,2\n{word},3\n4,5\n"), "a")
    np.testing.assert_array_equal(column.values, [1.0, np.nan, 4.0])
    assert column.missing == 1


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_first_line_tells_the_delimiter(tmp_path: Path, delimiter: str) -> None:
    text = "a,b,c\n1,2,3\n".replace(",", delimiter)
    assert read_column(written(tmp_path, text), "c").values.tolist() == [3.0]


def test_bom_crlf_quotes_and_spaces_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, b'\xef\xbb\xbf"a", b\r\n" 1.5 ",2\r\n3,4\r\n')
    assert read_column(path, "a").values.tolist() == [1.5, 3.0]


def test_an_only_column_needs_no_name(tmp_path: Path) -> None:
    assert read_column(written(tmp_path, "ppm\n1\n2\n")).name == "ppm"


def test_a_number_may_be_the_name_of_a_column_where_it_is_named(tmp_path: Path) -> None:
    assert read_column(written(tmp_path, "2024\n1\n2\n"), "2024").values.tolist() == [1.0, 2.0]


def test_blank_lines_are_missing_cells_inside_a_file_of_one_column_and_nothing_else(
    tmp_path: Path,
) -> None:
    one = read_column(written(tmp_path, "ppm\n1\n\n2\n\n\n"))
    np.testing.assert_array_equal(one.values, [1.0, np.nan, 2.0])
    two = read_column(written(tmp_path, "a,b\n1,2\n\n3,4\n\n"), "a")
    np.testing.assert_array_equal(two.values, [1.0, 3.0])


BAD = {
    "not UTF-8": (b"a,b\n1,\xff\xfe\n", "a", "not UTF-8"),
    "UTF-16": ("a,b\n1,2\n".encode("utf-16"), "a", "not UTF-8"),
    "binary": (b"a\0b\n1,2\n", "a", "binary"),
    "empty file": ("", "a", "an empty file"),
    "blank file": ("\n\n", "a", "an empty file"),
    "no rows": ("a,b\n", "a", "no rows in column 'a'"),
    "nothing but gaps": ("a,b\n,1\n,2\n", "a", "no number in any row"),
    "unknown column": ("a,b\n1,2\n", "c", r"got 'c'; wanted a column of .*: 'a', 'b'"),
    "no column named": ("a,b\n1,2\n", None, "one of its columns: 'a', 'b'"),
    "how to name one": ("a,b\n1,2\n", None, "--column in a terminal, data.column in a recipe"),
    "no header": ("1.5\n2\n3\n", None, r"got the number '1.5' in the first line of"),
    "column named twice": ("a,a\n1,2\n", "a", "occurs twice"),
    "text in a cell": ("a,b\n1,2\nhigh,3\n", "a", r"column 'a': got 'high' in line 3"),
    "a decimal comma": ('a;b\n1;2\n"3,5";4\n', "a", r"'3,5' in line 3.*a decimal point"),
    "one in an only column": ("a\n0,00\n1,5\n", None, r"'0,00' in line 2.*decimal=','"),
    "one beside a comma in a name": ("t;level, m\n1;0,5\n", "level, m", r"'0,5' in line 2"),
    "one without its own parting": ("a,b\n0,5,1,5\n", "a", r"4 cell\(s\) in line 2.*0.5, not 0,5"),
    "between thousands": ('a;b\n1;"1,234.5"\n', "b", r"'1,234.5' in line 2.*between thousands"),
    "a text": (
        "once upon a time " * 400,
        None,
        r"column 'once upon a time once upon a time onc\.\.\.' of",
    ),
    "many columns": (",".join(f"c{k}" for k in range(99)) + "\n", "d", r"'c19' and 79 more$"),
    "infinity": ("a\n1\ninf\n", "a", "'inf' in line 3"),
    "underscores": ("a\n1_000\n", "a", "'1_000' in line 2"),
    "a short row": ("a,b\n1,2\n3\n", "a", r"1 cell\(s\) in line 3"),
    "a long row": ("a,b\n1,2,3\n", "a", r"3 cell\(s\) in line 2"),
    "an open quote": ('a,b\n1,"2\n', "a", "line 2"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_a_data_error_that_says_where(tmp_path: Path, case: str) -> None:
    text, column, message = BAD[case]
    with pytest.raises(DataError, match=message):
        read_column(written(tmp_path, text), column)


def test_a_line_number_counts_lines_inside_quotes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'x' in line 4"):
        read_column(written(tmp_path, 'note,a\n"two\nlines",1\nok,x\n'), "a")


def test_a_missing_file_and_a_folder_are_data_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_column(tmp_path / "absent.csv", "a")
    with pytest.raises(DataError, match="is a directory"):
        read_column(tmp_path, "a")


def test_lines_that_follow_tell_what_a_comma_in_the_header_is(tmp_path: Path) -> None:
    for text in ("t;level, m, mean\n1;2.5\n", "t\tlevel, m, mean\n1\t2.5\n"):
        assert read_column(written(tmp_path, text), "level, m, mean").values.tolist() == [2.5]
    many = "a,b; c; d\n1,2\n3,4\n"
    assert read_column(written(tmp_path, many), "b; c; d").values.tolist() == [2.0, 4.0]
