"""What commands share: exit statuses, options, and where they print."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

HEALTHY, ILL, BAD_INPUT, INTERRUPTED, NO_READER = 0, 1, 2, 130, 141


def add_device(
    parser: argparse.ArgumentParser,
    where: str = "where the network is trained and looked into",
) -> None:
    """Add `--device`."""
    parser.add_argument(
        "--device",
        choices=("cpu", "cuda"),
        default="cpu",
        help=f"{where} (default: %(default)s)",
    )


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """Add `--json` and `--quiet`."""
    parser.add_argument(
        "--json", action="store_true", help="print the result as JSON, nothing else"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress, only the result")


def whole_number(text: str) -> int:
    """A whole number of at least 0. Raises: ArgumentTypeError."""
    try:
        value = int(text)
    except ValueError:
        value = -1
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 0 or more")
    return value


def count(text: str) -> int:
    """A whole number of at least 1. Raises: ArgumentTypeError."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 1 or more")
    return value


def duration(text: str) -> float:
    """Seconds, a number above 0. Raises: ArgumentTypeError."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value


def console_of(arguments: argparse.Namespace) -> Console | None:
    """Where the story is told: stdout, unless that is for JSON."""
    from minirnn.report.terminal import make_console

    return None if arguments.json else make_console()


def progress_of(arguments: argparse.Namespace) -> bool | None:
    """Progress of training goes to stderr, where it disturbs neither tables nor JSON."""
    return False if arguments.quiet or arguments.json else None


def place_of(page: Path | None) -> dict[str, str]:
    """Where the page is, for JSON."""
    return {} if page is None else {"page": str(page.resolve())}


def print_json(value: dict[str, Any]) -> None:
    """Print it as JSON, which has no NaN."""
    print(json.dumps(value, indent=2, allow_nan=False))
