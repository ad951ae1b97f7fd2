"""output-loop: what the network generates goes round in circles, and the data do not.

Not to be mixed up with a *loss* that goes up and down (`oscillating-loss`): here the loss may have
come down as smoothly as can be.

Formula    of text: period = the smallest p with x_t = x_{t-p} up to the end (`inspect.find_loop`);
           repetition = 1 - distinct / all n-grams of 8 characters (`inspect.repetition_rate`), of
           the run and of stretches of the data as long.
           Of numbers: period likewise, where |x_t - x_{t-p}| is at most 2% of the run's range;
           octaves = how far the spectrum of the looping part is from the data's (see `movement`),
           amplitude = its standard deviation over the data's
Threshold  text, of runs of at least 40 characters: repetition more than 0.1 above that of the
           most repetitive stretch of the data; or a loop of at least 24 characters and 3 periods
           whose phrase the data do not hold twice in a row. Under greedy decoding 2 periods are
           enough where all characters that an answer is made from have come before: the same ones
           follow, for ever.
           Numbers, of runs of at least 40 steps: a loop of 3 periods, octaves > 0.5 or amplitude
           below 0.5; an illness where the movement follows a law, as for `frozen-generation`, a
           note else. A run that loops as the data do is as it should be
Source     Welleck et al. 2019, "Neural text generation with unlikelihood training", for the
           repetition of n-grams; Holtzman et al. 2020, "The curious case of neural text
           degeneration", for loops of likeliest choices. Measured here: characters under greedy
           decoding 0.4 to 0.98, drawn at temperature 1 under 0.02, the data up to 0.1; above the
           data's at most repetitive 0.12 to 0.95 at temperatures up to 0.1, and at most 0.04 at 0.8
           to 1.2, of a grammar of a few words
Cost       the free run itself
"""

from __future__ import annotations

import numpy as np

from minirnn.diagnosis.detectors.frozen_generation import FORETOLD, LAWFUL, STILL, against, lawful
from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.evidence.free_run import FreeRun, Host
from minirnn.diagnosis.evidence.movement import octaves_apart, ranges
from minirnn.diagnosis.finding import Finding
from minirnn.diagnosis.wording import counted, number, quantity, share
from minirnn.inspect.loops import REPEATS, Loop, find_loop, repetition_rate

SYMPTOM = "output-loop"
GRAM = 8  # characters, as long as a word and a half
MORE = 0.1
LEAST_STEPS = 40
LEAST_LOOP = 24  # characters: shorter ends repeat by chance ("...")
STRETCHES = 16  # of the data, that the run is compared with
CLOSE = 0.02  # of a run's range, within which two values are the same
OCTAVES, AMPLITUDE = 0.5, 0.5


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
    run = evidence.free_run
    if run is None or len(run.given) < LEAST_STEPS:
        return None
    return _of_text(run, evidence) if run.of_tokens else _of_numbers(run, evidence)


def _of_text(run: FreeRun, evidence: Evidence) -> Finding | None:
    given = run.given
    repeats = repetition_rate(given, GRAM)
    usual = data_repetition(run.past, len(given))
    loop = find_loop(given) or has_returned(run)
    if loop is not None and (loop.length < LEAST_LOOP or rightly(run, given, loop)):
        loop = None
    if loop is None and not repeats > usual + MORE:
        return None
    phrase = "" if loop is None else run.spelt(given[loop.start : loop.start + loop.period])
    chosen = (
        "the likeliest character is fed back each time"
        if run.sample == "greedy"
        else f"characters are drawn at temperature {number(run.temperature)}"
    )
    told = (
        f"from step {loop.start} on it says {phrase!r} again and again"
        if loop is not None
        else "the same phrases come again and again"
    )
    return Finding(
        symptom=SYMPTOM,
        severity="illness",
        where="the free run" if loop is None else f"the free run, from step {loop.start} on",
        evidence={
            "kind": "text",
            "period": None if loop is None else loop.period,
            "phrase": phrase,
            "start": None if loop is None else loop.start,
            "repetition": repeats,
            "data_repetition": usual,
            "threshold": usual + MORE,
            "gram": GRAM,
            "sample": run.sample,
            "temperature": run.temperature,
            "context": run.context,
            "text": run.spelt(given),
        },
        cause=(
            f"Where {chosen}, the same context always has the same end: once a phrase leads back "
            "to itself, nothing leads out of it."
        ),
        explanation=(
            f"Left to itself, the network goes round in circles: {told}. Of all stretches of "
            f"{GRAM} characters {share(repeats)} were there before; in the text itself "
            f"{share(usual)} at most. {_loss(evidence)}"
        ).rstrip(),
    )


