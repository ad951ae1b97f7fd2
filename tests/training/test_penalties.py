"""L1 and L2 penalties: what they add to the loss, to its gradient, and to what `fit` does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minirnn.errors import ArgumentError, CheckpointError
from minirnn.nn import BatchNorm, Linear, LSTMCell, SequenceModel, Sequential
from minirnn.optim import SGD, Adam, AdamW
from minirnn.tensor import Tensor
from minirnn.testing import gradcheck
from minirnn.training import Checkpointing, Penalty, Sequences, fit

RATE = 0.1


def arrays(model: Any) -> dict[str, np.ndarray]:
    return {name: parameter.data.copy() for name, parameter in model.named_parameters()}


def one_step(data: Sequences, model: Any, kind: Any = SGD, **options: Any) -> Any:
    """One step of one batch of everything: its history."""
    return fit(
        model, data, loss="mse", optimizer=kind(model.parameters(), RATE), epochs=1,
        batch_size=len(data), progress=False, **options,
    )  # fmt: skip


def strengths(name: str, told: dict[str, float]) -> float:
    kind = "recurrent" if "weight_hh" in name else "bias" if "bias" in name else "kernel"
    return told.get(kind, 0.0)


@pytest.mark.parametrize(
    ("l1", "l2"),
    [
        ({"kernel": 0.3, "recurrent": 0.2, "bias": 0.1}, {}),
        ({}, {"kernel": 0.3, "recurrent": 0.2, "bias": 0.1}),
        ({"bias": 0.5}, {"recurrent": 0.7}),
    ],
)
def test_the_penalty_is_of_each_kind_of_weight_what_was_asked_for(l1, l2) -> None:
    model = SequenceModel(
        "lstm", input_size=2, hidden_size=3, output_size=2, num_layers=2, bidirectional=True,
        dtype="float64", rng=0,
    )  # fmt: skip
    penalty = Penalty(l1, l2)
    value = penalty(model)
    value.backward()
    told = 0.0
    for name, parameter in model.named_parameters():
        a, b, w = strengths(name, l1), strengths(name, l2), parameter.data
        told += a * np.abs(w).sum() + b * (w**2).sum()
        wanted = a * np.sign(w) + 2 * b * w
        grad = np.zeros_like(w) if parameter.grad is None else parameter.grad
        np.testing.assert_allclose(grad, wanted, rtol=1e-14, atol=1e-16)
    assert value.item() == pytest.approx(told, rel=1e-13)


def test_a_number_is_for_all_kinds_and_the_gradient_is_that_of_finite_differences() -> None:
    model = SequenceModel("gru", input_size=1, hidden_size=2, output_size=1, dtype="float64", rng=1)
    penalty = Penalty(0.3, 0.2)
    assert (
        penalty(model).item()
        == Penalty(dict.fromkeys(("kernel", "recurrent", "bias"), 0.3), 0.2)(model).item()
    )
    gradcheck(lambda *_: penalty(model), model.parameters())


def test_what_normalises_is_left_alone_and_a_tied_weight_counts_once() -> None:
    layer = Linear(3, 3, dtype="float64", rng=0)
    alone = Penalty(l2=1.0)(layer).item()
    norm = BatchNorm(3, dtype="float64")
    norm.weight.data[...] = 7.0
    assert Penalty(l2=1.0)(Sequential(layer, norm, layer)).item() == alone
    cell = LSTMCell(2, 2, rng=0)
    told = float((cell.weight_hh.data**2).sum())
    assert Penalty(l2={"recurrent": 1.0})(cell).item() == pytest.approx(told, rel=1e-6)


def test_fit_steps_along_the_gradient_of_loss_and_penalty(make_model, sums: Sequences) -> None:
    without, model, before = make_model(), make_model(), arrays(make_model())
    plain = one_step(sums, without)
    told = one_step(sums, model, penalty=Penalty(l1=0.01, l2=0.05))
    after, unpenalised = arrays(model), arrays(without)
    squares = 0.0
    for name, w in before.items():
        extra = 0.01 * np.sign(w) + 2 * 0.05 * w
        gradient = (w - unpenalised[name]) / RATE + extra
        squares += float((gradient.astype(np.float64) ** 2).sum())
        np.testing.assert_allclose(after[name], w - RATE * gradient, rtol=1e-5, atol=1e-6)
    # The loss told is that of the data; the norm is that of everything that moves the weights.
    assert told.loss == plain.loss
    assert told.gradient_norm[0] == pytest.approx(np.sqrt(squares), rel=1e-5)
    assert told.gradient_norm[0] != pytest.approx(plain.gradient_norm[0], rel=1e-3)


def test_a_penalty_goes_through_adam_where_a_decay_does_not(make_model, sums: Sequences) -> None:
    # Adam's first step is the rate times the gradient's sign, whatever its size; AdamW's decay
    # comes on top of that.
    tiny, decayed = make_model(), make_model()
    before = arrays(tiny)
    one_step(sums, tiny, Adam, penalty=Penalty(l2=100.0))
    one_step(sums, decayed, lambda p, rate: AdamW(p, rate, weight_decay=2.0))
    w = before["recurrent.weight_hh_l0"]
    moved = w - arrays(tiny)["recurrent.weight_hh_l0"]
    np.testing.assert_allclose(moved, RATE * np.sign(w), rtol=1e-3)
    moved = w - arrays(decayed)["recurrent.weight_hh_l0"]
    assert np.abs(np.abs(moved) - RATE).max() > 0.01


def test_a_penalty_of_nothing_changes_no_bit(make_model, sums: Sequences) -> None:
    plain, model = make_model(), make_model()
    one_step(sums, plain)
    one_step(sums, model, penalty=Penalty())
    for name, value in arrays(plain).items():
        np.testing.assert_array_equal(arrays(model)[name], value)


def test_a_strong_penalty_shrinks_the_weights_and_an_l1_sets_some_to_almost_nothing(
    make_model, sums: Sequences
) -> None:
    sizes = {}
    for name, penalty in (("none", None), ("l2", Penalty(l2=0.1)), ("l1", Penalty(l1=0.05))):
        model = make_model()
        fit(
            model, sums, loss="mse", optimizer=Adam(model.parameters(), 1e-2), epochs=100,
            penalty=penalty, progress=False,
        )  # fmt: skip
        w = np.concatenate([p.data.ravel() for p in model.parameters()])
        sizes[name] = float(np.linalg.norm(w)), float((np.abs(w) < 0.01).mean())
    assert sizes["l2"][0] < 0.3 * sizes["none"][0]
    assert sizes["l1"][1] > 0.6 > 0.2 > sizes["none"][1]


def test_a_penalty_of_ones_own_is_added_likewise(make_model, sums: Sequences) -> None:
    mine, ours = make_model(), make_model()

    def squares(model: Any) -> Tensor:
        return 0.1 * (model.head.weight * model.head.weight).sum()

    one_step(sums, mine, penalty=squares)
    before = arrays(ours)["head.weight"]
    one_step(sums, ours)
    np.testing.assert_allclose(
        arrays(mine)["head.weight"],
        arrays(ours)["head.weight"] - RATE * 0.2 * before,
        rtol=1e-5, atol=1e-7,
    )  # fmt: skip


def test_a_run_with_a_penalty_goes_on_to_the_same_bits_and_with_no_other(
    make_model, sums: Sequences, tmp_path
) -> None:
    def run(epochs: int, penalty: Any, resume: Any = None, **options: Any) -> Any:
        model = make_model()
        fit(
            model, sums, loss="mse", optimizer=Adam(model.parameters(), 1e-2), epochs=epochs,
            penalty=penalty, resume=resume, progress=False, **options,
        )  # fmt: skip
        return arrays(model)

    penalty = Penalty(l1=0.01, l2={"kernel": 0.1})
    saving = Checkpointing(tmp_path / "run.safetensors")
    run(3, penalty, callbacks=[saving])
    whole, resumed = run(6, penalty), run(6, penalty, saving.latest())
    for name, value in whole.items():
        np.testing.assert_array_equal(resumed[name], value)
    for other in (None, Penalty(l1=0.01, l2={"kernel": 0.2})):
        with pytest.raises(CheckpointError, match="penalty"):
            run(6, other, saving.latest())


@pytest.mark.parametrize(
    ("given", "argument"),
    [
        ({"l1": -1.0}, "l1"),
        ({"l2": float("nan")}, "l2"),
        ({"l2": True}, "l2"),
        ({"l1": "strong"}, "l1"),
        ({"l2": {"kernels": 0.1}}, "l2['kernels']"),
        ({"l1": {"bias": float("inf")}}, "l1['bias']"),
    ],
)
def test_strengths_that_cannot_be_are_refused(given, argument: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        Penalty(**given)
    assert caught.value.argument == argument


def test_fit_refuses_a_penalty_that_gives_no_number(make_model, sums: Sequences) -> None:
    for penalty in (0.1, lambda model: 0.1, lambda model: model.head.weight):
        with pytest.raises(ArgumentError, match="penalty"):
            one_step(sums, make_model(), penalty=penalty)
    with pytest.raises(ArgumentError, match="model"):
        Penalty(l2={"recurrent": 0.1})(Linear(2, 2))
