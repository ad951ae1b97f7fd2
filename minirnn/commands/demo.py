"""`minirnn demo`: a network fails on real data, is diagnosed, and cured."""

from __future__ import annotations

import argparse
import time
import webbrowser
from typing import Any

from minirnn.commands.options import (
    HEALTHY,
    ILL,
    add_device,
    add_output_options,
    console_of,
    place_of,
    print_json,
    progress_of,
    whole_number,
)


def add(commands: Any) -> None:
    """Add the command to the parser of commands."""
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
        type=whole_number,
        default=0,
        help="of the weights and of the order of training (default: %(default)s)",
    )
    parser.add_argument(
        "--open",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="open the page in the web browser at the end",
    )
    add_device(parser)
    add_output_options(parser)
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; its exit status."""
    from minirnn import demo
    from minirnn.report.extras import check_page_packages
    from minirnn.report.files import check_writable

    check_page_packages()
    page = check_writable(arguments.output, "--output")
    started = time.perf_counter()
    diagnosis = demo.run_demo(
        seed=arguments.seed,
        device=arguments.device,
        console=console_of(arguments),
        progress=progress_of(arguments),
    )
    seconds = time.perf_counter() - started
    demo.save_page(diagnosis, page)
    if arguments.json:
        print_json(
            {**diagnosis.to_dict(), "seed": arguments.seed, "seconds": seconds} | place_of(page)
        )
    else:
        print(f"\nThe pictures are in {page.resolve().as_uri()}\n({seconds:.0f} s)")
    if arguments.open:
        webbrowser.open(page.resolve().as_uri())
    return HEALTHY if diagnosis.healthy else ILL
