"""The cases over many seeds: is what users are told true, and what is the advice worth?

    python -m bench.case_seeds [ARTICLE...] [--seeds 10] [--jobs 2] [--write docs/cases.md]

What was seen of each case and seed is on the disk as soon as it is made: called again, it goes on
where it was stopped. What was made with other sources of the doctor is made again, unless --reuse.
Exit status: 0, 1 where something does not come out as expected (and says what), 2 bad input, 130
stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

from bench.corpus import fingerprint
from minirnn.diagnosis.cases import ARTICLES, Case, CaseSeen, Row, cases_of, play_all, rows_of
from minirnn.diagnosis.cases.judge import well
from minirnn.diagnosis.cases.pool import cores
from minirnn.diagnosis.cases.rows import cured, named_rightly
from minirnn.errors import ArgumentError, MinirnnError
from minirnn.report.cases import ending, markdown

RESULTS = Path(__file__).resolve().parent / "results" / "diagnosis-cases.jsonl"
EVERY = 20.0  # seconds between two lines of progress
Seen = dict[tuple[str, int], CaseSeen]

OPENING = """\
# What users are told, tried

Five articles answer the questions below, and people make mistakes of their own in their training
loops. Here every cause that is blamed and every fix that is advised, right or wrong, is trained
with {seeds} seeds (of the data, the weights, and the order of training), and judged by what is
measured. Only what is said, and what is expected of it, is written by hand.

`minirnn cases` runs the same with one seed, `minirnn cases 003` one article of it. This page is
written by `python -m bench.case_seeds --seeds {seeds} --write docs/cases.md`."""
READ = """\
A run is one cause with one seed. It *fails* where something above a note is found in it, or its
figure is no good; the last column counts the fixes that articles advise, tried on runs that fail.

## How to read it

Each case begins with the truth of it, in a sentence. Then its table:

| what is said begins with | and is |
|---|---|
|  | the cause that is blamed; what the doctor names at the root, *with* what follows from it |
| `->` | a fix that the article advises; *named* is what is left of the trouble |
| `=>` | a fix that we advise |
| `=> doctor:` | the remedies that the doctor kept, one after the other (`;`), in most runs |
| `!` | whatever did not come out as expected |

