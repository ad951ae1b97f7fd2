"""LoopObserver: it sees the user's loop and changes nothing in it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402, N812
from torch import nn  # noqa: E402

from minirnn.interop.torch.loop import losses  # noqa: E402
from minirnn.interop.torch.loop.batches import MOST_SEQUENCES  # noqa: E402
from minirnn.interop.torch.loop.observer import LoopObserver  # noqa: E402
from minirnn.interop.torch.loop.order import OrderWatch  # noqa: E402
from minirnn.interop.torch.loop.tallies import MOST, Curve  # noqa: E402

LOSSES = ("mse_loss", "l1_loss", "cross_entropy", "huber_loss", "nll_loss")


class Model(nn.Module):
    """A GRU with dropout and batch normalisation: random numbers and buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(2, 8, num_layers=2, dropout=0.3, batch_first=True)
        self.norm = nn.BatchNorm1d(8)
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(8, 1)

    def forward(self, x: Any) -> Any:
        output, _ = self.gru(x)
        return self.head(self.drop(self.norm(output[:, -1])))


def train(model: Any, steps: int = 12, *, seed: int = 0, clip: bool = True) -> Any:
    """A plain loop; the loss of its last step."""
    torch.manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(steps):
        x = torch.randn(16, 5, 2)
        loss = F.mse_loss(model(x), x[:, -1, :1])
        optimizer.zero_grad()
        loss.backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return loss


def observed(model: Any) -> LoopObserver:
    """An observer that was on while the model trained."""
    observer = LoopObserver(model)
    observer.start()
    train(model)
    observer.stop()
    return observer


def made() -> Any:
    torch.manual_seed(1)
    return Model()


def test_training_is_the_same_to_the_bit_while_it_is_watched() -> None:
    plain, watched = made(), made()
    train(plain)
    state = torch.get_rng_state()
    observed(watched)
    assert torch.equal(torch.get_rng_state(), state)
    for (name, a), (_, b) in zip(
        plain.state_dict().items(), watched.state_dict().items(), strict=True
    ):
        assert torch.equal(a, b), name


def hooks_of(model: Any) -> int:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
    return sum(len(getattr(m, kind)) for m in model.modules() for kind in kinds)


@pytest.mark.parametrize("raises", [False, True])
def test_everything_is_put_back_even_when_the_loop_raises(raises: bool) -> None:
    from torch.optim import optimizer as module

    model = made()
    names = {name: getattr(F, name) for name in LOSSES}
    outside = (torch.autograd.backward, torch.nn.utils.clip_grad_norm_)
    hooks = hooks_of(model)
    observer = LoopObserver(model)
    observer.start()
    assert F.mse_loss is not names["mse_loss"]
    try:
        train(model, 2)
        if raises:
            model(torch.zeros(1))  # no such input: raised inside the model
    except (RuntimeError, ValueError):
        assert raises
    observer.stop()
    observer.stop()
    assert {name: getattr(F, name) for name in LOSSES} == names
    assert (torch.autograd.backward, torch.nn.utils.clip_grad_norm_) == outside
    assert hooks_of(model) == hooks
    assert not module._global_optimizer_pre_hooks
    assert not module._global_optimizer_post_hooks


def test_two_observers_see_their_own_model_and_leave_in_any_order() -> None:
    first, second = made(), made()
    original = F.mse_loss
    one, two = LoopObserver(first), LoopObserver(second)
    one.start()
    two.start()
    train(first, 3)
    one.stop()
    train(second, 5)
    two.stop()
    assert (one.optimiser.steps, two.optimiser.steps) == (3, 5)
    assert (one.optimiser.backwards, two.optimiser.backwards) == (3, 5)
    train(first, 2)
    assert one.optimiser.steps == 3
    assert F.mse_loss is original


def test_the_lines_of_the_loop_are_found() -> None:
    places = observed(made()).places.found
    text = {what: [place.text for place in there] for what, there in places.items()}
    assert text["call"] == ["loss = F.mse_loss(model(x), x[:, -1, :1])"]
    assert text["loss"] == text["call"]
    assert text["layer gru"] == ["output, _ = self.gru(x)"]
    assert text["backward"] == ["loss.backward()"]
    assert text["step"] == ["optimizer.step()"]
    assert text["clip"] == ["torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)"]
    assert places["step"][0].function == "train"
    assert places["step"][0].file.endswith("test_torch_loop_observer.py")


