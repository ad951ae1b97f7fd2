"""PyTorch's idle threads make room for ours before a large run, and work on after it."""

from __future__ import annotations

import sys

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from minirnn.interop.torch import accelerate, openmp  # noqa: E402


@pytest.fixture
def pauses(monkeypatch):
    """The calls made, in place of OpenMP's."""
    seen = []
    monkeypatch.setattr(openmp, "_pause", lambda: seen.append)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    return seen


def trained(layer, x):
    output, _ = layer(x)
    output.square().sum().backward()


def test_large_runs_ask_for_room_and_small_ones_do_not(pauses):
    layer = nn.GRU(8, 64)
    with accelerate(layer):
        trained(layer, torch.randn(30, 4, 8))
        assert pauses == []
        trained(layer, torch.randn(100, 40, 8))
    assert pauses == [openmp.SOFT] * 2  # before forward, and before backward


def test_a_single_thread_has_nobody_to_make_room(pauses, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    layer = nn.GRU(8, 64)
    with accelerate(layer):
        trained(layer, torch.randn(100, 40, 8))
    assert pauses == []


@pytest.mark.skipif(sys.platform != "linux", reason="libraries are looked for on Linux alone")
def test_pytorch_goes_on_with_its_threads_afterwards():
    pause = openmp._pause()
    if pause is None:
        pytest.skip("this PyTorch's OpenMP cannot be paused")
    before = torch.get_num_threads()
    a = torch.randn(400, 400, dtype=torch.float64)
    expected = a @ a + a.exp()
    assert pause(openmp.SOFT) == 0
    assert torch.get_num_threads() == before
    torch.testing.assert_close(a @ a + a.exp(), expected, rtol=0, atol=0)
    assert pause(openmp.SOFT) == 0


def test_an_openmp_without_the_call_is_left_alone(monkeypatch):
    monkeypatch.setattr(openmp, "_loaded", lambda: ["/nowhere/libgomp.so.1", "libc.so.6"])
    openmp._pause.cache_clear()
    try:
        assert openmp._pause() is None
        openmp.make_room(torch.zeros(100, 100, 8), _weights())
    finally:
        openmp._pause.cache_clear()


def _weights():
    from minirnn.kernels.contract import Weights

    return Weights(torch.zeros(512, 128), torch.zeros(512, 128))
