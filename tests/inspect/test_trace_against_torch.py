"""A trace, number by number, against a PyTorch loop over cells with retained gradients."""

from __future__ import annotations

import numpy as np
import pytest
from torch_loop import STATES, Direction, torch

import minirnn as mr

T, B, INPUTS, H, LAYERS = 6, 5, 3, 4, 2
LENGTHS = {"full": None, "lengths": np.array([6, 0, 3, 1, 5])}
RELATIVE = 1e-9  # of the array's largest value
LAYER = {"rnn": mr.RNN, "gru": mr.GRU, "lstm": mr.LSTM}


class Pair:
    """The same network and loss in minirnn (traces) and in PyTorch (directions)."""

    def __init__(self, kind, lengths):
        random = np.random.default_rng(7)
        self.kind = kind
        layer = LAYER[kind](INPUTS, H, LAYERS, bidirectional=True, dtype="float64", rng=3)
        for parameter in layer.parameters():
            parameter.data *= 1.7  # saturate some gates, so that mistakes show
        x = random.normal(size=(T, B, INPUTS))
        names = STATES[kind]
        start = {name: random.normal(size=(2 * LAYERS, B, H)) for name in names}
        d_output = random.normal(size=(T, B, 2 * H))
        d_final = {name: random.normal(size=(2 * LAYERS, B, H)) for name in names}

        with mr.record() as recording:
            state = tuple(mr.Tensor(start[name]) for name in names)
            output, final = layer(x, state if len(names) > 1 else state[0], lengths=lengths)
            final = final if isinstance(final, tuple) else (final,)
            loss = (output * d_output).sum()
            for name, value in zip(names, final, strict=True):
                loss = loss + (value * d_final[name]).sum()
            loss.backward()
        self.traces = recording.traces
        self.layer = layer

        taken = np.full(B, T) if lengths is None else lengths
        self.directions = []
        sequence = torch.tensor(x, requires_grad=True)
        loss = 0.0
        for level in range(2 * LAYERS):
            suffix = f"_l{level // 2}" + ("_reverse" if level % 2 else "")
            weights = tuple(
                torch.tensor(getattr(layer, name + suffix).data, requires_grad=True)
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            initial = {name: torch.tensor(start[name][level], requires_grad=True) for name in names}
            direction = Direction(kind, bool(level % 2), taken, weights, initial)
            self.directions.append(direction)
            output = direction.run(sequence)
            for name in names:
                loss = loss + (direction.final[name] * torch.tensor(d_final[name][level])).sum()
            if level % 2 == 0:
                forward = output
            else:
                sequence = torch.cat([forward, output], dim=2)
        loss = loss + (sequence * torch.tensor(d_output)).sum()
        loss.backward()

    def __iter__(self):
        return iter(zip(self.traces, self.directions, strict=True))


@pytest.fixture(scope="module", params=[(k, n) for k in LAYER for n in LENGTHS], ids="-".join)
def pair(request):
    kind, lengths = request.param
    return Pair(kind, LENGTHS[lengths])


def agree(mine, theirs, what=""):
    assert mine.shape == theirs.shape, what
    largest = np.abs(theirs).max(initial=0.0)
    assert largest > 0.0, f"{what}: a test of zeros shows nothing"
    assert np.abs(mine - theirs).max() <= RELATIVE * largest, what


def test_traces_come_by_layer_then_direction(pair):
    name = LAYER[pair.kind].__name__
    assert [trace.name for trace in pair.traces] == [
        f"{name}.l0", f"{name}.l0_reverse", f"{name}.l1", f"{name}.l1_reverse"
    ]  # fmt: skip
    assert [trace.direction for trace in pair.traces] == ["forward", "reverse"] * 2
    assert [trace.layer for trace in pair.traces] == [0, 0, 1, 1]


def test_gates_and_states_are_those_of_the_loop(pair):
    for trace, loop in pair:
        assert set(trace.gates) == set(loop.gates[0])
        for gate, array in trace.gates.items():
            agree(array, loop.values([step[gate] for step in loop.gates]), gate)
        agree(trace.hidden, loop.values([step["h"] for step in loop.new]), "hidden")
        if pair.kind == "lstm":
            agree(trace.cell_state, loop.values([step["c"] for step in loop.new]), "cell_state")
        if pair.kind == "gru":
            agree(trace.recurrent_new, loop.values([step["recurrent_new"] for step in loop.z]), "q")


def test_preactivations_are_the_arguments_of_the_activations(pair):
    for trace, loop in pair:
        rebuilt = trace.preactivations
        assert set(rebuilt) == set(trace.gates)
        for gate, array in rebuilt.items():
            agree(array, loop.values([step[gate] for step in loop.z]), gate)


def test_grad_hidden_is_the_total_gradient(pair):
    for trace, loop in pair:
        agree(trace.grad_hidden, loop.gradients([step["h"] for step in loop.new]))


def test_grad_cell_is_the_total_gradient(pair):
    for trace, loop in pair:
        if pair.kind == "lstm":
            agree(trace.grad_cell, loop.gradients([step["c"] for step in loop.new]))


def test_direct_grad_hidden_is_what_enters_from_outside(pair):
    for trace, loop in pair:
        agree(trace.direct_grad_hidden, loop.direct())


def test_grad_gates_are_gradients_of_the_preactivations(pair):
    for trace, loop in pair:
        assert set(trace.grad_gates) == set(trace.gates)
        for gate, array in trace.grad_gates.items():
            agree(array, loop.gradients([step[gate] for step in loop.z]), gate)


def test_slots_stored_raw_are_q_of_a_gru(pair):
    for trace, loop in pair:
        assert set(trace.slots) == ({"recurrent_new"} if pair.kind == "gru" else set())
        for slot in trace.slots:
            gradient = trace.grad_slots[slot]
            agree(gradient, loop.gradients([step[slot] for step in loop.z]))
            agree(gradient, trace.gates["reset"] * trace.grad_gates["new"])


def test_grad_input_is_of_this_layer_and_direction_alone(pair):
    for trace, loop in pair:
        valid = loop.valid
        agree(trace.grad_input, np.where(valid, loop.x.grad.numpy(), 0.0))


def test_jacobian_is_that_of_one_step(pair):
    for trace, loop in pair:
        for t in range(T):
            agree(trace.jacobian(t), loop.jacobian(t), f"step {t}")
        agree(trace.jacobian(-1), loop.jacobian(T - 1))


def test_jacobians_carry_the_gradient_from_step_to_step(pair):
    # dL/dh_{t-1} = direct + (J^T dL/ds_t)_h, the recurrence of BPTT itself. There h_t and c_t are
    # separate: dL/dc_t in it leaves out what reaches c_t by way of h_t = o tanh(c_t).
    for trace, _ in pair:
        later = [trace.grad_hidden]
        if pair.kind == "lstm":
            by_h = trace.grad_hidden * trace.gates["output"] * (1 - np.tanh(trace.cell_state) ** 2)
            later.append(trace.grad_cell - by_h)
        total = np.concatenate(later, axis=2)
        for t in range(T - 1):
            before, after = (t + 1, t) if trace.reverse else (t, t + 1)
            carried = np.einsum("bji,bj->bi", trace.jacobian(after), total[after])[:, :H]
            both = trace.valid[after] & trace.valid[before]
            expected = trace.direct_grad_hidden[before] + carried
            agree(trace.grad_hidden[before][both], expected[both], f"step {before}")


def test_carrying_rows_back_is_multiplying_by_the_jacobians(pair):
    random = np.random.default_rng(2)
    names = STATES[pair.kind]
    for trace, loop in pair:
        for t in range(T):
            rows = random.normal(size=(B, 2, len(names) * H))
            split = dict(zip(names, np.split(rows, len(names), axis=2), strict=True))
            before, into_x = trace.carry_back(t, split)
            whole = np.concatenate([before[name] for name in names], axis=2)
            agree(whole, rows @ loop.jacobian(t))
            agree(into_x, rows @ trace.input_jacobian(t))


@pytest.mark.parametrize("weight", ["weight_ih", "weight_hh", "bias_ih", "bias_hh"])
def test_weight_gradient_norms_are_of_each_steps_own_share(pair, weight):
    at = ("weight_ih", "weight_hh", "bias_ih", "bias_hh").index(weight)
    for trace, loop in pair:
        shares = [step[at].grad for step in loop.copies]
        agree(trace.weight_gradient_norms(weight), np.array([s.norm().item() for s in shares]))
        suffix = f"_l{trace.layer}" + ("_reverse" if trace.reverse else "")
        agree(getattr(pair.layer, weight + suffix).grad, sum(shares).numpy())


def test_gradient_norms_are_over_batch_and_units(pair):
    for trace, loop in pair:
        total = loop.gradients([step["h"] for step in loop.new])
        agree(trace.gradient_norms("hidden"), np.sqrt((total**2).sum(axis=(1, 2))))


def test_input_sensitivity_is_the_norm_of_the_whole_chain(pair):
    for trace, loop in pair:
        weights = [w.detach() for w in loop.weights]
        initial = {name: value.detach() for name, value in loop.initial.items()}

        def end(x, loop=loop, weights=weights, initial=initial):
            copy = Direction(pair.kind, loop.reverse, loop.lengths, weights, initial)
            copy.run(x)
            return copy.final["h"]

        chain = torch.autograd.functional.jacobian(end, loop.x.detach())  # (B, H, T, B, I)
        own = torch.stack([chain[b, :, :, b] for b in range(B)])  # (B, H, T, I)
        agree(mr.inspect.input_sensitivity(trace), own.square().sum(dim=(1, 3)).sqrt().T.numpy())


def test_outside_valid_everything_is_zero(pair):
    for trace, loop in pair:
        outside = ~loop.valid[:, :, 0]
        np.testing.assert_array_equal(trace.valid, ~outside)
        held = [trace.inputs, trace.direct_grad_hidden, trace.grad_input]
        for group in (trace.gates, trace.states, trace.preactivations, trace.slots):
            held += group.values()
        for group in (trace.grad_states, trace.grad_slots):
            held += group.values()
        for array in held:
            assert not array[outside].any()
