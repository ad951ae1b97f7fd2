"""Random recurrent layers of PyTorch, and what is compared of them.

    python tests/interop/torch_configurations.py 200

runs that many through `accelerate` and both conversions, and prints the worst difference.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

import minirnn as mr

TOLERANCE = 1e-9  # of an array's largest value, in float64: docs/conventions.md


@dataclass
class Configuration:
    """A layer, its arguments, and the weights of the loss."""

    text: str
    layer: Any
    x: Any  # (T, B, I), (B, T, I) or (T, I)
    lengths: Any  # (B,) or None
    enforce_sorted: bool
    hx: Any

    def input(self) -> Any:
        """What the layer is called with."""
        if self.lengths is None:
            return self.x
        return pack_padded_sequence(
            self.x, self.lengths, self.layer.batch_first, self.enforce_sorted
        )


def configurations(
    count: int, seed: int = 0, dtype: Any = torch.float64
) -> Iterator[Configuration]:
    """`count` of them, the same for a seed."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        yield _configuration(rng, number, dtype)


def _configuration(rng: np.random.Generator, number: int, dtype: Any) -> Configuration:
    torch.manual_seed(int(rng.integers(1 << 30)))
    kind = ("LSTM", "GRU", "RNN")[number % 3]
    width, H, T, B = (int(rng.integers(1, n)) for n in (9, 20, 9, 6))
    options: dict[str, Any] = {
        "num_layers": int(rng.integers(1, 4)),
        "bidirectional": bool(rng.integers(2)),
        "bias": bool(rng.integers(2)),
        "batch_first": bool(rng.integers(2)),
    }
    if kind == "RNN":
        options["nonlinearity"] = str(rng.choice(["tanh", "relu"]))
    if kind == "LSTM" and H > 1 and rng.integers(2):
        options["proj_size"] = int(rng.integers(1, H))
    layer = getattr(nn, kind)(width, H, dtype=dtype, **options)
    for (
        parameter
    ) in layer.parameters():  # larger than PyTorch's own, so that gates are far from 1/2
        nn.init.uniform_(parameter, -0.8, 0.8)
    form = ("batched", "packed", "unbatched")[int(rng.choice(3, p=[0.45, 0.4, 0.15]))]
    B = 1 if form == "unbatched" else B
    x = torch.randn(T, B, width, dtype=dtype)
    lengths, enforce_sorted = None, True
    if form == "packed":
        lengths = torch.from_numpy(rng.integers(1, T + 1, B))
        lengths[int(rng.integers(B))] = T
        enforce_sorted = bool(rng.integers(2))
        if enforce_sorted:
            lengths = lengths.sort(descending=True).values
    hx = None
    if rng.integers(2):
        levels = options["num_layers"] * (1 + options["bidirectional"])
        h = torch.randn(levels, B, options.get("proj_size", H), dtype=dtype)
        hx = (h, torch.randn(levels, B, H, dtype=dtype)) if kind == "LSTM" else h
    if form == "unbatched":
        x = x[:, 0]
        hx = None if hx is None else tuple(s[:, 0] for s in hx) if kind == "LSTM" else hx[:, 0]
    elif options["batch_first"]:
        x = x.transpose(0, 1).contiguous()
    text = f"{kind}({width}, {H}, {options}), {form}, T={T} B={B}, states {hx is not None}"
    return Configuration(text, layer, x, lengths, enforce_sorted, hx)


def states_of(hx: Any) -> tuple[Any, ...]:
    """The states, as a tuple."""
    return () if hx is None else tuple(hx) if isinstance(hx, tuple | list) else (hx,)


def padded(output: Any, batch_first: bool) -> Any:
    """The output as one tensor."""
    if isinstance(output, PackedSequence):
        return pad_packed_sequence(output, batch_first)[0]
    return output


def torch_arrays(case: Configuration, layer: Any = None) -> dict[str, Any]:
    """Output, last states and every gradient of a fixed loss, by PyTorch's autograd."""
    layer = case.layer if layer is None else layer
    layer.zero_grad()
    leaves = [case.x, *states_of(case.hx)]
    for leaf in leaves:
        leaf.requires_grad_()
        leaf.grad = None
    output, last = layer(case.input(), case.hx)
    results = [padded(output, layer.batch_first), *states_of(last)]
    torch.autograd.backward(results, [loss_weights(r.shape, r.dtype) for r in results])
    found = {f"result {i}": r.detach().clone() for i, r in enumerate(results)}
    found |= {f"gradient of argument {i}": leaf.grad.clone() for i, leaf in enumerate(leaves)}
    found |= {f"gradient of {n}": p.grad.clone() for n, p in layer.named_parameters()}
    return {name: value.numpy() for name, value in found.items()}


