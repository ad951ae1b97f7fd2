"""Augmentation: anew for each batch of each epoch, seeded, and never of what is held out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minirnn.errors import ArgumentError, CheckpointError, ShapeError
from minirnn.optim import SGD, Adam
from minirnn.training import Checkpointing, GaussianNoise, Sequences, evaluate, fit


def run(model: Any, data: Sequences, validation: Any = None, **options: Any) -> Any:
    chosen = {"loss": "mse", "epochs": 3, "batch_size": 16, "progress": False, **options}
    return fit(model, data, validation, optimizer=Adam(model.parameters(), 1e-2), **chosen)


def weights(model: Any) -> np.ndarray:
    return np.concatenate([value.ravel() for value in model.state_dict().values()])


def test_noise_has_its_standard_deviation_and_leaves_padding_alone() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 20, 3)).astype(np.float32)
    lengths = rng.integers(0, 21, 200)
    batch = Sequences(x, x[:, 0], lengths)
    made = GaussianNoise(0.5)(batch, np.random.default_rng(1))
    added = made.x - x
    valid = np.arange(20) < lengths[:, None]
    assert added[valid].std() == pytest.approx(0.5, rel=0.03)
    assert abs(added[valid].mean()) < 0.02
    assert not added[~valid].any()
    assert made.x.dtype == np.float32
    assert made.y is batch.y
    np.testing.assert_array_equal(batch.x, x)


def test_every_batch_of_every_epoch_is_augmented_anew_and_the_held_out_never(
    make_model, sums: Sequences
) -> None:
    seen: list[np.ndarray] = []

    def watch(batch: Sequences, rng: np.random.Generator) -> Sequences:
        made = GaussianNoise(0.1)(batch, rng)
        seen.append(made.x - batch.x)
        return made

    model = make_model()
    held_out = sums.take(slice(0, 10))
    # A rate of 0 leaves the weights: only the noise can change the losses.
    history = fit(
        model, sums, held_out, loss="mse", optimizer=SGD(model.parameters(), 0.0), epochs=3,
        batch_size=20, augment=watch, progress=False,
    )  # fmt: skip
    assert len(seen) == 6
    assert all(not np.array_equal(a, b) for i, a in enumerate(seen) for b in seen[:i])
    assert len(set(history.loss)) == 3
    assert set(history.validation_loss) == {evaluate(model, held_out, loss="mse")[0]}


def test_the_same_seed_gives_the_same_bits_and_a_resumed_run_too(
    make_model, sums: Sequences, tmp_path
) -> None:
    noise = GaussianNoise(0.3)
    saving = Checkpointing(tmp_path / "run.safetensors")
    first, again, other, plain, resumed = (make_model() for _ in range(5))
    run(first, sums, augment=noise, seed=4, callbacks=[saving], epochs=2)
    run(resumed, sums, augment=noise, seed=4, epochs=4, resume=saving.latest())
    run(again, sums, augment=noise, seed=4, epochs=4)
    np.testing.assert_array_equal(weights(resumed), weights(again))
    run(other, sums, augment=noise, seed=5, epochs=4, shuffle=False)
    run(plain, sums, augment=noise, seed=6, epochs=4, shuffle=False)
    assert not np.array_equal(weights(other), weights(plain))
    for changed in ({"augment": GaussianNoise(0.2)}, {"augment": noise, "seed": 9}, {}):
        with pytest.raises(CheckpointError, match="augment"):
            run(make_model(), sums, **{"seed": 4, **changed}, resume=saving.latest())


def test_noise_of_nothing_changes_no_bit(make_model, sums: Sequences) -> None:
    plain, still = make_model(), make_model()
    run(plain, sums)
    run(still, sums, augment=GaussianNoise(0.0))
    np.testing.assert_array_equal(weights(plain), weights(still))


@pytest.mark.parametrize("std", [-0.1, float("nan"), float("inf"), True, "0.1", None])
def test_a_standard_deviation_that_cannot_be_is_refused(std) -> None:
    with pytest.raises(ArgumentError, match="std"):
        GaussianNoise(std)


def test_fit_refuses_an_augmentation_that_is_none(make_model, sums: Sequences) -> None:
    for augment, error in (
        (0.1, ArgumentError),
        (lambda batch, rng: batch.x, ArgumentError),
        (lambda batch, rng: batch.take(slice(0, 1)), ShapeError),
    ):
        with pytest.raises(error, match="augment"):
            run(make_model(), sums, augment=augment)
