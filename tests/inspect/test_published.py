"""Exponents and fixed points against what is published of networks whose dynamics are known."""

from __future__ import annotations

import numpy as np
import pytest

import minirnn as mr
from minirnn.inspect import fixed_points, lyapunov_exponents


def quiet_network(weight: np.ndarray) -> mr.RNN:
    """h' = tanh(W h), float64, without input or bias."""
    rnn = mr.RNN(1, len(weight), bias=False, dtype="float64", rng=0)
    rnn.weight_hh_l0.data[...] = weight
    return rnn


def mean_field(gain: float) -> tuple[float, float]:
    """(q, λ1) of h' = tanh(g J h) with J_ij ~ N(0, 1/H) as H grows without bound.

    q = <tanh²(g √q z)>, λ1 = ½ ln(g² <(1 - tanh²(g √q z))²>), z standard normal: Molgedey,
    Schuchhardt & Schuster 1992 (Phys. Rev. Lett. 69, 3717), the discrete-time companion of
    Sompolinsky, Crisanti & Sommers 1988. Gauss-Hermite quadrature.
    """
    z, weight = np.polynomial.hermite_e.hermegauss(200)
    weight /= weight.sum()
    q = 1.0
    for _ in range(2000):
        q = float(weight @ np.tanh(gain * np.sqrt(q) * z) ** 2)
    slope = 1.0 - np.tanh(gain * np.sqrt(q) * z) ** 2
    return q, 0.5 * float(np.log(gain**2 * (weight @ slope**2)))


@pytest.mark.parametrize("gain", [2.0, 5.0])
def test_random_networks_have_the_exponent_and_the_size_of_mean_field_theory(gain: float) -> None:
    # Measured at H = 200: one network lies up to 0.02 off in λ1, two on average up to 0.012, and
    # twice the units halve that (a correction of order 1/H).
    H, T, skip = 200, 300, 100
    exponents, sizes = [], []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        rnn = quiet_network(gain * rng.normal(size=(H, H)) / np.sqrt(H))
        with mr.no_grad(), mr.record() as recording:
            rnn(np.zeros((T, 1, 1)), rng.normal(size=(1, 1, H)))
        (trace,) = recording.traces
        exponents.append(lyapunov_exponents(trace, 1, skip=skip).largest[0])
        sizes.append((trace.hidden[skip:] ** 2).mean())
    q, exponent = mean_field(gain)
    np.testing.assert_allclose(np.mean(exponents), exponent, rtol=0, atol=0.015)
    np.testing.assert_allclose(np.mean(sizes), q, rtol=0, atol=0.01)


def root(w: float) -> float:
    """The positive solution of m = tanh(w m), by bisection; 0 where there is none."""
    low, high = 1e-6, 1.0
    if np.tanh(w * low) < low:
        return 0.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if np.tanh(w * middle) > middle else (low, middle)
    return low


@pytest.mark.parametrize(
    ("a", "b", "count"),
    [(0.5, 0.3, 1), (0.9, 0.6, 3), (0.3, -0.5, 1), (0.6, -0.8, 3), (2.0, 0.3, 9)],
)
def test_two_coupled_units_have_the_fixed_points_of_their_two_pitchforks(
    a: float, b: float, count: int
) -> None:
    """h1 = tanh(a h1 + b h2) and its mirror image: ±(m, m) for a + b > 1, ±(m, -m) for a - b > 1.

    With m = tanh((a ± b) m); the eigenvalues are (1 - m²)(a ± b). Where both pitchforks have
    passed, (m, -m) loses its hold in one direction more, or gains it: at a = 2, b = 0.3 all four
    are stable, with a saddle between each two.
    """
    found = fixed_points(quiet_network(np.array([[a, b], [b, a]])), starts=200, tolerance=1e-24)
    assert len(found) == count
    expected = {(0.0, 0.0): (a + b, a - b)}
    for sign, w in ((1.0, a + b), (-1.0, a - b)):
        if m := root(w):
            for point in ((m, sign * m), (-m, -sign * m)):
                expected[point] = tuple((1 - m * m) * e for e in (a + b, a - b))
    for point, values in expected.items():
        distance = np.abs(found.states - point).max(axis=1)
        at = int(distance.argmin())
        assert distance[at] < 1e-9
        np.testing.assert_allclose(
            np.sort(found.eigenvalues[at].real), np.sort(values), rtol=0, atol=1e-8
        )
        assert found.stable[at] == (max(map(abs, values)) < 1.0)
