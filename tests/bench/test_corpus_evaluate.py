from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.corpus import evaluate, fingerprint
from bench.corpus.control import DrawnRemedies, every_remedy
from bench.corpus.page import contents, percent, skill, write_page
from bench.corpus.row import Key, Row, read_rows
from bench.corpus.runs import run, sample_of
from bench.corpus.sample import generator
from minirnn.diagnosis import Attempt, Diagnosis, Recipe
from minirnn.diagnosis.finding import Finding
from minirnn.training.history import History

PLANT = "missing-values"  # any that is there


class Made:
    """Stands in for the processes: rows at once, and what was asked for."""

    def __init__(self, *, stop_after: int | None = None, wrong: int | None = None) -> None:
        self.asked: list[Key] = []
        self.stop_after, self.wrong = stop_after, wrong

    def __call__(self, keys: Sequence[Key], *, mend: bool, **options: Any) -> Iterator[Row]:
        for number, key in enumerate(keys):
            if number == self.stop_after:
                raise KeyboardInterrupt
            self.asked.append(key)
            faulty = key.kind == "faulty"
            named = (key.symptom,) if faulty and key.number != self.wrong else ()
            mended = {"cured": bool(named), "control": False} if faulty and mend else {}
            yield Row(
                key,
                fingerprint.digest(key.symptom),
                "made",
                planted=key.symptom if faulty else None,
                named=named,
                seconds={"diagnosis": 0.1},
                **mended,
            )


def evaluated(
    monkeypatch: pytest.MonkeyPatch, made: Made, path: Path, *arguments: str
) -> tuple[int, list[Key]]:
    monkeypatch.setattr(evaluate, "rows", made)
    command = ["--symptoms", PLANT, "--count", "3", "--jobs", "1", "--results", str(path)]
    return evaluate.main([*command, *arguments]), made.asked


def test_it_goes_on_where_it_was_stopped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rows.jsonl"
    status, first = evaluated(monkeypatch, Made(stop_after=4), path)
    assert status == 130
    assert "Stopped after 4 of 6 runs" in capsys.readouterr().out
    with path.open("a") as file:
        file.write('{"key": ["missing-va')  # and a kill tore a line
    status, rest = evaluated(monkeypatch, Made(), path)
    assert status == 0
    assert len(first) == 4
    assert not set(first) & set(rest)
    assert len(read_rows(path)) == 6
    assert evaluated(monkeypatch, Made(), path) == (0, [])


def test_rows_of_other_sources_or_without_their_repair_are_made_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "rows.jsonl"
    evaluated(monkeypatch, Made(), path, "--no-repair")
    _, again = evaluated(monkeypatch, Made(), path)
    assert {key.kind for key in again} == {"faulty"}
    monkeypatch.setattr(fingerprint, "digest", lambda symptom: "another")
    assert evaluated(monkeypatch, Made(), path, "--reuse") == (0, [])
    _, again = evaluated(monkeypatch, Made(), path)
    assert len(again) == 6


def test_a_doctor_that_falls_short_ends_it_with_1_and_is_told_in_what(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _ = evaluated(monkeypatch, Made(wrong=1), tmp_path / "rows.jsonl")
    assert status == 1
    out = capsys.readouterr().out
    assert "missing-values faulty 1: root healthy; missed" in out
    assert "SHORT recall of missing-values: 66.67%" in out
    assert "ok    repaired above the control" in out


def test_two_evaluations_do_not_write_one_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("fcntl")
    path = tmp_path / "rows.jsonl"
    with evaluate._own(path):
        assert evaluated(monkeypatch, Made(), path) == (2, [])
    assert "which another evaluation writes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--symptoms", "hiccups"], "hiccups"),
        (["--count", "0"], "--count"),
        (["--jobs", "-1"], "--jobs"),
        (["--seconds-per-run", "0"], "--seconds-per-run"),
        (["--results", "."], "--results"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    arguments: list[str], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate.main(arguments) == 2
    assert word in capsys.readouterr().err


def test_the_digest_is_of_the_plant_and_of_all_that_it_goes_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fingerprint, "_behind", lambda: "")
    known = fingerprint.symptoms()
    assert PLANT in known
    assert fingerprint.plant_of(PLANT).SYMPTOM == PLANT
    other = next(name for name in known if name != PLANT)
    digest = fingerprint.digest.__wrapped__
    before = digest(PLANT), digest(other)
    read_bytes = Path.read_bytes

    def edited(which: str) -> tuple[bool, bool]:
        changed = lambda path: read_bytes(path) + b" " * (path.name == which)  # noqa: E731
        monkeypatch.setattr(Path, "read_bytes", changed)
        return digest(PLANT) != before[0], digest(other) != before[1]

    assert edited("missing_values.py") == (True, False)
    assert edited("sample.py") == (True, True)
    assert edited("page.py") == (False, False)


def attempt_of(recipe: Recipe, *findings: Finding) -> Attempt:
    return Attempt(recipe, Diagnosis(findings), History(), {})


