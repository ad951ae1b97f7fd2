"""Try one symptom's plants on the tuning part, and tell what the doctor says.

python -m bench.corpus.try_one SYMPTOM [--count 5] [--healthy] [--repair]
"""

from __future__ import annotations

import argparse
import time

import minirnn as mr
from bench.corpus.plants import plants
from bench.corpus.sample import generator


def main() -> None:
    """Print a line a run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("symptom")
    parser.add_argument("--count", type=int, default=5)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--healthy", action="store_true")
    parser.add_argument("--repair", action="store_true")
    given = parser.parse_args()
    mr.set_num_threads(1)
    plant = plants()[given.symptom]
    kind = "healthy" if given.healthy else "faulty"
    for number in range(given.start, given.start + given.count):
        rng = generator(given.symptom, kind, "tuning", number)
        sample = getattr(plant, kind)(rng)
        started = time.perf_counter()
        recipe = mr.Recipe.from_dict(sample.recipe)
        told = mr.doctor(recipe, repair=given.repair, progress=False)
        seconds = time.perf_counter() - started
        before = told.before
        root = before.root.symptom if before.root else "healthy"
        harmful = [finding.symptom for finding in before.findings if finding.harmful]
        notes = [finding.symptom for finding in before.findings if not finding.harmful]
        well = root == (sample.symptom or "healthy")
        print(
            f"{'ok  ' if well else 'BAD '}{number:3} {seconds:5.1f} s  {sample.what}\n"
            f"        root {root}; all {harmful}; notes {notes}"
        )
        if given.repair:
            for attempt in told.attempts[1:]:
                print(f"        {attempt.verdict}")
            print(f"        {'cured' if told.healthy else 'NOT CURED'}")


if __name__ == "__main__":
    main()
