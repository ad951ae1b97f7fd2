"""Cells of one's own: any Python name will do, and what cannot work is refused when it is made."""

from __future__ import annotations

import functools
import pickle
from typing import Any

import numpy as np
import pytest

import minirnn as mr
from minirnn.cells import divide, exp, log, relu, select, sigmoid, tanh
from minirnn.kernels.cells.vocabulary import in_order


def integrators(names: tuple[str, ...]) -> Any:
    """A cell whose other states are leaky sums of one slot, each with a rate of its own."""

    @mr.cell(states=("h", *names), double="xh")
    def sums(z: Any, last: Any) -> Any:
        n = tanh(z.double)
        states = {s: getattr(last, s) * (0.1 * i) + n for i, s in enumerate(names)}
        total = functools.reduce(lambda a, b: a + b, states.values())
        return {"h": tanh(total) + last.h * 0.5, **states}, {"double": n}

    return sums


def gradients(names: tuple[str, ...]) -> list[np.ndarray]:
    count = len(names) + 1
    rng = np.random.default_rng(0)
    layer = mr.Recurrent(integrators(names), 2, 3, dtype="float64", rng=0)
    x = mr.Tensor(rng.normal(size=(4, 2, 2)), requires_grad=True)
    state = tuple(mr.Tensor(rng.normal(size=(1, 2, 3)), requires_grad=True) for _ in range(count))
    output, last = layer(x, state, lengths=[4, 2])
    loss = (output * output).sum()
    for each in last:
        loss = loss + each.sum()
    loss.backward()
    return [output.data, *[s.data for s in last], x.grad, *[s.grad for s in state]]


def test_a_state_may_have_a_name_that_the_generated_code_uses_itself() -> None:
    odd = gradients(("x", "t", "class", "h_now", "carry_h", "range"))
    plain = gradients(("s1", "s2", "s3", "s4", "s5", "s6"))
    for a, b in zip(odd, plain, strict=True):
        assert np.array_equal(a, b)


@mr.cell(states=("h",), soft="xh", ratio="xh", power="x")
def quotients(z: Any, last: Any) -> Any:
    """Softplus, softsign and an exponential, with a division by each kind of operand."""
    size = select(z.soft > 0.0, z.soft, -z.soft)
    plus = relu(z.soft) + log(1.0 + exp(-size))
    sign = z.ratio / (1.0 + select(z.ratio > 0.0, z.ratio, -z.ratio))
    e = exp(z.power * 0.3)
    h = sign / (1.0 + plus) + 0.5 / (1.0 + e) + divide(last.h, 2.0)
    return {"h": h}, {"soft": z.soft, "ratio": z.ratio, "power": e}


def test_exp_log_and_quotients_are_differentiated_on_every_device(device: str) -> None:
    layer = mr.Recurrent(quotients, 2, 5, dtype="float64", rng=0)
    rng = np.random.default_rng(0)
    x, h = rng.normal(size=(4, 3, 2)), rng.normal(size=(1, 3, 5))
    weights = layer.weights()
    last, slots = h[0], {}
    for x_t in x:
        z_x = x_t @ weights.weight_ih.data.T + weights.bias_ih.data
        z_h = last @ weights.weight_hh.data.T + weights.bias_hh.data
        for k, slot in enumerate(quotients.slots):
            at = slice(5 * k, 5 * k + 5)
            slots[slot] = z_x[:, at] + (z_h[:, at] if slot != "power" else 0.0)
        soft, ratio, power = slots.values()
        sign = ratio / (1 + np.abs(ratio))
        last = sign / (1 + np.log1p(np.exp(soft))) + 0.5 / (1 + np.exp(power * 0.3)) + last / 2
    layer = layer.to(device)
    there = [mr.Tensor(a).to(device) for a in (x, h)]
    np.testing.assert_allclose(layer(*there)[1].numpy()[0], last, rtol=1e-13)
    assert mr.testing.gradcheck(lambda x, h: layer(x, h)[0], there) <= 1.0