def test_chance_draws_from_the_remedies_of_all_symptoms_and_none_twice() -> None:
    recipe = Recipe.from_dict({"data": {"builtin": "sine", "window": 8}})
    root = Finding("saturated-gates", "illness", "here", {}, "", "")
    every = every_remedy(recipe)
    keys = {key.split(".")[0] for remedy in every for key in remedy.edit}
    assert {"data", "training"} <= keys
    assert all(recipe.edit(remedy.edit) != recipe for remedy in every)
    orders = []
    for seed in (0, 0, 1):
        rng = generator("a", "control", "tuning", seed)
        drawn, tried = DrawnRemedies(rng), [recipe]
        current = attempt_of(recipe, root)
        while len(tried) < 8 and (found := drawn(current, tried)) is not None:
            assert found[0] is root
            assert recipe.edit(found[1].edit) not in tried
            tried.append(recipe.edit(found[1].edit))
        orders.append(tried)
    assert len(orders[0]) == 8
    assert orders[0] == orders[1] != orders[2]


def test_a_run_is_the_same_every_time_and_all_of_it_is_told() -> None:
    key = Key(PLANT, "faulty", "tuning", 0)
    once, again = run(key), run(key)
    assert replace(once, seconds={}) == replace(again, seconds={})
    assert once.told_right
    assert once.cured
    assert once.trainings == len(once.verdicts) >= 1
    assert once.control is not None
    assert set(once.seconds) == {"diagnosis", "repair", "control"}
    assert Row.from_json(once.to_json()) == once
    well = run(key._replace(kind="healthy"))
    assert well.planted is well.root is well.cured is None
    assert well.told_right


def test_a_plant_that_fails_loses_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    plant = fingerprint.plant_of(PLANT)
    key = Key(PLANT, "faulty", "tuning", 0)

    def broken(rng: object) -> None:
        raise ZeroDivisionError("a slip")

    monkeypatch.setattr(plant, "faulty", broken)
    row = run(key)
    assert row.error == "ZeroDivisionError: a slip"
    assert row.planted == PLANT
    assert not row.told_right
    monkeypatch.setattr(plant, "faulty", plant.healthy)
    with pytest.raises(ValueError, match="says None"):
        sample_of(key)


def made_rows() -> list[Row]:
    rows = []
    for symptom in ("outliers", "dead-units"):
        for number in range(2):
            faulty = Key(symptom, "faulty", "test", number)
            healthy = Key(symptom, "healthy", "test", number)
            rows.append(
                Row(
                    faulty, what="a | b", planted=symptom, named=(symptom,),
                    cured=number == 0, control=False, trainings=2, skill=0.1, skill_cured=0.8,
                )
            )  # fmt: skip
            rows.append(Row(healthy, what="near", named=("dead-units",) if number else ()))
    return rows


def test_the_page_tells_every_count_and_the_command_of_every_wrong_run(tmp_path: Path) -> None:
    told = contents(made_rows(), "2026-01-02")
    assert (
        "| curable runs repaired | 2 of 4 | 50.00% | 15–85% | 98.42%, **short** |"
        in told["in-short"]
    )
    assert (
        "| the same by chance | 0 of 4 | 0.00% | 0–49% | the doctor 30 points above: 50.0 |"
        in (told["in-short"])
    )
    assert "Short of 90%: precision of dead-units (50.00%)." in told["in-short"]
    lines = told["symptoms"].splitlines()
    assert lines[2].startswith("| `outliers` | 2 of 2 (34–100%) | 2 of 2")
    assert lines[3].startswith("| `dead-units` | 2 of 2 (34–100%) | 2 of 4 (15–85%)")
    assert lines[4].startswith("| all | 4 of 4")
    assert told["matrix"].splitlines() == [
        "|  | planted | 1 | 2 | healthy |",
        "|---|---|---|---|---|",
        "| 1 | `outliers` | 2 | · | · |",
        "| 2 | `dead-units` | · | 2 | · |",
        "|  | healthy | · | 2 | 2 |",
    ]
    assert "| `outliers` | 1 of 2 (9–91%) | 2 | 0 of 2 (0–66%) | 0.10 | 0.80 |" in told["repairs"]
    assert "| `outliers` | a \\| b | near |" in told["examples"]
    for symptom in ("outliers", "dead-units"):
        command = f"python -m bench.corpus.try_one {symptom} --part test --start 1 --count 1"
        assert f"`{command} --healthy`" in told["wrong"]
        assert f"`{command} --repair`" in told["wrong"]
    assert told["wrong"].count("try_one") == 4
    page = write_page(tmp_path / "page.md", made_rows(), "2026-01-02").read_text()
    assert page.count("<!-- /bench -->") == len(told)
    assert "| date | 2026-01-02 |" in page


def test_a_page_without_a_wrong_run_says_so() -> None:
    right = [row for row in made_rows() if row.key.number == 0]
    assert contents(right, "2026-01-02")["wrong"] == "Nowhere."


def test_shares_are_never_rounded_up() -> None:
    assert percent(0.98419) == "98.41%"
    assert percent(0.9842) == "98.42%"
    assert percent(839 / 840) == "99.88%"
    assert percent(1.0) == "100.00%"


def test_a_missing_file_of_rows_is_bad_input(tmp_path: Path) -> None:
    from bench.corpus import page

    assert page.main([str(tmp_path / "none.jsonl"), "--page", str(tmp_path / "p.md")]) == 2


def test_a_skill_is_told_to_two_decimals_or_by_its_size() -> None:
    told = [skill(r2) for r2 in (None, 0.984, -0.004, -9.2, -999.0, -1.1259e51)]
    assert told == ["–", "0.98", "0.00", "-9.20", "-999.00", "-1.1e51"]
