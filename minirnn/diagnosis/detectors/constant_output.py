"""constant-output: one answer for every input.

Formula    spread = std of the answers / std of the targets, over the probe's sequences, pooled
           over the outputs (of classes: probabilities against indicators); alike = correlation of
           answers and targets, pooled likewise
Threshold  spread < 0.05. Spread alone: R2 can be -617 where the level is missed. Of a recipe's
           network, which is trained, spread < 0.1 too where alike < 0.5: enlarged to the targets'
           size, such answers would explain less than a quarter of them. An illness; a
           note where nothing else tells the targets either, neither a ridge regression (see
           `dependence`) nor any of the judges that `no-signal` asks, who see twice as many
           sequences (see `predictability`): then one answer may be the best there is; and of a
           watched loop before its 40th step, when an untrained network answers like that
Source     the project's measurements: sick networks 0 to 0.08, healthy ones above 0.3
Cost       none beyond the probe's answers; 0.2 s where the regression finds nothing
"""

from __future__ import annotations

from minirnn.diagnosis.evidence import Answers, Evidence
from minirnn.diagnosis.finding import Finding
from minirnn.diagnosis.wording import number, share
from minirnn.inspect.host import fetch

SYMPTOM = "constant-output"
THRESHOLD = 0.05
HARDLY, ALIKE = 0.1, 0.5
LEAST_STEPS = 40


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
    answers = evidence.answers
    # With one row there is nothing to compare; where targets do not vary, nothing is amiss.
    if answers is None or len(answers.given) < 2:
        return None
    spread = answers.typical_spread
    hardly = evidence.recipe is not None and spread < HARDLY and not alike(answers) >= ALIKE
    if not (spread < THRESHOLD or hardly):
        return None
    dependence = evidence.dependence
    predictable = dependence.best if dependence is not None and dependence.telling else None
    hopeless = dependence is not None and predictable is None and not _any_signal(evidence)
    # A loop that is watched may still go on; a recipe's training is over.
    watched = evidence.loop if evidence.recipe is None else None
    early = watched is not None and watched.iterations < LEAST_STEPS
    return Finding(
        symptom=SYMPTOM,
        severity="note" if hopeless or early else "illness",
        where="the network's answers",
        evidence={
            "spread": spread,
            "threshold": HARDLY if hardly else THRESHOLD,
            "answer": fetch(answers.given.mean(axis=0)),
            "skill": answers.skill,
            "predictable_by_regression": None if dependence is None else dependence.best,
        },
        cause=(
            "Nothing in the inputs was found to tell the target."
            if hopeless
            else "What differs between the inputs does not reach the output."
        ),
        explanation=(
            "The network gives the same answer whatever it is shown: its answers vary by "
            f"{share(spread)} of what the targets vary ({number(spread)}). "
            + (
                "A regression finds nothing to predict here either, so that one answer may be "
                "the best there is."
                if hopeless
                else "The targets can be told from the inputs"
                + (
                    "."
                    if predictable is None
                    else f": a plain regression explains {share(predictable)} of them."
                )
                if dependence is not None
                else ""
            )
        ).rstrip(),
    )


def alike(answers: Answers) -> float:
    """The correlation of answers and targets, pooled over outputs; NaN where one is constant."""
    given = answers.given - answers.given.mean(axis=0)
    wanted = answers.wanted - answers.wanted.mean(axis=0)
    both, own, asked = fetch((given * wanted).sum(), (given**2).sum(), (wanted**2).sum())
    return float(both / (own * asked) ** 0.5) if own and asked else float("nan")


def _any_signal(evidence: Evidence) -> bool:
    """Whether anything but a network tells the targets better than chance.

    Of a hundred events that are rare, the few dozen sequences of a fold hold one or two.
    """
    told = evidence.predictability
    return told is not None and told.signal
