"""bench/accelerate.py: a side that computes something else is not timed; a right one is."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import pytest

torch = pytest.importorskip("torch")

# ruff: noqa: E402 (PyTorch may be missing)
from bench import accelerate as bench


def scripts() -> list[bench.Script]:
    return [
        bench.forecast("GRU", 5, 3, 2, 4, count=2),
        bench.text("GRU", 5, 3, 4, count=2),
        bench.ragged("GRU", 6, 3, 2, 4, count=2),
    ]


def test_every_kind_of_script_is_checked_and_timed() -> None:
    for script in scripts():
        bench.check(script)
        theirs, ours, _ = bench.measure(script, 1)
        assert theirs > 0.0
        assert ours > 0.0


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_side_that_is_wrong_is_not_timed(dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def wrong(model: Any) -> Any:
        if model.head.weight.dtype == dtype:
            with torch.no_grad():
                model.recurrent.weight_hh_l0.mul_(1.2)
        yield

    monkeypatch.setattr(bench, "accelerate", wrong)
    said = "gradient of .* differs" if dtype == torch.float64 else "losses differ"
    with pytest.raises(SystemExit, match=said):
        bench.check(scripts()[0])
