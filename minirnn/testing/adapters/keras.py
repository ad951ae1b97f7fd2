"""Keras 3's layers, on PyTorch or JAX, whose automatic derivatives give the gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minirnn.errors import ArgumentError
from minirnn.kernels import cells
from minirnn.kernels.contract import Array
from minirnn.testing.adapters.adapter import Adapter, by_position, need

KINDS = {"SimpleRNN": "rnn", "GRU": "gru", "LSTM": "lstm"}


def keras_layer(
    make: Callable[..., Any], *, storage: str = "float32", **conventions: Any
) -> Adapter:
    """A layer that is built and called as `keras.layers.LSTM` is; that class itself, say.

    It is built as `make(units, return_sequences=True, return_state=True, go_backwards=…, dtype=…)`,
    which other options may be bound to: `functools.partial(keras.layers.GRU, reset_after=False)`.
    Lengths are handed over as a mask, with `zero_output_for_mask`; the reverse direction is
    `go_backwards`, whose outputs come last step first.

    storage      type of the layer's numbers; needed for "bfloat16", others follow from the arrays
    conventions  arguments of `check_cell`; `cell` for a class that is not one of Keras's

    What Keras (3.15 on PyTorch) does not do: NaN in the padding of x enters gradients, though not
    the output, so `padding` is "finite"; and products of float64 arrays are computed in float32
    (`keras.ops.matmul`), so that "float64" fails wherever no fused kernel serves.

    Gradients are checked where Keras runs on PyTorch; on another backend, forward alone.

    Raises: MissingExtraError without Keras; ArgumentError if the cell cannot be told.
    """
    keras = need("keras", "testing.adapters.keras_layer")
    backend = keras.backend.backend()
    torch = need("torch", "testing.adapters.keras_layer") if backend == "torch" else None
    sample = make(1)
    kind = KINDS.get(type(sample).__name__)
    if kind is None and "cell" not in conventions:
        raise ArgumentError(
            "cell", f"none beside a {type(sample).__name__}", "one of " + ", ".join(KINDS)
        )
    reset_before = kind == "gru" and not sample.reset_after
    # Keras's GRU has a second bias only where the reset gate acts after the product.
    two = kind == "gru" and not reset_before
    biases = (2 if two else 1) if getattr(sample, "use_bias", True) else 0
    cell: Any = cells.gru(reset="before") if reset_before else kind

    def forward(
        x: Array,
        state: tuple[Array, ...],
        weights: tuple[Array, ...],
        *,
        lengths: Array | None = None,
        reverse: bool = False,
    ) -> Any:
        dtype = "bfloat16" if storage == "bfloat16" else x.dtype.name
        layer = make(
            weights[1].shape[0],
            return_sequences=True,
            return_state=True,
            go_backwards=reverse,
            zero_output_for_mask=True,
            dtype=dtype,
        )
        layer.build(x.shape)
        kernel, recurrent, *given = weights
        given = [np.stack(given)] if len(given) == 2 else given
        arrays = [x, *state, kernel, recurrent, *given]
        tensors = [keras.ops.convert_to_tensor(np.ascontiguousarray(a), dtype) for a in arrays]
        if torch is not None:
            tensors = [t.detach().requires_grad_() for t in tensors]
        mask = None
        if lengths is not None:
            mask = keras.ops.convert_to_tensor(np.arange(x.shape[1]) < lengths[:, None])
        states = tensors[1 : 1 + len(state)]
        results, _ = layer.stateless_call(
            tensors[1 + len(state) :],
            [v.value for v in layer.non_trainable_variables],
            tensors[0],
            initial_state=states,
            mask=mask,
        )
        output, *last = results
        output = keras.ops.flip(output, axis=1) if reverse else output
        saved = (tensors, len(state), (output, *last), biases)
        return _array(keras, output), tuple(_array(keras, s) for s in last), saved

    def backward(doutput: Array, dstate: tuple[Array, ...], saved: Any) -> Any:
        tensors, states, results, biases = saved
        given = [
            keras.ops.convert_to_tensor(np.ascontiguousarray(d), r.dtype)
            for d, r in zip((doutput, *dstate), results, strict=True)
        ]
        assert torch is not None
        gradients = torch.autograd.grad(
            results, tensors, given, allow_unused=True, retain_graph=True
        )
        filled = [
            torch.zeros_like(t) if g is None else g for g, t in zip(gradients, tensors, strict=True)
        ]
        arrays = [_array(keras, g) for g in filled]
        if biases == 2:
            arrays[-1:] = list(arrays[-1])
        return by_position(arrays, states)

    return Adapter(
        forward,
        {
            "cell": cell,
            "gate_order": "keras",
            "biases": biases,
            "layout": "batch_major",
            "weights": "columns",
            "storage": storage,
            "lengths": "any",
            "padding": "finite",
            "reverse": True,
            "no_steps": False,
            **conventions,
        },
        backward if torch is not None else None,
    )


def _array(keras: Any, tensor: Any) -> Array:
    # NumPy has no bfloat16, and float32 holds it.
    narrow = keras.backend.standardize_dtype(tensor.dtype) == "bfloat16"
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32") if narrow else tensor)
