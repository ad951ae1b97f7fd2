"""What implementations get wrong, as runs that are wrong in that way: the mutants.

`CAUSES` tells the ids. Each mutant is a `faulty_run` with one fault, or a right run of arguments
taken the wrong way (`turned_calls`), and has a sentence that tells what was done.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Literal

import numpy as np

from minirnn.testing.causes import turned_calls as turn
from minirnn.testing.causes.faulty_run import (
    ACTIVATIONS,
    RIGHT_BACKWARD,
    RIGHT_FORWARD,
    RIGHT_PRODUCTS,
    Backward,
    Forward,
    Products,
)
from minirnn.testing.causes.turned_calls import Turn

if TYPE_CHECKING:
    from minirnn.testing.reference import Call

CAUSES = {
    "gates-permuted": "blocks of a weight, a bias or a gradient in another order",
    "gates-interleaved": "rows taken as unit after unit, not gate after gate",
    "bias-dropped": "a bias, or one gate's, not added",
    "bias-doubled": "a bias added twice",
    "biases-swapped": "one bias in the place of the other",
    "forget-bias": "a forget bias of 1 added by the implementation itself",
    "reset-before": "GRU: the reset gate acts before the product; after was wanted",
    "reset-after": "GRU: the reset gate acts after the product; before was wanted",
    "reset-ignored": "GRU: the reset gate does nothing",
    "bias-outside-reset": "GRU: the reset gate does not act on the bias of the recurrent part",
    "update-complemented": "GRU: the update gate and 1 minus it change places",
    "off-by-one-step": "an output, state, input or length of the step before or after",
    "state-not-carried": "a state begins every step at zero",
    "initial-state-ignored": "an initial state taken as zero",
    "wrong-activation": "another activation",
    "weights-transposed": "a square weight transposed, or its memory read column by column",
    "x-and-h-swapped": "each weight in the place of the other",
    "padding-read": "steps past a sequence's end change or reach what they may not",
    "direction-reversed": "time runs the other way",
    "outputs-not-flipped": "outputs of the reverse direction in the order of computation",
    "batch-permuted": "sequences in another order",
    "batch-time-swapped": "memory read as (B, T, ...) for (T, B, ...)",
    "cell-for-hidden": "LSTM: c where h belongs, or the other way round",
    "narrow-precision": "rounding as large as that of a narrower format",
    "gradient-missing": "a gradient that is zero",
    "gradient-doubled": "a gradient counted twice",
    "gradient-averaged": "a gradient divided by batch, steps or both: a mean where a sum is wanted",
    "gradient-scaled": "a gradient multiplied by one number",
    "gradient-of-some-steps": "a gradient of a weight without the first or the last step",
    "h-after-for-h-before": "the gradient of weight_hh takes h_t where h_(t-1) belongs",
    "wrong-derivative": "an activation's derivative left out, or another's",
    "chain-cut": "backward loses one way from a state to the one before",
    "backward-truncated": "nothing goes back across every k-th step",
    "gradient-ignored": "doutput or dstate does not reach backward",
}


Part = Literal["steps", "sequences", "whole"]


@dataclass(frozen=True)
class Mutant:
    """One way to be wrong. `part` of a call shows it as well as the whole does.

    "steps": the first steps of some sequences; "sequences": all steps of some; "whole": no less.
    """

    cause: str
    told: str
    forward: Forward = RIGHT_FORWARD
    backward: Backward = RIGHT_BACKWARD
    products: Products = RIGHT_PRODUCTS
    turn: Turn | None = None
    part: Part = "steps"

    @property
    def gradients_only(self) -> bool:
        """Whether forward is right."""
        return self.turn is None and self.forward == RIGHT_FORWARD


def mutants_of(call: Call) -> Iterator[Mutant]:
    """All that make sense for a call, the commonest first within forward and backward.

    Which ones does not depend on T and B (but for truncations, the last): those of a part of a call
    have the numbers of the whole's.
    """
    yield from _weights(call)
    yield from _biases(call)
    yield from _equations(call)
    yield from _states_and_time(call)
    if call.lengths is not None:
        yield from _padding(call)
    yield from _products()
    yield from _derivatives(call)
    yield from _chains(call)


def _weights(call: Call) -> Iterator[Mutant]:
    cell, weights = call.cell, call.weights
    slots = cell.input_slots
    G = len(slots)
    H, I = weights.weight_hh.shape[1], weights.weight_ih.shape[1]  # noqa: E741
    sets = {
        "weights and biases": weights._fields,
        "weights": weights._fields[:2],
        "weight_ih": ("weight_ih", "bias_ih"),
        "weight_hh": ("weight_hh", "bias_hh"),
        "weight_ih alone": ("weight_ih",),
        "weight_hh alone": ("weight_hh",),
        "biases": weights._fields[2:],
    }
    for order in list(permutations(range(G)))[1:]:
        # Block k is read where block order[k] lies, so what lies there passes for gate k.
        taken = [slots[order.index(k)] for k in range(G)]
        for of, names in sets.items():
            told = f"the blocks of {of.removesuffix(' alone')} are taken as {_list(taken)}"
            told += f"; they are {_list(slots)}"
            turned = turn.permuted(names, G, order)
            yield Mutant("gates-permuted", told, turn=turned)
    both = weights._fields[:2]
    if G > 1:
        for of, names in {"weights and biases": weights._fields, "weights": both}.items():
            told = f"rows of {of} are taken as unit after unit, each with its gates"
            yield Mutant("gates-interleaved", told, turn=turn.interleaved(names, G))
    of_each = [("weight_hh",), *([("weight_ih",), both] if I == H else [])]
    for names in of_each:
        told = f"each (H, H) block of {' and '.join(names)} is taken transposed"
        yield Mutant("weights-transposed", told, turn=turn.transposed(names, G))
    for names in (("weight_ih",), ("weight_hh",), both):
        told = f"the memory of {' and '.join(names)} is read column after column"
        yield Mutant("weights-transposed", told, turn=turn.column_major(names))
    if I == H:
        told = "weight_ih multiplies h, and weight_hh x"
        yield Mutant("x-and-h-swapped", told, turn=turn.exchanged(*both))


def _biases(call: Call) -> Iterator[Mutant]:
    cell, weights = call.cell, call.weights
    H = weights.weight_hh.shape[1]
    given = [n for n in ("bias_ih", "bias_hh") if getattr(weights, n) is not None]
    for names in [*([tuple(given)] if len(given) == 2 else []), *((n,) for n in given)]:
        of = " and ".join(names)
        for gradients in (True, False):
            dropped = turn.scaled(dict.fromkeys(names, 0.0), gradients)
            yield Mutant("bias-dropped", f"{of} not added", turn=dropped)
            doubled = turn.scaled(dict.fromkeys(names, 2.0), gradients)
            yield Mutant("bias-doubled", f"{of} added twice", turn=doubled)
    for name in given:
        slots = cell.input_slots if name == "bias_ih" else cell.hidden_slots
        for k, slot in enumerate(slots if len(slots) > 1 else ()):
            factor = np.ones(len(slots) * H)
            factor[k * H : (k + 1) * H] = 0.0
            for gradients in (True, False):
                dropped = turn.scaled({name: factor}, gradients)
                yield Mutant("bias-dropped", f"{name} of {slot} not added", turn=dropped)
    if len(given) == 2:
        told = "bias_ih and bias_hh change places"
        yield Mutant("biases-swapped", told, turn=turn.exchanged(*given))
        for one, other in (given, given[::-1]):
            told = f"{one} is added in the place of {other} too"
            yield Mutant("biases-swapped", told, turn=turn.copied(one, other))
    if cell.name == "lstm":
        ones = np.zeros(4 * H)
        ones[H : 2 * H] = 1.0
        told = "1 is added to the bias of the forget gate"
        yield Mutant("forget-bias", told, turn=turn.added(ones))


def _equations(call: Call) -> Iterator[Mutant]:
    cell = call.cell
    if cell.name == "gru":
        resets = {
            "before": ("reset-before", "the reset gate acts on h, before its product"),
            "after": ("reset-after", "the reset gate acts on the product with h, and its bias"),
            "ignored": ("reset-ignored", "the reset gate does nothing"),
            "bias outside": ("bias-outside-reset", "the reset gate does not act on bias_hh"),
        }
        for reset, (cause, told) in resets.items():
            if reset != cell.options.get("reset", "after"):
                yield Mutant(cause, told, Forward(reset=reset))
        told = "h_t = update ∘ new + (1 - update) ∘ h_(t-1)"
        yield Mutant("update-complemented", told, Forward(complement=True))
    slots: list[tuple[str, ...]] = [(slot,) for slot in cell.input_slots]
    if cell.name == "lstm":
        slots += [("state",), ("cell", "state"), ("input", "forget", "output")]
    if cell.name == "gru":
        slots += [("reset", "update")]
    for names in slots:
        where = " and ".join("h = o ∘ φ(c)" if n == "state" else n for n in names)
        for activation in ACTIVATIONS:
            faults = Forward(activations=tuple((name, activation) for name in names))
            yield Mutant("wrong-activation", f"{activation} in {where}", faults)


def _states_and_time(call: Call) -> Iterator[Mutant]:
    cell, lengths = call.cell, call.lengths
    T, B, _ = call.x.shape
    every = [*((n,) for n in cell.states), *([cell.states] if len(cell.states) > 1 else [])]
    for names in every:
        of = " and ".join(names)
        told = f"every step begins with {of} = 0"
        yield Mutant("state-not-carried", told, Forward(forgotten=names))
        told = f"the initial {of} is taken as 0"
        yield Mutant("initial-state-ignored", told, Forward(no_initial=names))
    told = "the output at a step is the h that the step begins with"
    yield Mutant("off-by-one-step", told, Forward(output="entering"))
    told = "the last state is the one before the last step"
    yield Mutant("off-by-one-step", told, Forward(last="one earlier"), part="sequences")
    both = Forward(output="entering", last="one earlier")
    told = "outputs and last state are those of the step before"
    yield Mutant("off-by-one-step", told, both, part="sequences")
    order = list(range(T))[:: -1 if call.reverse else 1]
    for late, which in ((True, "before"), (False, "after")):
        for wraps, edge in ((False, ""), (True, ", round the end")):
            told = f"a step takes the x of the step {which} it{edge}"
            turned = turn.late_input(order, late, wraps)
            yield Mutant("off-by-one-step", told, turn=turned, part="sequences")
    ends = np.full(B, T) if lengths is None else np.asarray(lengths)
    for more in (-1, 1) if lengths is not None else (-1,):
        turned = turn.changed(lengths=np.clip(ends + more, 0, T))
        which = "one step beyond" if more > 0 else "one step before"
        told = f"sequences end {which} their end"
        yield Mutant("off-by-one-step", told, turn=turned, part="sequences")
    way = "forward" if call.reverse else "in reverse"
    other = turn.changed(reverse=not call.reverse)
    yield Mutant("direction-reversed", f"time runs {way}", turn=other, part="sequences")
    if call.reverse:
        flips = {
            "outputs": lambda name: name == "output",
            "all steps": lambda name: name != "grad.x",
        }
        for what, names_of in flips.items():
            for ends_of, of in (
                (None, "T"),
                *([(lengths, "its length")] if lengths is not None else []),
            ):
                turned = turn.over_time(turn.flipped(ends_of), names_of)
                told = f"{what} stand in the order of computation, counted from {of}"
                yield Mutant("outputs-not-flipped", told, turn=turned, part="sequences")
    told = "the memory of x and outputs is taken as (B, T, ...)"
    yield Mutant("batch-time-swapped", told, turn=turn.batch_as_time(), part="whole")
    if lengths is not None:
        by_length = np.argsort(-ends, kind="stable")
        for at, how in ((by_length, "sequences"), (np.argsort(by_length), "states")):
            told = f"of {how} and initial states only one is sorted by length"
            turned = turn.states_of_others(at)
            yield Mutant("batch-permuted", told, turn=turned, part="whole")
    if cell.name == "lstm":
        yield Mutant("cell-for-hidden", "the output is c", Forward(output="c"))
        for taken, given in ((True, True), (True, False), (False, True)):
            which = "initial and last" if taken and given else "initial" if taken else "last"
            turned = turn.states_exchanged(taken, given)
            yield Mutant(
                "cell-for-hidden", f"h and c of the {which} states change places", turn=turned
            )


def _padding(call: Call) -> Iterator[Mutant]:
    way = "a sequence begins in its padding" if call.reverse else "a sequence goes on past its end"
    for clean in (False, True):
        for padded in (False, True):
            told = f"{way}, with x {'as 0' if clean else 'as it stands'} there"
            told += ", and outputs are given there" if padded else ""
            faults = Forward(run_on=True, clean=clean, padded_output=padded)
            yield Mutant("padding-read", told, faults, part="sequences")
    told = "outputs past a sequence's end are not zero"
    yield Mutant("padding-read", told, Forward(padded_output=True))
    told = "the last state is the output at step T - 1, whatever the length"
    yield Mutant("padding-read", told, Forward(last="output[-1]"), part="sequences")
    told = "doutput past a sequence's end reaches its gradients"
    yield Mutant("padding-read", told, backward=Backward(raw_doutput=True))


def _products() -> Iterator[Mutant]:
    told = "the gradient of weight_hh takes h_t where h_(t-1) belongs"
    yield Mutant("h-after-for-h-before", told, products=Products(h_after=True))
    told = "the gradient of bias_hh is a copy of that of bias_ih"
    yield Mutant("bias-outside-reset", told, products=Products(same_bias=True))
    told = "the gradient of the initial state is that of the state after the first step"
    yield Mutant("off-by-one-step", told, products=Products(initial="total"))
    every = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    for of in (*((n,) for n in every), every[:2], every[2:], every):
        for steps in ("not first", "not last", "only first", "only last"):
            counted = {"not": "all steps but the ", "only": "only the "}[steps.split()[0]]
            told = f"the gradient of {', '.join(of)} has {counted}{steps.split()[1]} that runs"
            yield Mutant("gradient-of-some-steps", told, products=Products(of, steps))


def _derivatives(call: Call) -> Iterator[Mutant]:
    cell = call.cell
    slots: list[tuple[str, ...]] = [(slot,) for slot in cell.input_slots]
    if cell.name == "lstm":
        slots += [
            ("state",),
            ("cell", "state"),
            ("input", "forget", "output"),
            (*cell.slots, "state"),
        ]
    if cell.name == "gru":
        slots += [("reset", "update"), ("reset", "update", "new")]
    for names in slots:
        where = ", ".join("c in h = o ∘ φ(c)" if n == "state" else n for n in names)
        for taken in ("none", "sigmoid", "tanh", "relu", "identity"):
            how = "left out" if taken in ("none", "identity") else f"that of {taken}"
            told = f"the activation's derivative at {where} is {how}"
            faults = Backward(derivatives=tuple((name, taken) for name in names))
            yield Mutant("wrong-derivative", told, backward=faults)


def _chains(call: Call) -> Iterator[Mutant]:
    cell, T = call.cell, len(call.x)
    told = "nothing goes back through the product with h"
    yield Mutant("chain-cut", told, backward=Backward(cut=("U",)))
    told = "gradients go back through weight_hh where its transpose is wanted"
    yield Mutant("weights-transposed", told, backward=Backward(transposed=True))
    if cell.name == "lstm":
        told = "nothing goes back from c_t to c_(t-1)"
        yield Mutant("chain-cut", told, backward=Backward(cut=("c",)))
        told = "nothing from later reaches c_t: neither from c_(t+1) nor from dstate"
        yield Mutant("chain-cut", told, backward=Backward(cut=("c",), ignored=("c",)))
        told = "nothing reaches c through h = o ∘ φ(c)"
        yield Mutant("chain-cut", told, backward=Backward(no_dc_from_h=True))
        told = "what goes back from c_t to c_(t-1) is not multiplied by the forget gate"
        yield Mutant("chain-cut", told, backward=Backward(no_forget=True))
        told = "dz of the forget gate takes c_t where c_(t-1) belongs"
        yield Mutant("off-by-one-step", told, backward=Backward(after=True))
    if cell.name == "gru":
        told = "nothing goes back from h_t to h_(t-1) through the update gate's ∘"
        yield Mutant("chain-cut", told, backward=Backward(cut=("keep",)))
        told = "the gradient of the recurrent part lacks the reset gate"
        yield Mutant("chain-cut", told, backward=Backward(no_reset=True))
        told = "dz of the update gate takes h_t where h_(t-1) belongs"
        yield Mutant("off-by-one-step", told, backward=Backward(after=True))
    for names in [("doutput",), *((n,) for n in cell.states), cell.states]:
        which = ", ".join(n if n == "doutput" else f"dstate of {n}" for n in names)
        yield Mutant("gradient-ignored", f"{which} is ignored", backward=Backward(ignored=names))
    for every in range(1, min(T, 65)):
        for from_end in (False, True):
            told = f"nothing goes back across every {every} steps"
            faults = Backward(every=every, from_end=from_end)
            yield Mutant("backward-truncated", told, backward=faults)


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)
