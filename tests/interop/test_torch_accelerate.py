"""`accelerate`: a swapped layer computes what PyTorch's own computes, gradients too."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

# ruff: noqa: E402 (PyTorch may be missing)
import torch_configurations as drawn
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.checkpoint import checkpoint

from minirnn.interop.torch import accelerate
from minirnn.kernels import cpu

# As many as are to be drawn: tests/interop/torch_configurations.py runs 200 by itself.
COUNT = int(os.environ.get("MINIRNN_CONFIGURATIONS", "24"))


def layer_and_x(kind: Any = nn.GRU, **options: Any) -> tuple[Any, Any]:
    torch.manual_seed(0)
    layer = kind(3, 5, dtype=torch.float64, **options)
    return layer, torch.randn(6, 4, 3, dtype=torch.float64).requires_grad_()


def close(ours: Any, theirs: Any) -> None:
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        scale = float(other.detach().abs().max())
        assert scale > 0.0
        assert float((mine - other).detach().abs().max()) <= drawn.TOLERANCE * scale


def gradients(layer: Any, x: Any) -> list[Any]:
    return [p.grad for p in (x, *layer.parameters()) if p.grad is not None]


def same_both_ways(
    use: Callable[[Any, Any], list[Any]], kind: Any = nn.GRU, **options: Any
) -> None:
    """`use(layer, x)` gives equal tensors whether the layer is swapped or not."""
    results = []
    for swap in (False, True):
        layer, x = layer_and_x(kind, **options)
        if swap:
            assert accelerate(layer).swapped == ("",)
        results.append(use(layer, x))
    close(results[1], results[0])


def test_random_configurations_give_pytorchs_outputs_and_gradients() -> None:
    for case in drawn.configurations(COUNT):
        theirs = drawn.torch_arrays(case)
        with accelerate(case.layer):
            difference, name = drawn.worst(drawn.torch_arrays(case), theirs)
        assert difference <= drawn.TOLERANCE, (case.text, name)


def test_projected_states_enter_where_each_packed_sequence_begins() -> None:
    def use(layer: Any, x: Any) -> list[Any]:
        torch.manual_seed(2)
        h = torch.randn(4, 4, 2, dtype=x.dtype).requires_grad_()
        c = torch.randn(4, 4, 5, dtype=x.dtype).requires_grad_()
        packed = pack_padded_sequence(x, [3, 6, 2, 5], enforce_sorted=False)
        output, last = layer(packed, (h, c))
        (output.data.pow(2).sum() + last[0].sum() + last[1].pow(3).sum()).backward()
        return [output.data, *last, h.grad, c.grad, *gradients(layer, x)]

    same_both_ways(use, nn.LSTM, num_layers=2, bidirectional=True, proj_size=2)


def test_float32_is_computed_in_float32_and_is_as_near_to_float64_as_pytorch() -> None:
    layer, x = layer_and_x(nn.LSTM)
    exact = layer(x)[0].detach()
    layer, x = layer.float(), x.detach().float()
    theirs = layer(x)[0].detach()
    with accelerate(layer):
        ours = layer(x)[0].detach()
    assert ours.dtype == torch.float32
    assert (ours - exact).abs().max() <= 2 * (theirs - exact).abs().max()


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize("packed", [False, True])
def test_dropout_between_layers_draws_what_pytorch_draws(kind: Any, packed: bool) -> None:
    def use(layer: Any, x: Any) -> list[Any]:
        torch.manual_seed(3)
        given = pack_padded_sequence(x, [3, 6, 2, 5], enforce_sorted=False) if packed else x
        output, _ = layer(given)
        output = output.data if packed else output
        output.pow(2).sum().backward()
        return [output, *gradients(layer, x)]

    same_both_ways(use, kind, num_layers=3, dropout=0.4, bidirectional=True)


def test_backward_runs_again_on_a_retained_graph() -> None:
    def use(layer: Any, x: Any) -> list[Any]:
        loss = layer(x)[0].pow(2).sum()
        loss.backward(retain_graph=True)
        loss.backward()
        return gradients(layer, x)

    same_both_ways(use)


def test_two_losses_of_one_output_each_run_their_own_backward() -> None:
    def use(layer: Any, x: Any) -> list[Any]:
        output, h = layer(x)
        output.pow(2).sum().backward(retain_graph=True)
        h.pow(3).sum().backward()
        return gradients(layer, x)

    same_both_ways(use)


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_gradients_can_be_differentiated_again(kind: Any) -> None:
    def use(layer: Any, x: Any) -> list[Any]:
        output, _ = layer(x)
        output, _ = layer(output @ torch.ones(10, 3, dtype=x.dtype))  # x depends on the weights too
        wanted = [x, *layer.parameters()]
        found = torch.autograd.grad(output.pow(3).sum(), wanted, create_graph=True)
        (sum(g.pow(2).sum() for g in found) + output.sum()).backward()
        return [*found, *gradients(layer, x)]

    same_both_ways(use, kind, bidirectional=True)


def test_gradients_of_packed_sequences_can_be_differentiated_again() -> None:
    def use(layer: Any, x: Any) -> list[Any]:
        packed = pack_padded_sequence(x, [3, 6, 2, 5], enforce_sorted=False)
        (g,) = torch.autograd.grad(layer(packed)[0].data.pow(3).sum(), x, create_graph=True)
        g.pow(2).sum().backward()
        return gradients(layer, x)

    same_both_ways(use, bidirectional=True)


def test_a_batch_of_gradients_comes_back_in_one_call() -> None:
    def use(layer: Any, x: Any) -> list[Any]:
        output, _ = layer(x)
        each = torch.eye(5, dtype=x.dtype)[:, None, None].expand(5, 6, 4, 5)
        return list(torch.autograd.grad(output, x, each, is_grads_batched=True))

    same_both_ways(use)


@pytest.mark.parametrize("batch_first", [False, True])
def test_the_output_may_be_written_into_before_backward(batch_first: bool) -> None:
    def use(layer: Any, x: Any) -> list[Any]:
        output, h = layer(x)
        torch.nn.functional.relu_(output)
        h.mul_(2)
        (output.pow(2).sum() + h.sum()).backward()
        return gradients(layer, x)

    same_both_ways(use, batch_first=batch_first)


def test_several_calls_before_one_backward_add_up() -> None:
    def use(layer: Any, x: Any) -> list[Any]:
        first, h = layer(x)
        second, h = layer(2 * x, h)
        third, _ = layer(x[:3], h)
        (first[:3] * second[:3] * third).sum().backward()
        return gradients(layer, x)

    same_both_ways(use)


def test_the_model_itself_may_be_inside_a_checkpoint() -> None:
    for reentrant in (False, True):

        def use(layer: Any, x: Any, reentrant: bool = reentrant) -> list[Any]:
            output = checkpoint(lambda t: layer(t)[0], x, use_reentrant=reentrant)
            output.pow(2).sum().backward()
            return gradients(layer, x)

        same_both_ways(use)


def test_inside_a_checkpoint_nothing_is_kept_for_backward(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[str] = []
    forward = cpu.forward

    def spy(*arguments: Any, **options: Any) -> Any:
        kept.append(options["keep"])
        return forward(*arguments, **options)

    monkeypatch.setattr(cpu, "forward", spy)
    layer, x = layer_and_x()
    with accelerate(layer):
        output = checkpoint(lambda t: layer(t)[0], x, use_reentrant=False)
        assert kept == ["nothing"]
        output.sum().backward()
    assert kept == ["nothing", "nothing", "tape"]


def test_what_is_frozen_is_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    backward = cpu.backward

    def spy(*arguments: Any, needs: Any) -> Any:
        asked.append(needs)
        return backward(*arguments, needs=needs)

    monkeypatch.setattr(cpu, "backward", spy)
    layer, x = layer_and_x()
    layer.weight_ih_l0.requires_grad_(False)
    layer.bias_hh_l0.requires_grad_(False)
    with accelerate(layer):
        layer(x.detach())[0].sum().backward()
    (needs,) = asked
    assert needs == (False, False, False, True, True, False)  # weight_hh and bias_ih
    assert layer.weight_ih_l0.grad is None


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradients_nothing_is_kept(mode: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[str] = []
    forward = cpu.forward

    def spy(*arguments: Any, **options: Any) -> Any:
        kept.append(options["keep"])
        return forward(*arguments, **options)

    monkeypatch.setattr(cpu, "forward", spy)
    layer, x = layer_and_x()
    theirs = layer(x)[0]
    with accelerate(layer), mode():
        ours = layer(x)[0]
        assert ours.is_inference() == (mode is torch.inference_mode)
    assert kept == ["nothing"]
    assert not ours.requires_grad
    close([ours.clone()], [theirs])


@pytest.mark.parametrize("what", ["weight_hh_l0", "weight_ih_l0", "x"])
def test_writing_into_what_backward_needs_is_pytorchs_error(what: str) -> None:
    layer, x = layer_and_x()
    with accelerate(layer):
        output, _ = layer(x)
        with torch.no_grad():
            (x if what == "x" else getattr(layer, what)).add_(1.0)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            output.sum().backward()


def test_a_second_backward_on_a_freed_graph_is_pytorchs_error() -> None:
    layer, x = layer_and_x()
    with accelerate(layer):
        loss = layer(x)[0].sum()
        loss.backward()
        with pytest.raises(RuntimeError, match="a second time"):
            loss.backward()


def test_other_weights_for_one_call_are_used() -> None:
    def use(layer: Any, x: Any) -> list[Any]:
        halves = {name: 0.5 * p for name, p in layer.named_parameters()}
        output, _ = torch.func.functional_call(layer, halves, (x,))
        output.pow(2).sum().backward()
        return [output, *gradients(layer, x)]

    same_both_ways(use)


def test_parametrized_weights_are_used() -> None:
    class Half(nn.Module):
        def forward(self, weight: Any) -> Any:
            return 0.5 * weight

    def use(layer: Any, x: Any) -> list[Any]:
        parametrize.register_parametrization(layer, "weight_hh_l0", Half())
        output, _ = layer(x)
        output.pow(2).sum().backward()
        return [output, *gradients(layer, x)]

    same_both_ways(use)


def test_weights_that_are_tied_gather_both_gradients() -> None:
    def use(layer: Any, x: Any) -> list[Any]:
        layer.weight_hh_l1 = layer.weight_hh_l0
        layer(x)[0].pow(2).sum().backward()
        return gradients(layer, x)

    same_both_ways(use, num_layers=2)


def test_memory_is_shared_not_copied() -> None:
    layer, x = layer_and_x()
    seen: list[Any] = []
    forward = cpu.forward

    def spy(cell: Any, given: Any, state: Any, weights: Any, **options: Any) -> Any:
        seen.extend([given, *weights])
        result = forward(cell, given, state, weights, **options)
        seen.append(result[0])
        return result

    cpu.forward = spy
    try:
        with accelerate(layer):
            output, _ = layer(x)
    finally:
        cpu.forward = forward
    addresses = [array.__array_interface__["data"][0] for array in seen]
    assert addresses == [t.data_ptr() for t in (x, *layer.parameters(), output)]
