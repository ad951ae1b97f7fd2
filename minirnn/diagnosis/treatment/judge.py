"""What an attempt did, and whether to go on from it: believed is only what is seen after training.

A remedy stays where all of this holds:
1. its training ran to its end;
2. the symptom it was for is gone;
3. the held-out error did not rise above `WORSE` times what it was, nor the share of wrong answers
   by more than chance has it (`SURE` standard errors of the difference);
4. a network that failed explains more than it did (`no_better`), unless the remedy was for its free
   run, which may go better while the network stays as it was;
5. it brought no other illness, or the network is strictly better in exchange: the held-out error
   below `BETTER` times what it was, and no more illnesses than before, or below `MUCH_BETTER` times
   what it was (a network that broke had none). So may what lay beneath come to light (its gaps
   filled, a series is seen to be unscaled; standardised, it leaves its training range), but one
   harm is not traded for another.
Where other rows are held out than before, or the earlier error was a leak's, the two errors say
nothing about each other: then 3 and 5 are not asked, and the network must not fail.
"""

from __future__ import annotations

import math
from dataclasses import replace

from minirnn.diagnosis.finding import Attempt, edit_text
from minirnn.diagnosis.wording import counted, listed, quantity, share

ENOUGH = 0.5  # an R2 with which a network no longer fails
BETTER = 0.95  # of the error before: what is above is no improvement
MUCH_BETTER = 0.5  # of it: what is below is no exchange of one harm for another
# Edits after which other sequences are held out.
DEALT_ANEW = {"data.split", "data.deduplicate", "data.validation"}
OF_FREE_RUNS = ("frozen-generation", "output-loop")
SURE = 2.0  # standard errors
WORSE = 1.2  # a remedy may not raise the held-out error by more than this factor


def judge(before: Attempt, after: Attempt) -> tuple[bool, str]:
    """Whether to go on from an attempt, and what it did, in one sentence."""
    edit, aim = edit_text(after.edit), after.aimed_at
    if after.cut:
        return (
            False,
            f"{edit} was cut short ({after.cut}), so what it does is not known: taken back",
        )
    left = harmful(after)
    if aim in left:
        return False, f"{edit} left {aim} standing: taken back"
    error, earlier = held_out_error(after), held_out_error(before)
    unit = str(after.figures.get("unit", ""))
    # A run that broke has no error at all, and any error is better than none.
    anew = measured_anew(after)
    if not anew and math.isfinite(earlier) and not error <= WORSE * earlier:
        return False, (
            f"{edit} removed {aim}, but the held-out error rose from "
            f"{quantity(earlier, unit)} to {quantity(error, unit)}: taken back"
        )
    if not anew and _surely_fewer_right(before, after):
        return False, f"{edit} removed {aim}, but {_fell(before, after)}: taken back"
    if aim not in OF_FREE_RUNS and no_better(before, after):
        return False, f"{edit} removed {aim}, but the network is no better for it: taken back"
    if not left:
        price = "" if anew else _price(before, after)
        return True, f"{edit} cured it: nothing above a note is left{price}{_not_known(after)}"
    new = brought(before, after)
    if new and not anew and not strictly_better(before, after):
        return False, f"{edit} removed {aim}, but brought {listed(new)} instead: taken back"
    return True, f"{edit} removed {aim}; left: {listed(left)}"


def _price(before: Attempt, after: Attempt) -> str:
    """What a cure cost on what was held out; "" where it did not get worse."""
    error, earlier = held_out_error(after), held_out_error(before)
    if not BETTER * error > earlier:  # the same measure as for what is better; false of a NaN
        return ""
    if _right(after) is not None:
        return f", though {_fell(before, after)}"
    unit = str(after.figures.get("unit", ""))
    rose = f"from {quantity(earlier, unit)} to {quantity(error, unit)}"
    return f", though the held-out error rose {rose}"


def _fell(before: Attempt, after: Attempt) -> str:
    earlier, right = _right(before) or 0.0, _right(after) or 0.0
    return f"the share of right answers held out fell from {share(earlier)} to {share(right)}"


