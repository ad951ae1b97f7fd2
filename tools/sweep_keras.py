"""Random Keras layers and models against what `from_keras` makes of them, in float64.

    python tools/sweep_keras.py --count 200        # needs Keras and PyTorch

Each configuration is a layer or a chain with random options, weights, inputs, mask and initial
state. Outputs, last states, and the gradients of a random linear function of them with respect to
inputs and weights, are compared with Keras on PyTorch's autograd: to 1e-9 of each array's largest
value. Exit status 1 if one differs, with the configuration's number, so that it can be run alone
(`--only N`). Cells with other activations are compiled first, some seconds each.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np
import torch
from torch.nn import functional

import minirnn as mr
from minirnn.interop.keras import from_keras, keras_weights

L = keras.layers
BOUND = 1e-9

# Each pair is one more cell to compile: some of all that there are.
ACTIVATIONS = ("tanh", "relu", "sigmoid", "linear", "hard_sigmoid", "softsign", "elu", "silu",
               "hard_tanh", "relu6", "leaky_relu", "softplus")  # fmt: skip
GATES = ("sigmoid", "hard_sigmoid", "tanh")
BUILT_IN = (("tanh", "sigmoid"), ("relu", "sigmoid"), ("sigmoid", "sigmoid"))


@contextmanager
def exact_float64() -> Iterator[None]:
    """Have Keras on PyTorch compute in float64, where both round to float32 in places.

    Keras's type promotion (`keras.backend.result_type`) has float32 for float64 on all backends but
    TensorFlow, and `keras.ops.matmul` casts to what it says. PyTorch's derivative of `hardsigmoid`
    has 1/6 in float32 (2.13 on the CPU: a relative error of 3e-8): it is written out instead.
    """
    from keras.src.backend.common import dtypes

    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    before = dtypes.BIT64_TO_BIT32_DTYPE["float64"], functional.hardsigmoid
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"
    functional.hardsigmoid = lambda x: torch.clamp(x / 6.0 + 0.5, 0.0, 1.0)
    try:
        yield
    finally:
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(policy)
        dtypes.BIT64_TO_BIT32_DTYPE["float64"], functional.hardsigmoid = before


class Draw:
    """Random choices of one configuration."""

    def __init__(self, seed: int, *, built_in_only: bool = False) -> None:
        self.rng = np.random.default_rng(seed)
        self.built_in_only = built_in_only

    def of(self, *choices: Any) -> Any:
        """One of the choices."""
        return choices[int(self.rng.integers(len(choices)))]

    def chance(self, share: float) -> bool:
        """True that often."""
        return bool(self.rng.random() < share)

    def size(self, most: int = 5) -> int:
        """A size from 1."""
        return int(self.rng.integers(1, most + 1))

    def activations(self) -> tuple[str, str]:
        """Activation and recurrent activation: one of a few built in, or any."""
        if self.built_in_only or self.chance(0.6):
            return self.of(*BUILT_IN)  # type: ignore[no-any-return]
        return self.of(*ACTIVATIONS), self.of(*GATES)

    def cell_options(self, kind: str) -> dict[str, Any]:
        """The options that a layer and a cell share."""
        activation, gates = self.activations()
        options: dict[str, Any] = {"activation": activation, "use_bias": self.chance(0.8)}
        if kind != "SimpleRNN":
            options["recurrent_activation"] = gates
        if kind == "GRU":
            options["reset_after"] = self.chance(0.5)
        if kind == "LSTM":
            options["unit_forget_bias"] = self.chance(0.5)
        options["dropout"] = self.of(0.0, 0.0, 0.3)
        options["recurrent_dropout"] = self.of(0.0, 0.0, 0.3)
        return options

    def recurrent(self, **fixed: Any) -> Any:
        """A recurrent layer of one direction."""
        sequences = {"return_sequences": self.chance(0.6), "return_state": self.chance(0.3),
                     "go_backwards": self.chance(0.3), "unroll": False}  # fmt: skip
        if self.chance(0.3):
            sequences["zero_output_for_mask"] = True
        sequences |= fixed
        kind = self.of("SimpleRNN", "GRU", "LSTM")
        if self.chance(0.75):
            layer = getattr(L, kind)
            return layer(self.size(), **self.cell_options(kind), **sequences)
        cells = []
        for _ in range(self.of(1, 2, 3)):
            kind = self.of("SimpleRNN", "GRU", "LSTM")
            cells.append(getattr(L, kind + "Cell")(self.size(), **self.cell_options(kind)))
        return L.RNN(L.StackedRNNCells(cells) if len(cells) > 1 else cells[0], **sequences)

    def bidirectional(self, **fixed: Any) -> Any:
        """Two directions, at times with a backward layer of its own."""
        merge = self.of("concat", "concat", "sum", "ave", "mul", None)
        shared = {"return_sequences": self.chance(0.6), "return_state": self.chance(0.3)} | fixed
        if fixed:
            merge = "concat" if merge is None else merge
        own = self.chance(0.4)
        backwards_first = own and not fixed and self.chance(0.3)
        first = self.recurrent(**shared, go_backwards=backwards_first)
        second = None
        if own:
            second = self.recurrent(**shared, go_backwards=not first.go_backwards)
            if _units(first) != _units(second):
                # Keras tells the next layer twice the first one's size, whatever the second is.
                second, merge = (None, merge) if fixed else (second, self.of("concat", None))
        return L.Bidirectional(first, merge_mode=merge, backward_layer=second)

    def layer(self, **fixed: Any) -> Any:
        """A recurrent layer."""
        return self.bidirectional(**fixed) if self.chance(0.35) else self.recurrent(**fixed)

    def chain(self) -> tuple[list[Any], bool]:
        """Layers of a model, and whether its input is integers."""
        layers: list[Any] = []
        integers = self.chance(0.25)
        if integers:
            layers.append(L.Embedding(5, self.size(), mask_zero=self.chance(0.5)))
        elif self.chance(0.4):
            layers.append(L.Masking(mask_value=self.of(0.0, 0.5)))
        for _ in range(self.of(1, 1, 2, 3)):
            if self.chance(0.3):
                layers.append(self.around())
            layers.append(self.layer(return_sequences=True, return_state=False))
        if self.chance(0.6):
            layers.append(self.layer(return_sequences=self.chance(0.3), return_state=False))
        if self.chance(0.3):
            layers.append(self.around())
        if self.chance(0.2):
            inner = keras.Sequential([self.around(), self.around()])
            layers.append(inner)
        if self.chance(0.8):
            dense = L.Dense(self.size(), activation=self.of(*ACTIVATIONS, "softmax", "selu"))
            layers.append(dense)
        return layers, integers

    def around(self) -> Any:
        """A layer that works on sequences and on rows alike."""
        return self.of(
            lambda: L.Dense(self.size(), activation=self.of(*ACTIVATIONS, "softmax")),
            lambda: L.Dropout(0.2),
            lambda: L.Activation(self.of(*ACTIVATIONS)),
            lambda: L.LayerNormalization(center=self.chance(0.7), scale=self.chance(0.7)),
            lambda: L.BatchNormalization(center=self.chance(0.7), scale=self.chance(0.7)),
        )()


def _units(layer: Any) -> int:
    cell = layer.cell
    return int(getattr(cell, "output_size", None) or cell.units)


class Case:
    """One configuration: `layer`, built, with random weights; `x`; mask or lengths; states."""

    def __init__(self, seed: int, *, built_in_only: bool = False) -> None:
        draw = Draw(seed, built_in_only=built_in_only)
        self.kind = draw.of("layer", "layer", "sequential", "functional")
        B, T, I = draw.size(), draw.size(7), draw.size(4)  # noqa: E741
        x = draw.rng.standard_normal((B, T, I))
        if self.kind == "layer":
            self.layer = draw.layer()
            self.layer.build((B, T, I))
        else:
            layers, integers = draw.chain()
            if integers:
                x = draw.rng.integers(0, 5, (B, T))
            elif isinstance(layers[0], L.Masking):
                x[draw.rng.random((B, T)) < 0.4] = layers[0].mask_value
            self.layer = _model(layers, x, self.kind)
        self.x = x
        for variable in self.layer.weights:
            scale = draw.rng.standard_normal(variable.shape) * 0.6
            positive = "variance" in variable.path
            variable.assign(np.abs(scale) + 0.5 if positive else scale)
        self.mask = None
        self.lengths = None
        if x.ndim == 3 and not any(isinstance(e, L.Masking) for e in _inside(self.layer)):
            if draw.chance(0.35):
                self.lengths = draw.rng.integers(0, T + 1, B)
                self.mask = np.arange(T) < self.lengths[:, None]
            elif draw.chance(0.35):
                self.mask = draw.rng.random((B, T)) < 0.6
        self.state = None
        if self.kind == "layer" and draw.chance(0.3) and _takes_states(self.layer):
            self.state = [draw.rng.standard_normal((B, n)) for n in _state_sizes(self.layer)]
        self.rng = draw.rng

    def told(self) -> str:
        """What it is, in words."""
        parts = [_told(each) for each in _inside(self.layer)]
        more = f"x {self.x.shape}"
        more += "" if self.lengths is None else f", lengths {self.lengths.tolist()}"
        more += ", mask" if self.mask is not None and self.lengths is None else ""
        more += "" if self.state is None else ", state"
        return f"{self.kind}: {' → '.join(parts)}; {more}"

    def compare(self) -> dict[str, float]:
        """The largest difference of each array, as a share of the array's largest value."""
        theirs = self._keras()
        ours = self._minirnn()
        found: dict[str, float] = {}
        for name, arrays in theirs.items():
            assert len(arrays) == len(ours[name]), (name, len(arrays), len(ours[name]))
            for index, (a, b) in enumerate(zip(arrays, ours[name], strict=True)):
                assert a.shape == b.shape, (name, index, a.shape, b.shape)
                largest = max(float(np.abs(a).max(initial=0.0)), 1e-300)
                difference = float(np.abs(a - b).max(initial=0.0))
                # A gradient that cancels to nothing is compared with 1.
                found[f"{name} {index}"] = difference / (largest if largest > 1e-12 else 1.0)
        return found

    def _keras(self) -> dict[str, list[np.ndarray]]:
        x = torch.tensor(self.x, requires_grad=self.x.dtype.kind == "f")
        options: dict[str, Any] = {}
        if self.mask is not None:
            options["mask"] = torch.tensor(self.mask)
        states = []
        if self.state is not None:
            states = [torch.tensor(s, requires_grad=True) for s in self.state]
            options["initial_state"] = _nested(self.layer, states)
        results = keras.tree.flatten(self.layer(x, **options))
        self.factors = [self.rng.standard_normal(tuple(r.shape)) for r in results]
        sum(
            (r * torch.tensor(f)).sum() for r, f in zip(results, self.factors, strict=True)
        ).backward()
        leaves = [x, *states] if x.requires_grad else states
        return {
            "output": [r.detach().numpy() for r in results],
            "input gradient": [_gradient(leaf) for leaf in leaves],
            "weight gradient": [_gradient(v.value) for v in self.layer.weights],
        }

    def _minirnn(self) -> dict[str, list[np.ndarray]]:
        model = from_keras(self.layer)
        x = mr.Tensor(self.x, requires_grad=self.x.dtype.kind == "f")
        options: dict[str, Any] = {}
        if self.lengths is not None:
            options["lengths"] = self.lengths
        elif self.mask is not None:
            options["mask"] = self.mask
        states = []
        if self.state is not None:
            states = [mr.Tensor(s, requires_grad=True) for s in self.state]
            options["state"] = states
        results = keras.tree.flatten(model(x, **options))
        loss = sum((r * f).sum() for r, f in zip(results, self.factors, strict=True))
        if loss.requires_grad:
            loss.backward()
        leaves = [x, *states] if x.requires_grad else states
        return {
            "output": [r.numpy() for r in results],
            "input gradient": [
                np.zeros(e.shape) if e.grad is None else np.asarray(e.grad) for e in leaves
            ],
            "weight gradient": keras_weights(model, gradients=True),
        }