def loss_weights(shape: Any, dtype: Any = torch.float64) -> Any:
    """dL/d a result: fixed numbers that differ from place to place."""
    count = int(np.prod(shape))
    return torch.cos(torch.arange(1, count + 1, dtype=dtype) * 1.7).reshape(tuple(shape))


def minirnn_arrays(case: Configuration, layer: Any) -> dict[str, Any]:
    """The same of a minirnn layer, in the shapes of the PyTorch layer's call."""
    unbatched = case.x.ndim == 2
    batch_axis = 0 if layer.batch_first else 1
    given = case.x.detach().numpy()
    x = mr.Tensor(np.expand_dims(given, batch_axis) if unbatched else given, requires_grad=True)
    states = [s.detach().numpy() for s in states_of(case.hx)]
    states = [mr.Tensor(s[:, None] if unbatched else s, requires_grad=True) for s in states]
    hx = None if not states else tuple(states) if len(states) > 1 else states[0]
    lengths = None if case.lengths is None else case.lengths.numpy()
    layer.zero_grad()
    output, last = layer(x, hx, lengths)
    results = [output, *states_of(last)]
    shapes = [r.shape for r in results]
    if unbatched:
        shapes = [np.delete(s, a) for s, a in zip(shapes, [batch_axis, 1, 1], strict=False)]
    weights = [loss_weights(s).numpy() for s in shapes]
    loss = sum((r * w.reshape(r.shape)).sum() for r, w in zip(results, weights, strict=True))
    loss.backward()
    found = {
        f"result {i}": r.numpy().reshape(s)
        for i, (r, s) in enumerate(zip(results, shapes, strict=True))
    }
    for i, leaf in enumerate([x, *states]):
        given = [case.x, *states_of(case.hx)][i]
        found[f"gradient of argument {i}"] = leaf.grad.reshape(tuple(given.shape))
    return found | {f"gradient of {n}": p.grad for n, p in layer.named_parameters()}


def worst(ours: dict[str, Any], theirs: dict[str, Any]) -> tuple[float, str]:
    """The largest difference relative to its array's largest value, and which array has it."""
    assert ours.keys() == theirs.keys(), (sorted(ours), sorted(theirs))
    differences = {}
    for name, wanted in theirs.items():
        assert ours[name].shape == wanted.shape, name
        assert np.isfinite(ours[name]).all(), name
        scale = np.abs(wanted).max(initial=0.0)
        difference = np.abs(ours[name] - wanted).max(initial=0.0)
        differences[name] = float(difference / scale) if scale > 0 else float(difference)
    name = max(differences, key=lambda key: differences[key])
    return differences[name], name


def compare(case: Configuration) -> dict[str, float]:
    """The worst difference of each way: swapped, from PyTorch, and there and back."""
    from minirnn.interop.torch import accelerate, from_torch, to_torch

    theirs = torch_arrays(case)
    found = {}
    with accelerate(case.layer):
        found["accelerate"] = worst(torch_arrays(case), theirs)[0]
    layer = from_torch(case.layer)
    found["from_torch"] = worst(minirnn_arrays(case, layer), theirs)[0]
    found["to_torch"] = worst(torch_arrays(case, to_torch(layer)), theirs)[0]
    return found


def main() -> None:
    """Run as many as the command line says."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    totals: dict[str, float] = {}
    for number, case in enumerate(configurations(count)):
        for way, difference in compare(case).items():
            if not difference <= TOLERANCE:
                sys.exit(f"{number}: {case.text}: {way} differs by {difference:.2e}")
            totals[way] = max(totals.get(way, 0.0), difference)
    print(f"{count} configurations agree to {TOLERANCE}; the worst of them:")
    for way, difference in totals.items():
        print(f"  {way:12} {difference:.1e} of an array's largest value")


if __name__ == "__main__":
    main()
