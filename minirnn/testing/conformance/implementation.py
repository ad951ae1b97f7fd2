"""Someone's recurrent layer as `check_cell` calls it, and everything that it may get wrong at the
door: exceptions, too few results, wrong shapes and types.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minirnn.errors import ArgumentError, MinirnnError
from minirnn.inspect.host import on_host
from minirnn.kernels.contract import Array
from minirnn.tensor import Tensor
from minirnn.testing.conformance.cases import Problem
from minirnn.testing.conformance.conventions import Conventions
from minirnn.testing.conformance.guarded import Guarded, guarded


class BadResultError(MinirnnError):
    """An implementation raised, or gave what cannot be compared. `cause` is a finding's id."""

    def __init__(self, message: str, cause: str, array: str | None = None) -> None:
        self.cause = cause
        self.array = array
        super().__init__(message)


@dataclass(frozen=True)
class Inputs:
    """The guarded arrays of one call, in the implementation's conventions."""

    x: Guarded
    state: tuple[Guarded, ...] | None
    weights: tuple[Guarded, ...]
    lengths: Guarded | None
    doutput: Guarded
    dstate: tuple[Guarded, ...]

    def named(self, conventions: Conventions) -> dict[str, Guarded]:
        """Every array by the name that a report calls it."""
        arrays = {"x": self.x, "doutput": self.doutput}
        if self.lengths is not None:
            arrays["lengths"] = self.lengths
        arrays |= dict(zip(conventions.parameters, self.weights, strict=True))
        for prefix, group in (("state", self.state or ()), ("dstate", self.dstate)):
            names = conventions.states[: len(group)]
            arrays |= {f"{prefix}.{n}": a for n, a in zip(names, group, strict=True)}
        return arrays


def inputs_of(
    problem: Problem, conventions: Conventions, *, strided: bool = False, guard: float = np.nan
) -> Inputs:
    """A problem's arrays as the implementation wants them, each within guards."""

    def placed(name: str, array: Array) -> Guarded:
        return guarded(conventions.to_theirs(name, array), strided=strided, guard=guard)

    order = [conventions.cell.states.index(name) for name in conventions.states]
    return Inputs(
        placed("x", problem.x),
        tuple(placed("state", problem.state[k]) for k in order)
        if conventions.initial_state
        else None,
        tuple(placed(n, getattr(problem.weights, n)) for n in conventions.parameters),
        None if problem.lengths is None else guarded(problem.lengths),
        placed("doutput", problem.doutput),
        tuple(placed("dstate", problem.dstate[k]) for k in order),
    )


@dataclass(frozen=True)
class Forward:
    """What one call of forward gave: arrays by name, copied; what came itself; what it saved."""

    arrays: dict[str, Any]
    came: dict[str, Any]
    saved: Any


