"""Run some of one symptom's plants by hand, and tell what the doctor says of each.

python -m bench.corpus.try_one SYMPTOM [--count 5] [--start 0] [--healthy] [--repair] [--full]
                                       [--part tuning]
"""

from __future__ import annotations

import argparse
import time
from typing import get_args

import minirnn as mr
from bench.corpus.row import Key
from bench.corpus.runs import sample_of, see
from bench.corpus.sample import Part


def main() -> None:
    """Print some lines a run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("symptom")
    parser.add_argument("--count", type=int, default=5, help="how many runs (5)")
    parser.add_argument("--start", type=int, default=0, help="the number of the first (0)")
    parser.add_argument("--healthy", action="store_true", help="the near-misses")
    parser.add_argument("--repair", action="store_true", help="cure them, and try the control")
    parser.add_argument("--part", choices=get_args(Part), default="tuning")
    parser.add_argument("--full", action="store_true", help="all that the doctor says")
    given = parser.parse_args()
    mr.set_num_threads(1)
    kind = "healthy" if given.healthy else "faulty"
    for number in range(given.start, given.start + given.count):
        key = Key(given.symptom, kind, given.part, number)
        sample = sample_of(key)
        started = time.perf_counter()
        seen = see(key, sample, mend=given.repair)
        seconds = time.perf_counter() - started
        told = seen.diagnosis
        root = told.root.symptom if told.root else "healthy"
        harmful = [finding.symptom for finding in told if finding.harmful]
        notes = [finding.symptom for finding in told if not finding.harmful]
        spurious = set(harmful) - sample.also - {sample.symptom}
        well = root == (sample.symptom or "healthy") and not spurious
        print(
            f"{'ok  ' if well else 'BAD '}{number:3} {seconds:5.1f} s  {sample.what}\n"
            f"        root {root}; all {harmful}; notes {notes}"
        )
        if spurious:
            print(f"        neither planted nor in `also`: {', '.join(sorted(spurious))}")
        for verdict in seen.verdicts:
            print(f"        {verdict}")
        if seen.cured is not None:
            end = "cured" if seen.cured.healthy and harmful else "NOT CURED"
            print(f"        {end}; at random {_control(seen.control)}: {'; '.join(seen.drawn)}")
        if given.full:
            print(told)


def _control(ended_healthy: bool | None) -> str:
    return "not tried" if ended_healthy is None else "cured" if ended_healthy else "not cured"


if __name__ == "__main__":
    main()
