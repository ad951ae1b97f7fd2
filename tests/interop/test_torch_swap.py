"""What stands in a module's forward: put there, taken away, copied, saved; when it steps back."""

from __future__ import annotations

import copy
import gc
import inspect
import io
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

# ruff: noqa: E402 (PyTorch may be missing)
from torch import nn
from torch.autograd import forward_ad
from torch.utils.flop_counter import FlopCounterMode

import minirnn as mr
from minirnn.interop.torch import accelerate


class Model(nn.Module):
    """Two layers, a cell in a loop, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.GRU(3, 5)
        self.second = nn.LSTM(5, 4, bidirectional=True)
        self.cell = nn.GRUCell(8, 6)
        self.head = nn.Linear(6, 1)

    def forward(self, x: Any) -> Any:
        output, _ = self.second(self.first(x)[0])
        h = None
        for step in output:
            h = self.cell(step, h)
        return self.head(h)


@pytest.fixture
def model() -> Any:
    torch.manual_seed(0)
    return Model()


@pytest.fixture
def x() -> Any:
    torch.manual_seed(1)
    return torch.randn(6, 4, 3)


def is_swapped(module: Any) -> bool:
    return "forward" in vars(module)


def test_every_recurrent_layer_is_swapped_and_listed(model: Any) -> None:
    swap = accelerate(model)
    assert swap.swapped == ("first", "second")
    assert list(swap.kept) == ["cell"]
    assert "cells=True" in swap.kept["cell"]
    assert "first: swapped" in repr(swap)
    assert "cell: not swapped" in repr(swap)
    assert is_swapped(model.first)
    assert not is_swapped(model.head)
    assert type(model.first) is nn.GRU


def test_cells_are_swapped_where_that_is_asked_for(model: Any, x: Any) -> None:
    theirs = model(x)
    with accelerate(model, cells=True) as swap:
        assert swap.swapped == ("first", "second", "cell")
        torch.testing.assert_close(model(x), theirs)


@pytest.mark.parametrize("kind", [nn.RNNCell, nn.GRUCell, nn.LSTMCell])
@pytest.mark.parametrize("batched", [True, False])
def test_a_cell_stepped_in_a_loop_gives_pytorchs_gradients(kind: Any, batched: bool) -> None:
    torch.manual_seed(0)
    cell = kind(3, 5, dtype=torch.float64)
    x = torch.randn(4, 2, 3, dtype=torch.float64) if batched else torch.randn(4, 3).double()

    def run() -> list[Any]:
        cell.zero_grad()
        leaf, state = x.clone().requires_grad_(), None
        for step in leaf:
            state = cell(step, state)
        parts = state if isinstance(state, tuple) else (state,)
        sum(s.pow(3).sum() for s in parts).backward()
        found = [*parts, leaf.grad, *(p.grad for p in cell.parameters())]
        return [tensor.detach().clone() for tensor in found]

    theirs = run()
    with accelerate(cell, cells=True):
        ours = run()
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.shape == other.shape
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-9 * float(other.abs().max()))


def test_the_end_of_the_block_restores_whatever_happens(model: Any) -> None:
    with pytest.raises(ValueError, match="2D or 3D"), accelerate(model):
        model(torch.zeros(3))
    assert not is_swapped(model.first)
    assert not is_swapped(model.second)


def test_swaps_may_overlap_and_end_in_any_order(model: Any) -> None:
    outer, inner = accelerate(model), accelerate(model.first)
    outer.restore()
    assert is_swapped(model.first)
    assert not is_swapped(model.second)
    inner.restore()
    inner.restore()
    assert not is_swapped(model.first)


def test_parameters_names_and_state_dict_stay_the_users_own(model: Any) -> None:
    before = {name: p.data_ptr() for name, p in model.named_parameters()}
    keys = list(model.state_dict())
    accelerate(model)
    assert {name: p.data_ptr() for name, p in model.named_parameters()} == before
    assert list(model.state_dict()) == keys
    model.load_state_dict(Model().state_dict())
    assert model.double().first.weight_hh_l0.dtype == torch.float64
    model.first.flatten_parameters()
    signature = inspect.signature(model.first.forward)
    assert list(signature.parameters) == ["input", "hx"]


def test_hooks_of_the_module_run(model: Any, x: Any) -> None:
    seen: list[str] = []
    model.first.register_forward_pre_hook(lambda *_: seen.append("before"))
    model.first.register_forward_hook(lambda *_: seen.append("after"))
    model.first.register_full_backward_hook(lambda *_: seen.append("backward"))
    with accelerate(model):
        model(x.requires_grad_()).sum().backward()
    assert seen == ["before", "after", "backward"]


def test_a_deep_copy_is_swapped_and_restored_with_its_original(model: Any, x: Any) -> None:
    with accelerate(model):
        copied = copy.deepcopy(model)
        assert is_swapped(copied.first)
        with torch.no_grad():
            copied.first.weight_hh_l0.zero_()  # its own weights, not the original's
        assert not torch.equal(copied(x), model(x))
    assert not is_swapped(copied.first)
    torch.testing.assert_close(copied(x), copy.deepcopy(copied)(x))


@pytest.mark.parametrize("way", ["pickle", "torch.save"])
def test_a_file_holds_pytorchs_modules_alone(model: Any, x: Any, way: str) -> None:
    with accelerate(model):
        buffer = io.BytesIO()
        if way == "pickle":
            buffer.write(pickle.dumps(model))
        else:
            torch.save(model, buffer)
        assert b"minirnn" not in buffer.getvalue()
        buffer.seek(0)
        loaded = pickle.load(buffer) if way == "pickle" else torch.load(buffer, weights_only=False)
    torch.testing.assert_close(loaded(x), model(x), rtol=0, atol=0)


def test_a_swapped_model_goes_when_its_user_lets_it_go(model: Any) -> None:
    alive = weakref.ref(model.first)
    swap = accelerate(model)
    copied = copy.deepcopy(model)
    gc.disable()
    try:
        del model.first
        assert alive() is None
    finally:
        gc.enable()
    assert is_swapped(copied.first)
    swap.restore()
    assert not is_swapped(copied.first)


def test_a_swap_whose_model_is_gone_says_so() -> None:
    swap = accelerate(Model())
    gc.collect()
    assert swap.model is None
    assert repr(swap).startswith("<Swap in Model, which nobody holds any more>\n  first: swapped")


def test_a_forward_of_the_users_own_is_left_alone() -> None:
    class Residual(nn.GRU):
        def forward(self, input: Any, hx: Any = None) -> Any:
            output, h = super().forward(input, hx)
            return output + input, h

    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.residual, self.patched, self.plain = Residual(3, 3), nn.GRU(3, 3), nn.GRU(3, 3)
            self.patched.forward = self.plain.forward
            self.my_lstm = MyLSTM()

    class MyLSTM(nn.Module):
        pass

    swap = accelerate(Odd())
    assert swap.swapped == ("plain",)
    assert "Residual has a forward of its own" in swap.kept["residual"]
    assert "something else has replaced" in swap.kept["patched"]
    assert "MyLSTM" in swap.kept["my_lstm"]


def test_a_model_in_which_nothing_can_be_swapped_is_told() -> None:
    with pytest.warns(UserWarning, match="no nn.RNN, nn.GRU or nn.LSTM inside"):
        accelerate(nn.Linear(2, 2))
    with pytest.warns(UserWarning, match="cells=True"):
        accelerate(nn.GRUCell(2, 2))
    with pytest.raises(mr.ArgumentError, match=r"model: got a str; wanted a torch\.nn\.Module"):
        accelerate("model")


def under_autocast(layer: Any, x: Any) -> Any:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return layer(x)[0]


def forward_mode(layer: Any, x: Any) -> Any:
    with forward_ad.dual_level():
        return forward_ad.unpack_dual(layer(forward_ad.make_dual(x, x))[0]).tangent


def counted(layer: Any, x: Any) -> Any:
    with FlopCounterMode(display=False) as counter:
        layer(x)
    return torch.tensor(float(counter.get_total_flops()))


STEPS_BACK: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "bfloat16": (lambda layer, x: layer.bfloat16()(x.bfloat16())[0], "not torch.bfloat16"),
    "autocast": (under_autocast, "autocast is on"),
    "meta": (lambda layer, x: layer.to("meta")(x.to("meta"))[0].shape, "not 'meta'"),
    "torch.func": (
        lambda layer, x: torch.func.grad(lambda y: layer(y)[0].sum())(x),
        "transform of torch.func",
    ),
    "forward mode": (forward_mode, "forward-mode"),
    "dispatch mode": (counted, "TorchDispatchMode"),
}
# What PyTorch itself says of its own older parts, on the way.
OLD_PARTS = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


@OLD_PARTS
@pytest.mark.parametrize("what", STEPS_BACK)
def test_what_our_kernels_cannot_follow_runs_pytorchs_own_and_says_so_once(what: str) -> None:
    use, reason = STEPS_BACK[what]
    torch.manual_seed(0)
    layer, x = nn.GRU(3, 5), torch.randn(6, 4, 3)
    theirs = use(copy.deepcopy(layer), x)
    with accelerate(layer):
        with pytest.warns(UserWarning, match=reason) as caught:
            ours = use(layer, x)
        assert caught[-1].filename == __file__
        again = use(layer, x)  # without a warning, which would be an error
    for result in (ours, again):
        if what == "meta":
            assert result == theirs
        else:
            torch.testing.assert_close(result, theirs, rtol=0, atol=0)


@OLD_PARTS
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # of PyTorch's own forward
def test_torch_jit_traces_pytorchs_own() -> None:
    layer, x = nn.GRU(3, 5), torch.randn(6, 4, 3)
    with accelerate(layer), pytest.warns(UserWarning, match=r"torch\.jit is tracing"):
        traced = torch.jit.trace(layer, x)
    torch.testing.assert_close(traced(x)[0], layer(x)[0], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("given", "named"),
    [((), {}), ((1,), {"state": None}), ((1, None, 3), {}), ((1,), {"input": 1})],
)
def test_arguments_that_forward_has_not_are_pytorchs_error(given: Any, named: Any) -> None:
    layer = nn.LSTM(3, 5)
    with pytest.raises(TypeError) as theirs:
        layer(*given, **named)
    with accelerate(layer), pytest.raises(TypeError) as ours:
        layer(*given, **named)
    assert str(ours.value) == str(theirs.value)


def test_bad_input_is_pytorchs_error_word_for_word() -> None:
    layer, x = nn.LSTM(3, 5), torch.randn(6, 4, 3)
    h = torch.zeros(1, 4, 5)
    calls: list[tuple[Any, ...]] = [
        (x[..., :2],),
        (x.double(),),
        (x[0, 0],),
        (x[:0],),
        (x, (h[:, :3], h)),
        (x, (h, torch.zeros(1, 4, 6))),
        (x, (h[0], h[0])),
        (x[:, 0], (h, h)),
        (x, h),
        ([1.0],),
    ]

    def messages() -> list[str]:
        found = []
        for arguments in calls:
            try:
                layer(*arguments)
            except Exception as error:  # noqa: BLE001 (of whatever kind PyTorch raises)
                found.append(f"{type(error).__name__}: {error}")
        return found

    theirs = messages()
    with accelerate(layer):
        assert messages() == theirs
    assert len(theirs) == len(calls)


def test_threads_may_train_one_model_at_once(x: Any) -> None:
    import threading

    layer = nn.GRU(3, 5)
    results: list[Any] = []

    def run() -> None:
        for _ in range(5):
            output, _ = layer(x)
            results.append(
                (output.detach(), torch.autograd.grad(output.sum(), layer.weight_hh_l0)[0])
            )

    with accelerate(layer):
        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(results) == 20
    assert all(torch.equal(o, results[0][0]) and torch.equal(g, results[0][1]) for o, g in results)
