"""The cases: they cover what the articles name, are judged by what is measured, and run."""

from __future__ import annotations

import ast
import json
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from minirnn.diagnosis import Recipe
from minirnn.diagnosis.cases import (
    ARTICLES,
    CASES,
    NAMED,
    Case,
    CaseSeen,
    Fix,
    case_of,
    cases_of,
    loops,
    play,
    rows_of,
    scripts,
)
from minirnn.diagnosis.cases.judge import MARGIN, of_cause, of_fix
from minirnn.diagnosis.cases.measures import ACCURACY, R2, REPEATED, SPREAD, SWING
from minirnn.diagnosis.cases.play import _seeded
from minirnn.diagnosis.cases.rows import counted, figure
from minirnn.diagnosis.cases.seen import Seen, Treated, Tried
from minirnn.diagnosis.cases.training_loop import changed, truncated_loop
from minirnn.diagnosis.causes import BRINGS
from minirnn.errors import ArgumentError

WELL = Seen(score=0.9, shown=0.9)
ILL = Seen(named=("unscaled-input", "saturated-gates"), score=0.0, shown=-0.2)
BROKEN = Seen(error="RecipeError: no")


def test_every_cause_and_fix_that_an_article_names_has_a_case_and_no_case_names_another() -> None:
    assert list(NAMED) == list(ARTICLES)
    for article, named in NAMED.items():
        own = [case for case in CASES if case.article == article]
        causes = {name for case in own for name in case.covers}
        fixes = {name for case in own for fix in case.fixes for name in fix.covers}
        assert causes | fixes == set(named), article
        # What is advised is tried as a fix; but padding, and an example's advice, are a network.
        advised = {name for name in named if name.startswith("fix:")}
        assert advised - fixes <= {"fix: padding"}, article


def test_cases_are_declared_whole() -> None:
    assert len({case.id for case in CASES}) == len(CASES)
    for case in CASES:
        assert case.article in ARTICLES
        assert (case.recipe is None) == bool(case.script), case.id
        assert set(case.expect) | set(case.blames) <= set(BRINGS), case.id
        assert case.cause
        assert case.says
        assert case.truth.endswith("."), case.id
        assert len({fix.id for fix in case.fixes}) == len(case.fixes)
        # A symptom is expected unless nothing harmful is, or nothing can be run.
        assert bool(case.expect) == (not {"false", "cannot run"} & set(case.cause)), case.id
        if case.blames.isdisjoint(case.expect):
            assert case.cause != ("true",), case.id
        for fix in case.fixes:
            # An expectation that every measurement meets is none.
            assert not {"cures", "makes it worse"} <= set(fix.expect), f"{case.id} {fix.id}"
            assert len(fix.expect) <= 3
            assert not (case.script and callable(fix.edit))


@pytest.mark.parametrize("case", [case for case in CASES if case.recipe], ids=lambda case: case.id)
def test_every_recipe_and_every_edit_of_it_is_one(case: Case) -> None:
    assert case.recipe is not None
    for make in (case.recipe, *(fix.instead for fix in case.fixes if fix.instead)):
        Recipe.from_dict(_seeded(make(0), 0))
    recipe = Recipe.from_dict(_seeded(case.recipe(0), 0))
    for fix in case.fixes:
        edit: Any = fix.edit(0) if callable(fix.edit) else fix.edit
        if "cannot run" in fix.expect:
            with pytest.raises(ArgumentError):
                recipe.edit(edit)
        elif fix.instead is None:
            # What leaves the recipe as it is would "do nothing" for that reason alone.
            assert recipe.edit(edit) != recipe, f"{case.id} {fix.id}"


def test_the_data_of_a_seed_are_the_same_every_time_and_others_for_another() -> None:
    for case in CASES:
        if case.recipe is None or "builtin" in case.recipe(0)["data"]:
            continue
        first, again, other = (case.recipe(seed)["data"] for seed in (0, 0, 1))
        for name in ("x", "y", "csv"):
            if name in first:
                assert np.array_equal(first[name], again[name], equal_nan=name != "csv")
        same = [np.array_equal(first[name], other[name]) for name in ("x", "csv") if name in first]
        assert not all(same) or case.id == "003.narrow", case.id


