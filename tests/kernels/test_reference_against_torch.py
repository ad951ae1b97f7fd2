"""The reference against PyTorch in float64: its own layers, and a loop of its operations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from kernel_cases import BY_HAND, CELLS, Case, random_case, run

from minirnn.kernels import reference

torch = pytest.importorskip("torch")

# PyTorch's own layers; the others of our activations it has only as operations.
LAYERS = ["rnn-tanh", "rnn-relu", "gru-tanh", "lstm-tanh"]


def assert_agrees(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Each array to 1e-9 of the array's largest value."""
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        error = np.abs(found[name] - array).max()
        assert error <= 1e-9 * np.abs(array).max(), f"{name}: {error:.2e}"


def leaves(case: Case) -> dict[str, Any]:
    """The case's inputs as PyTorch leaves."""
    return {n: torch.from_numpy(a.copy()).requires_grad_() for n, a in case.inputs().items()}


def gradients(case: Case, output: Any, state: tuple[Any, ...], inputs: dict[str, Any]) -> Any:
    """Outputs, last states and the gradient of every input, named as `Run.arrays` names them."""
    loss = (output * torch.from_numpy(case.doutput)).sum()
    for s, d in zip(state, case.dstate, strict=True):
        loss = loss + (s * torch.from_numpy(d)).sum()
    loss.backward()
    named = {"output": output.detach().numpy()}
    named |= {
        f"state.{n}": s.detach().numpy() for n, s in zip(case.cell.states, state, strict=True)
    }
    return named | {f"grad.{n}": leaf.grad.numpy() for n, leaf in inputs.items()}


def loop(case: Case) -> Any:
    """The cell's equations as PyTorch operations, step by step."""
    inputs = leaves(case)
    W_ih, W_hh = inputs["weight_ih"], inputs["weight_hh"]
    b_ih, b_hh = inputs.get("bias_ih", 0), inputs.get("bias_hh", 0)
    state = [inputs[f"state.{n}"] for n in case.cell.states]
    kind, phi = case.cell.name, next(iter(case.cell.options.values()))
    phi = (lambda z: z) if phi == "identity" else getattr(torch, phi)
    T, B, _ = case.x.shape
    H = W_hh.shape[1]
    outputs: list[Any] = [None] * T
    for t in reversed(range(T)) if case.reverse else range(T):
        on = torch.ones(B, 1) > 0
        if case.lengths is not None:
            on = torch.from_numpy(t < case.lengths)[:, None]
        x = inputs["x"][t] @ W_ih.T + b_ih
        h = state[0] @ W_hh.T + b_hh
        if kind == "rnn":
            new = [phi(x + h)]
        elif case.cell.options.get("reset") == "before":
            (xr, xz, xn), (hr, hz, _) = x.chunk(3, 1), h.chunk(3, 1)
            z, q = torch.sigmoid(xz + hz), torch.sigmoid(xr + hr) * state[0]
            hn = q @ W_hh.chunk(3)[2].T + (b_hh.chunk(3)[2] if torch.is_tensor(b_hh) else 0)
            new = [(1 - z) * phi(xn + hn) + z * state[0]]
        elif kind == "gru":
            (xr, xz, xn), (hr, hz, hn) = x.chunk(3, 1), h.chunk(3, 1)
            z = torch.sigmoid(xz + hz)
            new = [(1 - z) * phi(xn + torch.sigmoid(xr + hr) * hn) + z * state[0]]
        else:
            i, f, g, o = (x + h).chunk(4, 1)
            c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * phi(g)
            new = [torch.sigmoid(o) * phi(c), c]
        state = [torch.where(on, n, s) for n, s in zip(new, state, strict=True)]
        outputs[t] = torch.where(on, new[0], torch.zeros(B, H, dtype=torch.float64))
    return gradients(case, torch.stack(outputs), tuple(state), inputs)


def layer(case: Case, *, bias: bool = True) -> tuple[Any, dict[str, Any]]:
    """PyTorch's layer of the case's kind and weights, and its parameters by our names."""
    kind = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[case.cell.name]
    options = case.cell.options if case.cell.name == "rnn" else {}
    I, H = case.x.shape[2], case.weights.weight_hh.shape[1]  # noqa: E741
    module = kind(I, H, bias=bias, dtype=torch.float64, **options)
    parameters = dict(module.named_parameters())
    with torch.no_grad():
        for name, array in case.weights._asdict().items():
            if array is not None:
                parameters[f"{name}_l0"].copy_(torch.from_numpy(array))
    return module, {n.removesuffix("_l0"): p for n, p in parameters.items()}


