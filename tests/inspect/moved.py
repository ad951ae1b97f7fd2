"""Traces brought to another device array by array, as if the layer had run there."""

from __future__ import annotations

from dataclasses import replace

from minirnn.device import to_device
from minirnn.inspect import Trace
from minirnn.inspect.source import TraceSource
from minirnn.inspect.storage import StoredTape
from minirnn.kernels.contract import Record, Weights


def moved(trace, device):
    """The same trace with all its arrays on `device`; lengths stay on the host."""

    def there(arrays):
        return None if arrays is None else {n: to_device(a, device) for n, a in arrays.items()}

    content = trace._read(gradients=True)
    record = Record(there(content.gates), there(content.states))
    if content.grad_states is not None:
        record = replace(
            record,
            grad_states=there(content.grad_states),
            grad_slots=there(content.grad_slots),
            grad_direct=to_device(content.grad_direct, device),
        )
    source = TraceSource(
        cell=trace.cell,
        tape=StoredTape(record, trace.reverse),
        x=to_device(trace.inputs, device),
        state=tuple(to_device(a, device) for a in trace.initial_state.values()),
        weights=Weights(*(None if a is None else to_device(a, device) for a in trace.weights)),
        lengths=trace.lengths,
        layer=trace.layer,
        class_name=trace.class_name,
        copy_x=False,
    )
    return Trace(source, trace.call)
