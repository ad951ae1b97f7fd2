"""Arguments taken the wrong way: what an implementation makes of a call before it runs right.

A `Turn` changes a call, and leads the arrays of the changed call's run back to where the caller
finds them: the gradient of a weight that was read transposed comes back transposed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minirnn.kernels.contract import Array

if TYPE_CHECKING:
    from minirnn.testing.reference import Call

Arrays = dict[str, Array]


class Turn(NamedTuple):
    """There and back."""

    there: Callable[[Call], Call]
    back: Callable[[Arrays], Arrays] = lambda arrays: arrays


def rearranged(names: Sequence[str], places: Callable[[Array], Array]) -> Turn:
    """Weights whose elements are read elsewhere: `places` gives flat indexes for one of them."""

    def there(call: Call) -> Call:
        given = {n: getattr(call.weights, n) for n in names}
        read = {n: w.ravel()[places(w)].reshape(w.shape) for n, w in given.items() if w is not None}
        return call._replace(weights=call.weights._replace(**read))

    def back(arrays: Arrays) -> Arrays:
        turned = dict(arrays)
        for name in [f"grad.{name}" for name in names if f"grad.{name}" in arrays]:
            turned[name] = np.empty_like(arrays[name])
            turned[name].reshape(-1)[places(arrays[name])] = arrays[name].ravel()
        return turned

    return Turn(there, back)


def permuted(names: Sequence[str], blocks: int, order: Sequence[int]) -> Turn:
    """Blocks of rows in another order: block k is read where block `order[k]` lies."""

    def places(array: Array) -> Array:
        rows = np.arange(array.size).reshape(blocks, len(array) // blocks, -1)
        return rows[list(order)].ravel()

    return rearranged(names, places)


def transposed(names: Sequence[str], blocks: int) -> Turn:
    """Each (H, H) block of a weight read as its transpose."""

    def places(array: Array) -> Array:
        H = len(array) // blocks
        return np.arange(array.size).reshape(blocks, H, H).swapaxes(1, 2).ravel()

    return rearranged(names, places)


def column_major(names: Sequence[str]) -> Turn:
    """A weight's memory read column after column."""

    def places(array: Array) -> Array:
        return np.arange(array.size).reshape(array.shape[::-1]).T.ravel()

    return rearranged(names, places)


