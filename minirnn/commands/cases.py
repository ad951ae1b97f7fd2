"""`minirnn cases`: the failures that users report, and what the advice on them is worth."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from minirnn.commands.options import HEALTHY, ILL, count, place_of, print_json, whole_number

if TYPE_CHECKING:
    from minirnn.diagnosis.cases import Case, CaseSeen


def add(commands: Any) -> None:
    """Add the command to the parser of commands."""
    parser = commands.add_parser(
        "cases",
        help="run the failures that users report, and test the advice that is given on them",
        description="Five articles tell why recurrent networks fail and what to do; each cause and "
        "each fix that they name is trained here, right or wrong, beside the mistakes in people's "
        "own loops (those need PyTorch). Told for each: what the doctor names, what the fix does, "
        "and the verdict on the advice. All of it takes some minutes; one article less than one.",
        epilog="Exit status: 0 when everything comes out as expected, 1 when something does not, "
        "2 for bad input.",
    )
    parser.add_argument(
        "articles",
        metavar="ARTICLE",
        nargs="*",
        help='"000" to "004", "code" for mistakes in a user\'s own loop, or one case, such as '
        '"003.one-step" (default: all)',
    )
    parser.add_argument(
        "--seeds", type=count, default=1, metavar="N", help="with how many seeds (default: 1)"
    )
    parser.add_argument(
        "--first-seed",
        type=whole_number,
        default=0,
        metavar="SEED",
        help="which is the first (default: 0)",
    )
    parser.add_argument(
        "--jobs", type=count, metavar="N", help="how many processes (default: one each core)"
    )
    parser.add_argument("--list", action="store_true", help="only say what there is")
    parser.add_argument("--html", metavar="PAGE.html", help="write the tables as a page as well")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON, nothing else")
    parser.add_argument("--quiet", action="store_true", help="no progress, only the result")
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; its exit status."""
    from minirnn.diagnosis.cases import cases_of, rows_of
    from minirnn.diagnosis.cases.pool import cores, play_all
    from minirnn.report import cases as told
    from minirnn.report.extras import check_page_packages
    from minirnn.report.files import check_writable
    from minirnn.report.terminal import make_console

    chosen = cases_of(tuple(arguments.articles))
    if arguments.list:
        if arguments.json:
            print_json({"cases": [_listed(case) for case in chosen]})
        else:
            told.tell_list(make_console(), chosen)
        return HEALTHY
    page = None
    if arguments.html is not None:
        check_page_packages()
        page = check_writable(arguments.html, "--html")
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    asked = [(case, seed) for case in chosen for seed in seeds]
    made = play_all(asked, arguments.jobs or cores())
    seen = list(_followed(made, len(asked), arguments.quiet or arguments.json))
    rows = [row for case in chosen for row in rows_of(case, [s for s in seen if s.case == case.id])]
    if page is not None:
        told.save_page(chosen, rows, page)
    if arguments.json:
        print_json({"rows": [row.to_dict() for row in rows]} | place_of(page))
    else:
        console = make_console()
        told.tell(console, chosen, rows)
        if page is not None:
            print(f"\nThe tables are in {page.resolve().as_uri()}")
    return HEALTHY if all(row.as_expected for row in rows) else ILL


def _listed(case: Case) -> dict[str, Any]:
    return {
        "id": case.id,
        "says": case.says,
        "truth": case.truth,
        "expected": list(case.expect),
        "fixes": [{"id": fix.id, "says": fix.says, "ours": fix.ours} for fix in case.fixes],
    }


def _followed(made: Iterable[CaseSeen], of: int, quiet: bool) -> Iterable[CaseSeen]:
    """The same, with a bar on stderr that tells how far it is."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    off = quiet or not console.is_terminal
    with Progress(console=console, transient=True, disable=off) as progress:
        task = progress.add_task("cases", total=of)
        for each in made:
            progress.update(task, advance=1, description=each.case)
            yield each
