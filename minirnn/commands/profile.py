"""`minirnn profile`: where the time of a recurrent network goes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from minirnn.commands.options import HEALTHY, count, print_json
from minirnn.errors import ArgumentError

OPTIONS = {  # of `minirnn profile`, by the arguments of `minirnn.profile`
    "steps": "--steps",
    "batch": "--batch",
    "input_size": "--input-size",
    "hidden_size": "--hidden-size",
    "num_layers": "--layers",
    "bidirectional": "--bidirectional",
    "dtype": "--dtype",
    "recompute": "--recompute",
    "device": "--device",
    "devices": "--device",
    "threads": "--threads",
    "compare": "--torch",
}


def add(commands: Any) -> None:
    """Add the command to the parser of commands."""
    parser = commands.add_parser(
        "profile",
        help="see where the time of a recurrent network goes",
        description="Run a cell, or the network of a recipe, forward and backward, and say what "
        "each phase takes: time, operations and bytes, beside what the processor can do and, if it "
        "is installed, beside PyTorch.",
    )
    parser.add_argument("target", metavar="TARGET", help="rnn, gru, lstm, or a recipe (.toml)")
    cell = parser.add_argument_group("for a cell (a recipe says these itself)")
    for name, metavar, default in (
        ("--steps", "T", 100), ("--batch", "B", 32), ("--input-size", "I", 32),
        ("--hidden-size", "H", 64), ("--layers", "L", 1),
    ):  # fmt: skip
        cell.add_argument(name, type=count, metavar=metavar, help=f"(default: {default})")
    cell.add_argument("--dtype", metavar="NAME", help="float32 (default) or float64")
    cell.add_argument("--bidirectional", action="store_true", default=None, help="run both ways")
    cell.add_argument(
        "--recompute", action="store_true", default=None, help="keep less, and compute it again"
    )
    parser.add_argument(
        "--device",
        metavar="NAMES",
        default="cpu",
        help="cpu, cuda, or both with a comma between them (default: %(default)s)",
    )
    parser.add_argument("--threads", type=count, metavar="N", help="(default: all cores)")
    parser.add_argument(
        "--growth",
        action="store_true",
        help="also double T, B and H in turn, and see how the time grows",
    )
    parser.add_argument(
        "--torch",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="time PyTorch as well (default: if it is installed)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the result as JSON, nothing else"
    )
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; its exit status."""
    from minirnn.profiling import profile

    target = _target(arguments.target)
    try:
        result = profile(
            target,
            steps=arguments.steps,
            batch=arguments.batch,
            input_size=arguments.input_size,
            hidden_size=arguments.hidden_size,
            num_layers=arguments.layers,
            bidirectional=arguments.bidirectional,
            dtype=arguments.dtype,
            recompute=arguments.recompute,
            devices=tuple(arguments.device.split(",")),
            threads=arguments.threads,
            growth=arguments.growth,
            compare={None: "auto", True: "torch", False: None}[arguments.torch],
        )
    except ArgumentError as error:
        option = OPTIONS.get(error.argument)
        if option is None:
            raise
        raise type(error)(option, error.came, error.wanted, error.hint) from None
    if arguments.json:
        print_json(result.to_dict())
    else:
        from minirnn.report.terminal import make_console

        console = make_console()
        console.print(result if console.is_terminal else result.table(), soft_wrap=True)
    return HEALTHY


def _target(text: str) -> Any:
    """The name of a cell, or the recipe in a file.

    Raises: RecipeError, or ArgumentError for what is neither.
    """
    from minirnn.diagnosis import Recipe
    from minirnn.profiling.build import LAYERS

    suffix = Path(text).suffix.lower()
    if suffix == ".toml":
        return Recipe.from_toml(text)
    if text not in LAYERS:
        hint = "`minirnn doctor` takes a CSV file" if suffix == ".csv" else ""
        raise ArgumentError("TARGET", repr(text), "rnn, gru, lstm or a recipe (.toml)", hint)
    return text
