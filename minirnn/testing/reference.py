"""A kernel of your own against the reference: run it in float64, and compare by name.

    expected = reference("lstm", x, (h0, c0), (w_ih, w_hh, b_ih, b_hh), doutput=dy)
    assert_matches_reference({"output": y, "state.c": c, "grad.weight_hh": dw}, expected)

Arrays are time-major, as everywhere: x (T, B, I), states (B, H), gates and their gradients
(T, B, H). The names are those of `ReferenceRun.arrays`; give as many as you have. The comparison
itself is in `mismatch.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minirnn.errors import ArgumentError, DTypeError
from minirnn.inspect.host import on_host
from minirnn.kernels import cells
from minirnn.kernels import reference as kernels
from minirnn.kernels.contract import Array, Gradients, Needs, Record, Weights
from minirnn.kernels.reference.sequence import valid_steps
from minirnn.nn.arguments import boolean
from minirnn.tensor import Tensor
from minirnn.testing.tolerances import (
    FLOAT64_WHOLE_RUN,
    OPERAND_EPSILON,
    PRECISIONS,
    Sizes,
    bound,
    magnitudes_of,
    narrow_bound,
    product_bound,
    scale,
    terms,
)

if TYPE_CHECKING:
    from minirnn.kernels.cells.cell import Cell
    from minirnn.testing.twin import Verified

__all__ = ["Call", "ReferenceRun", "named_arrays", "reference"]


class Call(NamedTuple):
    """What a run was asked: the arguments of :func:`reference`, in float64, nothing left out.

    `x` (T, B, I) still has what stood past a sequence's end.
    """

    cell: Cell
    x: Array
    state: tuple[Array, ...]
    weights: Weights
    lengths: Array | None
    reverse: bool
    doutput: Array | None
    dstate: tuple[Array | None, ...] | None


@dataclass(frozen=True)
class ReferenceRun:
    """What the reference computed, in float64, and the tolerances that follow from it.

    `output` (T, B, H) and `state`, one (B, H) per state; `gradients` as `kernels.contract` has
    them; `record` with gates, states, grad_states, grad_slots, grad_direct, (T, B, H) each; `call`
    what was asked, None where every step starts from another kernel's values; `verified` what of a
    fast run was compared with the reference, None where it is the reference's own.
    """

    cell: Cell
    output: Array
    state: tuple[Array, ...]
    gradients: Gradients
    record: Record
    sizes: Sizes
    magnitudes: Mapping[str, float]
    whole_run: bool = True
    call: Call | None = None
    verified: Verified | None = None

    def arrays(self) -> dict[str, Array]:
        """Every array by name.

        "output", "state.<state>"; "grad.x", "grad.state.<state>", "grad.weight_ih" and the other
        parameters; "gates.<slot>", "states.<state>", "grad_states.<state>", "grad_slots.<slot>",
        "grad_direct".
        """
        return named_arrays(self.cell, self.output, self.state, self.gradients, self.record)

    def tolerance(self, name: str, dtype: Any, precision: str | None = None) -> float:
        """The largest difference that rounding explains (`minirnn.testing.tolerances`).

        precision  of the operands of the products, where they were narrower than float32 arrays
                   are: "tf32", "bfloat16" or "float16"; arrays of another dtype it does not concern

        Raises: ArgumentError for another precision.
        """
        if precision is not None and precision not in PRECISIONS:
            known = ", ".join(map(repr, PRECISIONS))
            raise ArgumentError("precision", repr(precision), f"one of {known}, or None")
        if np.dtype(dtype) != np.float32:
            precision = None
        if np.dtype(dtype) == np.float64 and self.whole_run:
            array = self.arrays()[name]
            largest = np.abs(array[np.isfinite(array)]).max(initial=1.0)
            return FLOAT64_WHOLE_RUN * float(largest)
        if name in self.magnitudes:
            return product_bound(dtype, precision, name, self.sizes, self.magnitudes)
        if precision in OPERAND_EPSILON:
            return narrow_bound(precision, name, self.sizes, self.magnitudes)
        return bound(dtype, terms(name, self.sizes), scale(name, self.magnitudes))


def reference(
    cell: Cell | str,
    x: Any,
    state: Sequence[Any] | None,
    weights: Sequence[Any],
    *,
    lengths: Any = None,
    reverse: bool = False,
    doutput: Any = None,
    dstate: Sequence[Any] | None = None,
    fast: bool = False,
) -> ReferenceRun:
    """Run forward and backward of RNN, GRU or LSTM in float64, by hand-written equations.

    Parameters
    ----------
    cell      a built-in cell, or its name ("rnn", "gru", "lstm" with their default activation)
    x         (T, B, I); arrays or Tensors of float16, float32 or float64, widened without loss, of
              either device: everything is brought to the CPU, where the reference runs
    state     initial states, one (B, H) each; None for zeros
    weights   weight_ih (Gi*H, I), weight_hh (Gh*H, H), and the biases or None
    lengths   (B,) integers, or None: steps past a sequence's end change nothing
    reverse   run from the last step to the first
    doutput   (T, B, H), gradient of the loss with respect to the output; None for zeros
    dstate    the same of the last states, one (B, H) or None each; None for zeros
    fast      for large sizes: the CPU kernels, in float64 and with every core, in place of the
              plain loop. Of what they give, steps and rows drawn at random are compared with the
              hand-written equations in every call (`minirnn.testing.twin` says what and how near);
              `verified` of the result tells how many, and the largest difference

    Raises: ShapeError, DTypeError or ArgumentError that names the argument; TwinDisagreesError, an
    AssertionError, if the fast run is not what the reference makes of it.
    """
    cell = built_in(cell)
    x = needed("x", x)
    widened = _weights(weights)
    initial = initial_state(cell, x, state, widened)
    if lengths is not None:
        lengths = as_array(lengths)
        if lengths.dtype.kind == "u":  # no index, and unsigned where it is subtracted from
            lengths = lengths.astype(np.int64)
    doutput = widen("doutput", doutput)
    dstate = None if dstate is None else tuple(widen("dstate", d) for d in dstate)
    reverse = boolean("reverse", reverse)
    call = Call(cell, x, initial, widened, lengths, reverse, doutput, dstate)
    verified: Verified | None = None
    if fast:
        from minirnn.testing.twin import run_twin

        (output, last, gradients, record), verified = run_twin(call)
        real = valid_steps(x.shape[0], x.shape[1], lengths)
        x = np.where(real, x, 0.0)
    else:
        output, last, tape = kernels.forward(
            cell, x, initial, widened, lengths=lengths, keep="record", reverse=reverse
        )
        assert tape is not None
        gradients = kernels.backward(cell, doutput, dstate, tape, needs=Needs())
        record, x = tape.record(), tape.x
    T, B, I = x.shape  # noqa: E741
    H, Gi, Gh = widened.weight_hh.shape[1], len(cell.input_slots), len(cell.hidden_slots)
    magnitudes = _Later(lambda: magnitudes_of(cell.hidden_slots, x, initial, widened, record))
    sizes = Sizes(T, B, I, H, Gi, Gh, products=2 if cell.second_slots else 1)
    return ReferenceRun(
        cell, output, last, gradients, record, sizes, magnitudes, call=call, verified=verified
    )


class _Later(Mapping[str, float]):
    """Magnitudes, which cost as much as a run, made when a tolerance first needs them."""

    def __init__(self, make: Callable[[], dict[str, float]]) -> None:
        self._make = make

    @cached_property
    def _made(self) -> dict[str, float]:
        return self._make()

    def __getitem__(self, name: str) -> float:
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._made)


def named_arrays(
    cell: Cell, output: Array, state: Sequence[Array], gradients: Gradients, record: Record | None
) -> dict[str, Array]:
    """The arrays of a run of any kernel set, named as :func:`assert_matches_reference` wants."""
    named = {"output": output}
    named |= {f"state.{n}": s for n, s in zip(cell.states, state, strict=True)}
    for field, gradient in gradients._asdict().items():
        if field == "state" and gradient is not None:
            pairs = zip(cell.states, gradient, strict=True)
            named |= {f"grad.state.{n}": g for n, g in pairs}
        elif gradient is not None:
            named[f"grad.{field}"] = gradient
    if record is not None:
        for field in ("gates", "states", "grad_states", "grad_slots"):
            named |= {f"{field}.{n}": a for n, a in (getattr(record, field) or {}).items()}
        if record.grad_direct is not None:
            named["grad_direct"] = record.grad_direct
    return named


def built_in(cell: Cell | str) -> Cell:
    """A cell, or the built-in one of that name.

    Raises: ArgumentError for a name that is none of theirs.
    """
    if isinstance(cell, cells.Cell):
        return cell
    known: dict[str, Callable[..., Cell]] = {"rnn": cells.rnn, "gru": cells.gru, "lstm": cells.lstm}
    if not isinstance(cell, str) or cell not in known:
        raise ArgumentError("cell", repr(cell), f"a cell, or one of {', '.join(known)}")
    return known[cell]()


def as_array(value: Any) -> Array:
    """An array or Tensor of either device, or a tensor of PyTorch's, in the host's memory."""
    if isinstance(value, Tensor):
        value = value.data
    elif hasattr(value, "detach"):  # PyTorch's, perhaps a parameter, perhaps of a type not NumPy's
        value = value.detach().cpu()
        value = (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()
    return on_host(value)


def widen(name: str, value: Any) -> Array:
    """An array or Tensor of floats as float64, without loss; None stays None.

    Raises: DTypeError for any other.
    """
    if value is None:
        return None
    array = as_array(value)
    if array.dtype.kind != "f" or array.dtype.itemsize > 8:
        raise DTypeError(name, array.dtype.name, "float16, float32 or float64")
    return array.astype(np.float64)


def needed(name: str, value: Any) -> Array:
    """As :func:`widen`, but None is an error. Raises: ArgumentError, DTypeError."""
    if value is None:
        raise ArgumentError(name, "None", "an array")
    return widen(name, value)


def _weights(given: Sequence[Any]) -> Weights:
    """The weights in float64. Raises: ArgumentError, DTypeError."""
    if isinstance(given, Mapping) or not 2 <= len(given) <= len(Weights._fields):
        came = f"a {type(given).__name__} of {len(given)}"
        raise ArgumentError("weights", came, f"{', '.join(Weights._fields)}, in this order")
    matrices = [needed(*pair) for pair in zip(Weights._fields, given[:2], strict=False)]
    biases = [widen(*pair) for pair in zip(Weights._fields[2:], given[2:], strict=False)]
    return Weights(*matrices, *biases)


def initial_state(
    cell: Cell, x: Array, state: Sequence[Any] | None, weights: Weights
) -> tuple[Array, ...]:
    """The initial states in float64; None stands for zeros."""
    if state is not None:
        return tuple(needed("state", s) for s in state)
    shape = (*x.shape[1:2], *weights.weight_hh.shape[1:])
    return tuple(np.zeros(shape) for _ in cell.states)
