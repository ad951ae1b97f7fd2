"""Whole layers against PyTorch's: random sizes, layers, directions, lengths, both dtypes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import minirnn as mr
from minirnn.testing.tolerances import Sizes, bound, terms

torch = pytest.importorskip("torch")

SLOTS = {"RNN": 1, "GRU": 3, "LSTM": 4}


def as_tuple(state: Any) -> tuple[Any, ...]:
    return state if isinstance(state, tuple) else (state,)


def float32_tolerance(name: str, wanted: Any, x: Any, sizes: Sizes, layers: int) -> float:
    """From the table of `minirnn.testing.tolerances`, for a stack of layers.

    Roundings add up through all layers, each as wide as the widest. |z| is at most
    (I max|x| + H + 2) / √H at default initialisation, where |h| <= 1; gradients are relative to
    their array's largest value.
    """
    array = {"output": "output", "state": "state.h", "x": "grad.x", "initial": "grad.state.h"}
    kind = array.get(name.split(".")[0]) or f"grad.{name.split('_l')[0]}"
    z = (sizes.I * max(1.0, float(np.abs(x).max())) + sizes.H + 2) / math.sqrt(sizes.H)
    scale = max(1.0, z) * max(1.0, float(np.abs(wanted).max()))
    return bound("float32", layers * terms(kind, sizes), scale)


def results(
    library: Any, layer: Any, x: Any, state: tuple[Any, ...], output: Any, last: Any, upstream: Any
) -> dict[str, Any]:
    """Run backward; every output, last state and gradient by name."""
    last = as_tuple(last)
    make = library.from_numpy if library is torch else mr.Tensor
    loss = sum((a * make(u)).sum() for a, u in zip((output, *last), upstream, strict=True))
    loss.backward()
    named = {"output": output, **{f"state.{k}": s for k, s in enumerate(last)}}
    named = {n: a.detach().numpy() for n, a in named.items()}
    leaves = {"x": x, **{f"initial.{k}": s for k, s in enumerate(state)}}
    leaves |= dict(layer.named_parameters())
    return named | {n: np.asarray(leaf.grad) for n, leaf in leaves.items()}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kind", SLOTS)
def test_random_layers_are_pytorch_s(kind: str, dtype: str) -> None:
    @settings(max_examples=15)
    @given(
        sizes=st.tuples(*[st.integers(1, n) for n in (18, 6, 9, 20)]),
        num_layers=st.integers(1, 3),
        bidirectional=st.booleans(),
        batch_first=st.booleans(),
        bias=st.booleans(),
        packed=st.booleans(),
        seed=st.integers(0, 2**32 - 1),
    )
    @example(
        sizes=(18, 6, 9, 20), num_layers=3, bidirectional=True, batch_first=True, bias=True,
        packed=True, seed=1,
    )  # fmt: skip
    def check(
        sizes: tuple[int, int, int, int],
        num_layers: int,
        bidirectional: bool,
        batch_first: bool,
        bias: bool,
        packed: bool,
        seed: int,
    ) -> None:
        T, B, I, H = sizes  # noqa: E741
        options = {
            "num_layers": num_layers, "bidirectional": bidirectional,
            "batch_first": batch_first, "bias": bias,
        }  # fmt: skip
        rng = np.random.default_rng(seed)
        levels = num_layers * (2 if bidirectional else 1)
        count = 2 if kind == "LSTM" else 1
        ours = getattr(mr, kind)(I, H, dtype=dtype, rng=seed, **options)
        theirs = getattr(torch.nn, kind)(I, H, dtype=torch.float64, **options)
        weights = {n: torch.from_numpy(a).double() for n, a in ours.state_dict().items()}
        theirs.load_state_dict(weights)  # by name

        def normal(*shape: int) -> Any:
            return rng.standard_normal(shape).astype(dtype)

        x = normal(*((B, T, I) if batch_first else (T, B, I)))
        state = [0.5 * normal(levels, B, H) for _ in range(count)]
        lengths = rng.integers(1, T + 1, B) if packed else None
        # Upstream gradients; past a sequence's end they arrive too, and count for nothing.
        upstream = [normal(*x.shape[:2], H * levels // num_layers)]
        upstream += [normal(levels, B, H) for _ in range(count)]

        x_ours = mr.Tensor(x, requires_grad=True)
        state_ours = tuple(mr.Tensor(s, requires_grad=True) for s in state)
        call = state_ours if count > 1 else state_ours[0]
        found = results(mr, ours, x_ours, state_ours, *ours(x_ours, call, lengths), upstream)

        x_theirs = torch.from_numpy(x.astype(np.float64)).requires_grad_()
        state_theirs = tuple(torch.from_numpy(s.astype(np.float64)).requires_grad_() for s in state)
        call = state_theirs if count > 1 else state_theirs[0]
        if lengths is None:
            output, last = theirs(x_theirs, call)
        else:
            rnn = torch.nn.utils.rnn
            sequence = rnn.pack_padded_sequence(
                x_theirs, torch.from_numpy(lengths), batch_first, enforce_sorted=False
            )
            output, last = theirs(sequence, call)
            output, _ = rnn.pad_packed_sequence(output, batch_first, total_length=T)
        wide = [u.astype(np.float64) for u in upstream]
        wanted = results(torch, theirs, x_theirs, state_theirs, output, last, wide)

        assert found.keys() == wanted.keys()
        widest = Sizes(T, B, max(I, H * levels // num_layers), H, SLOTS[kind], SLOTS[kind])
        for name, array in wanted.items():
            assert found[name].dtype == dtype
            allowed = 1e-9 * float(np.abs(array).max())
            if dtype == "float32":
                allowed = float32_tolerance(name, array, x, widest, num_layers)
            error = np.abs(found[name] - array).max()
            assert error <= allowed, f"{name}: {error:.2e} > {allowed:.2e}"

    check()
