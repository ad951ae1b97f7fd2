"""What could have been reached: by so few units, and by answering as copies were answered."""

from __future__ import annotations

import numpy as np
import pytest

from minirnn.device import to_device
from minirnn.diagnosis.evidence.attainable import ceiling, lookup
from minirnn.diagnosis.evidence.layout import roughness


@pytest.mark.parametrize("rows", [0, 1])
def test_one_row_has_no_axes(rows: int) -> None:
    assert ceiling(np.ones((rows, 3)), 1) == 1.0


def twins(pairs: int, alone: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (T, B, 1) of which so many come twice, with one target for both."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, pairs + alone, 1)), rng.normal(size=(pairs + alone, 2))
    return np.concatenate([x, x[:, :pairs]], axis=1), np.concatenate([y, y[:pairs]])


def test_copies_are_asked_from_forty_on() -> None:
    assert lookup(*twins(20)) == pytest.approx(1.0)
    assert lookup(*twins(19)) is None


def test_what_is_no_copy_but_for_its_padding_is_none() -> None:
    x, y = twins(30)
    x[3:] = 0.0
    lengths = np.where(np.arange(x.shape[1]) < 50, 6, 3)  # the second of each pair is shorter
    assert lookup(x, y, np.full(x.shape[1], 3)) == pytest.approx(1.0)
    assert lookup(x, y, lengths) is None


def test_copies_are_found_where_the_inputs_lie(device: str) -> None:
    x, y = twins(25)
    y[:25] += 0.3
    here = lookup(x, y)
    assert here is not None
    assert 0.5 < here < 0.99
    there = lookup(to_device(x, device), to_device(y, device))
    assert there == pytest.approx(here, abs=1e-12)


def test_of_three_steps_roughness_is_known() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 3, 1))
    assert roughness(x, 1) == pytest.approx(1.0, abs=0.3)
    assert roughness(np.cumsum(np.full((40, 3, 1), 0.1), axis=1), 1) < 1.0