def has_returned(run: FreeRun) -> Loop | None:
    """The loop that a run is bound to go round, though it has not done so often; None of none.

    The likeliest character follows from the last ones, as many as the context: where all of them
    came before, in the same order, so does all that follows.
    """
    given, context = run.given, run.context
    if run.sample != "greedy":
        return None
    for period in range(1, len(given) - context + 1):
        same = given[period:] == given[:-period]
        if same[-context:].all():
            apart = np.flatnonzero(~same)
            start = int(apart[-1]) + 1 if len(apart) else 0
            return Loop(period, start, len(given) - start)
    return None


def rightly(run: FreeRun, given: Host, loop: Loop) -> bool:
    """Whether the data, too, hold the looping phrase twice in a row."""
    phrase = run.spelt(given[loop.start : loop.start + loop.period])
    return 2 * phrase in run.spelt(run.past)


def data_repetition(past: Host, steps: int) -> float:
    """The repetition of the most repetitive of some stretches of the data, as long as the run."""
    steps = min(steps, len(past))
    begins = np.linspace(0, len(past) - steps, STRETCHES).round().astype(int)
    return max(repetition_rate(past[begin : begin + steps], GRAM) for begin in np.unique(begins))


def _loss(evidence: Evidence) -> str:
    """That it is not the loss which goes round."""
    epochs = evidence.history.epochs if evidence.history is not None else []
    if len(epochs) < 2 or not epochs[-1].loss < epochs[0].loss:
        return ""
    return (
        f"The loss has nothing to do with it: it came down from {number(epochs[0].loss)} to "
        f"{number(epochs[-1].loss)}."
    )


def _of_numbers(run: FreeRun, evidence: Evidence) -> Finding | None:
    given, known = run.given, run.known
    if not (np.isfinite(given).all() and np.isfinite(known).all()):
        return None
    stretch = min(len(given) // 4, len(known) // 2)
    typical = float(np.median(ranges(known, stretch))) if stretch else 0.0
    if not np.ptp(given[-stretch:]) >= STILL * typical > 0:
        return None  # it does not move, or the data do not
    loop = find_loop(given, tolerance=CLOSE)
    if loop is None or loop.period == 1:
        return None
    around = given[loop.start :]
    octaves = octaves_apart(around, known)
    amplitude = float(around.std() / known.std())
    if not (octaves > OCTAVES or amplitude < AMPLITUDE):
        return None
    law, errors = lawful(evidence.held_out), against(run, given, loop.start)
    goes_on = errors is not None and errors[1] < FORETOLD * errors[0]
    ill = goes_on or (law is not None and law >= LAWFUL)
    unit = evidence.data.unit if evidence.data is not None else ""
    explanation = (
        f"Fed its own answers, the network falls into a loop of {counted(loop.period, 'step')}, "
        f"which it went round {number(loop.length // loop.period)} times (at least {REPEATS} make "
        f"a loop). The data do not move like that: their spectrum lies {number(octaves)} octaves "
        f"from the loop's, and the loop has {share(amplitude)} of their swing. "
    )
    if goes_on and errors is not None:
        explanation += (
            f"What comes next can be foretold with an error of {quantity(errors[1], unit)}; the "
            f"run's is {quantity(errors[0], unit)}. "
        )
    elif not ill:
        explanation += "Nothing was found that foretells the data better, though. "
    return Finding(
        symptom=SYMPTOM,
        severity="illness" if ill else "note",
        where=f"the free run, from step {loop.start} of {len(given)} on",
        evidence={
            "kind": "numbers",
            "period": loop.period,
            "start": loop.start,
            "octaves": octaves,
            "octaves_threshold": OCTAVES,
            "amplitude": amplitude,
            "amplitude_threshold": AMPLITUDE,
            "lawful": law,
            "error": None if errors is None else errors[0],
            "foretold_error": None if errors is None else errors[1],
            "context": run.context,
            "unit": unit,
        },
        cause=(
            f"The last {counted(run.context, 'value')} do not tell all of where the data are, and "
            "what is left of them leads back to itself."
        ),
        explanation=explanation + _loss(evidence),
    )