@pytest.mark.parametrize(
    ("after", "verdict"),
    [
        (replace(ILL, score=0.0), "does nothing"),
        (replace(ILL, score=MARGIN / 2), "does nothing"),
        (replace(ILL, score=0.9), "helps"),  # good enough, but something harmful is left
        (replace(WELL, score=0.3), "helps"),  # nothing harmful is left, but it is not good enough
        (WELL, "cures"),
        (BROKEN, "cannot run"),
    ],
)
def test_a_fix_of_an_ill_network_is_judged_by_its_score_and_by_what_is_left(
    after: Seen, verdict: str
) -> None:
    assert of_fix(R2, ILL, after) == verdict


def test_a_fix_of_a_healthy_network_can_do_nothing_or_harm() -> None:
    assert of_fix(R2, WELL, WELL) == "does nothing"
    assert of_fix(R2, WELL, replace(WELL, score=0.9 - 2 * MARGIN)) == "makes it worse"
    assert of_fix(R2, WELL, ILL) == "makes it worse"
    assert of_fix(R2, BROKEN, WELL) == "cures"
    assert of_fix(R2, BROKEN, ILL) == "helps"


def test_a_cause_is_judged_by_what_stands_at_the_root() -> None:
    def verdict(*blamed: str, sick: Seen = ILL) -> str:
        case = replace(case_of("001.unscaled"), blames=frozenset(blamed))
        return of_cause(case, sick)

    assert verdict("unscaled-input") == "true"
    assert verdict("saturated-gates") == "a consequence"
    assert verdict("no-signal") == "another cause"
    assert verdict("unscaled-input", sick=WELL) == "false"
    assert verdict("unscaled-input", sick=BROKEN) == "cannot run"


def test_scores_go_from_what_needs_no_network_to_perfect() -> None:
    assert R2.scored({"r2": -617.0}) == 0.0
    assert R2.scored({}) == 0.0
    assert R2.scored({"r2": 0.8}) == 0.8
    assert ACCURACY.scored({"accuracy": 0.9, "majority": 0.9}) == 0.0
    assert ACCURACY.scored({"accuracy": 0.95, "majority": 0.9}) == pytest.approx(0.5)
    assert ACCURACY.scored({"accuracy": 0.6, "majority": 0.4}) == pytest.approx(0.2)
    assert SPREAD.scored({"spread": 3.0}) == 1.0
    assert SWING.scored({"swing": 0.0}) == 0.0
    assert SWING.scored({"swing": 1.25}) == pytest.approx(0.75)
    assert SWING.scored({"swing": 40.0}) == 0.0
    assert REPEATED.scored({"repeated": 0.1, "own": 0.1}) == 1.0
    assert REPEATED.scored({"repeated": 1.0, "own": 0.1}) == 0.0


def test_a_cause_that_is_true_is_named_cured_and_its_advice_judged() -> None:
    case = case_of("001.unscaled")
    few = [fix for fix in case.fixes if fix.id in ("standard", "sigmoid", "random")]
    seen = play(replace(case, fixes=tuple(few)), 0)
    assert seen.sick.root == "unscaled-input"
    assert seen.cause == "true"
    assert {name: tried.verdict for name, tried in seen.fixes.items()} == {
        "standard": "cures",
        "sigmoid": "does nothing",
        "random": "does nothing",
    }
    assert seen.doctor is not None
    assert seen.doctor.verdict == "cures"
    assert seen.doctor.kept == ('data.scale = "standard"',)
    again = CaseSeen.from_dict(json.loads(json.dumps(seen.to_dict())))
    assert again == seen


def test_a_cause_that_is_false_is_left_alone() -> None:
    seen = play(case_of("000.initialisation"), 1)
    assert seen.cause == "false"
    assert seen.sick.root == "healthy"
    assert {tried.verdict for tried in seen.fixes.values()} == {"does nothing"}
    assert seen.doctor is None


