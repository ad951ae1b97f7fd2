"""MINIRNN_VECTOR_BYTES=32 python -m bench.apart.narrow lstm 200x64x128x256 training 2 11

A layer and the FMA peak in turns, in a process whose vectors have the width that the environment
names: a forced width holds for all of a process. The result is held to the reference first.
"""

from __future__ import annotations

import json
import sys

import minirnn as mr
from bench.pairs import Repeated, Rounds
from bench.peak import fma_peak
from bench.problem import problem
from bench.shapes import Shape
from bench.sides import Ours, checked
from minirnn.kernels.cpu.vector import vector_bytes


def main(cell: str, shape: str, mode: str, threads: str, rounds: str) -> None:
    """Measure and print the readings as JSON."""
    mr.set_num_threads(int(threads))
    size = Shape(*map(int, shape.split("x")))
    ours = checked(Ours(problem(cell, size), "float32"), "float32", mode)
    turns = Rounds({"minirnn": Repeated(getattr(ours, mode)), "fma_peak": fma_peak("float32")})
    for _ in range(int(rounds)):
        turns.next()
    print(json.dumps({"vector_bytes": vector_bytes(), "readings": turns.readings}))


if __name__ == "__main__":
    main(*sys.argv[1:])
