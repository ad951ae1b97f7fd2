"""How a series moves, and whether that can be foretold: what a free run is held against.

n values of a series; all of the host.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from minirnn.diagnosis.evidence.season import estimate_period
from minirnn.inspect.predictability import measure_predictability
from minirnn.training.baselines import seasonal_drift

Floats = NDArray[np.float64]
MOST_ORDER = 64  # values that an autoregression looks back on
RIDGE = 1e-6  # of the values' variance: as little as keeps the system solvable
FLAT = 1e-12  # of a series' size: what is left of a straight line by rounding
BOUND = 3.0  # of the range trained on, that an autoregression may leave before it counts as lost
LAGS = 16  # changes before, that a test for a unit root allows for: seasons up to as long


def ranges(values: Floats, steps: int) -> Floats:
    """Largest minus smallest value in every stretch of so many steps."""
    windows = np.lib.stride_tricks.sliding_window_view(values, steps)
    return np.asarray(windows.max(axis=1) - windows.min(axis=1))


def foretold(past: Floats, wanted: Floats, begin: int = 0) -> float:
    """The smallest error with which something simple continues the past over `wanted[begin:]`.

    Three continuations without a network: an autoregression fitted to the past and run free,
    the last season again with the slope of the seasons, and the mean of the past.
    """
    made = [np.full(len(wanted), past.mean()), autoregression(past, len(wanted))]
    period = estimate_period(past)
    if period is not None and len(past) >= 2 * period:
        made.append(seasonal_drift(past, len(wanted), period))
    errors = [rms(each[begin:] - wanted[begin:]) for each in made if np.isfinite(each).all()]
    return min(errors)


def autoregression(past: Floats, steps: int) -> Floats:
    """A linear autoregression on the last values, fitted by ridge regression, run free.

    It looks back up to 64 values, or a quarter of the past. NaN from where it leaves the data's
    neighbourhood.
    """
    offset, size = past.mean(), past.std()
    if not size > 0:
        return np.full(steps, offset)
    x = (past - offset) / size
    order = max(1, min(MOST_ORDER, len(x) // 4))
    rows = np.lib.stride_tricks.sliding_window_view(x, order + 1)
    fed, asked = rows[:, :-1], rows[:, -1]
    gram = fed.T @ fed + RIDGE * len(fed) * np.eye(order)
    weights = np.linalg.solve(gram, fed.T @ asked)
    run: Any = np.concatenate([x[-order:], np.full(steps, np.nan)])
    bound = BOUND * float(np.abs(x).max())
    for t in range(order, order + steps):
        following = float(run[t - order : t] @ weights)
        if abs(following) > bound:
            break
        run[t] = following
    return np.asarray(run[order:] * size + offset)


def told_of_changes(past: Floats) -> float | None:
    """The share (R2) of the changes that those before tell, by judges that are no network.

    They are asked as `measure_predictability` does, about changes that they were not fitted to,
    and look back up to 64 of them, or a quarter; 0 where none is sure to see anything. None where
    there are too few changes to say.

    Of a walk whose changes tell nothing of each other, the last value is the best forecast of all
    that follow, however far ahead (Meese and Rogoff 1983, Journal of International Economics 14).
    """
    changes = np.diff(past)
    if not np.isfinite(changes).all() or len(changes) < 4:
        return None
    windows = np.lib.stride_tricks.sliding_window_view(
        changes, min(MOST_ORDER, len(changes) // 4) + 1
    )
    told = measure_predictability(windows[:, :-1].T[:, :, None], windows[:, -1:])
    if told is None:
        return None
    return max(told.best, 0.0) if told.signal else 0.0


def dickey_fuller(values: Floats) -> float:
    """The t of a Dickey-Fuller test with a constant, and the changes before as further regressors.

    Below -2.86 (5%) the values return to a level of their own; above, they wander or climb, as if
    each began where the last one stood: a unit root. NaN where there are too few values.

    Source: Dickey and Fuller 1979 (Journal of the American Statistical Association 74); Said and
    Dickey 1984 (Biometrika 71) for the further regressors. Measured on 340 values: sines, pulses
    and noise about a level -30 to -3.0, walks with and without a wave above -2.86 in 57 of 60.
    """
    lags = min(LAGS, len(values) // 10)
    size = float(values.std()) if len(values) else 0.0
    if len(values) < 2 * lags + 12 or not (np.isfinite(size) and size > 0):
        return float("nan")
    values = (values - values.mean()) / size  # the test is the same in every unit
    changes = np.diff(values)
    rows = np.lib.stride_tricks.sliding_window_view(changes, lags + 1)
    fed = np.column_stack([np.ones(len(rows)), values[lags:-1], rows[:, :-1]])
    slopes = np.linalg.lstsq(fed, rows[:, -1], rcond=None)[0]
    missed = rows[:, -1] - fed @ slopes
    variance = missed @ missed / (len(fed) - fed.shape[1])
    error = np.sqrt(variance * np.linalg.pinv(fed.T @ fed)[1, 1])
    return float(slopes[1] / error) if error > 0 else float("nan")


def octaves_apart(one: Floats, other: Floats) -> float:
    """How far the spectra of two series lie apart, in octaves: 1 for twice the frequency.

    The distance that power has to be moved along the logarithm of frequency, on average, to make
    one normalised periodogram of the other (the earth mover's distance). NaN for a series that does
    not vary.
    """
    if any(rms(detrended(each)) <= FLAT * float(np.abs(each).max()) for each in (one, other)):
        return float("nan")
    spectra = [_spectrum(one), _spectrum(other)]
    points = np.concatenate([frequency for frequency, _ in spectra])
    points = np.unique(np.log2(points))
    shares = []
    for frequency, power in spectra:
        share = np.zeros(len(points))
        np.add.at(share, np.searchsorted(points, np.log2(frequency)), power / power.sum())
        shares.append(np.cumsum(share))
    return float(np.sum(np.abs(shares[0] - shares[1])[:-1] * np.diff(points)))


def _spectrum(values: Floats) -> tuple[Floats, Floats]:
    """Frequencies in cycles a step, and the power there, a straight line taken off."""
    n = len(values)
    power = np.abs(np.fft.rfft(detrended(values) * np.hanning(n))) ** 2
    return np.asarray(np.fft.rfftfreq(n)[1:]), np.asarray(power[1:])


def detrended(values: Floats) -> Floats:
    """A straight line taken off."""
    t = np.arange(len(values))
    return np.asarray(values - np.polynomial.Polynomial.fit(t, values, 1)(t))


def rms(values: Any) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(values))))
