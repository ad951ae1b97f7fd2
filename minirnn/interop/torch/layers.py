"""`nn.RNN`, `nn.GRU` and `nn.LSTM` by our kernels: what their `forward` gives, to the shapes.

Dimensions: T time steps, B sequences, I inputs, H units, L layers, D directions, P features of a
projected output (P = H without projection). A *level* is one layer in one direction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch.nn.utils.rnn import PackedSequence

from minirnn.interop.torch import modes
from minirnn.interop.torch.equations import cell_of
from minirnn.interop.torch.function import Run, run_layer
from minirnn.interop.torch.traces import Call
from minirnn.kernels.contract import Weights

Tensor = Any
Module = Any


class _Door(NamedTuple):
    """A call's arguments as the kernels take them."""

    x: Tensor  # (T, B, I)
    states: tuple[Tensor, ...] | None  # (L*D, B, H or P) each; None: zeros
    packed: PackedSequence | None  # what x was, and then
    lengths: Tensor | None  # its lengths, (B,) on the CPU, longest first
    batched: bool


def run_layers(module: Module, input: Tensor | PackedSequence, hx: Any, call: Call) -> Any:
    """What `module.forward(input, hx)` gives; or a text, why PyTorch's own has to give it.

    The text is empty where the arguments do not fit: PyTorch's own then raises its own error.
    """
    weights = [[getattr(module, name, None) for name in level] for level in module._all_weights]
    flat = [weight for level in weights for weight in level]
    door = _door(module, input, hx)
    if door is None or any(weight is None for weight in flat):
        return modes.THEIRS
    if (why := modes.why_theirs((door.x, *(door.states or ()), *flat))) is not None:
        return why
    x, lengths = door.x, None
    if door.lengths is not None and int(door.lengths[-1]) < len(x):
        lengths = door.lengths.numpy()
    call.begin(door.states)
    finals: list[tuple[Tensor, ...]] = []
    for layer in range(module.num_layers):
        if layer > 0 and module.dropout > 0 and module.training:
            x = _dropped(x, module.dropout, door)
        outputs = []
        for reverse in (False, True) if module.bidirectional else (False,):
            level = len(finals)
            states = None if door.states is None else tuple([s[level] for s in door.states])
            run = Run(cell_of(module), reverse, lengths, records=call.records)
            output, final = _run_level(module, layer, run, x, states, weights[level], call)
            outputs.append(output)
            finals.append(final)
        x = outputs[0] if len(outputs) == 1 else torch.cat(outputs, 2)
    # One level's states need no copy.
    last = tuple([s[0][None] if len(s) == 1 else torch.stack(s) for s in zip(*finals, strict=True)])
    call.end(last)
    return _result(module, x, last, door)


def _door(module: Module, input: Any, hx: Any) -> _Door | None:
    """The arguments; None where they do not fit, of which PyTorch is the judge."""
    count = len(cell_of(module).states)
    states: tuple[Tensor, ...] | None = None
    if hx is not None:
        states = tuple(hx) if isinstance(hx, tuple | list) and count > 1 else (hx,)
        if len(states) != count or not all(isinstance(s, torch.Tensor) for s in states):
            return None
    packed, lengths, batched = None, None, True
    if isinstance(input, PackedSequence):
        packed = input
        if not isinstance(input.data, torch.Tensor) or input.data.dim() != 2:
            return None
        steps = len(input.batch_sizes)
        x, lengths = torch._VF._pad_packed_sequence(*input[:2], False, 0.0, steps)
        if states is not None and input.sorted_indices is not None:
            if any(s.dim() != 3 for s in states):
                return None
            states = tuple([s.index_select(1, input.sorted_indices) for s in states])
    elif isinstance(input, torch.Tensor) and input.dim() in (2, 3):
        batched = input.dim() == 3
        x = input
        if not batched:
            x = x.unsqueeze(1)
            if states is not None:
                if any(s.dim() != 2 for s in states):
                    return None
                states = tuple([s.unsqueeze(1) for s in states])
        elif module.batch_first:
            x = x.transpose(0, 1)
    else:
        return None
    T, B, width = x.shape
    if width != module.input_size or T == 0 or B == 0:
        return None
    if states is not None:
        levels = module.num_layers * (2 if module.bidirectional else 1)
        sizes = (module.proj_size or module.hidden_size, module.hidden_size)
        for state, size in zip(states, sizes, strict=False):
            if state.shape != (levels, B, size):
                return None
    return _Door(x, states, packed, lengths, batched)


