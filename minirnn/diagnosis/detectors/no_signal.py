"""no-signal: nothing in the inputs tells the targets, so nothing can be learned from them.

Formula    z of the network's own answers to held-out rows, and of five judges that are no network
           (see `minirnn.inspect.measure_predictability`): about N(0, 1) where answer and target
           have nothing in common, whatever was learned by heart
Threshold  every |z| < 3.5, and the network explains less than a tenth of what was held out, with at
           least 100 different training sequences: an illness. A note without held-out answers
           (`mr.diagnose`, short loops): there a network may yet see what no judge does; of a
           watched loop an illness from 100 steps on, where the network fails on what it is
           trained on, too. Never of a built-in task, whose targets follow from its inputs.
           One look among 1,000 at a weak signal goes wrong, and what only a memory of many bits
           can tell (a parity of 20) is seen by nobody: told in the explanation
Source     Mantel 1967 (Cancer Research 27) for z. Zhang et al. 2017 (ICLR, "Understanding deep
           learning requires rethinking generalization"): networks fit random labels, so that only
           what was held out tells
Cost       0.2 s, where the network's own answers tell nothing; else none
"""

from __future__ import annotations

from minirnn.diagnosis.evidence import Evidence
from minirnn.diagnosis.finding import Finding
from minirnn.diagnosis.wording import number, share
from minirnn.inspect.predictability import SURE, certainty

SYMPTOM = "no-signal"
NOTHING = 0.1
LEAST_SEQUENCES = 100
LEAST_STEPS = 100


def detect(evidence: Evidence) -> Finding | None:
    """The finding, or None."""
    recipe, unseen = evidence.recipe, evidence.unseen
    own = None
    if recipe is not None:
        if recipe.data.builtin is not None or unseen is None or not unseen.finite:
            return None
        own = certainty_of_held_out(evidence)
        if own is None or abs(own) > SURE or unseen.typical_skill >= NOTHING:
            return None
    elif not evidence.fails:
        return None
    told = evidence.predictability
    if told is None or told.signal or told.count < LEAST_SEQUENCES:
        return None
    loop = evidence.loop
    seen = recipe is not None or (loop is not None and loop.iterations >= LEAST_STEPS)
    judges = {name: judge.z for name, judge in told.judges.items()}
    weakest = SURE**2 / told.count
    return Finding(
        symptom=SYMPTOM,
        severity="illness" if seen else "note",
        where="the targets",
        evidence={
            "z": judges,
            "z_of_the_network": own,
            "threshold": SURE,
            "predictable": max(told.best, 0.0),
            "held_out_skill": None if unseen is None else unseen.typical_skill,
            "training_skill": evidence.skill,
            "sequences": told.count,
            "weakest_signal_seen": weakest,
        },
        cause="Inputs and targets have nothing in common that could be found.",
        explanation=(
            f"On sequences they were not fitted to, {len(judges)} ways to tell the target from "
            "the inputs (regressions, and the most similar sequences) do no better than chance"
            + (
                ", and neither does the network on what was held out"
                if own is not None
                else ", and the network has found nothing either"
                if seen
                else ""
            )
            + ". "
            + (
                f"That it explains {share(evidence.skill)} of its training targets is learned by "
                "heart. "
                if own is not None and evidence.skill > 0.2
                else ""
            )
            + f"A signal of more than {share(min(weakest, 1.0))} would probably have been seen; "
            "one that only a long memory can tell would not. Look whether the targets "
            "belong to these inputs (were they shuffled?), and whether the inputs hold what "
            "the targets depend on: no setting makes up for that. The best answer to noise is its "
            f"mean{'' if own is None else f' (z of the network: {number(own)})'}."
        ),
    )


def certainty_of_held_out(evidence: Evidence) -> float | None:
    """z of the network's answers to held-out rows; None where there are none.

    The rows of one sequence are no independent witnesses: they count as one.
    """
    unseen, data = evidence.unseen, evidence.data
    if unseen is None or data is None or data.validation is None or not len(unseen.given):
        return None
    together = max(1.0, len(unseen.given) / len(data.validation))
    return certainty(unseen.given, unseen.wanted) / float(together**0.5)
