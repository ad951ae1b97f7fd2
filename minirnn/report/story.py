"""A diagnosis told in words: what was tried, what happened, what it shows.

Every sentence of fact is made from the run it tells of. Nothing here knows how a story is meant to
end: a network that is not cured, or a baseline that wins, is told as plainly as a success. The
terminal prints these sentences and the page shows them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minirnn.diagnosis.wording import counted, listed, share
from minirnn.inspect.host import fetch
from minirnn.report.measured import (
    ACCURACY,
    CHANGE,
    FREE_RUN,
    HELD_OUT,
    accuracy_sentence,
    continued,
    course_sentence,
    error_sentence,
    free_run_sentence,
    value_of,
)
from minirnn.report.page import Table
from minirnn.report.words import number, quantity

if TYPE_CHECKING:
    from minirnn.diagnosis import Attempt, Diagnosis, Run

# What a symptom means for the answers, as a heading; the first that was found heads an attempt.
HEADLINES = {
    "missing-values": "Holes in the data",
    "non-finite": "Numbers that are no numbers any more",
    "exploding-gradient": "The gradient explodes",
    "constant-output": "One answer for every input",
    "state-collapse": "Every input ends in the same state",
    "outside-training-range": "Good where it was trained, wrong beyond",
    "saturated-gates": "Gates stuck at the ends of their range",
    "vanishing-gradient": "The gradient dies on its way back",
    "unscaled-input": "Numbers of a size that training is not made for",
    "overfitting": "Learned by heart",
    "underfitting": "Less learned than there is to learn",
    "slow-learning": "Steps too small to get anywhere",
    "oscillating-loss": "Steps so large that they jump over it",
    "stalled-loss": "The loss stands still",
    "no-signal": "Nothing in the inputs tells the answer",
    "no-recurrence": "No past to remember",
    "low-data-diversity": "Data too much alike",
    "over-regularised": "Held so tightly that it cannot answer",
    "dead-units": "Units that are always off",
    "outliers": "A few values drown all others",
    "leakage": "The held-out part was known before",
    "frozen-generation": "Left to itself, it stands still",
    "output-loop": "Left to itself, it goes round in circles",
    "reads-padding": "It answers after the end",
    "batch-time-swap": "Time and batch are swapped",
    "carried-state": "It begins where another sequence ended",
}
# Exploding gradients head an attempt only where nothing shows in the answers.
SHOWN_FIRST = ("missing-values", "non-finite", "constant-output", "outside-training-range")


@dataclass(frozen=True)
class Wording:
    """What the story calls things: attempts, steps of time, and where the series comes from.

    step      one step of the series, singular: "step", "week"
    attempt   "Attempt", "Act"
    season    one season of the series, singular: "season", "year"
    """

    step: str = "step"
    attempt: str = "Attempt"
    season: str = "season"


def label(index: int, wording: Wording) -> str:
    """ "Attempt 1" of the attempt at `index` (from 0)."""
    return f"{wording.attempt} {index + 1}"


def headline(attempt: Attempt) -> str:
    """What is to be seen in this attempt, in a few words."""
    harmful = [f.symptom for f in attempt.diagnosis.findings if f.harmful]
    if attempt.cut:
        return "A training that was cut short"
    if not attempt.kept:
        return "A remedy that did not help"
    if not harmful:
        return "Cured" if attempt.edit else "Healthy"
    for symptom in (*SHOWN_FIRST, *harmful):
        if symptom in harmful:
            return HEADLINES.get(symptom, symptom)
    return harmful[0]


def what_was_done(attempt: Attempt, wording: Wording) -> str:
    """How the network was fed and trained, or what was changed against the attempt before."""
    from minirnn.diagnosis.finding import edit_text

    if attempt.remedy is not None:
        return (
            f"The doctor's remedy against {attempt.aimed_at}: {edit_text(attempt.edit)}. "
            f"{attempt.remedy.reason}"
        )
    model, data = attempt.recipe.model, attempt.recipe.data
    kind = {"lstm": "an LSTM", "gru": "a GRU", "rnn": "a plain RNN"}[model.cell]
    units = counted(model.hidden_size, "unit")
    layers = f" in each of {model.num_layers} layers" if model.num_layers > 1 else ""
    network = f"{kind[0].upper()}{kind[1:]} of {units}{layers}"
    kept = share(1 - data.validation)
    if attempt.recipe.is_text:
        asked = "after each step" if model.readout == "all" else "that follows"
        return (
            f"{network} reads {counted(data.window, 'character')} of the text at a time, and is "
            f"asked for the one {asked}. It is trained on the first {kept} of the text; the rest "
            "is held out."
        )
    if not attempt.recipe.is_series:
        answers = "after each step" if model.readout == "all" else "at the end of each"
        which = "the last of them are" if data.split == "last" else "others, drawn at random, are"
        told = f"{network} reads sequences, and is asked for an answer {answers}. It is trained on "
        if data.validation == 0.0:
            return f"{told}all of them; nothing is held out."
        return f"{told}{kept} of them; {which} held out."
    fed = {"none": "as they are", "standard": "standardised", "minmax": "scaled to 0..1"}
    how = fed.get(data.scale, f"scaled ({data.scale})")
    if data.transform == "change":
        how += ", relative to the window's last value"
    return (
        f"{network} sees {counted(data.window, wording.step)} of the series at a time, the values "
        f"{how}, and is asked for the value {counted(data.horizon, wording.step)} later. It is "
        f"trained on the first {kept} of the record; the rest is held out."
    )


def what_happened(attempt: Attempt, wording: Wording) -> list[str]:
    """The run in figures: its training, its held-out answers, its free run."""
    sentences = [training_sentence(attempt)]
    if attempt.run is not None:
        sentences.append(answers_sentence(attempt.run))
    sentences += [error_sentence(attempt.figures), accuracy_sentence(attempt.figures)]
    told = [" ".join(s for s in sentences if s)]
    free = free_run_sentence(attempt.figures, wording)
    return [*told, free] if free else told


def training_sentence(attempt: Attempt) -> str:
    """What the loss did."""
    history = attempt.history
    if history is None or not history.epochs:
        return ""
    first, last = history.loss[0], history.loss[-1]
    ended = f" Training stopped early: {history.stopped.message}." if history.stopped else ""
    epochs = counted(len(history), "epoch")
    held = history.epochs[-1].validation_loss
    if held is not None and math.isfinite(held):
        ended = f"; held out it ended at {number(held)}.{ended}"
    else:
        ended = f".{ended}"
    if not (math.isfinite(first) and math.isfinite(last)):
        return f"In {epochs} of training the loss became {number(last)}{ended}"
    if last < (1 - CHANGE) * first:
        return (
            f"In {epochs} of training the loss fell from {number(first)} to {number(last)}{ended}"
        )
    if number(first) == number(last):
        return f"In {epochs} of training the loss stayed at {number(last)}{ended}"
    verb = "rose" if last > (1 + CHANGE) * first else "hardly moved:"
    return f"In {epochs} of training the loss {verb} from {number(first)} to {number(last)}{ended}"


def answers_sentence(run: Run) -> str:
    """Whether the answers to held-out windows differ, where they hardly do."""
    forecast = run.forecasts.get("validation")
    if forecast is None or len(forecast.given) < 2:
        return ""
    unit = run.data.unit
    ends = (end for each in (forecast.given, forecast.wanted) for end in (each.min(), each.max()))
    low, high, least, most = fetch(*ends)
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    wanted = most - least
    windows = f"{len(forecast.given):,} held-out windows"
    if high == low:
        return f"To every one of the {windows} it gives the same answer: {quantity(low, unit, 4)}."
    if number(high, 4) == number(low, 4):
        return (
            f"To every one of the {windows} it gives practically the same answer, "
            f"{quantity(low, unit, 4)}: they differ by {quantity(high - low, unit, 2)}."
        )
    if high - low < 0.05 * wanted:
        return (
            f"Its answers to the {windows} lie between {quantity(low, unit, 4)} and "
            f"{quantity(high, unit, 4)}, though the record moves by {quantity(wanted, unit)}."
        )
    return ""


def ending(diagnosis: Diagnosis, wording: Wording) -> str:
    """What the whole story shows, from its last standing attempt."""
    trainings = len(diagnosis.attempts)
    harmful = [finding.symptom for finding in diagnosis.findings if finding.harmful]
    if harmful and trainings <= 1 and not diagnosis.ended:
        first = f"Ill: {listed(harmful)}"  # and no cure was asked for
    elif harmful:
        first = f"Not cured: {listed(harmful)} still stand{'s' if len(harmful) == 1 else ''}"
    elif diagnosis.cured:
        before = diagnosis.before.root
        first = f"Cured: what began as {before.symptom if before else 'an illness'} is gone"
    else:
        first = "Healthy: nothing was found that needs a cure"
    first += f", after {counted(trainings, 'training')}." if trainings > 1 else "."
    if diagnosis.ended:
        first += f" The repair ended there: {diagnosis.ended}."
    held = course_sentence(diagnosis, HELD_OUT, wording)
    right = course_sentence(diagnosis, ACCURACY, wording)
    free = course_sentence(diagnosis, FREE_RUN, wording)
    return " ".join(text for text in (first, held, right, free) if text)


def before_and_after(
    diagnosis: Diagnosis, wording: Wording, numbers: Sequence[int] | None = None
) -> Table | None:
    """One row an attempt, and one for what needs no network; None where nothing was measured.

    A repair makes many attempts and measures a few things of each, so that rows stay short.
    `numbers` are the attempts' own, from 0, where they were told in another order: one that was
    taken up again stands last in a diagnosis.
    """
    if not diagnosis.attempts:
        return None
    order = range(len(diagnosis.attempts)) if numbers is None else numbers
    told = sorted(zip(order, diagnosis.attempts, strict=True), key=lambda pair: pair[0])
    attempts = [attempt for _, attempt in told]
    unit = next((str(a.figures["unit"]) for a in attempts if a.figures.get("unit")), "")
    measured = f" ({unit})" if unit else ""
    steps = int(max((value_of(a.figures, "free_run_steps") or 0 for a in attempts), default=0))
    free = f"free run over {counted(steps, wording.step)}, RMSE{measured}"
    lines = [
        ("training_rmse", f"RMSE in training{measured}", "", ""),
        ("held_out_rmse", f"RMSE held out{measured}", "persistence_rmse", "persistence"),
        ("held_out_rmse", f"RMSE held out{measured}", "mean_rmse", "always the mean"),
        ("held_out_accuracy", "accuracy held out", "majority_accuracy", "always the commonest"),
        ("free_run_rmse", free, "seasonal_rmse", continued(diagnosis.figures, wording)),
    ]
    if diagnosis.figures.get("season"):
        swing = f"its last {wording.season}'s swing{measured}"
        lines.append(("free_run_swing", swing, "true_swing", "true"))
    columns: dict[str, list[str]] = {}
    for key, title, baseline, name in lines:
        values = [value_of(a.figures, key) for a in attempts]
        # That of the data as they are in the end, which the ending tells: a mark that stands among
        # the values, or a hole, spoils it, or leaves it without a number, until it is filled.
        told_of = [diagnosis.figures, *(a.figures for a in attempts)]
        measures = [v for f in told_of if (v := value_of(f, baseline)) is not None]
        naive = next(filter(math.isfinite, measures), measures[0] if measures else None)
        if all(value is None for value in values) or (name and naive is None):
            continue
        if title not in columns:  # of several baselines the first is enough
            without = f"{quantity(naive)} ({name})" if name else ""
            columns[title] = [*(quantity(value) for value in values), without]
    columns["illnesses and warnings"] = [*(_harmful(attempt) for attempt in attempts), ""]
    names = [label(k, wording) + ("" if a.kept else ", taken back") for k, a in told]
    cells = zip([*names, "without a network"], *columns.values(), strict=True)
    rows = [list(row) for row in cells]
    if not any(rows[-1][1:]):
        del rows[-1]
    return Table(["", *columns], rows, heading="Before and after")


def _harmful(attempt: Attempt) -> str:
    return str(sum(finding.harmful for finding in attempt.diagnosis.findings) or "none")
