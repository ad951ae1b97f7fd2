"""What a case declares: a network that is said to fail, what is blamed, and what is advised.

A case is one cause that an article names (or leaves out), as a recipe or as somebody's training
loop; its fixes are what the article advises against it, and what we advise where that fails. What
is declared here is an expectation; what stands in the tables is measured (see `judge.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from minirnn.diagnosis.cases.measures import R2, Measure

Tables = Mapping[str, Any]  # of a recipe
Edit = Mapping[str, object]  # dotted keys of a recipe
Pairs = tuple[tuple[str, str], ...]  # of a script: some text, and what stands there instead

OfFix = Literal["cures", "helps", "does nothing", "makes it worse", "cannot run"]
OfCause = Literal["true", "false", "a consequence", "another cause", "cannot run"]

ARTICLES: dict[str, str] = {
    "000": "Why does the recurrent network output loop?",
    "001": "Why does an RNN produce identical outputs for different inputs?",
    "002": "Why is an LSTM consistently producing the same value?",
    "003": "Why is an autoregressive LSTM stuck on a single value?",
    "004": "Why is the loss not decreasing, the validation accuracy not improving?",
    "code": "Mistakes in a user's own code",
}


@dataclass(frozen=True)
class Fix:
    """One change against a case.

    says     what is advised, in a few words
    covers   what of the article's catalogue this is (see `catalogue.py`)
    edit     of the recipe: dotted keys, or what makes them from a seed; of a script: `Pairs`
    instead  another recipe altogether, made from a seed, where keys do not reach
    expect   the verdicts that we expect of the measurement
    ours     whether the advice is ours, not the article's
    """

    id: str
    says: str
    expect: tuple[OfFix, ...]
    edit: Edit | Callable[[int], Edit] | Pairs = field(default_factory=dict)
    instead: Callable[[int], Tables] | None = None
    covers: tuple[str, ...] = ()
    ours: bool = False


@dataclass(frozen=True)
class Case:
    """One cause, right or wrong, and everything advised against it.

    id       unique, after its article: "001.unscaled"
    says     what the article holds to be the cause, in our words; or what it leaves out
    truth    what is so, in a sentence
    covers   what of the article's catalogue this is
    recipe   the network with that cause, made from a seed; or `script`: a PyTorch training loop
             that is run with `watch` and `SEED`, and leaves `watched` and `skill`
    expect   the symptoms of which one should stand at the root; () where nothing should be found
    blames   the symptoms that the article's explanation comes to
    cause    the verdicts on the cause that we expect
    curable  whether the doctor should find a cure by itself
    measure  what tells whether the network does what it was made for
    """

    id: str
    says: str
    truth: str
    expect: tuple[str, ...]
    cause: tuple[OfCause, ...]
    recipe: Callable[[int], Tables] | None = None
    script: str = ""
    blames: frozenset[str] = frozenset()
    covers: tuple[str, ...] = ()
    fixes: tuple[Fix, ...] = ()
    curable: bool = True
    measure: Measure = R2

    @property
    def article(self) -> str:
        """Which article it is from."""
        return self.id.partition(".")[0]
