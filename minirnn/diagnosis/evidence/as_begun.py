"""Whether a network is as an initialiser left it: then it has not been trained, or in vain.

A network that comes alone, without its history, may be one that nobody has trained yet: that it
answers the same to everything is then no illness. Weights do not tell how well they were trained,
but they tell that no step has moved them, since initialisers leave marks that a step wipes out:

set    biases that are 0 or 1 to the last bit (Keras, and `init.apply`): half of a vector exactly
       zero, or at most four different numbers in it (a forget bias); those of every `Linear` all
       zero. A step moves at least the head's, unless there is no error at all
drawn  as PyTorch and minirnn draw them: uniform from -b to b, where b = 1 / sqrt(H), or
       1 / sqrt(in_features) of a `Linear`. Of n numbers none lies beyond b, and 5 at least of the
       20 / n outermost part of the range are expected to lie there: 20. A step that moves all by d
       throws n d / 4b of them out

Numbers that are drawn hardly show slow steps, those of SGD at 0.01, say. A step finds the best
constant answer first, though, and few networks begin there: so with this mark a network counts as
begun only where its mean answer is 0.05 or more off that of the targets, in their standard
deviations.

Measured, 200 networks of each kind with 4 to 32 units: with the marks 198 of the default and all
whose biases are set, or chrono; none of those a step later, of the default 12 of 100 after ten
steps of SGD at 0.1, mostly at rest in inputs of size 1000, and none of 100 after 30 of Adam at
1e-3. The mean answer of nine in ten is 0.05 off or more at first. What neither mark is found on
(another initialiser, weights cut to 16 bits) counts as trained, and is judged.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from minirnn.device import array_namespace
from minirnn.diagnosis.evidence.evidence import Answers
from minirnn.inspect.host import fetch
from minirnn.nn import Linear, Module, Recurrent
from minirnn.nn.initial_states import InitialStates
from minirnn.nn.normalization import BatchNorm, LayerNorm
from minirnn.nn.single_step import RecurrentCell

Array = Any  # of the network's device

LEAST_SET, MOST_VALUES = 8, 4
LEAST_DRAWN = 60
OUTERMOST, LEAST_OUTERMOST = 20, 5
ROUNDING = 1e-6
OFF = 0.05


def as_begun(model: Module, answers: Answers | None) -> bool:
    """Whether every parameter that could tell says that no step has moved it.

    answers  of the network, to anything; None where they cannot be compared with what was asked
    """
    mark = mark_of_the_start(model)
    return mark == "set" or (mark == "drawn" and answers is not None and _off(answers) >= OFF)


def _off(answers: Answers) -> float:
    """How far the mean answer is from the mean target, in standard deviations; NaN without any."""
    xp = array_namespace(answers.given)
    gap, varies = fetch(
        xp.sqrt(((answers.given.mean(axis=0) - answers.wanted.mean(axis=0)) ** 2).sum()),
        xp.sqrt(answers.wanted.var(axis=0).sum()),
    )
    return gap / varies if varies > 0 else math.nan


def mark_of_the_start(model: Module) -> Literal["set", "drawn", ""]:
    """The mark that an initialiser left on all parameters that could tell; "" without one."""
    biases: list[bool] = []  # of each, whether it was set
    numbers, drawn = 0, []
    for module in model.modules():
        arrays = {name: tensor.data for name, tensor in module._parameters.items()}
        if isinstance(module, BatchNorm | LayerNorm | InitialStates):
            if not all(_is(array, float(name == "weight")) for name, array in arrays.items()):
                return ""
            continue
        if not isinstance(module, Linear | Recurrent | RecurrentCell):
            continue
        bound = 1.0 / math.sqrt(
            module.in_features if isinstance(module, Linear) else module.hidden_size
        )
        for array in arrays.values():
            # A matrix of zeros lies within any bound, and nobody drew it.
            largest = float(abs(array).max()) if array.size else bound
            within = 0.0 < largest <= bound * (1.0 + ROUNDING)
            if array.ndim == 1:
                is_set = _is(array, 0.0) if isinstance(module, Linear) else _set(array)
                if not is_set and not within:
                    return ""
                biases.append(is_set)
                numbers += array.size if is_set else 0
                if is_set:
                    continue
            drawn.append(array.ravel() / bound if within else None)
    if biases and all(biases):
        return "set" if numbers >= LEAST_SET else ""
    known = [each for each in drawn if each is not None]
    whole = len(known) == len(drawn) and bool(known) and _uniform(known)
    return "drawn" if whole else ""


def _is(array: Array, value: float) -> bool:
    return bool((array == value).all())


def _set(bias: Array) -> bool:
    xp = array_namespace(bias)
    (zeros,) = fetch((bias == 0).mean())
    return zeros >= 0.5 or (bias.size > 2 * MOST_VALUES and len(xp.unique(bias)) <= MOST_VALUES)


def _uniform(arrays: list[Array]) -> bool:
    """Whether numbers that lie within -1 and 1 reach out to both ends as drawn ones do."""
    xp = array_namespace(arrays[0])
    size = abs(xp.concatenate(arrays))
    if size.size < LEAST_DRAWN:
        return False
    (outermost,) = fetch((size > 1.0 - OUTERMOST / size.size).sum())
    return outermost >= LEAST_OUTERMOST
