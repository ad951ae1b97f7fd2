"""Attempts kept in a file: nothing is trained twice, and a kill leaves every finished one."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import harm, recall, recipe, wave, write_csv

from minirnn.diagnosis import Attempt, Diagnosis, Recipe, doctor
from minirnn.diagnosis import doctor as doctor_of_the_package
from minirnn.diagnosis.examine import with_what_helps
from minirnn.diagnosis.finding import Finding
from minirnn.diagnosis.treatment.keep import Kept, decoded, digest_of, encoded
from minirnn.errors import ArgumentError, DataError
from minirnn.training.callbacks import Callback, Run
from minirnn.training.history import History

doctor_module = sys.modules[doctor_of_the_package.__module__]


@pytest.fixture
def sick(tmp_path: Path) -> Recipe:
    """A series fed raw: two trainings to the cure."""
    series = write_csv(tmp_path / "a.csv", 1000 + 20 * wave(240))
    return recipe(series, {"data.window": 8, "training.epochs": 4})


def trained(monkeypatch: pytest.MonkeyPatch) -> list[Recipe]:
    """What is trained from now on."""
    seen: list[Recipe] = []
    perform = doctor_module.perform

    def counted(which: Recipe, **options: Any) -> Any:
        seen.append(which)
        return perform(which, **options)

    monkeypatch.setattr(doctor_module, "perform", counted)
    return seen


def told(diagnosis: Diagnosis) -> dict[str, Any]:
    """All that is told of a diagnosis but the time it took."""
    plain = diagnosis.to_dict()
    for attempt in plain["attempts"]:
        del attempt["history"]["seconds"]
    return plain


def test_a_repair_that_is_called_again_trains_nothing_twice_and_says_the_same(
    sick: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = tmp_path / "kept.json"
    seen = trained(monkeypatch)
    short = doctor(sick, repair=True, trainings=2, keep=keep, progress=False)
    assert len(seen) == 2
    again = doctor(sick, repair=True, trainings=2, keep=keep, progress=False)
    assert len(seen) == 2
    assert told(again) == told(short)
    assert short.run is not None
    assert again.run is None
    longer = doctor(sick, repair=True, trainings=3, keep=keep, progress=False)
    assert len(seen) == len(longer.attempts)
    assert len({digest_of(each) for each in seen}) == len(seen)


def test_an_interrupt_in_the_second_training_is_gone_on_from(
    sick: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = tmp_path / "kept.json"
    examined = doctor_module.examined
    seen: list[Recipe] = []

    class ControlC(Callback):
        def epoch_began(self, run: Run) -> None:
            if len(seen) == 2 and run.epoch == 2:
                raise KeyboardInterrupt

    def pressing(which: Recipe, *, callbacks: tuple[Callback, ...], **options: Any) -> Attempt:
        seen.append(which)
        return examined(which, callbacks=(*callbacks, ControlC()), **options)

    monkeypatch.setattr(doctor_module, "examined", pressing)
    stopped = doctor(sick, repair=True, keep=keep, progress=False)
    assert stopped.interrupted
    assert [each.kept for each in stopped.attempts] == [True, False]
    assert "was cut short (interrupted by the keyboard)" in stopped.attempts[1].verdict
    assert harm(stopped) == harm(stopped.before)
    monkeypatch.setattr(doctor_module, "examined", examined)
    trains = trained(monkeypatch)
    finished = doctor(sick, repair=True, keep=keep, progress=False)
    assert trains[0] == seen[1]  # the first was kept; the half one was not
    assert finished.attempts[0].run is None
    assert not finished.interrupted
    assert told(finished) == told(doctor(sick, repair=True, progress=False))


@pytest.mark.parametrize("stage", ["prepare", "findings_in"])
def test_an_interrupt_before_anything_is_known_is_raised_and_later_is_returned(
    sick: Recipe, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = 1
    calls = 0
    original = getattr(doctor_module, stage)

    def pressing(*given: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at:
            raise KeyboardInterrupt
        return original(*given)

    monkeypatch.setattr(doctor_module, stage, pressing)
    with pytest.raises(KeyboardInterrupt):
        doctor(sick, repair=True, progress=False)
    at, calls = 2, 0
    diagnosis = doctor(sick, repair=True, progress=False)
    assert diagnosis.interrupted
    assert len(diagnosis.attempts) == 1
    assert diagnosis.root is not None
    json.dumps(diagnosis.to_dict(), allow_nan=False)


def test_the_time_ends_a_training_under_way(sick: Recipe, tmp_path: Path) -> None:
    long = sick.edit({"training.epochs": 100_000})
    began = time.monotonic()
    keep = tmp_path / "kept.json"
    diagnosis = doctor(long, repair=True, seconds=0.3, keep=keep, progress=False)
    assert time.monotonic() - began < 20
    (attempt,) = diagnosis.attempts
    assert diagnosis.ended == attempt.cut == "the time is up (0.3 s)"
    assert not diagnosis.interrupted
    assert "of 100000 epochs" in attempt.verdict
    assert json.loads(keep.read_bytes())["attempts"] == {}  # half a training is none


def test_other_data_are_another_training(tmp_path: Path) -> None:
    first, second = recall(60, 4, -1), recall(60, 4, -1)
    assert digest_of(recipe(first)) == digest_of(recipe(second))
    second["y"][7] += 1e-6
    assert digest_of(recipe(first)) != digest_of(recipe(second))
    assert digest_of(recipe(first), "cpu") != digest_of(recipe(first), "cuda")
    series = write_csv(tmp_path / "a.csv", wave(100))
    before = digest_of(recipe(series))
    write_csv(tmp_path / "a.csv", wave(100) + 1)
    assert digest_of(recipe(series)) != before


@pytest.mark.parametrize(
    "change",
    [{"model.initial_state": "carried"}, {"training.epochs": 3}, {"training.seed": 1}],
)
def test_another_recipe_is_another_training_beside_the_first(
    change: dict[str, Any], tmp_path: Path
) -> None:
    first = recipe(recall(60, 4, -1)).edit({"training.epochs": 2, "model.hidden_size": 2})
    keep = tmp_path / "kept.json"
    doctor(first, keep=keep, progress=False)
    held = json.loads(keep.read_bytes())["attempts"]
    again = doctor(first.edit(change), keep=keep, progress=False)
    assert again.run is not None  # trained now, not read back
    assert again.run.recipe == first.edit(change)
    assert json.loads(keep.read_bytes())["attempts"].items() > held.items()


def test_what_is_kept_comes_back_to_the_last_bit() -> None:
    value = {
        "numbers": [1, -0.1, math.inf, -math.inf, math.nan, 5e-324],
        "words": {"a": None, "b": True, "": "né"},
        "array": np.array([[1.5, np.nan]], np.float32),
        "lengths": np.arange(3),
    }
    back = decoded(json.loads(json.dumps(encoded(value), allow_nan=False)))
    assert back.keys() == value.keys()
    np.testing.assert_array_equal(back["numbers"], value["numbers"])
    assert back["words"] == value["words"]
    for name in ("array", "lengths"):
        assert back[name].dtype == value[name].dtype
        np.testing.assert_array_equal(back[name], value[name])


def test_findings_come_back_with_their_remedies_and_in_their_order(tmp_path: Path) -> None:
    base = Recipe.from_dict({"data": {"builtin": "co2"}})
    said = {"kind": "level", "shares": (0.5, math.inf), "gates": {"i"}}
    found = with_what_helps(
        [
            Finding("stalled-loss", "warning", "here", said, "cause", "words"),
            Finding("saturated-gates", "illness", "there", {"share": 0.9}, "cause", "words"),
            Finding("unscaled-input", "illness", "there", {"largest": 400.0}, "cause", "words"),
        ],
        base,
    )
    root, follows, note = found
    assert (root.symptom, root.consequences) == ("unscaled-input", ("saturated-gates",))
    assert root.remedies
    assert follows.remedies
    # Where others say why nothing is learned, this only says that: a note, which needs no remedy.
    assert (note.severity, note.remedies) == ("note", ())
    kept = Kept(tmp_path / "kept.json")
    kept.add(Attempt(base, Diagnosis(found), History(), {}))
    back = Kept(tmp_path / "kept.json").find(base)
    assert back is not None
    assert [each.to_dict() for each in back.diagnosis] == [each.to_dict() for each in found]


@pytest.mark.parametrize(
    "text",
    [
        "[data]\nbuiltin = 'co2'\n",
        "{}",
        "[]",
        '{"format": "minirnn-attempts", "version": 2, "attempts": {}}',
        '{"format": "minirnn-attempts", "version": 1, "attempts": []}',
        '{"format": "minirnn-attempts", "version": 1, "attem',
    ],
)
def test_a_file_of_something_else_is_refused_and_left_as_it_is(text: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(DataError, match="keep"):
        Kept(path)
    assert path.read_text() == text


@pytest.mark.parametrize("entry", [{}, [], None, {"findings": [{"symptom": 1}]}, {"findings": [3]}])
def test_a_damaged_attempt_is_a_data_error(entry: Any, sick: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    kept = Kept(path)
    kept.attempts[kept._key(sick)] = entry
    kept._write()
    with pytest.raises(DataError, match="keep"):
        doctor(sick, keep=path, progress=False)


KEPT: dict[str, Any] = {
    "findings": [
        {
            "symptom": "unscaled-input", "severity": "illness", "where": "the inputs",
            "evidence": {"size": 1000.0}, "cause": "Large.", "explanation": "Too large.",
        }
    ],
    "figures": {"held_out_rmse": 1.0},
    "epochs": [
        {
            "number": 1, "batches": 3, "loss": 1.0, "gradient_norm": 1.0, "gradient_norm_max": 2.0,
            "learning_rate": 0.01, "seconds": 0.1, "validation_loss": None, "metrics": {},
            "validation_metrics": {"r2": 0.5}, "complete": True,
        }
    ],
    "stopped": {"kind": "requested", "message": "enough", "epoch": 1, "batch": 3},
}  # fmt: skip


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (("findings",), {}),  # no list of none: that would be read as healthy
        (("findings",), None),
        (("findings", 0, "symptom"), "no-such-symptom"),
        (("findings", 0, "severity"), "grave"),
        (("findings", 0, "evidence"), []),
        (("findings", 0, "where"), 5),
        (("findings", 0, "remedies"), []),
        (("figures",), []),
        (("figures", "held_out_rmse"), "x"),
        (("figures", "held_out_rmse"), {"$array": [1], "dtype": "O"}),
        (("epochs",), {}),
        (("epochs", 0, "loss"), "x"),
        (("epochs", 0, "number"), True),
        (("epochs", 0, "complete"), 1),
        (("epochs", 0, "metrics"), {"r2": None}),
        (("stopped", "kind"), "bored"),
        (("stopped", "epoch"), "1"),
        (("stopped",), []),
    ],
)
def test_an_attempt_of_another_structure_is_a_data_error(
    at: tuple[Any, ...], value: Any, sick: Recipe, tmp_path: Path
) -> None:
    kept = Kept(tmp_path / "kept.json")
    entry = json.loads(json.dumps(KEPT))
    kept.attempts[kept._key(sick)] = entry
    whole = kept.find(sick)
    assert whole is not None
    assert whole.diagnosis.root is not None
    *path, last = at
    for each in path:
        entry = entry[each]
    entry[last] = value
    with pytest.raises(DataError, match="keep"):
        kept.find(sick)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other devices")
def test_only_a_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*_: Any, **__: Any) -> None:
        raise AssertionError  # a pipe would be waited for, and a device may never end

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    monkeypatch.setattr(Path, "open", opened)
    for path in (pipe, Path(os.devnull), tmp_path):
        with pytest.raises(ArgumentError, match="no file"):
            Kept(path)
    assert pipe.is_fifo()


def test_no_more_is_read_than_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "kept.json"
    Kept(path)
    size = path.stat().st_size
    monkeypatch.setattr("minirnn.diagnosis.treatment.keep.LARGEST", size)
    Kept(path)
    monkeypatch.setattr("minirnn.diagnosis.treatment.keep.LARGEST", size - 1)
    with pytest.raises(DataError, match=f"more than {size - 1} bytes"):
        Kept(path)


def test_a_path_that_cannot_be_written_is_refused_before_anything_is_trained(
    sick: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = trained(monkeypatch)
    for path in (tmp_path, tmp_path / "none" / "kept.json"):
        with pytest.raises(ArgumentError, match="keep"):
            doctor(sick, keep=path, progress=False)
    assert seen == []


WRITER = """
import sys
from minirnn.diagnosis import Attempt, Diagnosis, Recipe
from minirnn.diagnosis.examine import with_what_helps
from minirnn.diagnosis.finding import Finding
from minirnn.diagnosis.treatment.keep import Kept
from minirnn.training.history import History

kept = Kept(sys.argv[1])
base = Recipe.from_dict({"data": {"builtin": "co2"}})
for seed in range(100_000):
    kept.add(Attempt(base.edit({"training.seed": seed}), Diagnosis(), History(), {"seed": seed}))
    print(seed, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows kills otherwise")
def test_a_kill_while_it_keeps_leaves_every_finished_attempt(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while process.stdout.readline() != "20\n":
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
    kept = Kept(path)
    base = Recipe.from_dict({"data": {"builtin": "co2"}})
    found = [kept.find(base.edit({"training.seed": seed})) for seed in range(21)]
    assert [attempt.figures["seed"] for attempt in found if attempt] == list(range(21))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["kept.json"]


def test_a_disk_that_is_full_leaves_what_was_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kept.json"
    base = Recipe.from_dict({"data": {"builtin": "co2"}})
    kept = Kept(path)
    kept.add(Attempt(base, Diagnosis(), History(), {"number": 1}))
    before = path.read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("minirnn.files.whole.os.fsync", full)
    other = base.edit({"training.seed": 1})
    with pytest.raises(ArgumentError, match="No space left"):
        kept.add(Attempt(other, Diagnosis(), History(), {"number": 2}))
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["kept.json"]
