"""`minirnn warmup`: compile the kernels before they are needed."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from minirnn.commands.options import HEALTHY, add_output_options, print_json


def add(commands: Any) -> None:
    """Add the command to the parser of commands."""
    parser = commands.add_parser(
        "warmup",
        help="compile the kernels now, so that the first run does not wait",
        description="Compile the CPU kernels of every built-in cell (with tanh), and the products "
        "that all cells share, and keep them on disk, so that the first training does not wait for "
        "the compiler.",
    )
    add_output_options(parser)
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; its exit status."""
    from minirnn.kernels import cells, cpu
    from minirnn.kernels.cpu import build

    # What every cell shares goes first: it takes the longest, and would count as the first cell's.
    parts: list[tuple[str, Callable[[str], object]]] = [("shared", build.shared_of)]
    for cell in (cells.rnn(), cells.gru(), cells.lstm()):
        parts.append((cell.name, partial(cpu.warm_up, cell)))
    compiled: list[dict[str, Any]] = []
    for name, compile_in in parts:
        for dtype in ("float32", "float64"):
            started = time.perf_counter()
            compile_in(dtype)
            seconds = time.perf_counter() - started
            compiled.append({"kernels": name, "dtype": dtype, "seconds": seconds})
            if not (arguments.json or arguments.quiet):
                done = f"{len(compiled)}/{2 * len(parts)}"
                print(f"{done}  {name:6} {dtype}  {seconds:5.1f} s", flush=True)
    if arguments.json:
        print_json({"compiled": compiled})
    return HEALTHY