class Implementation:
    """A forward and perhaps a backward, with results checked and turned to minirnn's conventions.

    The arrays' names are those of `ReferenceRun.arrays`. Both methods raise BadResultError.
    """

    def __init__(
        self,
        forward: Callable[..., Any],
        backward: Callable[..., Any] | None,
        conventions: Conventions,
    ) -> None:
        self._forward = forward
        self._backward = backward
        self.conventions = conventions
        self.differentiates = backward is not None

    def forward(self, inputs: Inputs, *, reverse: bool = False) -> Forward:
        """Call it once."""
        conventions = self.conventions
        options: dict[str, Any] = {}
        if conventions.lengths != "none":
            options["lengths"] = None if inputs.lengths is None else inputs.lengths.array
        if conventions.reverse:
            options["reverse"] = reverse
        state = None if inputs.state is None else tuple(s.array for s in inputs.state)
        weights = tuple(w.array for w in inputs.weights)
        result = _call("forward", self._forward, inputs.x.array, state, weights, **options)
        output, last, saved = self._parts(result)
        came = {"output": output}
        arrays = {"output": self._taken("output", output, inputs.doutput.array.shape, "output")}
        if conventions.last_state:
            shape = inputs.dstate[0].array.shape
            for name, array in _group("state", last, conventions.states).items():
                came[f"state.{name}"] = array
                arrays[f"state.{name}"] = self._taken(f"state.{name}", array, shape, "state")
        return Forward(arrays, came, saved)

    def backward(self, inputs: Inputs, saved: Any) -> dict[str, Any]:
        """Call it once; no gradients where there is no backward."""
        if self._backward is None:
            return {}
        dstate = tuple(d.array for d in inputs.dstate) if self.conventions.last_state else None
        given = _call("backward", self._backward, inputs.doutput.array, dstate, saved)
        return self._gradients(given, inputs)

    def _parts(self, result: Any) -> tuple[Any, Any, Any]:
        """forward's result as output, last state, and what it saved for backward."""
        names = ["output"]
        names += ["state"] if self.conventions.last_state else []
        names += ["saved"] if self.differentiates else []
        parts = result if isinstance(result, tuple | list) else [result]
        # Without a backward, what is saved may come all the same.
        if len(parts) not in (len(names), len(names) + (not self.differentiates)):
            raise BadResultError(
                f"forward: got {_told(result)}; wanted {', '.join(names)}", "wrong-result", "output"
            )
        named = dict(zip(names, parts, strict=False))
        return named["output"], named.get("state"), named.get("saved")

    def _gradients(self, given: Any, inputs: Inputs) -> dict[str, Any]:
        """backward's result by name."""
        conventions = self.conventions
        names = conventions.gradient_names
        wanted = conventions.gradients or names
        if isinstance(given, Mapping):
            gradients = dict(given)
            if "bias" in gradients:
                gradients["bias_ih"] = gradients.pop("bias")
        elif isinstance(given, tuple | list) and len(given) == len(names):
            gradients = dict(zip(names, given, strict=True))
        else:
            raise BadResultError(
                f"backward: got {_told(given)}; wanted a dict, or {len(names)} gradients "
                f"({', '.join(names)})",
                "wrong-result",
            )
        missing = [name for name in wanted if gradients.get(name) is None]
        if missing:
            raise BadResultError(
                f"backward: got no gradient of {', '.join(missing)}; wanted those of "
                f"{', '.join(wanted)}. Name in `gradients` those that there are",
                "wrong-result",
                f"grad.{missing[0]}",
            )
        shapes = {n: a.array.shape for n, a in inputs.named(conventions).items()}
        arrays = {}
        for name in wanted:
            if name == "state":
                for state, array in _group(
                    "grad.state", gradients[name], conventions.states
                ).items():
                    label = f"grad.state.{state}"
                    arrays[label] = self._taken(label, array, shapes[f"state.{state}"], "state")
            else:
                arrays[f"grad.{name}"] = self._taken(
                    f"grad.{name}", gradients[name], shapes[name], name
                )
        return arrays

    def _taken(self, label: str, value: Any, shape: tuple[int, ...], kind: str) -> Array:
        """A result as an array of ours. It is a copy: who gave it may use its memory again."""
        array = _as_array(label, value)
        if array.shape != shape:
            hint = (
                " (its axes are in another order)" if sorted(array.shape) == sorted(shape) else ""
            )
            raise BadResultError(
                f"{label}: got shape {array.shape}; wanted {shape}{hint}", "wrong-shape", label
            )
        return np.array(self.conventions.from_theirs(kind, array))


def _call(which: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    try:
        with warnings.catch_warnings():
            # Numbers are judged here. A framework's warnings, errors perhaps in a test session,
            # are not; nor are NumPy's about the values of grade 5, which overflow on purpose.
            warnings.simplefilter("ignore")
            return function(*arguments, **options)
    except Exception as error:  # someone else's code may raise anything
        told = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise BadResultError(f"{which} raised {told}", "raised") from error


def _as_array(label: str, value: Any) -> Array:
    """A NumPy array of floats, from whatever library."""
    if isinstance(value, Tensor):
        value = value.data
    try:
        array = on_host(value) if hasattr(value, "__cuda_array_interface__") else np.asarray(value)
    except (TypeError, ValueError, RuntimeError, MinirnnError) as error:
        raise BadResultError(
            f"{label}: got {_told(value)}, no array to NumPy ({error}); wanted an array",
            "wrong-result",
            label,
        ) from error
    if array.dtype.name == "bfloat16":  # of ml_dtypes
        array = array.astype(np.float32)
    if array.dtype.kind != "f":
        came = f"dtype {array.dtype.name}"
        if array.dtype.kind == "O":
            came = _told(value)
        raise BadResultError(f"{label}: got {came}; wanted floats", "wrong-dtype", label)
    return array


def _group(label: str, value: Any, names: Sequence[str]) -> dict[str, Any]:
    """States by name; where there is one, it may come by itself."""
    if len(names) == 1 and not isinstance(value, tuple | list):
        value = (value,)
    if not isinstance(value, tuple | list) or len(value) != len(names):
        wanted = f"{len(names)} array(s) ({', '.join(names)})"
        raise BadResultError(f"{label}: got {_told(value)}; wanted {wanted}", "wrong-result", label)
    return dict(zip(names, value, strict=True))


def _told(value: Any) -> str:
    """What came, in a few words."""
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    if hasattr(value, "shape"):
        return f"{type(value).__name__} of shape {tuple(value.shape)}"
    return "None" if value is None else f"a {type(value).__name__}"


def takes(function: Callable[..., Any], name: str) -> bool:
    """Whether a function has a parameter of that name.

    Raises: ArgumentError for what cannot be called.
    """
    if not callable(function):
        wanted = "a function, or an adapter of minirnn.testing.adapters"
        raise ArgumentError("implementation", f"a {type(function).__name__}", wanted)
    try:
        return name in inspect.signature(function).parameters
    except (TypeError, ValueError):  # a function of C tells nothing
        return False
