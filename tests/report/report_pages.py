"""Reading a page back, for the tests."""

from __future__ import annotations

import base64
import gzip
import json
import re
from html.parser import HTMLParser

LOADING = {"src", "srcset", "href", "action", "formaction", "data", "poster", "background"}


class Attributes(HTMLParser):
    """Collects every element, and every attribute that could make a browser load something."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loading: list[tuple[str, str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loading += [(tag, name, value or "") for name, value in attrs if name in LOADING]


def figures_of(html: str) -> list[dict]:
    """The figures' JSON, in order."""
    found = re.findall(r'data-figure="figure-\d+">(.*?)</script>', html, re.DOTALL)
    return [json.loads(gzip.decompress(base64.b64decode(each, validate=True))) for each in found]


def assert_self_contained(html: str) -> None:
    """The page needs nothing from the network, and tells the browser to refuse all of it."""
    (packed,) = re.findall(r'<script type="application/gzip" id="plotly">(.*?)</script>', html)
    assert len(gzip.decompress(base64.b64decode(packed, validate=True))) > 1_000_000
    ours = html.replace(packed, "")
    parser = Attributes()
    parser.feed(ours)
    assert "html" in parser.tags
    assert "section" in parser.tags
    assert not {"link", "iframe", "img", "object", "embed", "base"} & set(parser.tags)
    for tag, name, value in parser.loading:
        assert (tag, name, value[:1]) == ("a", "href", "#")
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|import\(", ours)
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', html)[1]
    assert "default-src 'none'" in policy
    assert "http" not in policy