def layer_run(case: Case) -> Any:
    """PyTorch's own layer; with lengths through packing, in reverse as half of a pair."""
    module, parameters = layer(case, bias=case.weights.bias_ih is not None)
    inputs = leaves(case) | parameters
    x, state = inputs["x"], tuple(inputs[f"state.{n}"][None] for n in case.cell.states)
    if case.lengths is not None:
        lengths = torch.from_numpy(case.lengths)
        x = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
    output, last = module(x, state if len(state) > 1 else state[0])
    if case.lengths is not None:
        output, _ = torch.nn.utils.rnn.pad_packed_sequence(output, total_length=len(case.x))
    last = last if isinstance(last, tuple) else (last,)
    return gradients(case, output, tuple(s[0] for s in last), inputs)


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("lengths", [False, True], ids=["full", "lengths"])
@pytest.mark.parametrize("name", BY_HAND)
def test_reference_equals_a_loop_of_torch_operations(
    name: str, lengths: bool, reverse: bool
) -> None:
    case = random_case(
        BY_HAND[name], T=13, B=6, I=5, H=7, lengths=lengths, reverse=reverse, seed=5, gain=1.5
    )
    assert_agrees(found := without_record(reference, case), loop(case))
    assert "grad.bias_hh" in found


@pytest.mark.parametrize("name", BY_HAND)
def test_reference_without_biases_equals_torch(name: str) -> None:
    case = random_case(BY_HAND[name], T=7, biases=(False, False), seed=6)
    assert_agrees(found := without_record(reference, case), loop(case))
    assert not any("bias" in n for n in found)


@pytest.mark.parametrize("biases", [(True, True), (False, False)], ids=["bias", "no-bias"])
@pytest.mark.parametrize("lengths", [False, (17, 1, 9, 16)], ids=["full", "packed"])
@pytest.mark.parametrize("name", LAYERS)
def test_reference_equals_torch_layers(name: str, lengths: Any, biases: Any) -> None:
    case = random_case(CELLS[name], T=17, B=4, I=6, H=9, lengths=lengths, biases=biases, seed=7)
    assert_agrees(without_record(reference, case), layer_run(case))


@pytest.mark.parametrize("lengths", [False, (12, 1, 7)], ids=["full", "packed"])
@pytest.mark.parametrize("name", LAYERS)
def test_two_directions_equal_a_bidirectional_torch_layer(name: str, lengths: Any) -> None:
    size = {"T": 12, "B": 3, "I": 4, "H": 5, "lengths": lengths}
    forward = random_case(CELLS[name], seed=8, **size)
    reverse = random_case(CELLS[name], seed=9, reverse=True, **size)
    reverse = reverse.with_input("x", forward.x)
    module = type(layer(forward)[0])(
        4, 5, bidirectional=True, dtype=torch.float64,
        **(forward.cell.options if forward.cell.name == "rnn" else {}),
    )  # fmt: skip
    with torch.no_grad():
        for suffix, case in (("l0", forward), ("l0_reverse", reverse)):
            for field, array in case.weights._asdict().items():
                module.get_parameter(f"{field}_{suffix}").copy_(torch.from_numpy(array))
    x = torch.from_numpy(forward.x.copy()).requires_grad_()
    states = [
        torch.from_numpy(np.stack(pair)).requires_grad_()
        for pair in zip(forward.state, reverse.state, strict=True)
    ]
    packed = x
    if lengths:
        packed = torch.nn.utils.rnn.pack_padded_sequence(
            x, torch.from_numpy(forward.lengths), enforce_sorted=False
        )
    output, last = module(packed, tuple(states) if len(states) > 1 else states[0])
    if lengths:
        output, _ = torch.nn.utils.rnn.pad_packed_sequence(output, total_length=12)
    last = last if isinstance(last, tuple) else (last,)
    loss = (output * torch.from_numpy(np.concatenate([forward.doutput, reverse.doutput], 2))).sum()
    for s, df, dr in zip(last, forward.dstate, reverse.dstate, strict=True):
        loss = loss + (s * torch.from_numpy(np.stack([df, dr]))).sum()
    loss.backward()

    total = 0
    for direction, (suffix, case) in enumerate((("l0", forward), ("l0_reverse", reverse))):
        wanted = {"output": output[..., 5 * direction : 5 * (direction + 1)].detach().numpy()}
        for n, s, leaf in zip(case.cell.states, last, states, strict=True):
            wanted[f"state.{n}"] = s[direction].detach().numpy()
            wanted[f"grad.state.{n}"] = leaf.grad[direction].numpy()
        for field in case.weights._fields:
            wanted[f"grad.{field}"] = module.get_parameter(f"{field}_{suffix}").grad.numpy()
        found = without_record(reference, case)
        total = total + found.pop("grad.x")
        assert_agrees(found, wanted)
    assert_agrees({"x": total}, {"x": x.grad.numpy()})


def without_record(kernels: Any, case: Case) -> dict[str, Any]:
    return run(kernels, case, keep="tape").arrays(case.cell)
