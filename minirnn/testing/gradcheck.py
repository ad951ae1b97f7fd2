"""Check a function's gradients against finite differences.

With L = sum of v * output for fixed random v, backward gives dL/dx for every element at once, and

    dL/dx_k  =  (L(x + h e_k) - L(x - h e_k)) / 2h  +  O(h**2)

gives it one element at a time without any derivative. A wrong entry anywhere in the Jacobian shows,
but for v that happen to be orthogonal to it, which random v almost surely are not.

The step. The difference errs by h**2/6 times the third derivative (truncation) and by about
eps * |L| / h (rounding, with eps = 2.2e-16). The sum of both is least near h = eps**(1/3) = 6.1e-6,
where each is near 4e-11 for values of order one. h is scaled with |x_k| where that is above one.
The default tolerances leave that error a factor of more than a hundred.

Source: Nocedal and Wright, "Numerical Optimization" (2nd ed., 2006), section 8.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from minirnn.device import to_device
from minirnn.errors import ArgumentError, DTypeError, MinirnnError
from minirnn.tensor import Operand, Tensor, as_tensor, no_grad

NumPyArray = np.ndarray[Any, np.dtype[np.float64]]
Function = Callable[..., "Tensor | Sequence[Tensor]"]

STEP = float(np.finfo(np.float64).eps) ** (1 / 3)


class GradcheckError(MinirnnError, AssertionError):
    """A gradient differs from the finite difference.

    Attributes: `input` (its position), `index` (of the element; None for a direction), `analytic`
    and `numeric` (the two values).
    """

    def __init__(
        self,
        message: str,
        input: int,
        index: tuple[int, ...] | None,
        analytic: float,
        numeric: float,
    ) -> None:
        self.input = input
        self.index = index
        self.analytic = analytic
        self.numeric = numeric
        super().__init__(message, input, index, analytic, numeric)

    def __str__(self) -> str:
        return str(self.args[0])


def gradcheck(
    function: Function,
    inputs: Sequence[Operand],
    *,
    eps: float = STEP,
    rtol: float = 1e-6,
    atol: float = 1e-8,
    max_elements: int = 200,
    seed: int = 0,
) -> float:
    """Check the gradients of `function(*inputs)` with respect to every input.

    function      takes one Tensor per input and returns a Tensor or several, of float64. It must
                  give the same values each time. What shall not be differentiated (labels, lengths,
                  a random generator) it holds itself
    inputs        float64 arrays or tensors of any shape; they are copied, never written to. The
                  function runs where they are, on the CPU or on the GPU; the rest on the CPU
    eps           the step h, times max(1, |x_k|)
    rtol, atol    |analytic - numeric| <= atol + rtol * |numeric|
    max_elements  an input with more elements is checked along that many random directions instead
                  of element by element
    seed          of the random v and directions

    Keep away from kinks (relu at 0, ties of a maximum): differences across one are no derivative.

    Returns the largest error found, as a share of what the tolerances allow (at most 1).

    Raises: GradcheckError (an AssertionError), which names the input, the element, the analytic and
    the numeric value; DTypeError for an input or output that is not float64; ArgumentError if
    `inputs` is not a sequence, an option makes no sense, or the function is not deterministic.
    """
    if not isinstance(inputs, list | tuple):
        raise ArgumentError("inputs", f"a {type(inputs).__name__}", "a list or tuple of arrays")
    for name, number in (
        ("eps", eps),
        ("rtol", rtol),
        ("atol", atol),
        ("max_elements", max_elements),
    ):
        if not number > 0:
            raise ArgumentError(name, number, "a positive number")
    given = [as_tensor(value, np.float64, f"inputs[{i}]") for i, value in enumerate(inputs)]
    arrays: list[NumPyArray] = [tensor.numpy() for tensor in given]
    devices = [tensor.device for tensor in given]
    rng = np.random.default_rng(seed)

    def placed(values: Sequence[NumPyArray], requires_grad: bool = False) -> list[Tensor]:
        return [
            Tensor(to_device(array.copy(), device), requires_grad)
            for array, device in zip(values, devices, strict=True)
        ]

    tensors = placed(arrays, requires_grad=True)
    outputs = _outputs(function, tensors)
    weights = [np.asarray(rng.standard_normal(output.shape)) for output in outputs]
    values = [output.numpy().copy() for output in outputs]

    def loss(position: int, changed: NumPyArray) -> float:
        shifted = [changed if i == position else array for i, array in enumerate(arrays)]
        with no_grad():
            results = _outputs(function, placed(shifted))
        return sum(float((v * r.numpy()).sum()) for v, r in zip(weights, results, strict=True))

    with no_grad():
        again = _outputs(function, placed(arrays))
    for before, after in zip(values, again, strict=True):
        if not np.array_equal(before, after.numpy(), equal_nan=True):
            raise ArgumentError(
                "function", "other values for the same inputs", "the same each time"
            )

    _run_backward(outputs, weights)
    worst = 0.0
    for position, (tensor, array) in enumerate(zip(tensors, arrays, strict=True)):
        gradient = np.zeros_like(array) if tensor.grad is None else to_device(tensor.grad, "cpu")
        for index, direction in _directions(array, max_elements, rng):
            at = array if index is None else array[index]
            step = eps * max(1.0, float(np.abs(at).max()))
            above = loss(position, array + step * direction)
            below = loss(position, array - step * direction)
            numeric = (above - below) / (2 * step)
            analytic = float((gradient * direction).sum())
            allowed = atol + rtol * abs(numeric)
            error = abs(analytic - numeric)
            if not error <= allowed:  # also for a NaN
                where = "along a random direction" if index is None else f"at index {index}"
                raise GradcheckError(
                    f"gradient of input {position}, shape {array.shape}, {where}: analytic "
                    f"{analytic:.10g}, numeric {numeric:.10g}; they differ by {error:.3g}, "
                    f"allowed is {allowed:.3g}",
                    position,
                    index,
                    analytic,
                    numeric,
                )
            worst = max(worst, error / allowed)
    return worst


def _outputs(function: Function, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The function's results, as a tuple of float64 tensors."""
    results = function(*tensors)
    outputs = (results,) if isinstance(results, Tensor) else tuple(results)
    for index, output in enumerate(outputs):
        if not isinstance(output, Tensor):
            came = f"output {index} of type {type(output).__name__}"
            raise ArgumentError("function", came, "a Tensor, or several, as result")
        if output.dtype != np.float64:
            raise DTypeError(f"output {index} of function", output.dtype.name, "float64")
    return outputs


def _run_backward(outputs: Sequence[Tensor], weights: Sequence[NumPyArray]) -> None:
    """Backward of sum(v * output) over all outputs at once, since they may share a tape."""
    live = [(o, v) for o, v in zip(outputs, weights, strict=True) if o.requires_grad]
    if live:
        parts = [(output * to_device(v, output.device)).sum() for output, v in live]
        sum(parts[1:], parts[0]).backward()


def _directions(
    array: NumPyArray, max_elements: int, rng: np.random.Generator
) -> Iterator[tuple[tuple[int, ...] | None, NumPyArray]]:
    """Unit directions to check along: (index of the element, or None; direction)."""
    if array.size <= max_elements:
        for index in np.ndindex(array.shape):
            axis = np.zeros_like(array)
            axis[index] = 1.0
            yield index, axis
    else:
        for _ in range(max_elements):
            direction = rng.standard_normal(array.shape)
            yield None, np.asarray(direction / np.linalg.norm(direction))
