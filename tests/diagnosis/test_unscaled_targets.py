"""unscaled-input at the other end: targets of a size that training is not made for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from problems import examine, harm, recall, recipe

from minirnn.diagnosis import early
from minirnn.diagnosis.detectors import unscaled_input
from minirnn.diagnosis.detectors.unscaled_targets import of_targets
from minirnn.diagnosis.doctor import perform
from minirnn.diagnosis.evidence import Answers
from minirnn.diagnosis.evidence.loop import LoopSeen
from minirnn.inspect.dependence import Dependence

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 8, 2)).astype(np.float32)
SUM = X[:, -3:].sum(axis=(1, 2))[:, None] / np.sqrt(6.0)
LAST = X[:, -2, :1]


def asked(y: Any, edits: dict[str, object] | None = None) -> Any:
    """A small GRU on these inputs."""
    base: dict[str, object] = {"model.cell": "gru", "training.epochs": 30}
    return recipe({"x": X, "y": y}, base | (edits or {}))


@pytest.mark.parametrize(
    ("y", "where", "figure"),
    [
        (1e-4 * SUM, "the targets", ("swing", 1e-4)),
        (1e4 * SUM, "the targets", ("size", 1e4)),
        (np.concatenate([SUM, 1000.0 * LAST], axis=1), "target 1", ("size", 1e3)),
    ],
)
def test_targets_of_an_odd_size_are_the_root_and_are_scaled(
    y: Any, where: str, figure: tuple[str, float]
) -> None:
    diagnosis = examine(asked(y), repair=True)
    root = diagnosis.before.root
    assert root is not None
    assert (root.symptom, root.severity, root.where) == ("unscaled-input", "illness", where)
    assert root.evidence["kind"] == "targets"
    assert float(str(root.evidence[figure[0]])) == pytest.approx(figure[1], rel=0.2)
    assert dict(diagnosis.attempts[1].edit) == {"data.scale": "standard"}
    assert diagnosis.cured
    assert float(str(diagnosis.figures["held_out_r2"])) > 0.9


@pytest.mark.parametrize("size", [9.0, 30.0])
def test_a_target_that_is_lost_beside_a_large_one_is_named(size: float) -> None:
    # Together they are explained by 0.9 and more: the small one, by half, is not heard.
    y = np.concatenate([size * LAST, size / 30.0 * SUM], axis=1)
    diagnosis = examine(asked(y), repair=True)
    root = diagnosis.before.root
    assert root is not None
    assert (root.symptom, root.where) == ("unscaled-input", "target 1")
    assert float(str(root.evidence["unequal"])) == pytest.approx(30.0, rel=0.2)
    assert float(str(root.evidence["skill"])) < 0.8
    assert diagnosis.cured


@pytest.mark.parametrize(
    ("y", "edits"),
    [
        (8.0 * SUM, {}),
        (0.1 * SUM, {}),
        (1e4 * SUM, {"data.scale": "standard"}),
        (np.concatenate([SUM, 3.0 * LAST], axis=1), {}),
        (np.concatenate([SUM, 1e-3 * RNG.normal(size=SUM.shape)], axis=1), {}),
        (20.0 + SUM, {"model.init.head_bias": "target_mean"}),
    ],
)
def test_what_the_network_copes_with_or_nothing_tells_is_none(
    y: Any, edits: dict[str, object]
) -> None:
    assert harm(examine(asked(y, edits))) == set()


def test_large_noise_is_no_fault_of_its_size() -> None:
    noise = perform(asked(100.0 * RNG.normal(size=SUM.shape)), progress=False)
    assert unscaled_input.detect(noise.evidence) is None


def test_while_training_goes_on_large_targets_may_still_be_reached() -> None:
    under_way = perform(asked(30.0 * SUM, {"training.epochs": 1}), progress=False).evidence
    assert unscaled_input.detect(under_way) is not None
    assert early.EARLY["unscaled-input"].detect(under_way) is None


@pytest.mark.parametrize(
    ("size", "named"), [(12.0, True), (8.0, False), (0.04, False), (0.02, True)]
)
def test_from_which_size_on_it_is_odd(size: float, named: bool) -> None:
    wanted = np.where(np.arange(100) % 2, size, -size)[:, None]
    seen = early.Glimpse(
        np.zeros((4, 100, 1)),
        wanted,
        recipe=recipe(recall(60, 4, -1)),
        answers=Answers(0.2 * wanted, wanted),
        loop=LoopSeen(losses=np.ones(10)),
        known=Dependence((4,), (0.95,), lag=4, best=0.95, without=0.0),
    )
    assert (of_targets(seen) is not None) is named
