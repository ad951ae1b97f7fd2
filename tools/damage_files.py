"""Damage files of every kind in every way, and see that none of them is taken for whole.

    python tools/damage_files.py         # two minutes
    python tools/damage_files.py --full  # half an hour

Each file is cut at every length; of every byte each single bit is flipped, and it is set to 0x00
and 0xff; with --full each byte of the header is set to all of the other 255 values. Every time,
reading the file must raise CheckpointError, and take no more memory than is stated in
tests/files/test_tensors.py.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np

import minirnn as mr
from minirnn.interop.safetensors import load_model, save_model
from minirnn.training import Epoch, History, load_checkpoint, save_checkpoint

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "files"))

from damage import accepted, accepted_when_truncated, header_bytes

ALL = range(1, 256)  # masks: every other value of a byte
BITS = [1 << bit for bit in range(8)]
MOST = 64 * 2**20


def a_trace(path: Path) -> None:
    """One sequence of two steps through an RNN of one unit."""
    with mr.record() as recording:
        output, _ = mr.RNN(1, 1, rng=0)(np.ones((2, 1, 1), np.float32))
        output.sum().backward()
    recording.traces[0].save(path)


def a_checkpoint(path: Path) -> None:
    """A linear map, its optimiser, an epoch."""
    model = mr.Linear(1, 1, rng=0)
    save_checkpoint(
        path,
        model=model,
        optimizer=mr.optim.SGD(model.parameters(), 0.1),
        history=History([Epoch(1, 1, 0.5, 1.0, 1.0, 0.1, 0.0)]),
    )


def a_model(path: Path) -> None:
    """A GRU of two units and a head."""
    model = mr.SequenceModel("gru", input_size=1, hidden_size=2, output_size=1, rng=0)
    save_model(model, path)


KINDS: dict[str, tuple[Callable[[Path], None], Callable[[Path], object]]] = {
    "trace": (a_trace, mr.Trace.load),
    "checkpoint": (a_checkpoint, load_checkpoint),
    "model": (a_model, load_model),
}


def damage(kind: str, path: Path, full: bool) -> list[str]:
    """Every damage that was taken for a whole file, in words; figures are printed."""
    save, load = KINDS[kind]
    save(path)
    size, header = path.stat().st_size, header_bytes(path.read_bytes())
    started = time.perf_counter()
    cuts = accepted_when_truncated(path, load, mr.CheckpointError)
    values = accepted(path, load, mr.CheckpointError, ALL if full else BITS, range(header))
    flips = accepted(path, load, mr.CheckpointError, BITS, range(header, size))
    seconds = time.perf_counter() - started
    tracemalloc.start()
    passed = accepted(path, load, mr.CheckpointError, [1, 128], range(0, header, 7))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(
        f"{kind}: {size} bytes, {header} of them header, cut at every length; "
        f"{'255 values' if full else '8 bits, 0x00 and 0xff'} of each byte of the header, "
        f"8 bits, 0x00 and 0xff of the others; {seconds:.0f} s; "
        f"at most {peak / 2**20:.1f} MiB at a time"
    )
    if peak > MOST:
        passed.append((-1, peak))
    return [f"{kind}: {each}" for each in (*cuts, *values, *flips, *passed)]


def main() -> int:
    """Damage, and say what passed; the exit status is 1 if anything did."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--full", action="store_true", help="all values of a header's bytes")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    arguments = parser.parse_args()
    passed: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for kind in arguments.kinds:
            passed += damage(kind, Path(folder) / kind, arguments.full)
    print("\n".join(["taken for whole:", *passed] if passed else ["all refused"]))
    return 1 if passed else 0


if __name__ == "__main__":
    sys.exit(main())
