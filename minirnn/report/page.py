"""A page as plain data, and its rendering: one HTML file that needs nothing from the network.

A `Page` has sections, a section has blocks. What a block holds is plain text and figures; the
template escapes all of it, so a column called `<script>` is shown and not run. The page also
carries a Content-Security-Policy that lets a browser load nothing from anywhere.
"""

from __future__ import annotations

import base64
import gzip
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from minirnn.report.extras import require
from minirnn.report.files import write_atomically


@dataclass(frozen=True)
class Text:
    """Paragraphs of plain text."""

    kind: ClassVar[str] = "text"
    paragraphs: Sequence[str]


@dataclass(frozen=True)
class Figure:
    """A plotly figure with a title and a sentence that says how to read it."""

    title: str
    figure: Any
    explanation: str = ""


@dataclass(frozen=True)
class Figures:
    """Figures side by side where there is room (`wide`: one below the other)."""

    kind: ClassVar[str] = "figures"
    figures: Sequence[Figure]
    heading: str = ""
    explanation: str = ""
    wide: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of text; the first column names the row."""

    kind: ClassVar[str] = "table"
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    heading: str = ""
    note: str = ""


@dataclass(frozen=True)
class Card:
    """One finding of the doctor; `remedies` are pairs of an edit and its reason.

    `root`: nothing else that was found explains it. The others are shown folded.
    """

    symptom: str
    severity: str
    where: str
    words: str
    evidence: Sequence[tuple[str, str]] = ()
    consequences: str = ""
    remedies: Sequence[tuple[str, str]] = ()
    would_not_help: Sequence[tuple[str, str]] = ()
    root: bool = True


@dataclass(frozen=True)
class Cards:
    """Findings, or a sentence where there are none."""

    kind: ClassVar[str] = "cards"
    cards: Sequence[Card]
    heading: str = ""
    otherwise: str = ""


@dataclass(frozen=True)
class Terms:
    """A glossary."""

    kind: ClassVar[str] = "terms"
    terms: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Code:
    """Text shown as it is, folded away under its heading."""

    kind: ClassVar[str] = "code"
    heading: str
    text: str


Block = Text | Figures | Table | Cards | Terms | Code


@dataclass(frozen=True)
class Section:
    """A part of the page with an entry in its table of contents; `anchor` is unique and ASCII."""

    anchor: str
    heading: str
    blocks: Sequence[Block]
    label: str = ""  # a word above the heading, such as "Act 1"


@dataclass(frozen=True)
class Page:
    """A whole page: title, opening paragraphs, verdict, a line of facts about the run, sections."""

    title: str
    opening: Sequence[str]
    sections: Sequence[Section]
    facts: Sequence[tuple[str, str]] = ()
    verdict: str = ""
    healthy: bool = True


def render(page: Page) -> str:
    """The page as HTML text.

    Raises: MissingExtraError that names the extra "report" when plotly or jinja2 is not installed.
    """
    jinja2 = require("jinja2")
    offline = require("plotly.offline")
    templates = Path(__file__).parent / "templates"
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    markup = require("markupsafe").Markup
    return str(
        environment.get_template("page.html").render(
            page=page,
            # These are ours, plotly's own, or in base64: no text that came from a user.
            css=markup((templates / "page.css").read_text("utf-8")),
            script=markup((templates / "page.js").read_text("utf-8")),
            plotly=markup(_packed_once(offline.get_plotlyjs())),
            packed=lambda figure: markup(packed(str(figure.to_json()))),
        )
    )


def packed(text: str) -> str:
    """Text as gzip in base64: plotly's 4.8 MB become 2, and figures half of what they were.

    Browsers since 2023 unpack it by themselves (DecompressionStream). Nothing in base64 can close
    the element that holds it, or open another.
    """
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode("ascii")


@cache
def _packed_once(library: str) -> str:
    return packed(library)


def write(page: Page, path: str | os.PathLike[str]) -> Path:
    """Render the page and write it to `path` whole or not at all; returns the path.

    Raises: MissingExtraError as `render`; ArgumentError naming `path` when it cannot be written.
    """
    return write_atomically(path, render(page))
