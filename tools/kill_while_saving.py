"""Kill a process with SIGKILL at random moments while it saves, and see what is left.

    python tools/kill_while_saving.py --times 200

A process saves a checkpoint over and over, each with its own number in every array, and tells the
number when the save has returned. It is killed. The file must then be a whole checkpoint, of the
last number that was told or of the one after it. What the killed save left, the next one removes.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import minirnn as mr
from minirnn.training import load_checkpoint, save_checkpoint

LONGEST_WAIT = 0.03  # seconds from the first save to the kill
HIDDEN = 48  # some 150 KB a checkpoint: a good part of a save is writing


@dataclass
class Tally:
    """What the kills met.

    saves      that had returned
    in_a_save  kills that left a temporary file: the save was writing
    unknown    kills after which the file was one that was not yet told of: renamed, not returned
    """

    kills: int = 0
    saves: int = 0
    in_a_save: int = 0
    unknown: int = 0

    def __str__(self) -> str:
        return (
            f"{self.kills} kills after {self.saves} saves: {self.in_a_save} while it wrote, "
            f"{self.unknown} between rename and return; nothing was lost"
        )


class LostError(Exception):
    """Something that was saved is not there."""


def network() -> tuple[mr.Module, mr.optim.Optimizer]:
    """What is saved."""
    model = mr.LSTM(8, HIDDEN, rng=0)
    return model, mr.optim.Adam(model.parameters())


def save_numbers(path: Path, pipe: int, number: int) -> None:
    """Save `number`, the next, and so on, until killed; each is told when it is saved."""
    model, optimizer = network()
    while True:
        for parameter in model.parameters():
            parameter.data[...] = number
        save_checkpoint(path, model=model, optimizer=optimizer, extra={"number": number})
        os.write(pipe, number.to_bytes(8, "little"))
        number += 1


def number_in(path: Path) -> int:
    """The number that a checkpoint holds. Raises: LostError if it holds two, or is not whole."""
    try:
        checkpoint = load_checkpoint(path)
    except mr.CheckpointError as error:
        raise LostError(str(error)) from error
    number = int(checkpoint.extra["number"])
    for name, array in checkpoint.model.items():
        if not (array == number).all():
            raise LostError(f"{name} is not of save {number}")
    return number


def kill_once(path: Path, number: int, wait: float) -> tuple[int, int]:
    """Let a process save from `number` on, kill it after `wait`: what was told, what is there."""
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            os.close(reading)
            save_numbers(path, writing, number)
        finally:
            os._exit(1)  # never back into the parent's code
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read(8)  # the first save: from here on there is something to lose
        time.sleep(wait)
        os.kill(process, signal.SIGKILL)
        told += pipe.read()
    os.waitpid(process, 0)
    last = int.from_bytes(told[len(told) // 8 * 8 - 8 : len(told) // 8 * 8], "little")
    return last, number_in(path)


def kill_many(folder: Path, times: int, seed: int) -> Tally:
    """Kill so often. Raises: LostError."""
    path, chance, tally, number = folder / "run.safetensors", random.Random(seed), Tally(), 1
    for _ in range(times):
        told, there = kill_once(path, number, chance.uniform(0.0, LONGEST_WAIT))
        if there not in (told, told + 1):
            raise LostError(f"save {told} had returned, and the file is of save {there}")
        left = [each for each in folder.iterdir() if each != path]
        if len(left) > 1:  # of this kill; the first save removed what was left before
            raise LostError(f"{len(left)} temporary files are left")
        tally.kills += 1
        tally.saves += told - number + 1
        tally.in_a_save += len(left)
        tally.unknown += there - told
        number = there + 1
    model, optimizer = network()
    save_checkpoint(path, model=model, optimizer=optimizer)
    if [each for each in folder.iterdir() if each != path]:
        raise LostError("a temporary file outlasted the next save")
    return tally


def main() -> int:
    """Kill, and say what that did; the exit status is 1 if something was lost."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            print(kill_many(Path(folder), arguments.times, arguments.seed))
        except LostError as error:
            print(f"lost: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
