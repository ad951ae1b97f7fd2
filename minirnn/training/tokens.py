"""Prepare a text for a network: split it, cut windows from it, and let a network continue it.

As with a series (see `series`), the last share is held out; a held-out window may reach back into
the training part for its context, its target never does. n tokens of V kinds, N windows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from minirnn.errors import DataError, DTypeError
from minirnn.nn import Module
from minirnn.training.generation import generate
from minirnn.training.sequences import Sequences
from minirnn.training.windows import check_count, split_index

Tokens = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PreparedTokens:
    """Tokens ready for a network: one-hot windows, and the token that follows.

    `cut` is the index of the first held-out token. With `per_step` the token that follows is asked
    for at every step of windows that lie end to end, else after the last step of windows that begin
    at every token.
    """

    tokens: Tokens
    kinds: int
    cut: int
    window: int
    per_step: bool
    dtype: np.dtype[Any]

    @property
    def training(self) -> Sequences:
        """Windows whose targets lie before `cut`: x (N, window, V), y (N,) or (N, window)."""
        return self._windows(self.tokens[: self.cut])

    @property
    def validation(self) -> Sequences | None:
        """Windows whose targets are held out; None when nothing is, or too little for a window."""
        back = 1 if self.per_step else self.window
        held_out = self.tokens[self.cut - back :]
        if self.cut == len(self.tokens) or len(held_out) <= self.window:
            return None
        return self._windows(held_out)

    def free_run(
        self,
        model: Module,
        steps: int,
        *,
        context: int | None = None,
        sample: Literal["greedy", "temperature"] = "greedy",
        temperature: float = 1.0,
        seed: int = 0,
    ) -> Tokens:
        """Let the model continue the training part: (steps,) tokens, each made from the last ones.

        context   how many; left out, the window. The others as `generate`'s.

        Raises: as `generate`.
        """
        context = self.window if context is None else check_count("context", context)
        run = generate(
            model,
            self._one_hot(self.tokens[max(self.cut - context, 0) : self.cut]),
            steps,
            window=context,
            sample=sample,
            temperature=temperature,
            seed=seed,
        )
        made: Tokens = run.argmax(axis=1)
        return made

    def _windows(self, tokens: Tokens) -> Sequences:
        every = self.window if self.per_step else 1
        cut = np.lib.stride_tricks.sliding_window_view(tokens, self.window + 1)[::every]
        y = cut[:, 1:] if self.per_step else cut[:, -1]
        return Sequences(self._one_hot(cut[:, :-1]), y.copy())

    def _one_hot(self, tokens: Tokens) -> NDArray[Any]:
        vectors: NDArray[Any] = np.eye(self.kinds, dtype=self.dtype)[tokens]
        return vectors


def prepare_tokens(
    tokens: Any,
    kinds: int,
    *,
    window: int,
    per_step: bool = False,
    validation: float = 0.2,
    dtype: str = "float32",
) -> PreparedTokens:
    """Split tokens `(n,)`, numbers from 0 to kinds - 1; the last share `validation` is held out.

    Raises: ArgumentError; DataError when there are too few tokens for one window and its target.
    """
    tokens = np.asarray(tokens)
    if tokens.ndim != 1 or tokens.dtype.kind not in "iu":
        raise DTypeError("tokens", f"{tokens.dtype.name} {tokens.shape}", "integers (n,)")
    window, kinds = check_count("window", window), check_count("kinds", kinds)
    cut = split_index(len(tokens), validation)
    if cut <= window:
        raise DataError(
            "text", f"{len(tokens)} characters, {cut} of them for training",
            f"at least {window + 1} for training: a window of {window} and what follows it",
            "Choose a smaller window",
        )  # fmt: skip
    if tokens.min() < 0 or tokens.max() >= kinds:
        raise DataError(
            "tokens", f"numbers from {tokens.min()} to {tokens.max()}", f"from 0 to {kinds - 1}"
        )
    return PreparedTokens(tokens.astype(np.int64), kinds, cut, window, per_step, np.dtype(dtype))
