"""What is there by chance, what stands for nothing, and what next to nothing held out can prove."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import examine, recipe, wave, write_csv

from minirnn.diagnosis import Recipe
from minirnn.diagnosis.evidence.layout import padding_ends
from minirnn.diagnosis.evidence.out_of_place import gain_of_a_series, gain_of_sequences, misplaced
from minirnn.diagnosis.evidence.sharing import repeated, repeated_by_chance
from minirnn.training.sequences import Sequences

QUICK: dict[str, object] = {"training.epochs": 14, "model.hidden_size": 12, "model.cell": "rnn"}


def of(data: dict[str, Any], edits: dict[str, object] | None = None) -> Recipe:
    return recipe(data, {**QUICK, **(edits or {})})


def events(seed: int, n: int = 400) -> Any:
    """Sequences (n, 15, 2) of rare events: 1 in 15 steps, 0 else."""
    return (np.random.default_rng(seed).normal(size=(n, 15, 2)) > 1.5).astype(np.float32)


def dealt_out(x: Any) -> tuple[Sequences, Sequences]:
    """A training and a held-out part of sequences, in a random order."""
    x = x[np.random.default_rng(9).permutation(len(x))]
    y, cut = np.zeros((len(x), 1), x.dtype), 4 * len(x) // 5
    return Sequences(x[:cut], y[:cut]), Sequences(x[cut:], y[cut:])


# Copies, or chance


@pytest.mark.parametrize("seed", range(3))
def test_rare_events_that_meet_by_chance_are_neither_copies_nor_padded(seed: int) -> None:
    x = events(seed)
    training, held_out = dealt_out(x)
    assert repeated(training, held_out).mean() > 0.3
    # What is trained on hardly matters: the data are the same.
    edits: dict[str, object] = {"training.loss": "cross_entropy", "training.epochs": 8}
    symptoms = examine(of({"x": x, "y": (x[:, :, 0].sum(axis=1) >= 2).astype(int)}, edits)).symptoms
    assert not symptoms & {"leakage", "reads-padding"}


def test_chance_is_reckoned_with_and_copies_are_more() -> None:
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (300, 12, 1)).astype(np.float32)
    rain = np.maximum(0.0, rng.normal(size=(500, 10, 1)) - 1.5)
    for x in (events(5), rain, bits[:, :6]):
        parts = dealt_out(x)
        assert abs(repeated(*parts).mean() - repeated_by_chance(*parts)) < 0.15
    for x in (bits, rng.normal(size=(300, 12, 1))):
        parts = dealt_out(np.concatenate([x, x[:150]]))
        assert repeated(*parts).mean() > repeated_by_chance(*parts) + 0.3


# Padding, or zeros


def test_sequences_that_end_as_they_begin_are_not_padded() -> None:
    rng = np.random.default_rng(1)
    assert padding_ends(events(3)) is None
    assert padding_ends(np.maximum(0.0, rng.normal(size=(300, 30, 1)) - 1.2)) is None
    assert padding_ends(np.ones((40, 8, 1))) is None
    bits = rng.integers(0, 2, (40, 15, 1))
    ends = rng.integers(3, 9, 40)
    assert padding_ends(np.where(np.arange(15)[:, None] < ends[:, None, None], bits, 0)) is not None


# A number out of place


def spoilt(values: Any, part: float = 0.04) -> Any:
    """Values of which some are 0 instead."""
    return np.where(np.random.default_rng(3).random(len(values)) < part, 0.0, values)


@pytest.mark.parametrize("digits", [1, 6])
def test_zeros_among_values_far_from_zero_stand_for_missing_ones(digits: int) -> None:
    values = spoilt(np.round(20.0 + 3.0 * wave(600), digits))
    assert misplaced(values[None, :]) == 0.0
    gain = gain_of_a_series(values, 0.0, window=16, horizon=1)
    assert gain is not None
    assert gain.harm


def test_true_zeros_are_in_place() -> None:
    rng, t = np.random.default_rng(2), np.arange(600)
    steps = wave(600)
    for values in (
        np.where(rng.random(600) < 0.3, rng.gamma(2.0, 2.0, 600), 0.0),  # rain
        rng.poisson(4.0, 600).astype(float),
        np.maximum(0.0, steps),
        spoilt((steps - steps.mean()) / steps.std()),
        np.where((t // 40) % 3 == 2, 0.0, 20.0 + steps),  # switched off now and then
        np.where(t % 17 < 2, 1.0, 0.0),
        np.clip(steps, -0.5, 0.5),
    ):
        assert misplaced(values[None, :]) is None
    for values in (
        np.where(t % 7 == 6, 0.0, 20.0 + 3.0 * steps),  # closed on Sundays
        np.where(t % 17 == 0, 5.0, 0.1 * rng.normal(size=600)),  # pulses
    ):
        mark = misplaced(values[None, :])
        assert mark is not None
        gain = gain_of_a_series(values, mark, window=24, horizon=1)
        assert gain is not None
        assert not gain.harm


def test_zeros_in_place_of_values_are_named_and_filled(tmp_path: Path) -> None:
    data = write_csv(tmp_path / "levels.csv", spoilt(20.0 + 3.0 * wave(500)))
    edits: dict[str, object] = {"data.scale": "standard", "data.window": 16}
    diagnosis = examine(of(data, edits), repair=True)
    root = diagnosis.before.root
    assert root is not None
    assert (root.symptom, root.evidence["mark"]) == ("missing-values", 0.0)
    assert diagnosis.cured
    kept = [dict(each.edit) for each in diagnosis.attempts[1:] if each.kept]
    assert kept[0] == {"data.missing_value": 0.0, "data.missing": "interpolate"}


def test_of_sequences_a_feature_is_asked_by_itself() -> None:
    rng = np.random.default_rng(4)
    phases = rng.uniform(0, 6, (300, 1))
    whole = 20.0 + 3.0 * np.sin(phases + 0.4 * np.arange(16)) + 0.2 * rng.normal(size=(300, 16))
    y = whole[:, -3:].sum(axis=1, keepdims=True)
    x = np.stack([rng.normal(size=whole.shape), whole], axis=2)
    x[:, :, 1][rng.random(whole.shape) < 0.08] = 0.0
    assert misplaced(x[:, :, 0]) is None
    assert misplaced(x[:, :, 1]) == 0.0
    gain = gain_of_sequences(x, 1, 0.0, y, None)
    assert gain is not None
    assert gain.harm
    # Where they are measurements, the answer knows of them.
    gain = gain_of_sequences(x, 1, 0.0, x[:, -3:, 1].sum(axis=1, keepdims=True), None)
    assert gain is not None
    assert not gain.harm


# Next to nothing held out


def test_two_held_out_sequences_prove_no_cure() -> None:
    x = np.random.default_rng(0).normal(size=(12, 8, 2)).astype(np.float32)
    edits: dict[str, object] = {"training.epochs": 60, "training.batch_size": 4}
    diagnosis = examine(of({"x": x, "y": x[:, -1, :1]}, edits), repair=True)
    note = diagnosis.finding("overfitting")
    assert note is not None
    assert (note.severity, note.evidence["too_few_rows"]) == ("note", 2)
    assert "not known" in diagnosis.attempts[-1].verdict
