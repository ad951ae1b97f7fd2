"""Keras layers without Keras: configurations as files have them, and the equations in loops."""

from __future__ import annotations

from typing import Any

import numpy as np

from minirnn.interop.keras.archive import FileStore
from minirnn.interop.keras.base import Build
from minirnn.interop.keras.convert import convert
from minirnn.interop.keras.source import Layer

GATES = {"SimpleRNN": 1, "GRU": 3, "LSTM": 4}


def entry(kind: str, name: str | None = None, **config: Any) -> dict[str, Any]:
    """A layer as Keras serialises it."""
    return {
        "module": "keras.layers",
        "class_name": kind,
        "config": {"name": name or kind.lower(), "trainable": True, "dtype": "float64", **config},
        "registered_name": None,
    }


def recurrent_entry(kind: str, units: int = 3, **config: Any) -> dict[str, Any]:
    options = {"units": units, "activation": "tanh", "use_bias": True}
    if kind != "SimpleRNN":
        options["recurrent_activation"] = "sigmoid"
    if kind == "GRU":
        options["reset_after"] = True
    return entry(kind, **{**options, **config})


def recurrent_weights(kind: str, inputs: int = 2, units: int = 3, seed: int = 0) -> list[Any]:
    """Keras's kernel, recurrent_kernel and bias."""
    rng = np.random.default_rng(seed)
    rows = GATES[kind] * units
    bias = (2, rows) if kind == "GRU" else (rows,)
    return [rng.standard_normal(shape) for shape in ((inputs, rows), (units, rows), bias)]


def converted(described: dict[str, Any], arrays: dict[str, Any], **options: Any) -> Any:
    """What from_keras makes of a file with this configuration and these arrays."""
    build = Build(options.get("dtype"), options.get("device", "cpu"), 0)
    return convert(Layer(described, FileStore(arrays, "")), build).eval()


def stored(path: str, arrays: list[Any]) -> dict[str, Any]:
    """Arrays by their path in a file."""
    prefix = f"{path}/vars" if path else "vars"
    return {f"{prefix}/{index}": array for index, array in enumerate(arrays)}


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def one_step(kind: str, x: Any, h: Any, c: Any, weights: list[Any]) -> tuple[Any, Any]:
    """One step by the equations of Keras's documentation, in its own order of gates."""
    kernel, recurrent, bias = weights
    if kind == "SimpleRNN":
        return np.tanh(x @ kernel + bias + h @ recurrent), c
    if kind == "LSTM":
        i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c
    x_z, x_r, x_h = np.split(x @ kernel + bias[0], 3)
    h_z, h_r, h_h = np.split(h @ recurrent + bias[1], 3)
    z, r = sigmoid(x_z + h_z), sigmoid(x_r + h_r)
    return z * h + (1 - z) * np.tanh(x_h + r * h_h), c


def by_hand(
    kind: str,
    x: Any,
    weights: list[Any],
    mask: Any = None,
    *,
    go_backwards: bool = False,
    zero_output: bool = False,
) -> tuple[Any, Any]:
    """Keras's outputs (B, T, H) and last h (B, H), sequence by sequence and step by step."""
    B, T, _ = x.shape
    H = weights[1].shape[0]
    outputs, last = np.zeros((B, T, H)), np.zeros((B, H))
    for b in range(B):
        h, c, held = np.zeros(H), np.zeros(H), np.zeros(H)
        for k, t in enumerate(reversed(range(T)) if go_backwards else range(T)):
            if mask is None or mask[b, t]:
                h, c = one_step(kind, x[b, t], h, c, weights)
                held = h
            elif zero_output:
                held = np.zeros(H)
            outputs[b, k] = held
        last[b] = h
    return outputs, last