Numbers behind a name count seeds. Figures are medians over them, with the range, of what was held
out: `R2` (1 is perfect, 0 no better than the mean), `accuracy`, `spread` (how far answers differ,
as a share of how far targets do), `swing` (of the end of a free run, as a share of the data's),
`repeated` (how much of a generated text came before in it, in eights of characters), `error` (of a
series, in its own units).

| verdict on a cause | says |
|---|---|
| true | the network fails, and this is the root of it |
| a consequence | it is there, but something else brings it |
| another cause | the network fails for another reason |
| false | nothing harmful is found in a network with what is blamed |

| verdict on a fix | says |
|---|---|
| cures | nothing above a note is left, and the figure is good enough |
| helps | the figure rises by more than a tenth of the way from no network to a perfect one |
| makes it worse | it falls by as much |
| does nothing | neither |"""


def main(argv: list[str] | None = None) -> int:
    """Play what is not on file, tell, and write the page; the exit status."""
    given = _parser().parse_args(argv)
    try:
        return _run(given)
    except MinirnnError as error:
        print(f"bench.case_seeds: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped; the same command goes on.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("articles", nargs="*", metavar="ARTICLE", help="000 to 004, code, a case")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=cores(), help="processes (one each core)")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FILE.jsonl")
    parser.add_argument("--reuse", action="store_true", help="what other sources made, too")
    parser.add_argument("--write", type=Path, metavar="FILE.md", help="write the page there")
    return parser


def _run(given: argparse.Namespace) -> int:
    for name in ("seeds", "jobs"):
        if getattr(given, name) < 1:
            raise ArgumentError(f"--{name}", str(getattr(given, name)), "1 or more")
    cases = cases_of(tuple(given.articles))
    digest = fingerprint.behind()
    asked = [(case, seed) for seed in range(given.seeds) for case in cases]
    seen = _on_file(given.results, None if given.reuse else digest)
    left = [(case, seed) for case, seed in asked if (case.id, seed) not in seen]
    _play(left, given, digest, seen, len(asked))
    wanted = {(case.id, seed): seen[case.id, seed] for case, seed in asked}
    rows = [
        row
        for case in cases
        for row in rows_of(case, [each for (name, _), each in wanted.items() if name == case.id])
    ]
    print("\n".join(ending(rows)))
    if given.write is not None:
        given.write.write_text(page(cases, rows, wanted, given.seeds), encoding="utf-8")
    return 0 if all(row.as_expected for row in rows) else 1


def _on_file(path: Path, digest: str | None) -> Seen:
    """What was made before, of these sources; a line that a kill tore is passed over."""
    seen: Seen = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            table = json.loads(line)
            if digest is None or table["digest"] == digest:
                each = CaseSeen.from_dict(table)
                if not each.skipped:
                    seen[each.case, each.seed] = each
        except (ValueError, TypeError, KeyError):
            continue
    return seen


def _play(
    left: list[tuple[Case, int]], given: argparse.Namespace, digest: str, seen: Seen, of: int
) -> None:
    given.results.parent.mkdir(parents=True, exist_ok=True)
    began = told = time.monotonic()
    with given.results.open("a", encoding="utf-8") as file:
        file.write("\n" if file.tell() else "")  # a kill may have torn the last line
        for made, each in enumerate(play_all(left, given.jobs), 1):
            file.write(json.dumps({**each.to_dict(), "digest": digest}, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
            seen[each.case, each.seed] = each
            now = time.monotonic()
            if now - told >= EVERY or made == len(left):
                told = now
                minutes = (now - began) / made * (len(left) - made) / 60
                print(f"{of - len(left) + made} of {of}, {minutes:.1f} min left", flush=True)


def page(cases: tuple[Case, ...], rows: list[Row], seen: Seen, seeds: int) -> str:
    """docs/cases.md: what came of it, in numbers, and every row."""
    parts = [
        OPENING.format(seeds=seeds),
        "\n".join(_sums(cases, seen)),
        READ,
        "\n".join([*_wrong(rows)]),
    ]
    for article, title in ARTICLES.items():
        if any(case.article == article for case in cases):
            head = title if article == "code" else f"{article}: {title}"
            parts.append(f"## {head}\n\n{markdown(article, cases, rows)}")
    return "\n\n".join(part for part in parts if part) + "\n"


def _sums(cases: tuple[Case, ...], seen: Seen) -> list[str]:
    """A line an article: runs named rightly, ill ones that were cured, advice that is any good.

    Of the ill ones those count that can be cured: no edit makes random labels tell something.
    """
    lines = [
        "| article | causes | runs named as expected | that fail | cured, of those that can be "
        "| their fixes that cure or help |",
        "|---|---|---|---|---|---|",
    ]
    for article in ARTICLES:
        own = {case.id: case for case in cases if case.article == article}
        ran = [each for each in seen.values() if each.case in own and not each.skipped]
        if not ran:
            continue
        right = sum(named_rightly(own[each.case], each) for each in ran)
        ill = [each for each in ran if not well(own[each.case].measure, each.sick)]
        healed = [done for each in ill if (done := cured(own[each.case], each)) is not None]
        advised = [
            each.fixes[fix.id].verdict
            for each in ill
            for fix in own[each.case].fixes
            if not fix.ours and fix.id in each.fixes
        ]
        good = sum(verdict in ("cures", "helps") for verdict in advised)
        lines.append(
            f"| {article} | {len(own)} | {right} of {len(ran)} | {len(ill)} "
            f"| {sum(healed)} of {len(healed)} | {good} of {len(advised)} |"
        )
    return lines


def _wrong(rows: list[Row]) -> list[str]:
    told = ending(rows)
    return [told[0], *(f"- {line}" for line in told[1:])]


if __name__ == "__main__":
    sys.exit(main())
