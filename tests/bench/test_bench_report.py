from __future__ import annotations

import re
from pathlib import Path

import pytest
from made_results import LARGE, RATIOS, SHARE, made_results

from bench import gpu_tables, report, tables
from bench.regions import fill
from bench.results import FOLDER, Results, newest
from bench.shapes import GATES, GRID, Shape
from bench.summary import geometric_mean
from bench.views import Ratios, views
from minirnn.errors import DataError

PAGE = (
    "before\n<!-- bench: a -->\nold\n<!-- /bench -->\nbetween\n<!-- bench: b -->\n<!-- /bench -->\n"
)


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return made_results(tmp_path / "r.json")


def rows(table: str) -> list[list[str]]:
    """The cells of a table, without its head."""
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]
    ]


def test_regions_are_replaced_and_the_rest_stays() -> None:
    filled = fill(PAGE, {"a": "new", "b": "\nmore\n"})
    assert filled == (
        "before\n<!-- bench: a -->\nnew\n<!-- /bench -->\nbetween\n"
        "<!-- bench: b -->\nmore\n<!-- /bench -->\n"
    )
    assert fill(filled, {"a": "new", "b": "more"}) == filled


def test_a_backslash_in_a_table_is_a_backslash() -> None:
    assert r"\1 \g<0>" in fill(PAGE, {"a": r"\1 \g<0>", "b": ""})


@pytest.mark.parametrize(
    ("page", "contents"),
    [
        (PAGE, {"a": ""}),
        (PAGE, {"a": "", "b": "", "c": ""}),
        (PAGE + PAGE, {"a": "", "b": ""}),
        (PAGE.replace("<!-- /bench -->\n", "", 1), {"a": "", "b": ""}),
        (PAGE + "<!-- /bench -->", {"a": "", "b": ""}),
    ],
    ids=["a region without", "contents without", "a name twice", "not closed", "not opened"],
)
def test_regions_and_contents_must_fit(page: str, contents: dict[str, str]) -> None:
    with pytest.raises(DataError, match="page"):
        fill(page, contents)


def test_the_page_has_a_region_for_everything_and_all_of_it_is_filled(results: Results) -> None:
    page = fill(report.PAGE.read_text(encoding="utf-8"), report.contents(results))
    assert tables.NOTHING not in page
    assert "nan" not in page


def test_the_committed_page_is_what_the_committed_results_say() -> None:
    if not FOLDER.is_dir() or not list(FOLDER.glob("*-20*.json")):
        pytest.skip("no results are committed yet")
    page = report.PAGE.read_text(encoding="utf-8")
    assert fill(page, report.contents(Results.load(newest()), report.gpu_results())) == page


def test_a_page_of_no_results_says_so(tmp_path: Path, results: Results) -> None:
    empty = Results(tmp_path / "none.json", results.machine, threads=2)
    told = report.contents(empty)
    assert {text for name, text in told.items() if name != "machine"} == {
        tables.NOTHING, gpu_tables.NOT_YET,
    }  # fmt: skip


def test_ratios_and_shares_are_those_of_the_medians(results: Results) -> None:
    for cell, ratio in RATIOS.items():
        for view in views(results, "compare", cell=cell):
            assert view.ratio == pytest.approx(ratio)
            assert view.share == pytest.approx(SHARE)
            assert view.limit == pytest.approx(ratio / SHARE)


def test_the_summary_tells_the_mean_and_the_worst_shape(results: Results) -> None:
    slow = "compare/lstm-float32-77x48x40x200-training"
    results.cases[slow].readings["minirnn"] = [
        4 * reading for reading in results.cases[slow].readings["minirnn"]
    ]
    told = Ratios.over(views(results, "compare", cell="lstm", dtype="float32", mode="training"))
    assert told.where == Shape(77, 48, 40, 200)
    assert told.least == pytest.approx(0.5)
    assert told.mean == pytest.approx(geometric_mean([2.0] * 12 + [0.5]))
    first = rows(tables.in_short(results))[0]
    assert first == ["LSTM", "float32", "training", "13", "1.80", "0.50", "77,48,40,200"]