def test_what_cannot_be_run_says_why() -> None:
    seen = play(case_of("003.crash"), 0)
    assert seen.cause == "cannot run"
    assert "998" in seen.sick.error
    assert "999" in seen.sick.error
    assert seen.fixes["rows"].verdict in ("cures", "helps")


def test_a_loop_of_ones_own_is_watched_and_cured() -> None:
    pytest.importorskip("torch")
    seen = play(case_of("code.swapped"), 0)
    assert seen.sick.root == "batch-time-swap"
    assert seen.doctor is not None
    assert seen.doctor.verdict == "cures"


def test_a_loop_is_skipped_with_the_reason_where_pytorch_is_not_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loops, "find_spec", lambda name: None)
    case = case_of("code.swapped")
    rows = rows_of(case, [play(case, 0)])
    assert {row.skipped for row in rows} == {"PyTorch is not installed"}
    assert all(row.as_expected for row in rows)


def test_scripts_are_changed_only_where_they_hold_the_text() -> None:
    for case in CASES:
        for fix in case.fixes if case.script else ():
            assert isinstance(fix.edit, tuple)
            assert changed(case.script, *fix.edit) != case.script
    with pytest.raises(ValueError, match="no 'nowhere'"):
        changed(scripts.PLAIN, ("nowhere", ""))


def test_loops_are_python_and_leave_what_is_asked_of_them() -> None:
    along = truncated_loop(
        "nn.GRU(1, 8)", 8, "series = torch.randn(8, 97)", steps=96, chunk=32,
        cut="state.detach()", epochs=1,
    )  # fmt: skip
    for script in (along, *(case.script for case in CASES if case.script)):
        tree = ast.parse(script)
        stored = {
            n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        }
        names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
        assert {"watched", "skill"} <= names
        assert {"SEED", "watch"} <= names - stored


def _seen(seed: int, root: str, verdict: str, doctor: str = "cures") -> CaseSeen:
    sick = replace(ILL, named=(root,), shown=0.1 * seed)
    return CaseSeen(
        "001.unscaled",
        seed,
        sick,
        "true",
        {"standard": Tried("edit", WELL, verdict)},
        Treated(("edit",), 2, WELL, doctor),
    )


def test_rows_count_over_the_seeds_and_must_be_right_in_most() -> None:
    case = replace(
        case_of("001.unscaled"), fixes=(Fix("standard", "Standardise", ("cures",)),), measure=R2
    )
    most = [_seen(seed, "unscaled-input", "cures") for seed in range(8)]
    cause, fix, doctor = rows_of(
        case,
        [*most, _seen(8, "no-signal", "helps"), _seen(9, "unscaled-input", "cures", "helps")],
    )
    assert cause.roots == {"unscaled-input": 9, "no-signal": 1}
    assert (cause.right, cause.seeds, cause.as_expected) == (9, 10, True)
    assert figure(cause.before) == "0.45 (0 to 0.90)"
    assert fix.verdicts == {"cures": 9, "helps": 1}
    assert counted(fix.verdicts, fix.seeds) == "cures 9 of 10, helps 1"
    assert doctor.right == 9
    worse = rows_of(case, [*most[:7], *(_seen(seed, "no-signal", "helps") for seed in (7, 8, 9))])
    assert [row.as_expected for row in worse] == [False, False, True]


def test_cases_are_asked_for_by_article_or_by_name() -> None:
    assert {case.article for case in cases_of(("003",))} == {"003"}
    assert [case.id for case in cases_of(("003.crash", "001.tanh"))] == ["001.tanh", "003.crash"]
    assert cases_of(()) == CASES
    for wrong in ("005", "003.no"):
        with pytest.raises(ArgumentError, match="article"):
            cases_of((wrong,))


def test_pytorch_is_no_dependency_of_declaring_the_loops() -> None:
    assert find_spec("minirnn.diagnosis.cases.own_code")
    assert all("watch(model)" in case.script for case in CASES if case.script)
