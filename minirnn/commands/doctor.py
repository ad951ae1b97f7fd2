"""`minirnn doctor`: train on a series of one's own, name what is wrong, and cure it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minirnn.commands.options import (
    HEALTHY,
    ILL,
    add_device,
    add_output_options,
    console_of,
    count,
    duration,
    place_of,
    print_json,
    progress_of,
    whole_number,
)
from minirnn.errors import ArgumentError, DataError

if TYPE_CHECKING:
    from minirnn.diagnosis import Recipe

TABLES = (".csv", ".tsv")
NO_TABLE = (
    "A text, or arrays, are told by a recipe: a file whose name ends in .toml, with the lines "
    '[data], text = "book.txt", [training], loss = "cross_entropy"; docs/recipe.md has them all'
)
FREE_RUN = 1000  # steps at most, if so many are held out


def add(commands: Any) -> None:
    """Add the command to the parser of commands."""
    parser = commands.add_parser(
        "doctor",
        help="train a network on your own series, name what is wrong with it, and cure it",
        description="Train a recurrent network on a column of a CSV file, or as a recipe in TOML "
        "declares; say what is wrong with it and why; apply the remedies and train again.",
        epilog="Exit status: 0 healthy or cured, 1 an illness stands, 2 bad input, 130 stopped by "
        "Ctrl-C, after telling what is known by then.",
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
        type=count,
        metavar="STEPS",
        help="how many values the network sees at a time (default: 48)",
    )
    series.add_argument(
        "--horizon",
        type=count,
        metavar="STEPS",
        help="how many steps ahead it predicts (default: 1)",
    )
    parser.add_argument(
        "--epochs",
        type=count,
        help="how often it goes through the training data (default: the recipe's, or 20)",
    )
    parser.add_argument(
        "--seed", type=whole_number, help="of the weights and of the order of training"
    )
    parser.add_argument(
        "--repair",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="apply remedies and train again (default), or only name what is wrong",
    )
    parser.add_argument(
        "--trainings",
        type=count,
        metavar="N",
        help="how often it may train, the first time included (default: 8)",
    )
    parser.add_argument(
        "--seconds",
        type=duration,
        metavar="LIMIT",
        help="how long all of it may take; then it tells what it knows (default: no limit)",
    )
    parser.add_argument(
        "--keep",
        metavar="FILE.json",
        help="keep every finished training there: called again, it goes on where it was stopped. "
        "What is read back is told, but has no pictures",
    )
    parser.add_argument("--output", metavar="PAGE.html", help="write a page with the pictures")
    add_device(parser)
    add_output_options(parser)
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; its exit status."""
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
        console=console_of(arguments),
        progress=progress_of(arguments),
        wording=Wording(),
        **_budget(arguments),
    )
    if page is not None:
        save_diagnosis_html(diagnosis, page)
    if arguments.json:
        print_json(diagnosis.to_dict() | place_of(page))
    elif page is not None:
        print(f"\nThe pictures are in {page.resolve().as_uri()}")
    if diagnosis.interrupted:  # what is known by then has been told
        raise KeyboardInterrupt
    return HEALTHY if diagnosis.healthy else ILL


def _budget(arguments: argparse.Namespace) -> dict[str, Any]:
    """What is given of the doctor's own limits."""
    given = {name: getattr(arguments, name) for name in ("trainings", "seconds", "keep")}
    return {name: value for name, value in given.items() if value is not None}


def _check_table(arguments: argparse.Namespace) -> None:
    """Tell at once that a file is no table, and what a recipe looks like where it may be one.

    Raises: DataError.
    """
    from minirnn.training import read_column

    try:
        read_column(arguments.file, arguments.column)
    except DataError as error:
        if Path(arguments.file).suffix.lower() in TABLES or not Path(arguments.file).is_file():
            raise
        hint = f"{error.hint}. {NO_TABLE}" if error.hint else NO_TABLE
        raise DataError(error.argument, error.came, error.wanted, hint) from error


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
    _check_table(arguments)
    data = {"csv": arguments.file}
    if arguments.column is not None:
        data["column"] = arguments.column
    recipe = Recipe.from_dict({"data": data}).edit(edit)
    if recipe.data.horizon > 1:
        return recipe  # a free run goes step by step
    # As far as anything is held out; the run ends there by itself.
    steps = {"generation.steps": FREE_RUN, "generation.context": recipe.data.window}
    return recipe.edit(steps)