def test_what_the_loop_did_is_counted() -> None:
    observer = observed(made())
    seen = observer.optimiser.seen()
    assert (seen.name, seen.learning_rate, seen.momentum) == ("Adam", 0.01, 0.9)
    assert (seen.steps, seen.backwards, seen.stale, seen.empty) == (12, 12, 0, 0)
    assert observer.clipped == 1.0
    assert observer.modes == {True: 12, False: 0}
    fed = observer.layers["gru"].fed()
    assert (fed.calls, fed.steps, fed.sequences) == (12, {5: 12}, {16: 12})
    assert len(observer.values.numbers()) == 12
    # Norms before clipping, as clipping itself told them.
    assert len(observer.optimiser.norms.numbers()) == 12


def test_norms_and_updates_are_those_of_the_numbers() -> None:
    model = nn.RNN(1, 4)
    x = torch.randn(3, 2, 1)
    observer = LoopObserver(model)
    observer.start()
    model(x)[0].pow(2).mean().backward()
    expected = torch.cat([p.grad.reshape(-1) for p in model.parameters()]).norm()
    before = torch.cat([p.detach().reshape(-1) for p in model.parameters()]).clone()
    torch.optim.SGD(model.parameters(), lr=0.5).step()
    observer.stop()
    moved = 0.5 * expected / before.norm()
    assert observer.optimiser.norms.numbers()[0] == pytest.approx(float(expected), rel=1e-5)
    assert observer.optimiser.ratios.numbers()[0] == pytest.approx(float(moved), rel=1e-4)


def test_validation_without_gradients_is_not_taken_for_training() -> None:
    model = made()
    observer = LoopObserver(model)
    observer.start()
    train(model, 3)
    with torch.no_grad():
        F.mse_loss(model.eval()(torch.zeros(99, 5, 2)), torch.zeros(99, 1))
    observer.stop()
    assert observer.layers["gru"].calls == 3
    assert all(batch.x.shape[1] == 16 for batch in observer.batches)


def test_memory_stays_bounded() -> None:
    curve = Curve()
    for k in range(50_000):
        curve.add(float(k))
    numbers = curve.numbers()
    assert len(numbers) <= MOST
    assert numbers[0] == 0.0
    assert np.ptp(np.diff(numbers)) == 0.0  # evenly spread
    model = nn.RNN(1, 2)
    observer = LoopObserver(model)
    observer.start()
    for _ in range(40):
        model(torch.randn(3, 100, 1))[0].mean().backward()
    observer.stop()
    assert sum(b.x.shape[1] for b in list(observer.batches)[1:]) < MOST_SEQUENCES


def test_of_a_large_batch_some_sequences_are_kept_with_what_belongs_to_them() -> None:
    model = made()
    observer = LoopObserver(model)
    observer.start()
    x = torch.randn(1000, 5, 2)
    F.mse_loss(model(x), x[:, -1, :1]).backward()
    observer.stop()
    (batch,) = observer.batches
    assert batch.x.shape == (5, MOST_SEQUENCES, 2)
    assert batch.loss is not None
    assert torch.equal(batch.loss.target, batch.x[-1, :, :1])
    assert batch.loss.prediction.shape == (MOST_SEQUENCES, 1)