def _surely_fewer_right(before: Attempt, after: Attempt) -> bool:
    """Whether fewer held-out answers are right than before, by more than chance has it."""
    earlier, right = _right(before), _right(after)
    count = after.figures.get("held_out_answers")
    if earlier is None or right is None or not isinstance(count, int):
        return False
    # As if of other rows: on the same ones chance is less.
    variance = (earlier * (1.0 - earlier) + right * (1.0 - right)) / count
    return earlier - right > SURE * math.sqrt(variance)


def _right(attempt: Attempt) -> float | None:
    """The share of right answers on what was held out, where an error is told by nothing else."""
    figures = attempt.figures
    right = figures.get("held_out_accuracy")
    told_otherwise = figures.get("held_out_rmse") is not None
    return float(right) if isinstance(right, float) and not told_otherwise else None


def _not_known(after: Attempt) -> str:
    """What a cure does not prove, where next to nothing was held out, and that is far off."""
    found = after.diagnosis.finding("overfitting")
    rows = None if found is None else found.evidence.get("too_few_rows")
    if rows is None:
        return ""
    return (
        f"; what it does with new data is not known: {counted(int(str(rows)), 'answer')} held out "
        "cannot tell, and the network does much worse there than in training"
    )


def measured_anew(attempt: Attempt) -> bool:
    """Whether its held-out error has nothing to be compared with: other rows, or a leak before."""
    return attempt.aimed_at == "leakage" or bool(DEALT_ANEW & set(attempt.edit))


def second_best(current: Attempt, tried: list[Attempt]) -> Attempt | None:
    """Of the attempts from `current` that were taken back, the best to go on from; None of none.

    Two remedies may help together alone: then each leaves the symptom standing, and the better one
    still lowers the error. Asked only when nothing else is left.
    """
    better = [
        each
        for each in tried
        if not (each.cut or measured_anew(each) or brought(current, each))
        and lower_error(current, each)
    ]
    if not better:
        return None
    best = min(better, key=held_out_error)
    unit = str(best.figures.get("unit", ""))
    error = quantity(held_out_error(best), unit)
    told = best.verdict.removesuffix(": taken back")
    return replace(
        best, kept=True, verdict=f"{told}; taken up again, as none did better (error {error})"
    )


def harmful(attempt: Attempt) -> list[str]:
    """The symptoms above a note, root first."""
    return [finding.symptom for finding in attempt.diagnosis.findings if finding.harmful]


def brought(before: Attempt, after: Attempt) -> list[str]:
    """The illnesses that were not there before."""
    known = harmful(before)
    return [symptom for symptom in harmful(after) if symptom not in known]


def strictly_better(before: Attempt, after: Attempt) -> bool:
    """Whether a network is better for all the illnesses that have come to light in it."""
    if len(harmful(after)) <= len(harmful(before)) and lower_error(before, after):
        return True
    error, earlier = held_out_error(after), held_out_error(before)
    return math.isfinite(error) and not error > MUCH_BETTER * earlier


def lower_error(before: Attempt, after: Attempt) -> bool:
    """Whether the held-out error fell by more than chance would have it; any is below none."""
    error, earlier = held_out_error(after), held_out_error(before)
    if math.isfinite(error):
        return not math.isfinite(earlier) or error < BETTER * earlier
    # Nothing is held out: what the network explains of its training part has to do.
    return not math.isfinite(earlier) and skill(after) > skill(before) + 1 - BETTER


def no_better(before: Attempt, after: Attempt) -> bool:
    """Whether a network that explained too little still does, with an error hardly lower."""
    failing = not skill(after) >= ENOUGH
    if measured_anew(after):
        # Accuracies have no R2 to fail by.
        return failing and math.isfinite(skill(after))
    error, earlier = held_out_error(after), held_out_error(before)
    if math.isfinite(error) and math.isfinite(earlier):
        return failing and error > BETTER * earlier
    return (
        failing and not skill(after) > skill(before) + 1 - BETTER and math.isfinite(skill(before))
    )


def skill(attempt: Attempt) -> float:
    """R2 on the training part, NaN where there is none."""
    value = attempt.figures.get("training_r2")
    return float(value) if isinstance(value, float) else math.nan


def held_out_error(attempt: Attempt) -> float:
    """The held-out error of an attempt, NaN where there is none."""
    value = attempt.figures.get("held_out_rmse")
    if value is None and "held_out_accuracy" in attempt.figures:
        value = 1.0 - float(str(attempt.figures["held_out_accuracy"]))
    return float(value) if isinstance(value, float) else math.nan
