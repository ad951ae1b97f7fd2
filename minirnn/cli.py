"""The command line: `minirnn demo`, `minirnn doctor`, `minirnn profile`, `minirnn warmup`.

Exit status: 0 healthy or cured, 1 an illness stands, 2 bad input (one line on stderr), 130 when
interrupted, 141 when whoever reads the output has gone.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import time
import webbrowser
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import minirnn
from minirnn.errors import ArgumentError, MinirnnError

if TYPE_CHECKING:
    from rich.console import Console

    from minirnn.diagnosis import Recipe

HEALTHY, ILL, BAD_INPUT, INTERRUPTED, NO_READER = 0, 1, 2, 130, 141
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
FREE_RUN = 1000  # steps at most, if so many are held out


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
    _add_demo(commands)
    _add_doctor(commands)
    _add_profile(commands)
    _add_warmup(commands)
    return parser


def _add_demo(commands: Any) -> None:
    parser = commands.add_parser(
        "demo",
        help="watch a recurrent network fail on real data, be diagnosed, and be cured",
        description="A story in three acts on the weekly CO2 record of Mauna Loa. The doctor "
        "trains an LSTM, names what is wrong with it, applies its own remedy and trains again. "
        "Takes about a minute, and writes one page with all the pictures.",
        epilog="Exit status: 0 when the network ends healthy, 1 when an illness stands.",
    )
    parser.add_argument(
        "--output",
        metavar="PAGE.html",
        default="minirnn-demo.html",
        help="where to write the page (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=_whole_number,
        default=0,
        help="of the weights and of the order of training (default: %(default)s)",
    )
    parser.add_argument(
        "--open",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="open the page in the web browser at the end",
    )
    _add_device(parser)
    _add_output_options(parser)
    parser.set_defaults(command=_demo)


def _add_doctor(commands: Any) -> None:
    parser = commands.add_parser(
        "doctor",
        help="train a network on your own series, name what is wrong with it, and cure it",
        description="Train a recurrent network on a column of a CSV file, or as a recipe in TOML "
        "declares; say what is wrong with it and why; apply the remedies and train again.",
        epilog="Exit status: 0 healthy or cured, 1 an illness stands, 2 bad input.",
    )
    parser.add_argument("file", metavar="FILE", help="a CSV file, or a recipe (.toml)")
    series = parser.add_argument_group("for a CSV file (a recipe says these itself)")
    series.add_argument(
        "--column",
        metavar="NAME",
        help="the column that holds the series; needed if there is more than one",
    )
    series.add_argument(
        "--window",
        type=_count,
        metavar="STEPS",
        help="how many values the network sees at a time (default: 48)",
    )
    series.add_argument(
        "--horizon",
        type=_count,
        metavar="STEPS",
        help="how many steps ahead it predicts (default: 1)",
    )
    parser.add_argument(
        "--epochs",
        type=_count,
        help="how often it goes through the training data (default: the recipe's, or 20)",
    )
    parser.add_argument(
        "--seed", type=_whole_number, help="of the weights and of the order of training"
    )
    parser.add_argument(
        "--repair",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="apply remedies and train again (default), or only name what is wrong",
    )
    parser.add_argument("--output", metavar="PAGE.html", help="write a page with the pictures")
    _add_device(parser)
    _add_output_options(parser)
    parser.set_defaults(command=_doctor)


def _add_profile(commands: Any) -> None:
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
        cell.add_argument(name, type=_count, metavar=metavar, help=f"(default: {default})")
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
    parser.add_argument("--threads", type=_count, metavar="N", help="(default: all cores)")
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
    parser.set_defaults(command=_profile)


def _add_warmup(commands: Any) -> None:
    parser = commands.add_parser(
        "warmup",
        help="compile the kernels now, so that the first run does not wait",
        description="Compile the CPU kernels of every built-in cell (with tanh), and the products "
        "that all cells share, and keep them on disk, so that the first training does not wait for "
        "the compiler.",
    )
    _add_output_options(parser)
    parser.set_defaults(command=_warmup)


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device",
        choices=("cpu", "cuda"),
        default="cpu",
        help="where the network is trained and looked into (default: %(default)s)",
    )


def _add_output_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--json", action="store_true", help="print the result as JSON, nothing else"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress, only the result")


def _whole_number(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = -1
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 0 or more")
    return value


def _count(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 1 or more")
    return value


def _demo(arguments: argparse.Namespace) -> int:
    from minirnn import demo
    from minirnn.report.extras import check_page_packages
    from minirnn.report.files import check_writable

    check_page_packages()
    page = check_writable(arguments.output, "--output")
    started = time.perf_counter()
    diagnosis = demo.run_demo(
        seed=arguments.seed,
        device=arguments.device,
        console=_console(arguments),
        progress=_progress(arguments),
    )
    seconds = time.perf_counter() - started
    demo.save_page(diagnosis, page)
    if arguments.json:
        _print_json({**diagnosis.to_dict(), "seed": arguments.seed, "seconds": seconds} | _at(page))
    else:
        print(f"\nThe pictures are in {page.resolve().as_uri()}\n({seconds:.0f} s)")
    if arguments.open:
        webbrowser.open(page.resolve().as_uri())
    return HEALTHY if diagnosis.healthy else ILL


def _doctor(arguments: argparse.Namespace) -> int:
    from minirnn.report import save_diagnosis_html, terminal
    from minirnn.report.extras import check_page_packages
    from minirnn.report.files import check_writable
    from minirnn.report.story import Wording

    page = None
    if arguments.output is not None:
        check_page_packages()
        page = check_writable(arguments.output, "--output")
    diagnosis = terminal.run_doctor(
        _recipe(arguments),
        repair=arguments.repair,
        device=arguments.device,
        console=_console(arguments),
        progress=_progress(arguments),
        wording=Wording(),
    )
    if page is not None:
        save_diagnosis_html(diagnosis, page)
    if arguments.json:
        _print_json(diagnosis.to_dict() | _at(page))
    elif page is not None:
        print(f"\nThe pictures are in {page.resolve().as_uri()}")
    return HEALTHY if diagnosis.healthy else ILL


def _profile(arguments: argparse.Namespace) -> int:
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
        _print_json(result.to_dict())
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


def _warmup(arguments: argparse.Namespace) -> int:
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
        _print_json({"compiled": compiled})
    return HEALTHY


def _recipe(arguments: argparse.Namespace) -> Recipe:
    """The recipe file, or a recipe around the CSV file, with the command line's own edits.

    Raises: RecipeError, DataError, or ArgumentError naming an option that does not fit.
    """
    from minirnn.diagnosis import Recipe

    options = {
        "data.window": arguments.window,
        "data.horizon": arguments.horizon,
        "training.epochs": arguments.epochs,
        "training.seed": arguments.seed,
    }
    edit = {key: value for key, value in options.items() if value is not None}
    if Path(arguments.file).suffix.lower() == ".toml":
        for name in ("column", "window", "horizon"):
            if getattr(arguments, name) is not None:
                hint = f"Set data.{name} in the recipe"
                raise ArgumentError(f"--{name}", "a recipe as well", "a CSV file with it", hint)
        return Recipe.from_toml(arguments.file).edit(edit)
    data = {"csv": arguments.file}
    if arguments.column is not None:
        data["column"] = arguments.column
    recipe = Recipe.from_dict({"data": data}).edit(edit)
    if recipe.data.horizon > 1:
        return recipe  # a free run goes step by step
    # As far as anything is held out; the run ends there by itself.
    steps = {"generation.steps": FREE_RUN, "generation.context": recipe.data.window}
    return recipe.edit(steps)


def _console(arguments: argparse.Namespace) -> Console | None:
    """Where the story is told: stdout, unless that is for JSON."""
    from minirnn.report.terminal import make_console

    return None if arguments.json else make_console()


def _progress(arguments: argparse.Namespace) -> bool | None:
    """Progress of training goes to stderr, where it disturbs neither tables nor JSON."""
    return False if arguments.quiet or arguments.json else None


def _at(page: Path | None) -> dict[str, str]:
    return {} if page is None else {"page": str(page.resolve())}


def _print_json(value: dict[str, Any]) -> None:
    print(json.dumps(value, indent=2, allow_nan=False))
