"""How a series' network stands beside the last value it was shown, repeated."""

from __future__ import annotations

import math
from typing import NamedTuple

from minirnn.diagnosis.evidence.attainable import surely_larger
from minirnn.diagnosis.evidence.evidence import Answers, Evidence

LEAST_ROWS = 20
CLEAR, SURELY = 1.2, 2.5  # times its error; standard errors of a sign test


class BesideLastValue(NamedTuple):
    """Errors (RMSE, in the series' units) as multiples of those of the last value, repeated.

    held_out   on what was held out;  trained  in training
    fair       on what was held out, by the larger of the last value's errors on both parts: where
               a series comes to rest, the last value errs by next to nothing, and no network does
    surely     z of the sign test that the held-out errors are larger; NaN on less than 20 values
    """

    held_out: float
    trained: float
    fair: float
    surely: float

    @property
    def clearly_worse(self) -> bool:
        """Whether the last value is the better forecast, by a clear margin and more than chance.

        Threshold  fair > 1.2 and z > 2.5. Measured on 182 networks of the corpus' healthy series:
        1.10 at most, where the last value is the best there is (AR(1) of 0.9), and there z 1.9;
        on random walks 1.0 to 2.4.
        """
        return self.fair > CLEAR and self.surely > SURELY


def beside_last_value(evidence: Evidence) -> BesideLastValue | None:
    """None of what is no series, has nothing held out, or gave an answer that is not finite."""
    held = evidence.held_out
    if held is None or held.naive is None or held.trained_naive is None:
        return None
    if not (held.answers.finite and held.trained_answers.finite):
        return None
    surely = math.nan
    if len(held.answers.given) >= LEAST_ROWS:
        surely = surely_larger(held.answers.distances, held.naive.distances)
    usual = max(held.naive.error, held.trained_naive.error)
    return BesideLastValue(
        _times(held.answers, held.naive.error),
        _times(held.trained_answers, held.trained_naive.error),
        _times(held.answers, usual),
        float(surely),
    )


def _times(answers: Answers, naive: float) -> float:
    """NaN where the last value makes no error."""
    return answers.error / naive if naive > 0 else math.nan
