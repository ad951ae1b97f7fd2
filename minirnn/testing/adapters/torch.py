"""PyTorch's modules, and functions on its tensors, differentiated by its autograd."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from minirnn.errors import ArgumentError
from minirnn.kernels.contract import Array
from minirnn.testing.adapters.adapter import Adapter, by_position, need

NAMES = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")


def torch_function(
    function: Callable[..., Any],
    *,
    storage: str = "float32",
    device: str = "cpu",
    **conventions: Any,
) -> Adapter:
    """A function on tensors, `f(x, state, weights[, lengths=][, reverse=])` -> output, state.

    `state` is a tuple of (B, H) tensors, or None where `initial_state=False`; `weights` a tuple.
    Parameters named `lengths` and `reverse` are taken to mean that it knows them. Its gradients are
    those of PyTorch's autograd, so a `torch.autograd.Function` within is checked as well.

    storage      "bfloat16" casts the numbers to that type; others follow from the arrays
    device       of the tensors
    conventions  arguments of `check_cell`, such as `cell` and `gate_order`

    Raises: MissingExtraError without PyTorch.
    """
    torch = need("torch", "testing.adapters.torch_function")
    parameters = inspect.signature(function).parameters

    def forward(
        x: Array,
        state: tuple[Array, ...] | None,
        weights: tuple[Array, ...],
        *,
        lengths: Array | None = None,
        reverse: bool = False,
    ) -> Any:
        x_, *rest = (_leaf(torch, a, storage, device) for a in (x, *(state or ()), *weights))
        states = len(state or ())
        options: dict[str, Any] = {}
        if "lengths" in parameters:
            options["lengths"] = None if lengths is None else torch.from_numpy(lengths).to(device)
        if "reverse" in parameters:
            options["reverse"] = reverse
        given = None if state is None else tuple(rest[:states])
        output, last = function(x_, given, tuple(rest[states:]), **options)
        last = tuple(last) if isinstance(last, tuple | list) else (last,)
        saved = ((x_, *rest), states, (output, *last))
        return _array(output), tuple(map(_array, last)), saved

    return Adapter(
        forward,
        {
            "lengths": "any" if "lengths" in parameters else "none",
            "reverse": "reverse" in parameters,
            "storage": storage,
            **conventions,
        },
        _backward(torch, storage, device),
    )


def torch_module(
    make: Callable[..., Any],
    *,
    bias: bool = True,
    batch_first: bool = False,
    storage: str = "float32",
    device: str = "cpu",
    **conventions: Any,
) -> Adapter:
    """A module that is built, named and called as `torch.nn.LSTM` is; that class itself, say.

    It is built as `make(input_size, hidden_size, bias=…, batch_first=…, bidirectional=…)`, gets its
    weights by the names of PyTorch's parameters, and is called as `module(x, state)`, x perhaps a
    packed sequence. The reverse direction is the second one of a bidirectional module.

    make         a class, or a function that gives a module
    storage      "bfloat16" casts the numbers to that type; others follow from the arrays
    conventions  arguments of `check_cell`; for subclasses of PyTorch's own none is needed, else
                 `cell`. `lengths="none"` and `reverse=False` for a module that lacks these

    Raises: MissingExtraError without PyTorch; ArgumentError if the cell cannot be told.
    """
    torch = need("torch", "testing.adapters.torch_module")
    cell = conventions.pop("cell", None) or _cell(torch, make)

    def forward(
        x: Array,
        state: tuple[Array, ...],
        weights: tuple[Array, ...],
        *,
        lengths: Array | None = None,
        reverse: bool = False,
    ) -> Any:
        H = weights[1].shape[1]
        options = {"bidirectional": True} if reverse else {}
        module = make(x.shape[-1], H, bias=bias, batch_first=batch_first, **options)
        x_, *states = (_leaf(torch, a, storage, device) for a in (x, *state))
        module = module.to(device=device, dtype=x_.dtype)
        suffix = "_reverse" if reverse else ""
        mine = [getattr(module, name + suffix) for name in NAMES[: len(weights)]]
        with torch.no_grad():
            for parameter, weight in zip(mine, weights, strict=True):
                parameter.copy_(torch.from_numpy(np.ascontiguousarray(weight)))
        # (layers and directions, B, H); the first direction starts from zeros and is not looked at
        given = [
            torch.stack([torch.zeros_like(s), s]) if reverse else s.unsqueeze(0) for s in states
        ]
        packed: Any = x_
        if lengths is not None:
            packed = torch.nn.utils.rnn.pack_padded_sequence(
                x_, torch.from_numpy(lengths), batch_first=batch_first, enforce_sorted=False
            )
        output, last = module(packed, given[0] if len(given) == 1 else tuple(given))
        if lengths is not None:
            output, _ = torch.nn.utils.rnn.pad_packed_sequence(
                output, batch_first=batch_first, total_length=x.shape[1 if batch_first else 0]
            )
        output = output[..., H:] if reverse else output
        last = tuple(s[-1] for s in (last if isinstance(last, tuple) else (last,)))
        return (
            _array(output),
            tuple(map(_array, last)),
            ((x_, *states, *mine), len(states), (output, *last)),
        )

    return Adapter(
        forward,
        {
            "cell": cell,
            "gate_order": "pytorch",
            "biases": 2 if bias else 0,
            "layout": "batch_major" if batch_first else "time_major",
            "storage": storage,
            "lengths": "positive",  # pack_padded_sequence refuses a length of 0
            "reverse": True,
            "no_steps": False,
            **conventions,
        },
        _backward(torch, storage, device),
    )


def _backward(torch: Any, storage: str, device: str) -> Callable[..., Any]:
    """The backward of whatever saved (inputs, how many of them are states, results)."""

    def backward(doutput: Array, dstate: tuple[Array, ...] | None, saved: Any) -> Any:
        inputs, states, results = saved
        given = [_tensor(torch, d, storage, device) for d in (doutput, *(dstate or ()))]
        # A result that depends on nothing, as the output of no step, has no gradient to give.
        pairs = zip(results, given, strict=False)
        live = [(r, d) for r, d in pairs if r.requires_grad]
        gradients = torch.autograd.grad(
            [r for r, _ in live],
            inputs,
            [d for _, d in live],
            allow_unused=True,
            retain_graph=True,
        )
        filled = [
            torch.zeros_like(i) if g is None else g for g, i in zip(gradients, inputs, strict=True)
        ]
        return by_position(list(map(_array, filled)), states)

    return backward


def _tensor(torch: Any, array: Array, storage: str, device: str) -> Any:
    tensor = torch.from_numpy(array).to(device)  # shares the array's memory on the CPU
    return tensor.to(torch.bfloat16) if storage == "bfloat16" else tensor


def _leaf(torch: Any, array: Array, storage: str, device: str) -> Any:
    return _tensor(torch, array, storage, device).detach().requires_grad_()


def _array(tensor: Any) -> Array:
    tensor = tensor.detach().cpu()
    # NumPy has no bfloat16, and float32 holds it.
    return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()


def _cell(torch: Any, make: Any) -> str:
    """The kind of cell of a class of PyTorch's."""
    for name, kind in (("rnn", "RNN"), ("gru", "GRU"), ("lstm", "LSTM")):
        if inspect.isclass(make) and issubclass(make, getattr(torch.nn, kind)):
            return name
    raise ArgumentError("cell", "none beside a module of one's own", '"rnn", "gru" or "lstm"')
