from __future__ import annotations

import json
from pathlib import Path

import pytest
from made_results import MACHINE, made_results

from bench import machine
from bench.results import Record, Results, newest
from minirnn.errors import DataError

RECORD = Record("compare", {"cell": "gru"}, {"minirnn": [1.0]}, {}, "2026-01-02", "abc")


def test_every_case_is_on_disk_as_soon_as_it_is_added(tmp_path: Path) -> None:
    path = tmp_path / "new" / "r.json"
    results = Results.open(path, MACHINE, threads=2)
    results.add("compare/a", RECORD)
    results.add("compare/b", RECORD)
    assert Results.load(path) == results
    assert results.cases.keys() == {"compare/a", "compare/b"}


def test_a_later_run_adds_to_the_file_and_replaces_what_it_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    for reading, keys in ((1.0, "ab"), (2.0, "bc")):
        results = Results.open(path, MACHINE, threads=2)
        for key in keys:
            results.add(key, Record("compare", {}, {"minirnn": [reading]}))
    held = Results.load(path).cases
    assert {key: record.readings["minirnn"] for key, record in held.items()} == {
        "a": [1.0],
        "b": [2.0],
        "c": [2.0],
    }


def test_all_suites_survive_the_file(tmp_path: Path) -> None:
    results = made_results(tmp_path / "r.json")
    results.save()
    held = Results.load(results.path)
    assert held.cases == results.cases
    assert held.machine == MACHINE


def test_readings_are_kept_to_five_digits(tmp_path: Path) -> None:
    results = Results.open(tmp_path / "r.json", MACHINE, threads=2)
    results.add("a", Record("s", {}, {"x": [0.123456789]}, {"deep": {"y": [1234567.89]}}))
    (kept,) = Results.load(results.path).cases.values()
    assert kept.readings == {"x": [0.12346]}
    assert kept.facts == {"deep": {"y": [1234600.0]}}


@pytest.mark.parametrize(
    ("other", "threads", "named"),
    [
        ({**MACHINE, "processor": "Another"}, 2, "processor"),
        ({**MACHINE, "versions": {"torch": "3.0"}}, 2, "versions"),
        (MACHINE, 1, "threads"),
    ],
)
def test_results_of_different_runs_are_not_mixed(
    tmp_path: Path, other: dict[str, object], threads: int, named: str
) -> None:
    Results.open(tmp_path / "r.json", MACHINE, threads=2).add("a", RECORD)
    with pytest.raises(DataError, match=f"another {named}"):
        Results.open(tmp_path / "r.json", other, threads)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', '{"format": 1, "cases": 3}'])
def test_a_file_that_holds_no_results_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(DataError, match=r"r\.json"):
        Results.load(tmp_path / "r.json")


def test_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    Results.open(path, MACHINE, threads=2).add("a", RECORD)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 2}))
    with pytest.raises(DataError, match="format 2"):
        Results.load(path)


def test_the_newest_is_that_of_the_latest_day(tmp_path: Path) -> None:
    for name in ("zen-2026-01-02.json", "acme-2026-10-01.json", "quick.json"):
        (tmp_path / name).touch()
    assert newest(tmp_path).name == "acme-2026-10-01.json"


def test_no_results_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="make bench"):
        newest(tmp_path)


def test_this_machine_is_described_the_same_every_time_and_fits_in_json() -> None:
    described = machine.describe()
    assert described == json.loads(json.dumps(machine.describe()))
    assert described["cores"] >= 1
    assert described["processor"]


@pytest.mark.parametrize(
    ("processor", "architecture", "name"),
    [
        ("AMD EPYC", "znver4", "amd-epyc-znver4"),
        ("Intel(R) Xeon(R) CPU @ 2.20GHz", "skylake-avx512", "intel-xeon-skylake-avx512"),
        ("Apple M2", "apple-m2", "apple-m2-apple-m2"),
    ],
)
def test_a_processors_name_becomes_a_files(processor: str, architecture: str, name: str) -> None:
    assert machine.short_name({"processor": processor, "architecture": architecture}) == name
