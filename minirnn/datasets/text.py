"""Text to be modelled character by character."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minirnn.errors import ArgumentError, DataError
from minirnn.training.windows import check_count

PROVENANCE = (
    "Lewis Carroll, Alice's Adventures in Wonderland (1865), chapters I to VI, after Project "
    "Gutenberg's edition 2.9 as in the Canterbury Corpus. Public domain. See "
    "minirnn/datasets/data/PROVENANCE.md."
)


@dataclass(frozen=True, eq=False)
class Tokens:
    """A text as a series of symbols.

    tokens      (n,) int64, the place of each character in `alphabet`
    alphabet    the characters that occur, in ascending order, each once
    provenance  where the text comes from, and under what licence
    """

    name: str
    tokens: NDArray[np.int64]
    alphabet: str
    provenance: str

    def __len__(self) -> int:
        """The number of characters, n."""
        return len(self.tokens)

    @property
    def text(self) -> str:
        """The text itself."""
        return self.spelt(self.tokens)

    def spelt(self, tokens: Any) -> str:
        """What tokens (m,) of the same alphabet say."""
        return "".join(self.alphabet[int(token)] for token in tokens)


def text(characters: int | None = None) -> Tokens:
    """The first half of Alice's Adventures in Wonderland: 70,591 characters of 41 kinds.

    Letters are small, and every run of spaces and line ends is one space. `characters` takes so
    many from the beginning; None takes all.

    Raises: ArgumentError for `characters` below 2.
    """
    prose = (files("minirnn.datasets") / "data" / "alice.txt").read_text(encoding="ascii")
    return as_tokens(prose, "Alice in Wonderland", characters, PROVENANCE)


def as_tokens(
    prose: str, name: str = "text", characters: int | None = None, provenance: str = ""
) -> Tokens:
    """Any text, prepared as `text` does.

    Raises: ArgumentError for `characters` below 2; DataError for a text of one kind of character.
    """
    if not isinstance(prose, str):
        raise ArgumentError("prose", type(prose).__name__, "text")
    prose = " ".join(prose.lower().split())
    if characters is not None:
        prose = prose[: check_count("characters", characters, 2)]
    alphabet = "".join(sorted(set(prose)))
    if len(alphabet) < 2:
        raise DataError(
            name, f"a text of {len(prose)} characters and {len(alphabet)} kinds",
            "at least two kinds of characters",
        )  # fmt: skip
    codes = np.array([ord(each) for each in alphabet])
    tokens = np.searchsorted(codes, np.array([ord(each) for each in prose]))
    return Tokens(name, tokens.astype(np.int64), alphabet, provenance)
