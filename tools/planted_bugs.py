"""How many planted bugs `minirnn.testing.check_cell` catches, and how many it names rightly.

    python tools/planted_bugs.py            # a table of all, and the counts
    python tools/planted_bugs.py --storage float64

The bugs are those of tests/testing/someones_cell.py, each with the kind of cell and the causes that
name it rightly. Takes a minute.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from minirnn.testing import check_cell

sys.path.append(str(Path(__file__).parents[1] / "tests" / "testing"))


def main() -> int:
    """Print the table; the exit status is 1 if a bug is missed or fewer than 80% are named."""
    from someones_cell import BUGS, Someones

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--storage", default="float32")
    storage = parser.parse_args().storage
    caught = named = 0
    for bug, (kind, causes) in BUGS.items():
        mine = Someones(kind, bug)
        report = check_cell(mine.forward, cell=kind, backward=mine.backward, storage=storage)
        right = report.cause in causes
        caught += not report.passed
        named += right
        verdict = "missed" if report.passed else f"{len(report.failed):2} cases"
        told = report.cause if right else f"{report.cause}, not {' or '.join(causes)}"
        print(f"{bug:45} {kind:5} {verdict:9} {told}", flush=True)
    print(f"{caught} of {len(BUGS)} caught, {named} named rightly ({named / len(BUGS):.0%})")
    return caught < len(BUGS) or named < 0.8 * len(BUGS)


if __name__ == "__main__":
    sys.exit(main())
