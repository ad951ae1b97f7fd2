"""The command line: `minirnn demo`, `doctor`, `cases`, `inspect`, `profile` and `warmup`.

Exit status: 0 healthy or cured, 1 an illness stands, 2 bad input (one line on stderr), 130 when
interrupted, 141 when whoever reads the output has gone. What each command does is in
`minirnn.commands`.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence

import minirnn
from minirnn.commands import cases, demo, doctor, inspect, profile, warmup
from minirnn.commands.options import BAD_INPUT, INTERRUPTED, NO_READER
from minirnn.errors import MinirnnError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; `argv` defaults to the process's arguments."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A stream that cannot write "×" shall write "?", not end a minute's work with a traceback.
        sys.stdout.reconfigure(errors="replace")
    try:
        arguments = _parser().parse_args(argv)
        command: Callable[[argparse.Namespace], int] = arguments.command
        status = command(arguments)
        if sys.stdout is not None:  # started with it closed: then nothing was printed
            sys.stdout.flush()
        return status
    except MinirnnError as error:
        print(f"minirnn: error: {_one_line(error)}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("\nminirnn: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Python flushes stdout once more at exit; give it somewhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NO_READER
    except (OSError, MemoryError) as error:  # a full disk; a network larger than the machine
        print(f"minirnn: error: {' '.join(str(error).split())}", file=sys.stderr)
        return BAD_INPUT


def _one_line(error: MinirnnError) -> str:
    return " ".join(str(error).split())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="minirnn",
        description="Recurrent networks in which nothing inside backpropagation through time is "
        "hidden, and a doctor that says why one fails.",
        epilog="Exit status: 0 healthy or cured, 1 an illness stands, 2 bad input.",
    )
    parser.add_argument("--version", action="version", version=f"minirnn {minirnn.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (demo, doctor, cases, inspect, profile, warmup):
        command.add(commands)
    return parser