def test_every_cell_and_shape_has_its_row(results: Results) -> None:
    for dtype, left_out in (("float32", 0), ("float64", 2)):
        found = rows(tables.layers(results, dtype))
        assert len(found) == len(GATES) * (len(GRID) - left_out)
        assert all(len(row) == 12 for row in found)
        assert {row[4] for row in found if row[0] == "GRU"} == {"4.00"}
        assert {row[11] for row in found} == {"80%"}


def test_shares_are_told_where_they_are_promised(results: Results) -> None:
    told = report.contents(results)
    large = {size for _, size, *_ in rows(told["large"])}
    assert large == {"50,32,256,512", "200,64,128,256", "64,64,512,1024"}
    assert all(row[2:] == ["80%", "80%"] for row in rows(told["large"]))
    work = 3 * 2 * LARGE.T * LARGE.B * 4 * LARGE.H * (LARGE.I + LARGE.H)
    assert rows(told["avx2"])[0] == ["LSTM", "200,64,128,256", f"{work / 1e9:.0f}%"]


def test_a_mode_that_was_not_measured_leaves_its_columns_empty(results: Results) -> None:
    for key in [key for key in results.cases if key.startswith("compare") and "training" in key]:
        del results.cases[key]
    row = rows(tables.layers(results, "float32"))[0]
    assert row[7:] == [""] * 5
    assert all(row[:7])


def test_recording_is_told_as_a_share_of_the_plain_step(results: Results) -> None:
    row = rows(report.contents(results)["recording"])[0]
    assert row == ["LSTM", "64", "256", "1000", "+2.0%", "+50.0%", "10200", "10.0"]


def test_phases_have_the_operations_of_their_products(results: Results) -> None:
    T, B, I, H = LARGE  # noqa: E741
    row = rows(tables.phases(results))[0]
    assert row[:5] == ["LSTM", "200,64,128,256", "forward: input product", "250", "25%"]
    share = 2 * T * B * 4 * H * I / 0.25 / 100e9
    assert row[5] == f"{100 * share:.0f}%"


def test_without_pytorch_the_rest_is_told(results: Results) -> None:
    for record in results.cases.values():
        for side in [side for side in record.readings if "torch" in side or side == "cell loop"]:
            del record.readings[side]
    for key in [key for key in results.cases if key.split("/")[0] in ("compare", "sweeps")]:
        del results.cases[key]  # what is skipped without it
    told = report.contents(results)
    assert told["float32"] == told["in-short"] == tables.NOTHING
    assert rows(told["recording"])[0][-2:] == ["", ""]
    assert rows(told["threads"])[0][2:] == ["1900", "1000", "1.90", "", "", ""]


def test_a_noisy_side_is_named(results: Results) -> None:
    key = "compare/rnn-float32-50x7x5x96-inference"
    results.cases[key].readings["torch"] = [1.0, 2.0, 3.0, 4.0, 5.0]
    told = report.contents(results)["noise"]
    assert f"The widest: 67% for torch in `{key}`" in told


def test_other_work_on_the_machine_is_told(results: Results) -> None:
    results.cases["recording/gru"].others = 0.3
    told = report.contents(results)["noise"]
    assert "Other processes took 1% of the processor meanwhile, 30% at most." in told
    for record in results.cases.values():
        record.others = None
    assert "not known" in report.contents(results)["noise"]


def test_figures_are_the_same_for_the_same_results(tmp_path: Path, results: Results) -> None:
    pytest.importorskip("matplotlib")
    from bench.drawings import draw_all

    first, second = (draw_all(results, tmp_path / name) for name in ("one", "two"))
    assert [path.name for path in first] == [path.name for path in second]
    for one, two in zip(first, second, strict=True):
        assert one.read_bytes() == two.read_bytes()
    drawn = set(re.findall(r"images/(performance[\w-]*\.svg)", report.PAGE.read_text()))
    assert drawn == {path.name for path in first}


def test_what_was_not_measured_is_not_drawn(tmp_path: Path, results: Results) -> None:
    pytest.importorskip("matplotlib")
    from bench.drawings import draw_all

    results.cases.clear()
    assert draw_all(results, tmp_path) == []


def test_bad_input_is_one_line_and_a_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report.main([str(tmp_path / "missing.json")]) == 2
    assert "missing.json" in capsys.readouterr().err