def _dropped(x: Tensor, p: float, door: _Door) -> Tensor:
    """Dropout between layers, drawn as PyTorch draws it on the CPU: of packed rows, if packed."""
    if door.packed is None:
        return torch.dropout(x, p, True)
    rows, sizes = torch._VF._pack_padded_sequence(x, door.lengths, False)
    rows = torch.dropout(rows, p, True)
    return torch._VF._pad_packed_sequence(rows, sizes, False, 0.0, len(x))[0]


def _run_level(
    module: Module,
    layer: int,
    run: Run,
    x: Tensor,
    states: tuple[Tensor, ...] | None,
    parameters: Sequence[Tensor],
    call: Call,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    weights = Weights(*parameters[:2], *(parameters[2:4] if module.bias else (None, None)))
    projection = parameters[-1] if module.proj_size else None
    if projection is not None:
        x, states, weights = _unprojected(run, x, states, weights, projection)
    if states is None:
        states = (x.new_zeros(x.shape[1], module.hidden_size),) * len(run.cell.states)
    output, last = run_layer(run, x, states, weights)
    call.trace(run, layer, x, states, weights)
    if projection is not None:
        output, last = output @ projection.T, (last[0] @ projection.T, *last[1:])
    return output, last


def _unprojected(
    run: Run,
    x: Tensor,
    states: tuple[Tensor, ...] | None,
    weights: Weights,
    projection: Tensor,
) -> tuple[Tensor, tuple[Tensor, ...] | None, Weights]:
    """An LSTM with projection as one without, that of h_t before it is projected.

    r_t = W_hr h_t enters the gates by W_hh r_(t-1) = (W_hh W_hr) h_(t-1), so that product is the
    recurrent weight. Only r_0 is not projected from anything: it enters the first step as P more
    features of x, whose weight is W_hh.
    Source: Sak, Senior and Beaufays 2014, section 2; `torch.nn.LSTM`.
    """
    weight_ih, weight_hh, *_ = weights
    if states is not None:
        T, B, _ = x.shape
        entering = x.new_zeros(T, B, projection.shape[0])
        if not run.reverse:
            first = torch.zeros(B, dtype=torch.int64)
        elif run.lengths is None:
            first = torch.full((B,), T - 1)
        else:
            first = torch.from_numpy(run.lengths) - 1
        rows = (first.to(x.device), torch.arange(B, device=x.device))
        x = torch.cat((x, entering.index_put(rows, states[0])), 2)
        weight_ih = torch.cat((weight_ih, weight_hh), 1)
        states = (torch.zeros_like(states[1]), states[1])
    return x, states, weights._replace(weight_ih=weight_ih, weight_hh=weight_hh @ projection)


def _result(module: Module, output: Tensor, last: tuple[Tensor, ...], door: _Door) -> Any:
    """Output and last states, in the shapes of the call."""
    result: Any = output
    if door.packed is not None:
        _, sizes, order, back = door.packed
        data, _ = torch._VF._pack_padded_sequence(output, door.lengths, False)
        result = PackedSequence(data, sizes, order, back)
        if back is not None:
            last = tuple([s.index_select(1, back) for s in last])
    elif not door.batched:
        result, last = output.squeeze(1), tuple([s.squeeze(1) for s in last])
    elif module.batch_first:
        result = output.transpose(0, 1)
    return result, (last if len(last) > 1 else last[0])