def _gradient(leaf: Any) -> np.ndarray:
    return np.zeros(tuple(leaf.shape)) if leaf.grad is None else leaf.grad.numpy()


def _model(layers: list[Any], x: np.ndarray, kind: str) -> Any:
    given = keras.Input(x.shape[1:], dtype="float64" if x.dtype.kind == "f" else "int64")
    if kind == "sequential":
        return keras.Sequential([given, *layers])
    at = given
    for layer in layers:
        at = layer(at)
    return keras.Model(given, at)


def _inside(layer: Any) -> list[Any]:
    return (
        [e for each in layer.layers for e in _inside(each)] if hasattr(layer, "layers") else [layer]
    )


def _told(layer: Any) -> str:
    if isinstance(layer, L.Bidirectional):
        halves = f"{_told(layer.forward_layer)}, {_told(layer.backward_layer)}"
        return f"Bidirectional({halves}, {layer.merge_mode})"
    wanted = (
        "units", "activation", "recurrent_activation", "reset_after", "return_sequences",
        "return_state", "go_backwards", "zero_output_for_mask", "use_bias", "mask_value",
    )  # fmt: skip
    config = layer.get_config()
    told = {k: config[k] for k in wanted if k in config}
    return f"{type(layer).__name__}({', '.join(f'{k}={v}' for k, v in told.items())})"