@pytest.mark.parametrize(
    ("prediction", "target", "loss", "kind"),
    [
        ((5, 1), (5,), lambda p, y: ((p - y) ** 2).mean(), "by hand"),
        ((5, 1), (5,), lambda p, y: ((y - p) ** 2).sum(), "by hand"),
        ((5, 1), (5,), lambda p, y: (p - y).abs().mean(), "by hand"),
        ((5, 1), (5,), lambda p, y: ((p - y) * (p - y)).mean(), "by hand"),
        ((5, 1), (5,), lambda p, y: ((p - y) ** 2).mean().sqrt(), "by hand"),
        ((5, 1), (5,), lambda p, y: nn.MSELoss()(p, y), "mse"),
        ((5, 1), (5,), lambda p, y: F.smooth_l1_loss(p, y), "huber"),
    ],
)
@pytest.mark.filterwarnings("ignore:Using a target size")
def test_a_loss_is_seen_however_it_is_written(
    prediction: tuple[int, ...], target: tuple[int, ...], loss: Any, kind: str
) -> None:
    model = nn.Linear(3, 1)
    y = torch.randn(target)
    observer = LoopObserver(model)
    observer.start()
    loss(model(torch.randn(5, 3)), y).backward()
    observer.stop()
    assert observer.loss is not None
    assert observer.loss.kind == kind
    assert observer.loss.prediction.shape == prediction
    assert observer.loss.target.shape == target
    assert torch.allclose(observer.loss.target, y, atol=1e-5)
    assert observer.grown == 1
    assert observer.loss.seen(1, 1).compared == (5, 5)


def test_a_loss_by_hand_of_something_else_is_not_guessed() -> None:
    p = torch.randn(5, 1, requires_grad=True)
    out = p * 2
    for value in (
        out.mean(),
        (out**2).mean(),
        (out - 1).exp().mean(),
        (out.exp() - 1).pow(2).mean(),
    ):
        call = losses.by_hand(value, out)
        assert call is None or call.prediction.shape == (5, 1)
    assert losses.by_hand((torch.cat([out, out]) - 1).pow(2).mean(), out) is None


def test_a_state_is_carried_only_past_a_backward_pass() -> None:
    model = nn.GRU(1, 4)
    observer = LoopObserver(model)
    observer.start()
    x = torch.randn(3, 2, 1)
    out, h = model(x)
    out, h = model(x, h)  # goes on within the batch
    out.mean().backward()
    assert observer.layers[""].carried == 0
    out, h = model(x, h.detach().clone())
    out.mean().backward()
    model(x, torch.zeros(1, 2, 4))[0].mean().backward()
    observer.stop()
    fed = observer.layers[""].fed()
    assert (fed.given, fed.carried, fed.attached) == (3, 1, 0)


@pytest.mark.parametrize("seed", range(5))
def test_shuffled_sequences_come_back_in_other_company_and_steps_do_not(seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = rng.normal(size=(12, 64, 2)).astype(np.float32)
    right, turned = OrderWatch(), OrderWatch()
    for _ in range(8):
        for rows in rng.permutation(64).reshape(4, 16):
            batch = np.ascontiguousarray(data[:, rows])
            right.see(batch, carried=True)
            turned.see(batch.swapaxes(0, 1), carried=False)
    time, batch_axis = right.seen().time, right.seen().batch
    assert (time.again, time.moved) == (0, 0)
    assert batch_axis.moved > 0.9 * batch_axis.again > 100
    time = turned.seen().time
    assert time.moved > 0.8 * time.again > 100


@pytest.mark.parametrize("seed", range(5))
def test_chunks_in_order_follow_each_other_in_every_epoch(seed: int) -> None:
    rng = np.random.default_rng(seed)
    series = np.sin(rng.normal(size=(320, 8)).cumsum(axis=0) / 6)[:, :, None]
    order = OrderWatch()
    for _ in range(5):
        for k in range(0, 320, 32):
            order.see(series[k : k + 32], carried=k > 0)
    seen = order.seen()
    assert seen.batch.again > 100
    assert seen.batch.moved == 0
    assert 0.5 < seen.jump < 2.0
    assert seen.time.roughness < 0.4 < 0.8 < seen.batch.roughness


def test_an_error_of_the_observers_own_never_ends_the_users_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain, watched = made(), made()
    train(plain)
    observer = LoopObserver(watched)
    monkeypatch.setattr(observer.order, "see", lambda *args, **kwargs: 1 / 0)
    observer.start()
    with pytest.warns(RuntimeWarning, match="saw no more") as caught:
        train(watched)
    observer.stop()
    assert len(caught) == 1
    assert isinstance(observer.trouble, ZeroDivisionError)
    assert torch.equal(plain.head.weight, watched.head.weight)