@pytest.mark.parametrize(
    "write",
    [
        lambda z, last: ({"h": tanh(z.a) * (z.a > 0)}, {"a": z.a}),
        lambda z, last: ({"h": tanh(z.a > last.h)}, {"a": z.a}),
        lambda z, last: ({"h": (z.a > 0) + 1.0}, {"a": z.a}),
        lambda z, last: ({"h": 1.0 - (z.a >= 0)}, {"a": z.a}),
        lambda z, last: ({"h": select((z.a > 0) > (z.a > 1), z.a, 0.0)}, {"a": z.a}),
        lambda z, last: ({"h": select(z.a > 0, z.a < 1, 0.0)}, {"a": z.a}),
        lambda z, last: ({"h": z.a > 0}, {"a": z.a}),
        lambda z, last: ({"h": z.a}, {"a": z.a > 0}),
    ],
)
def test_a_comparison_is_no_value(write: Any) -> None:
    with pytest.raises(mr.ArgumentError, match="the comparison greater"):
        mr.cell(states=("h",), a="xh")(write)


@pytest.mark.parametrize("name", ["2x", "a b", "a.b", "", 3])
def test_states_and_slots_have_python_names(name: Any) -> None:
    with pytest.raises(mr.ArgumentError, match=r"state: .* wanted a Python name"):
        mr.cell(states=("h", name), a="xh")(lambda z, last: ({"h": z.a, name: z.a}, {"a": z.a}))
    if isinstance(name, str):
        with pytest.raises(mr.ArgumentError, match=r"slot: .* wanted a Python name"):
            mr.cell(states="h", **{name: "xh"})(lambda z, last: ({"h": last.h}, {name: last.h}))


def test_the_name_of_a_cell_cannot_lead_out_of_the_cache_folder() -> None:
    def equations(z: Any, last: Any) -> Any:
        return {"h": tanh(z.a)}, {"a": tanh(z.a)}

    equations.__name__ = "../../elsewhere"
    with pytest.raises(mr.ArgumentError, match=r"name: got '\.\./\.\./elsewhere'"):
        mr.cell(states=("h",), a="xh")(equations)


@pytest.mark.parametrize("states", [None, 3, {"h"}])
def test_states_are_a_tuple_of_names(states: Any) -> None:
    with pytest.raises(mr.ArgumentError, match="states: got"):
        mr.cell(states=states, a="xh")


def test_equations_need_no_name_and_numbers_may_be_numpy_s() -> None:
    def equations(rate: Any, z: Any, last: Any) -> Any:
        n = tanh(z.a * rate)
        return {"h": n}, {"a": n}

    made = mr.cell(states=("h",), a="xh")(functools.partial(equations, np.float32(0.5)))
    assert made.name == "partial"
    layer = mr.Recurrent(made, 1, 1, rng=0)
    x = np.ones((1, 1, 1), np.float32)
    z = sum(p.data.sum() * (i != 1) for i, p in enumerate(layer.parameters()))  # h is zero
    assert layer(x)[0].data.item() == pytest.approx(np.tanh(0.5 * z))


def test_a_pickled_model_computes_the_same() -> None:
    model = mr.SequenceModel("lstm", input_size=2, hidden_size=3, output_size=1, rng=0)
    twin = pickle.loads(pickle.dumps(model))
    x = np.random.default_rng(0).normal(size=(4, 2, 2)).astype(np.float32)
    with mr.record() as recording:
        output = twin(x)
        output.sum().backward()
    assert np.array_equal(output.data, model(x).data)
    assert np.isfinite(recording.traces[0].jacobian(1)).all()


def test_a_loaded_expression_is_the_one_that_was_there() -> None:
    made = integrators(("c",))
    loaded = pickle.loads(pickle.dumps(made))
    assert loaded.fingerprint() == made.fingerprint()
    assert loaded.new_states["h"] is made.new_states["h"]
    assert sigmoid(loaded.new_states["h"]) in in_order([sigmoid(made.new_states["h"])])