def interleaved(names: Sequence[str], blocks: int) -> Turn:
    """Rows taken to lie unit after unit, each with its gates, not gate after gate."""

    def places(array: Array) -> Array:
        rows = np.arange(array.size).reshape(len(array) // blocks, blocks, -1)
        return rows.swapaxes(0, 1).ravel()

    return rearranged(names, places)


def exchanged(one: str, other: str) -> Turn:
    """Two weights of the same shape, each in the other's place."""

    def there(call: Call) -> Call:
        w = call.weights
        return call._replace(weights=w._replace(**{one: getattr(w, other), other: getattr(w, one)}))

    def back(arrays: Arrays) -> Arrays:
        mine, theirs = arrays.get(f"grad.{one}"), arrays.get(f"grad.{other}")
        return arrays | {f"grad.{one}": theirs, f"grad.{other}": mine}

    return Turn(there, back)


def scaled(factors: Mapping[str, Array | float], gradients: bool = True) -> Turn:
    """Weights taken `factors` times; their gradients likewise, unless not so."""

    def there(call: Call) -> Call:
        w = {n: getattr(call.weights, n) * factor for n, factor in factors.items()}
        return call._replace(weights=call.weights._replace(**w))

    def back(arrays: Arrays) -> Arrays:
        named = {f"grad.{n}": factor for n, factor in factors.items() if gradients}
        return arrays | {n: arrays[n] * f for n, f in named.items() if n in arrays}

    return Turn(there, back)


def added(bias: Array) -> Turn:
    """A bias (Gi*H,) that nobody gave, added to that of x."""

    def there(call: Call) -> Call:
        own = call.weights.bias_ih
        total = bias if own is None else own + bias
        return call._replace(weights=call.weights._replace(bias_ih=total))

    return Turn(there)


def copied(source: str, target: str) -> Turn:
    """One weight in the place of another of the same shape."""

    def there(call: Call) -> Call:
        return call._replace(
            weights=call.weights._replace(**{target: getattr(call.weights, source)})
        )

    return Turn(there)


def changed(**arguments: object) -> Turn:
    """Other arguments, whose run's arrays are handed out as they are."""
    return Turn(lambda call: call._replace(**arguments))  # type: ignore[arg-type]


def over_time(index: Callable[[Array], Array], names: Callable[[str], bool]) -> Turn:
    """Steps written elsewhere: the arrays `names` tells, and doutput, at other steps.

    `index` is its own inverse on (T, B, F).
    """

    def there(call: Call) -> Call:
        return call if call.doutput is None else call._replace(doutput=index(call.doutput))

    def back(arrays: Arrays) -> Arrays:
        return {n: index(a) if names(n) and a.ndim == 3 else a for n, a in arrays.items()}

    return Turn(there, back)


def flipped(lengths: Array | None) -> Callable[[Array], Array]:
    """(T, B, F) with each sequence's own steps back to front."""

    def index(array: Array) -> Array:
        T, B = array.shape[:2]
        ends = np.full(B, T) if lengths is None else np.asarray(lengths)
        t = np.arange(T)[:, None]
        at = np.where(t < ends, ends - 1 - t, t)
        return array[at, np.arange(B)]

    return index


def late_input(order: Sequence[int], late: bool, wraps: bool = False) -> Turn:
    """Each step with the x of the step before (late) or after it.

    Where there is none come zeros, or the x of the other end, as of `x[t - 1]` in Python.
    """
    of, to = (order[:-1], order[1:]) if late else (order[1:], order[:-1])

    def moved(array: Array, source: Sequence[int], target: Sequence[int]) -> Array:
        there = np.zeros_like(array)
        there[list(target)] = array[list(source)]
        if wraps and len(array):
            ends = set(order) - set(target), set(order) - set(source)
            there[list(ends[0])] = array[list(ends[1])]
        return there

    def back(arrays: Arrays) -> Arrays:
        if "grad.x" not in arrays:
            return arrays
        return arrays | {"grad.x": moved(arrays["grad.x"], to, of)}

    return Turn(lambda call: call._replace(x=moved(call.x, of, to)), back)


def batch_as_time() -> Turn:
    """Memory (T, B, F) read, and written, as if it were (B, T, F)."""

    def read(array: Array) -> Array:
        T, B, F = array.shape
        return array.reshape(B, T, F).swapaxes(0, 1)

    def written(array: Array) -> Array:
        return array.swapaxes(0, 1).reshape(array.shape)

    def there(call: Call) -> Call:
        doutput = None if call.doutput is None else read(call.doutput)
        return call._replace(x=read(call.x), doutput=doutput)

    def back(arrays: Arrays) -> Arrays:
        return {n: written(a) if a.ndim == 3 else a for n, a in arrays.items()}

    return Turn(there, back)


def states_of_others(order: Array) -> Turn:
    """Sequence b begins with the state of sequence `order[b]`."""

    def there(call: Call) -> Call:
        return call._replace(state=tuple(s[order] for s in call.state))

    def back(arrays: Arrays) -> Arrays:
        turned = dict(arrays)
        for name, array in arrays.items():
            if name.startswith("grad.state."):
                turned[name] = np.empty_like(array)
                turned[name][order] = array
        return turned

    return Turn(there, back)


def states_exchanged(taken: bool, given: bool) -> Turn:
    """LSTM: c in the place of h and h in that of c, as the states are taken, or given, or both."""

    def there(call: Call) -> Call:
        state = call.state[::-1] if taken else call.state
        dstate = call.dstate[::-1] if given and call.dstate is not None else call.dstate
        return call._replace(state=state, dstate=dstate)

    def back(arrays: Arrays) -> Arrays:
        swapped = [*(["grad.state"] if taken else []), *(["state"] if given else [])]
        turned = dict(arrays)
        for name in swapped:
            if f"{name}.h" in arrays:
                turned |= {f"{name}.h": arrays[f"{name}.c"], f"{name}.c": arrays[f"{name}.h"]}
        return turned

    return Turn(there, back)
