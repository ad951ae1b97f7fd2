from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from bench.corpus.measures import Share, measure, wanted
from bench.corpus.row import Key, Row, append, read_rows


def faulty(symptom: str, *named: str, **values: Any) -> Row:
    number = values.pop("number", 0)
    return Row(Key(symptom, "faulty", "test", number), planted=symptom, named=named, **values)


def healthy(symptom: str, *named: str, **values: Any) -> Row:
    return Row(Key(symptom, "healthy", "test", values.pop("number", 0)), named=named, **values)


@pytest.mark.parametrize(
    ("right", "of", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_is_wilsons(right: int, of: int, low: float, high: float) -> None:
    assert Share(of, right).interval == pytest.approx((low, high), abs=5e-5)
    mirrored = Share(of, of - right).interval
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=5e-5)


def test_a_share_of_none_knows_nothing() -> None:
    assert math.isnan(Share(0, 0).value)
    assert Share(0, 0).interval == (0.0, 1.0)


def test_every_count_by_hand() -> None:
    rows = [
        faulty("a", "a"),  # right
        faulty("a", "a", "b", also=("b",)),  # right, with what it brings
        faulty("a", "b", "a"),  # named, not at the root; b is spurious
        faulty("a"),  # missed
        faulty("b", "b"),
        faulty("b", "a"),  # missed, and a is spurious
        faulty("b", error="its process ended"),
        faulty("b", skipped="PyTorch is not installed"),
        healthy("a"),
        healthy("a", "b"),  # spurious
        healthy("b"),
        healthy("b", error="hung"),
    ]
    made = measure(rows)
    a, b, pooled = made.each["a"], made.each["b"], made.pooled
    assert a.recall == Share(4, 3)
    assert b.recall == Share(3, 1)
    assert a.precision == Share(4, 3)
    assert b.precision == Share(4, 2)
    assert a.root == Share(4, 2)
    assert b.root == Share(3, 1)
    assert a.silent == Share(2, 1)
    assert b.silent == Share(2, 1)
    assert pooled.recall == Share(7, 4)
    assert pooled.precision == Share(8, 5)
    assert pooled.root == Share(7, 3)
    assert pooled.silent == Share(4, 2)
    assert made.skipped == 1
    assert made.matrix == {
        ("a", "a"): 2,
        ("a", "b"): 1,
        ("a", "healthy"): 1,
        ("b", "b"): 1,
        ("b", "a"): 1,
        ("b", "error"): 1,
        ("healthy", "healthy"): 2,
        ("healthy", "b"): 1,
        ("healthy", "error"): 1,
    }


def test_repairs_are_counted_of_what_can_be_cured_and_held_against_the_control() -> None:
    rows = [
        faulty("a", "a", cured=True, trainings=1, control=True, skill=0.0, skill_cured=0.9),
        faulty("a", "a", cured=True, trainings=3, control=False, skill=0.2, skill_cured=0.7),
        faulty("a", "a", cured=False, trainings=7, control=False),
        faulty("a", cured=False),  # missed: not repaired, and no control
        faulty("a", "a", curable=False),
        faulty("a", "a", of_a_loop=True, cured=True, trainings=1),  # without a control
        faulty("a", error="hung"),  # the repair is lost with it
        faulty("a", "a"),  # no repair was asked for
        healthy("a"),
    ]
    made = measure(rows)
    assert made.pooled.repaired == Share(6, 3)
    assert made.pooled.compared == Share(3, 2)
    assert made.pooled.control == Share(3, 1)
    assert made.above_control == pytest.approx(1 / 3)
    assert made.pooled.trainings == 2
    assert (made.pooled.skill, made.pooled.skill_cured) == pytest.approx((0.1, 0.8))


def test_what_falls_short_is_named() -> None:
    right = [faulty("a", "a", number=n, cured=True, control=False) for n in range(100)]
    well = [healthy("a", number=n) for n in range(100)]
    assert all(each.met for each in wanted(measure([*right, *well])))

    def short(*rows: Row) -> list[str]:
        return [each.what for each in wanted(measure([*right, *well, *rows])) if not each.met]

    assert short(faulty("b", "b", number=1)) == []
    assert short(faulty("b", "a", "b", also=("a",))) == []
    assert short(*[healthy("a", "a")] * 2) == ["healthy runs with nothing above a note"]
    assert short(*[faulty("b", "a")] * 3) == [
        "recall over all symptoms",
        "precision over all symptoms",
        "recall of b",
    ]
    assert short(*[faulty("a", "a", cured=False)] * 2) == ["curable runs repaired"]
    lucky = [faulty("a", "a", cured=True, control=True)] * 300
    assert short(*lucky) == ["repaired above the control"]


def test_nothing_measured_meets_nothing() -> None:
    assert not any(each.met for each in wanted(measure([])))


def test_rows_survive_the_file_and_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    first, second = faulty("a", "a", cured=True, seconds={"repair": 0.5}), healthy("a", "b")
    with path.open("w") as file:
        append(file, first)
        append(file, second)
    again = faulty("a", verdicts=("later",))
    with path.open("a") as file:
        append(file, again)
        file.write(again.to_json()[:70])
    assert read_rows(path) == {first.key: again, second.key: second}
    assert read_rows(tmp_path / "none.jsonl") == {}
