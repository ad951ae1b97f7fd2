"""How a series moves, what foretells it, and how far two spectra lie apart."""

from __future__ import annotations

import numpy as np
import pytest

from minirnn.diagnosis.evidence.movement import (
    autoregression,
    dickey_fuller,
    foretold,
    octaves_apart,
    ranges,
    rms,
    told_of_changes,
)

T = np.arange(400)


def wave(period: float, size: float = 1.0) -> np.ndarray:
    return size * np.sin(2 * np.pi * T / period + 0.3)


def test_ranges_are_those_of_every_stretch() -> None:
    np.testing.assert_array_equal(ranges(np.array([0.0, 3.0, 1.0, 1.0]), 2), [3.0, 2.0, 0.0])


def test_an_autoregression_goes_on_with_a_wave_and_lets_noise_be() -> None:
    both = 5.0 + wave(23.0) + wave(7.3, 0.5)
    assert rms(autoregression(both[:300], 100) - both[300:]) < 0.01
    noise = np.random.default_rng(0).normal(size=300)
    assert rms(autoregression(noise, 60) - noise.mean()) < 0.6
    # A walk that runs away is no forecast.
    assert np.isnan(autoregression(np.exp(T / 20.0), 400)[-1])


def test_what_is_foretold_is_what_the_best_of_three_says() -> None:
    both = wave(23.0) + wave(7.3, 0.5)
    assert foretold(both[:300], both[300:]) < 0.01
    noise = np.random.default_rng(0).normal(size=400)
    assert foretold(noise[:300], noise[300:]) == pytest.approx(1.0, abs=0.15)


def test_changes_of_a_walk_tell_nothing_and_those_of_a_wave_do() -> None:
    rng = np.random.default_rng(0)
    walk = np.cumsum(rng.normal(size=320))
    assert told_of_changes(walk) == pytest.approx(0.0, abs=0.05)
    noisy = told_of_changes(wave(17.3)[:320] + 0.03 * rng.normal(size=320))
    assert noisy is not None
    assert noisy > 0.8
    assert told_of_changes(walk[:20]) is None


def test_a_unit_root_is_that_of_what_wanders_or_climbs() -> None:
    rng = np.random.default_rng(1)
    walk = np.cumsum(rng.normal(size=400))
    for wanders in (walk, walk + 4 * wave(17.3), 0.05 * T + wave(13.7) + 0.03 * walk):
        assert dickey_fuller(wanders) > -2.86
        assert dickey_fuller(340 + 1e-3 * wanders) == pytest.approx(
            dickey_fuller(wanders), abs=1e-3
        )
    for returns in (rng.normal(size=400), wave(17.3) + 0.03 * rng.normal(size=400)):
        assert dickey_fuller(returns) < -2.86
    # statsmodels 0.15: adfuller(walk, maxlag=16, autolag=None, regression="c")[0].
    assert dickey_fuller(walk) == pytest.approx(-1.2026859802302985, rel=1e-9)
    assert np.isnan(dickey_fuller(np.full(100, 7.0)))
    assert np.isnan(dickey_fuller(walk[:10]))


@pytest.mark.parametrize("octaves", [0.0, 1.0, 2.0])
def test_spectra_are_as_far_apart_as_their_waves(octaves: float) -> None:
    other = wave(40.0 / 2**octaves, 7.0) + 0.01 * T  # neither size nor trend counts
    assert octaves_apart(wave(40.0), other) == pytest.approx(octaves, abs=0.05)
    assert octaves_apart(other, wave(40.0)) == pytest.approx(octaves, abs=0.05)


def test_power_that_is_missing_is_moved() -> None:
    # A fifth of the power is two octaves away from where it should be.
    assert octaves_apart(wave(40.0) + wave(10.0, 0.5), wave(40.0)) == pytest.approx(0.4, abs=0.05)
    assert np.isnan(octaves_apart(np.ones(50), wave(40.0)))
