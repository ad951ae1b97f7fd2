"""Which backward passes are a watched model's own, and what else a program does with one."""

from __future__ import annotations

import copy
import io
import pickletools
import zipfile
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402, N812
from torch import nn  # noqa: E402

from minirnn.interop.torch import accelerate, watch  # noqa: E402

STEPS = 8


class Answer(nn.Module):
    """One number of each sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(2, 6, batch_first=True)
        self.head = nn.Linear(6, 2)

    def forward(self, x: Any) -> Any:
        return self.head(self.gru(x)[0])


def batches() -> Any:
    torch.manual_seed(0)
    return [torch.randn(12, 5, 2) for _ in range(STEPS)]


def adversaries(watched: str, *, clear: bool = True) -> Any:
    """The watch of a generator, a critic or both, that train against each other."""
    generator, critic = Answer(), Answer()
    models = {
        "generator": generator,
        "critic": critic,
        "both": nn.ModuleDict({"generator": generator, "critic": critic}),
    }
    of_generator = torch.optim.Adam(generator.parameters(), lr=1e-3)
    of_critic = torch.optim.Adam(critic.parameters(), lr=1e-3)
    with watch(models[watched]) as seen:
        for x in batches():
            made = generator(x)
            if clear:
                of_critic.zero_grad()
            (critic(made.detach()).mean() - critic(x).mean()).backward()
            of_critic.step()
            if clear:
                of_generator.zero_grad()
            (-critic(made)).mean().backward()
            of_generator.step()
    return seen


@pytest.mark.parametrize("watched", ["generator", "critic", "both"])
def test_gradients_of_two_that_train_against_each_other_are_cleared(watched: str) -> None:
    assert adversaries(watched).observer.optimiser.stale == 0
    # Where nobody clears: all but the first.
    assert adversaries(watched, clear=False).observer.optimiser.stale >= STEPS - 2


def test_gradients_made_for_an_adversarial_input_are_not_used_again() -> None:
    model = Answer()
    optimizer = torch.optim.Adam(model.parameters())
    with watch(model) as seen:
        for x in batches():
            near = x.clone().requires_grad_()
            F.mse_loss(model(near), x).backward()
            optimizer.zero_grad(set_to_none=False)
            F.mse_loss(model(x + 0.01 * near.grad.sign()), x).backward()
            optimizer.step()
    assert seen.observer.optimiser.stale == 0


def test_a_model_that_is_never_called_as_such_is_seen_by_its_gradients() -> None:
    model = Answer()
    optimizer = torch.optim.Adam(model.parameters())
    with watch(model) as seen:
        for x in batches():
            F.mse_loss(model.head(model.gru(x)[0]), x).backward()
            optimizer.step()
    assert seen.observer.optimiser.backwards == STEPS
    assert "accumulated-gradients" in seen.diagnosis().symptoms


@pytest.mark.parametrize("data", [False, True])
@pytest.mark.parametrize("rate", [0.0, 0.05])
def test_a_loop_that_moves_the_weights_itself_needs_no_optimiser(rate: float, data: bool) -> None:
    model = Answer()
    with watch(model) as seen:
        for x in batches():
            model.zero_grad()
            F.mse_loss(model(x), x).backward()
            for p in model.parameters():
                with torch.no_grad():
                    (p.data if data else p).sub_(rate * p.grad)
    found = seen.diagnosis().finding("stalled-loss")
    assert (found is None) == (rate > 0.0)


def test_a_loss_that_nothing_of_the_model_enters_is_told() -> None:
    model = Answer()
    optimizer = torch.optim.Adam(model.parameters())
    with watch(model) as seen:
        for x in batches():
            F.mse_loss(model(x).detach().requires_grad_(), x).backward()
            optimizer.step()
    found = seen.diagnosis().finding("stalled-loss")
    assert found is not None
    assert (found.evidence["kind"], found.evidence["function"]) == ("flat", "")
    assert found.cause == "No gradient comes back from the loss to the weights."


def test_an_empty_rest_of_an_epoch_is_passed_over() -> None:
    model = Answer()
    optimizer = torch.optim.Adam(model.parameters())
    with watch(model) as seen:
        for x in [*batches(), torch.zeros(0, 5, 2)]:
            optimizer.zero_grad()
            model(x).square().sum().backward()
            optimizer.step()
    assert seen.observer.trouble is None
    assert len(seen.observer.batches) == STEPS


def test_sparse_gradients_are_seen() -> None:
    model = nn.Sequential(nn.Embedding(5, 2, sparse=True), Answer())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch(model) as seen:
        for x in batches():
            symbols = (x[..., 0] > 0).long()
            model(symbols).square().mean().backward()
            optimizer.step()
    assert seen.observer.trouble is None
    assert seen.observer.optimiser.stale == STEPS - 1
    assert (seen.observer.optimiser.norms.numbers() > 0).all()


def test_a_watched_model_is_copied_and_saved_as_if_it_were_not() -> None:
    model = Answer()
    file = io.BytesIO()
    with watch(model) as seen:
        best = copy.deepcopy(model)
        torch.save(nn.Sequential(model.gru, model.head), file)
        best(batches()[0]).sum().backward()
        assert seen.observer.layers["gru"].calls == 0
    file.seek(0)
    kept = torch.load(file, weights_only=False)
    x = batches()[0]
    assert torch.equal(kept[1](kept[0](x)[0]), model(x))
    assert torch.equal(best(x), model(x))
    file.seek(0)
    names = {str(argument) for _, argument, _ in pickletools.genops(_pickle_in(file))}
    assert not any("minirnn" in name for name in names)


def _pickle_in(file: io.BytesIO) -> bytes:
    with zipfile.ZipFile(file) as archive:
        name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        return archive.read(name)


def test_dropout_between_layers_rests_in_evaluation() -> None:
    layers = nn.GRU(2, 6, num_layers=2, dropout=0.5).eval()
    x = batches()[0]
    wanted = layers(x)[0]
    with accelerate(layers):
        assert torch.allclose(layers(x)[0], wanted, atol=1e-6)


def constant_of(loss: Any, x: Any) -> float:
    """The loss of the best constant answer, as it is told of a loop with that loss."""
    torch.manual_seed(1)
    model = Answer()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with watch(model) as seen:
        for _ in range(3):
            optimizer.zero_grad()
            loss(model(x)).backward()
            optimizer.step()
    return float(seen.diagnosis().figures["loss_of_a_constant"])


def test_a_constant_answer_is_scored_as_the_loop_scores() -> None:
    x = batches()[0]
    mean = float(((x - x.mean((0, 1))) ** 2).mean())
    assert constant_of(lambda given: F.mse_loss(given, x), x) == pytest.approx(mean, rel=1e-5)
    summed = constant_of(lambda given: F.mse_loss(given, x, reduction="sum") / 7, x)
    assert summed == pytest.approx(mean * x.numel() / 7, rel=1e-5)
    for root in (torch.sqrt, lambda loss: loss**0.5):
        rooted = constant_of(lambda given, root=root: root(F.mse_loss(given, x)), x)
        assert rooted == pytest.approx(mean**0.5, rel=1e-5)


def test_labels_that_are_ignored_are_not_scored() -> None:
    x = batches()[0]
    labels = (x[..., 0] > 0).long()
    labels[:, 3:] = 7
    known = labels[:, :3].float().mean()
    wanted = float(F.binary_cross_entropy(known, known))
    by_name = constant_of(lambda g: F.cross_entropy(g.mT, labels, ignore_index=7), x)
    by_place = constant_of(lambda g: F.cross_entropy(g.mT, labels, None, None, 7), x)
    assert by_name == pytest.approx(wanted, rel=1e-5)
    assert by_place == pytest.approx(wanted, rel=1e-5)
