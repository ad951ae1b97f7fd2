"""no-recurrence, batch-time-swap, reads-padding, carried-state in a recipe's own data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from problems import examine, harm, recipe, wave, write_csv

from minirnn.diagnosis import Recipe
from minirnn.diagnosis.detectors import carried_state
from minirnn.diagnosis.doctor import perform
from minirnn.diagnosis.evidence import Answers
from minirnn.diagnosis.evidence.layout import directions, padding_ends, roughness

QUICK: dict[str, object] = {"training.epochs": 14, "model.hidden_size": 12, "model.cell": "rnn"}
RNG = np.random.default_rng(0)


def of(data: dict[str, Any], edits: dict[str, object] | None = None) -> Recipe:
    """A quick recipe."""
    return recipe(data, {**QUICK, **(edits or {})})


def echo(n: int = 160, T: int = 16) -> dict[str, Any]:
    """At each of T steps, the value and the one before."""
    x = RNG.normal(size=(n, T, 1)).astype(np.float32)
    return {"x": x, "y": x + np.pad(x[:, :-1], ((0, 0), (1, 0), (0, 0)))}


def test_a_series_read_one_value_at_a_time_is_given_a_window(tmp_path: Path) -> None:
    series = write_csv(tmp_path / "wave.csv", wave(300))
    diagnosis = examine(of(series, {"data.window": 1}), repair=True)
    root = diagnosis.before.root
    assert root is not None
    assert root.symptom == "no-recurrence"
    assert float(str(root.evidence["left"])) < 0.5
    assert int(str(dict(diagnosis.attempts[1].edit)["data.window"])) >= 8
    assert diagnosis.cured


def test_one_step_that_is_enough_is_a_note() -> None:
    x = RNG.normal(size=(250, 1, 2)).astype(np.float32)
    diagnosis = examine(of({"x": x, "y": x[:, 0, :1] - x[:, 0, 1:]}))
    assert diagnosis.healthy
    assert diagnosis.symptoms == {"no-recurrence"}


def test_arrays_with_time_first_are_turned() -> None:
    data = {key: value.swapaxes(0, 1).copy() for key, value in echo().items()}
    edits: dict[str, object] = {"model.readout": "all", "training.epochs": 20}
    diagnosis = examine(of(data, edits), repair=True)
    root = diagnosis.before.root
    assert root is not None
    assert root.symptom == "batch-time-swap"
    assert root.evidence["steps_as_read"] == 160
    assert dict(diagnosis.attempts[1].edit) == {"data.time_first": True}
    assert diagnosis.cured


def test_the_past_that_tells_is_that_of_one_axis() -> None:
    data = echo()
    right = directions(data["x"], data["y"])
    assert right is not None
    assert right.along_time > 0.9
    assert right.along_batch < 0.7
    turned = directions(*(data[key].swapaxes(0, 1) for key in ("x", "y")))
    assert turned is not None
    assert turned.along_batch > 0.9
    smooth = np.cumsum(RNG.normal(size=(20, 40, 1)), axis=1)
    assert roughness(smooth, 1) < 0.4
    assert 0.8 < roughness(RNG.normal(size=(20, 40, 1)), 1) < 1.2


def padded(n: int = 300, T: int = 60) -> dict[str, Any]:
    """The sum of the last two values before an end that differs, and zeros from there on."""
    x = RNG.normal(size=(n, T, 1)).astype(np.float32)
    ends = 4 + np.arange(n) % 5
    y = np.array([x[row, end - 2 : end].sum(axis=0) for row, end in enumerate(ends)])
    x[np.arange(T) >= ends[:, None]] = 0.0
    return {"x": x, "y": y}


def test_padding_is_read_until_the_lengths_are_told() -> None:
    data = padded()
    diagnosis = examine(of(data, {"model.cell": "gru"}), repair=True)
    root = diagnosis.before.root
    assert root is not None
    assert root.symptom == "reads-padding"
    assert root.evidence["most_steps_of_padding"] == 56
    (cure,) = diagnosis.attempts[1:]
    assert (cure.edit["data.lengths"] == 4 + np.arange(300) % 5).all()
    assert "data.lengths = an array (300,) of int64" in cure.verdict
    assert diagnosis.cured


def test_ends_that_hold_each_its_own_value_are_no_padding() -> None:
    x = padded()["x"]
    ends = padding_ends(x)
    assert ends is not None
    assert set(ends.tolist()) == {4, 5, 6, 7, 8}
    held = np.where(x == 0, x[:, 2:3], x)
    assert padding_ends(held) is None
    assert padding_ends(RNG.normal(size=(20, 6, 1))) is None


def test_a_quiet_end_that_is_part_of_the_signal_does_no_harm() -> None:
    ends = RNG.integers(2, 12, 350)
    x = (np.arange(12) < ends[:, None]).astype(np.float32)[..., None]
    diagnosis = examine(of({"x": x, "y": ends[:, None] / 12.0}, {"training.epochs": 25}))
    assert diagnosis.healthy
    assert "reads-padding" in diagnosis.symptoms


def test_a_state_carried_between_shuffled_sequences_is_named_and_chunks_in_order_are_not() -> None:
    x = RNG.normal(size=(256, 6, 1)).astype(np.float32)
    strangers = of({"x": x, "y": x[:, -2:].sum(axis=1)}, {"model.initial_state": "carried"})
    diagnosis = examine(strangers, repair=True)
    root = diagnosis.before.root
    assert root is not None
    assert root.symptom == "carried-state"
    assert dict(diagnosis.attempts[1].edit) == {"model.initial_state": "zeros"}
    assert diagnosis.cured
    t = np.arange(30 * 8 + 1)[:, None]
    whole = np.sin(2 * np.pi * t / np.linspace(18, 26, 8)).astype(np.float32)
    whole += 0.02 * RNG.normal(size=whole.shape).astype(np.float32)
    x, y = (
        part.reshape(30, 8, 8).swapaxes(1, 2).reshape(240, 8, 1) for part in (whole[:-1], whole[1:])
    )
    edits: dict[str, object] = {
        "model.initial_state": "carried",
        "model.readout": "all",
        "training.shuffle": False,
        "training.batch_size": 8,
        "training.epochs": 25,
        "data.split": "last",
    }
    assert harm(examine(of({"x": x, "y": y}, edits))) == set()


def test_a_carried_state_that_a_network_copes_with_entirely_is_a_note() -> None:
    x = RNG.normal(size=(96, 6, 1)).astype(np.float32)
    edits: dict[str, object] = {"model.initial_state": "carried", "training.epochs": 1}
    seen = perform(of({"x": x, "y": x[:, -1]}, edits), progress=False).evidence
    assert seen.answers is not None
    assert seen.unseen is not None

    def told(trained: float, held_out: float) -> str | None:
        """The severity, of a network that explains so much of what it was trained on, and not."""
        answers = []
        for part, skill in ((seen.answers, trained), (seen.unseen, held_out)):
            assert part is not None
            off = part.wanted - part.wanted.mean()
            answers.append(Answers(part.wanted - (1.0 - skill) ** 0.5 * off, part.wanted))
        finding = carried_state.detect(replace(seen, answers=answers[0], unseen=answers[1]))
        return None if finding is None else finding.severity

    assert told(0.99995, 0.99995) == "note"
    assert told(0.99995, 0.998) == told(0.998, 0.99995) == "warning"
    assert told(0.99995, 0.3) == told(0.3, 0.99995) == "illness"
