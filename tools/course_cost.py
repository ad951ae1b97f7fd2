"""What watching a recipe's training costs: `Course`'s share of the time of `fit`, by network.

python tools/course_cost.py [--epochs 20]
"""

from __future__ import annotations

import argparse
import time

import minirnn as mr
from minirnn.diagnosis.build import build_model, train
from minirnn.diagnosis.data import prepare
from minirnn.diagnosis.evidence.course import Course

SIZES = (("rnn", 8, 10), ("gru", 16, 20), ("lstm", 32, 48), ("lstm", 128, 100))


class Timed(Course):
    """A course that times itself: what `fit` waits for, and nothing else."""

    spent = 0.0

    def batch_ended(self, run: object) -> None:
        """As `Course`'s, timed."""
        began = time.perf_counter()
        super().batch_ended(run)  # type: ignore[arg-type]
        self.spent += time.perf_counter() - began


def main() -> None:
    """A line a network: the smallest are the worst, for their steps are the shortest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--epochs", type=int, default=20, help="a recipe's default; the first ten steps cost most"
    )
    given = parser.parse_args()
    mr.set_num_threads(1)
    for cell, hidden, T in SIZES:
        recipe = mr.Recipe.from_dict(
            {
                "data": {"builtin": "adding", "length": T, "samples": 1000},
                "model": {"cell": cell, "hidden_size": hidden},
                "training": {"epochs": given.epochs},
            }
        )
        data = prepare(recipe)
        for _ in range(2):  # the first compiles
            model = build_model(recipe, data)
            course = Timed(model, recipe, data)
            began = time.perf_counter()
            train(recipe, model, data, progress=False, callbacks=(course,))
            whole = time.perf_counter() - began
        share = course.spent / whole
        print(
            f"{cell} H={hidden} T={T}: {1e6 * course.spent / course.steps:.1f} us of "
            f"{1e6 * whole / course.steps:.0f} us a step, {100 * share:.2f}%"
        )


if __name__ == "__main__":
    main()
