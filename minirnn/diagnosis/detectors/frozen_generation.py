"""frozen-generation: left to itself, the network runs into one value and stays there.

Formula    movement = (largest - smallest value of the last quarter of the free run, at least 10
           steps) / the median of the same over all stretches of the data as long. Frozen at = the
           first step after which the run stays within half of `STILL` of that median around its
           last value. Radius = the largest |eigenvalue| of the Jacobian of the map from one context
           to the next, there: below 1 the value draws every run near it in.
           lawful = 1 - (error / persistence's error)^2, one step ahead on what is held out;
           foretold = the smallest error of what needs no network (see `movement.foretold`) on what
           is held out after the freezing, against the run's own; told = what the changes trained on
           tell of the change after them (see `movement.told_of_changes`)
Threshold  movement < 0.05, of runs of at least 20 steps. Silent where the data settle too: where
           their last stretch moves less than a fifth of the median, or less than 5% of all they
           ever did, a straight line taken off. An illness where the movement
           follows a law: lawful >= 0.9, or foretold < 0.7 of the run's error with told >= 0.1. A
           note else: of a series that noise drives, the mean is soon the best that can be said, and
           a free run rightly comes to rest there; of a random walk, whatever stands where the walk
           will go by chance is foretold, and where it stood is the best that can be said. Measured,
           told: walks and noise 0 to 0.05, pulses, waves and maps 0.8 to 0.99
Source     the project's measurements, sines and sums of two: contexts of 1 to 3 values 0 to 0.03,
           windows of most of a period 0.7 to 1.1. FixedPointFinder (Golub and Sussillo 2018) for
           the eigenvalues
Cost       the free run itself; then one backward pass, and a regression where it is frozen

A text that repeats one character is an `output-loop`.
"""

from __future__ import annotations

import numpy as np

from minirnn.diagnosis.evidence import Evidence, HeldOut
from minirnn.diagnosis.evidence.free_run import FreeRun, spectral_radius
from minirnn.diagnosis.evidence.movement import (
    Floats,
    detrended,
    dickey_fuller,
    foretold,
    ranges,
    rms,
    told_of_changes,
)
from minirnn.diagnosis.finding import Finding
from minirnn.diagnosis.wording import counted, number, quantity, share

SYMPTOM = "frozen-generation"
STILL = 0.05
SETTLED = 0.2
LAWFUL, FORETOLD, TOLD = 0.9, 0.7, 0.1
LEAST_STEPS, LEAST_STRETCH = 20, 10
LEAST_COMPARED = 10  # held-out values that say whether something else goes on better


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
    run = evidence.free_run
    if run is None or run.of_tokens or len(run.given) < LEAST_STEPS:
        return None
    given, known = run.given, run.known
    stretch = min(max(LEAST_STRETCH, len(given) // 4), len(known) // 2)
    if stretch < LEAST_STRETCH or not (np.isfinite(given).all() and np.isfinite(known).all()):
        return None
    usual = ranges(known, stretch)
    typical, latest = float(np.median(usual)), float(usual[-1])
    moves = float(np.ptp(given[-stretch:]))
    if not typical > 0 or moves >= STILL * typical:
        return None
    if latest < max(SETTLED * typical, STILL * float(np.ptp(detrended(known)))):
        return None
    value = float(given[-1])
    begin = frozen_at(given, STILL * typical / 2)
    law, errors = lawful(evidence.held_out), against(run, given, begin)
    better = errors is not None and errors[1] < FORETOLD * errors[0]
    told = told_of_changes(run.past) if better else None
    goes_on = better and not (told is not None and told < TOLD)
    ill = goes_on or (law is not None and law >= LAWFUL)
    radius = spectral_radius(run.slopes) if run.slopes is not None else None
    unit = evidence.data.unit if evidence.data is not None else ""
    explanation = (
        f"Fed its own answers, the network stands still after {counted(begin, 'step')}, at "
        f"{quantity(value, unit)}; the data move by {quantity(typical, unit)} in as many steps as "
        f"the run then stays there. "
    )
    if goes_on and errors is not None:
        explanation += (
            f"The movement can be foretold: something as simple as a linear autoregression goes on "
            f"with an error of {quantity(errors[1], unit)}, the run with "
            f"{quantity(errors[0], unit)}. "
        )
    elif ill and law is not None:
        explanation += (
            f"One step ahead of true values it explains {share(law)} of how they move: it knows "
            "what comes next as long as it is shown what came before. "
        )
    elif better:
        explanation += (
            "The changes of the data tell nothing of each other, as in a random walk: no forecast "
            f"is better than to stay where they stood, at {quantity(float(run.past[-1]), unit)}, "
            "and where they go from there is chance. "
        )
    else:
        explanation += (
            "Nothing was found that foretells the movement better than standing still does; then "
            "this may be the best answer there is. "
        )
    return Finding(
        symptom=SYMPTOM,
        severity="illness" if ill else "note",
        where=f"the free run, from step {begin} of {len(given)} on",
        evidence={
            "movement": moves / typical,
            "threshold": STILL,
            "value": value,
            "frozen_at": begin,
            "spectral_radius": radius,
            "data_movement": typical,
            "context": run.context,
            "lawful": law,
            "lawful_threshold": LAWFUL,
            "error": None if errors is None else errors[0],
            "foretold_error": None if errors is None else errors[1],
            "told_of_changes": told,
            "told_threshold": TOLD,
            "dickey_fuller": dickey_fuller(run.past) if ill else None,
            "unit": unit,
        },
        cause=(
            f"A map from the last {counted(run.context, 'value')} to the next has a fixed point at "
            f"{quantity(value, unit)}"
            + (
                f", and draws runs into it (spectral radius {number(radius)} there)."
                if radius is not None and radius < 1.0
                else "."
            )
        ),
        explanation=explanation.rstrip(),
    )


def frozen_at(given: Floats, tolerance: float) -> int:
    """The first step from which the run stays within a tolerance of its last value."""
    away = np.flatnonzero(np.abs(given - given[-1]) > tolerance)
    return int(away[-1]) + 1 if len(away) else 0


def lawful(held: HeldOut | None) -> float | None:
    """What the network explains of the changes one step ahead, on what is held out."""
    if held is None or held.naive is None or not held.naive.error > 0:
        return None
    return 1.0 - (held.answers.error / held.naive.error) ** 2


def against(run: FreeRun, given: Floats, begin: int) -> tuple[float, float] | None:
    """The run's error from a step on, and the smallest of what needs no network.

    None where too little is held out to say.
    """
    m = len(run.wanted)
    if m < LEAST_COMPARED:
        return None
    begin = min(begin, m - LEAST_COMPARED)
    error = rms(given[begin:m] - run.wanted[begin:])
    return error, foretold(run.past, run.wanted, begin)
