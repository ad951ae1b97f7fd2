"""Every mutant of `testing.causes.mutants` as an implementation: is it named, and nothing else?

    python tools/confusion.py                 all cells, directions, with and without lengths
    python tools/confusion.py --cells gru     some of them

Prints, for each mutant that is not named alone, what was told; and the counts. Some 10 minutes.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections import Counter
from typing import Any

import numpy as np

from minirnn.kernels import cells
from minirnn.kernels.contract import Weights
from minirnn.testing import ReferenceMismatch, assert_matches_reference, reference
from minirnn.testing.causes.mutants import mutants_of
from minirnn.testing.causes.search import Prediction

CELLS = {
    "rnn": cells.rnn(),
    "gru": cells.gru(),
    "gru_before": cells.gru(reset="before"),
    "lstm": cells.lstm(),
}


def question(name: str, lengths: bool, reverse: bool) -> Any:
    """A random call, and the reference's run of it."""
    cell, rng = CELLS[name], np.random.default_rng(7)
    T, B, I, H = 6, 4, 5, 5  # noqa: E741
    shapes = [(len(cell.input_slots) * H, I), (len(cell.hidden_slots) * H, H)]
    shapes += [shape[:1] for shape in shapes]
    return reference(
        cell,
        rng.normal(size=(T, B, I)),
        [rng.normal(size=(B, H)) for _ in cell.states],
        Weights(*(0.6 * rng.normal(size=shape) for shape in shapes)),
        lengths=np.array([6, 4, 3, 5]) if lengths else None,
        reverse=reverse,
        doutput=rng.normal(size=(T, B, H)),
        dstate=[rng.normal(size=(B, H)) for _ in cell.states],
    )


def confusions(name: str, lengths: bool, reverse: bool, dtype: str) -> Counter[str]:
    """How the mutants of a call were told."""
    expected = question(name, lengths, reverse)
    assert expected.call is not None
    told: Counter[str] = Counter()
    for mutant in mutants_of(expected.call):
        predicted = Prediction(expected.call, mutant)
        names = [n for n in expected.arrays() if n.split(".")[0] in ("output", "state", "grad")]
        arrays = {n: np.asarray(predicted(n), dtype) for n in names}
        try:
            assert_matches_reference(arrays, expected, seconds=600)
        except ReferenceMismatch as error:
            right = error.causes == (mutant.cause,)
            among = "one of several" if mutant.cause in error.causes else "wrong"
            told["named" if right else among if error.causes else "none"] += 1
            if not right:
                print(f"  {mutant.cause} ({mutant.told}): {error.causes} {error.told}")
        else:
            told["the same as the reference"] += 1
    return told


def main() -> int:
    """The table; 1 if any was told as what it is not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", nargs="+", default=list(CELLS), choices=list(CELLS))
    total: Counter[str] = Counter()
    dtypes = ("float64", "float32")
    chosen = parser.parse_args().cells
    for case in itertools.product(chosen, (False, True), (False, True), dtypes):
        counts = confusions(*case)
        name, lengths, reverse, dtype = case
        which = f"{'ragged' if lengths else 'whole'}, {'reverse' if reverse else 'forward'}"
        print(f"{name}, {which}, {dtype}: {dict(counts)}", flush=True)
        total += counts
    print("all:", dict(total))
    return int(total["wrong"] > 0)


if __name__ == "__main__":
    sys.exit(main())
