"""Functions on JAX's arrays, differentiated by JAX."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from minirnn.kernels.contract import Array
from minirnn.testing.adapters.adapter import Adapter, by_position, need


def jax_function(
    function: Callable[..., Any], *, storage: str = "float32", jit: bool = True, **conventions: Any
) -> Adapter:
    """A function on JAX's arrays, `f(x, state, weights[, lengths=][, reverse=])` -> output, state.

    `state` is a tuple of (B, H) arrays, or None where `initial_state=False`; `weights` a tuple.
    Parameters named `lengths` and `reverse` are taken to mean that it knows them; `reverse` is a
    Python bool. Gradients are those of `jax.vjp`; with `jit` both are compiled.

    storage      "bfloat16" casts the numbers to that type; others follow from the arrays. JAX needs
                 64 bits enabled for "float64", which is done around each call
    conventions  arguments of `check_cell`, such as `cell` and `gate_order`

    Raises: MissingExtraError without JAX.
    """
    jax = need("jax", "testing.adapters.jax_function", extra="")
    parameters = inspect.signature(function).parameters

    def of(array: Array) -> Any:
        made = jax.numpy.array(array)  # a copy: the array's memory is not JAX's to keep
        return made.astype(jax.numpy.bfloat16) if storage == "bfloat16" else made

    def forward(
        x: Array,
        state: tuple[Array, ...] | None,
        weights: tuple[Array, ...],
        *,
        lengths: Array | None = None,
        reverse: bool = False,
    ) -> Any:
        states = len(state or ())
        options: dict[str, Any] = {}
        if "reverse" in parameters:
            options["reverse"] = reverse

        def run(x: Any, *rest: Any) -> Any:
            if "lengths" in parameters:
                options["lengths"] = None if lengths is None else jax.numpy.array(lengths)
            given = None if state is None else tuple(rest[:states])
            output, last = function(x, given, tuple(rest[states:]), **options)
            return (output, *(last if isinstance(last, tuple | list) else (last,)))

        with jax.enable_x64(x.dtype == np.float64):
            inputs = [of(a) for a in (x, *(state or ()), *weights)]
            results, back = jax.vjp(jax.jit(run) if jit else run, *inputs)
        output, *last = map(_array, results)
        return output, tuple(last), (back, states, [r.dtype for r in results])

    def backward(doutput: Array, dstate: tuple[Array, ...] | None, saved: Any) -> Any:
        back, states, dtypes = saved
        with jax.enable_x64(doutput.dtype == np.float64):
            given = [of(d) for d in (doutput, *(dstate or ()))]
            given += [jax.numpy.zeros_like(given[0]) for _ in dtypes[len(given) :]]
            return by_position([_array(g) for g in back(tuple(given))], states)

    return Adapter(
        forward,
        {
            "lengths": "any" if "lengths" in parameters else "none",
            "reverse": "reverse" in parameters,
            "storage": storage,
            **conventions,
        },
        backward,
    )


def _array(array: Any) -> Array:
    # NumPy has no bfloat16, and float32 holds it.
    return np.asarray(array.astype("float32") if array.dtype.name == "bfloat16" else array)
