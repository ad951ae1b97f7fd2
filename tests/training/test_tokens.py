"""Text becomes windows of one-hot vectors, and a model continues it."""

from __future__ import annotations

import numpy as np
import pytest

from minirnn import datasets
from minirnn.errors import ArgumentError, DataError, DTypeError
from minirnn.nn import SequenceModel
from minirnn.training.tokens import prepare_tokens

TOKENS = np.array([0, 1, 2, 0, 1, 2, 3, 1, 0, 2])


def spelt(x: np.ndarray) -> np.ndarray:
    assert set(np.unique(x)) <= {0.0, 1.0}
    np.testing.assert_array_equal(x.sum(axis=2), 1.0)
    return x.argmax(axis=2)


def test_each_window_is_asked_for_the_token_after_it() -> None:
    prepared = prepare_tokens(TOKENS, 4, window=3, validation=0.3)
    train, held_out = prepared.training, prepared.validation
    assert held_out is not None
    np.testing.assert_array_equal(spelt(train.x), [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2]])
    np.testing.assert_array_equal(train.y, [0, 1, 2, 3])
    # A held-out target may be told by what was trained on, and never the other way round.
    np.testing.assert_array_equal(spelt(held_out.x), [[1, 2, 3], [2, 3, 1], [3, 1, 0]])
    np.testing.assert_array_equal(held_out.y, [1, 0, 2])


def test_with_one_answer_a_step_windows_lie_end_to_end() -> None:
    prepared = prepare_tokens(TOKENS, 4, window=3, per_step=True, validation=0.3)
    train, held_out = prepared.training, prepared.validation
    assert held_out is not None
    np.testing.assert_array_equal(spelt(train.x), [[0, 1, 2], [0, 1, 2]])
    np.testing.assert_array_equal(train.y, [[1, 2, 0], [1, 2, 3]])
    np.testing.assert_array_equal(spelt(held_out.x), [[3, 1, 0]])
    np.testing.assert_array_equal(held_out.y, [[1, 0, 2]])
    assert prepare_tokens(TOKENS, 4, window=3, validation=0.0).validation is None


class Next(SequenceModel):
    """Answers with the kind after the last one."""

    def forward(self, x, state=None, lengths=None, return_state=False):  # type: ignore[no-untyped-def]
        from minirnn.tensor import Tensor

        self.seen.append(len(x))
        return Tensor(np.roll(x[-1], 1, axis=1))


def test_a_free_run_feeds_back_what_it_says() -> None:
    prepared = prepare_tokens(TOKENS, 4, window=3, validation=0.3)
    model = Next("rnn", input_size=4, hidden_size=1, output_size=4)
    model.seen = []
    run = prepared.free_run(model, 5)
    np.testing.assert_array_equal(run, [0, 1, 2, 3, 0])  # after 3, which was the last trained on
    assert model.seen == [3] * 5
    model.seen.clear()
    prepared.free_run(model, 2, context=1)
    assert model.seen == [1, 1]


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(DataError, match="window"):
        prepare_tokens(TOKENS, 4, window=9)
    with pytest.raises(DataError, match="0 to 2"):
        prepare_tokens(TOKENS, 3, window=2)
    with pytest.raises(DTypeError, match="tokens"):
        prepare_tokens(TOKENS / 2, 4, window=2)


def test_the_text_is_the_book() -> None:
    whole = datasets.text()
    assert len(whole) == 70_591
    assert whole.text.startswith("alice was beginning to get very tired of sitting by her sister")
    assert whole.text.endswith("i almost wish i'd gone to see the hatter instead!'")
    assert len(whole.alphabet) == 41
    assert "".join(sorted(whole.alphabet)) == whole.alphabet
    assert datasets.text(500).text == whole.text[:500]
    assert "Public domain" in whole.provenance
    with pytest.raises(ArgumentError, match="characters"):
        datasets.text(1)


def test_any_text_can_be_taken() -> None:
    made = datasets.as_tokens("Ab  ba\n\tAB", "mine")
    assert (made.text, made.alphabet, made.name) == ("ab ba ab", " ab", "mine")
    np.testing.assert_array_equal(made.tokens, [1, 2, 0, 2, 1, 0, 1, 2])
    with pytest.raises(DataError, match="two kinds"):
        datasets.as_tokens("aaa")
