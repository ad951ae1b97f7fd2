"""Writes the tables and figures of docs/performance.md from a file of results.

python -m bench.report [bench/results/<cpu>-<date>.json]     (the newest, if none is named)

The tables about the GPU are of the newest file that `make gpu-check` wrote, if there is one.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench import gpu_tables, other_tables, tables
from bench.drawings import draw_all
from bench.regions import fill
from bench.results import Results, newest, newest_of_gpu
from minirnn.errors import MinirnnError
from minirnn.report.files import write_atomically

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = DOCS / "performance.md"


def gpu_results() -> Results | None:
    """The newest results of a GPU, if there are any."""
    path = newest_of_gpu()
    return None if path is None else Results.load(path)


def contents(results: Results, gpu: Results | None = None) -> dict[str, str]:
    """The text of every region of the page."""
    return {
        "machine": other_tables.machine(results),
        "in-short": tables.in_short(results),
        "float32": tables.layers(results, "float32"),
        "float64": tables.layers(results, "float64"),
        "large": tables.large(results, "compare"),
        "phases": tables.phases(results),
        "avx2": tables.large(results, "narrow"),
        "threads": tables.threads(results),
        "recording": other_tables.recording(results),
        "recompute": other_tables.recompute(results),
        "memory": other_tables.memory(results),
        "step": other_tables.step(results),
        "small": other_tables.small(results),
        "start": other_tables.start(results),
        "imports": other_tables.imports(results),
        "noise": other_tables.noise(results),
        **gpu_tables.contents(gpu),
    }


def main(argv: list[str] | None = None) -> int:
    """Fill the page and draw the figures; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, nargs="?", help="a file that make bench wrote")
    try:
        path = parser.parse_args(argv).results or newest()
        results = Results.load(path)
        page = fill(PAGE.read_text(encoding="utf-8"), contents(results, gpu_results()))
        drawn = draw_all(results, DOCS / "images")
        write_atomically(PAGE, page)
    except MinirnnError as error:
        print(f"bench.report: error: {error}", file=sys.stderr)
        return 2
    print(f"wrote {PAGE} and {len(drawn)} figures from {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