def _state_sizes(layer: Any) -> list[int]:
    if isinstance(layer, L.Bidirectional):
        return _state_sizes(layer.forward_layer) + _state_sizes(layer.backward_layer)
    return [int(n) for n in keras.tree.flatten(layer.cell.state_size)]


def _takes_states(layer: Any) -> bool:
    """Whether Keras takes them: it cuts those of two directions in the middle."""
    halves = [layer.forward_layer, layer.backward_layer] if hasattr(layer, "merge_mode") else []
    return len({len(_state_sizes(half)) for half in halves}) < 2


def _nested(layer: Any, states: list[Any]) -> list[Any]:
    """States as Keras takes them: of stacked cells a list for each."""
    if isinstance(layer, L.Bidirectional):
        cut = len(_state_sizes(layer.forward_layer))
        return _nested(layer.forward_layer, states[:cut]) + _nested(
            layer.backward_layer, states[cut:]
        )
    sizes = layer.cell.state_size
    if isinstance(sizes, int):
        return states
    return list(keras.tree.pack_sequence_as(list(sizes), states))


def main() -> int:
    """Run the sweep; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="the number of one configuration")
    arguments = parser.parse_args()
    numbers = range(arguments.count) if arguments.only is None else [arguments.only]
    with exact_float64():
        return sweep(numbers, 1_000_003 * arguments.seed, verbose=arguments.only is not None)


def sweep(numbers: Sequence[int], first: int, *, verbose: bool) -> int:
    """Compare the configurations `first + number`; the exit status."""
    worst: Counter[str] = Counter()
    failed, begun = [], time.perf_counter()
    for number in numbers:
        case = Case(first + number)
        try:
            found = case.compare()
        except Exception as error:  # noqa: BLE001 - told with its number; the sweep goes on
            failed.append(number)
            print(f"{number}: {case.told()}\n    {type(error).__name__}: {error}")
            continue
        for name, value in found.items():
            group = name.rsplit(" ", 1)[0]
            worst[group] = max(worst[group], value)
        over = {name: value for name, value in found.items() if not value <= BOUND}
        if over or verbose:
            print(f"{number}: {case.told()}\n    {over or found}")
        if over:
            failed.append(number)
    seconds = time.perf_counter() - begun
    print(f"{len(numbers)} configurations in {seconds:.0f} s; differences of the largest value:")
    for group, value in worst.items():
        print(f"    {group:16} {value:.1e}")
    print(f"failed: {failed}" if failed else "all within 1e-9")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
