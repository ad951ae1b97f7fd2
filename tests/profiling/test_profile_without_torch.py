"""Where PyTorch is missing: refused if asked for by name, else left out."""

from __future__ import annotations

import importlib.util
import sys

import pytest

import minirnn as mr

SMALL = {"steps": 6, "batch": 3, "hidden_size": 4, "repeats": 1}


@pytest.fixture
def no_torch(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "torch" else found(name)
    )


@pytest.mark.usefixtures("quick", "no_torch")
def test_without_pytorch():
    profile = mr.profile("rnn", **SMALL, compare="auto")
    assert profile.torch is None
    assert profile.notes == ("PyTorch was left out: it is not installed",)
    with pytest.raises(mr.MissingExtraError, match="the extra 'torch' of minirnn"):
        mr.profile("rnn", **SMALL, compare="torch")


@pytest.mark.usefixtures("quick", "no_torch")
def test_unless_it_is_asked_for_it_is_not_missed():
    assert mr.profile("rnn", **SMALL).notes == ()
