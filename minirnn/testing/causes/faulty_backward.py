"""The backward of `faulty_run`: through time, and the products after the loop."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from minirnn.kernels.contract import Array
from minirnn.testing.causes.faulty_run import (
    RIGHT_BACKWARD,
    RIGHT_PRODUCTS,
    Backward,
    Faulty,
    Products,
)

PARAMETERS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


@dataclass
class Slopes:
    """dL/dz of every slot and the total dL/d state of every step (T, B, H); dL/d initial states.

    `fed` is what the product with h had in place of h for a slot, `bias` the gradient of a slot's
    bias where that is not dz.
    """

    dz: dict[str, Array]
    totals: dict[str, Array]
    initial: dict[str, Array]
    fed: dict[str, Array] = field(default_factory=dict)
    bias: dict[str, Array] = field(default_factory=dict)


def backward(run: Faulty, faults: Backward = RIGHT_BACKWARD, steps: int | None = None) -> Slopes:
    """Backpropagate through time; with `steps`, through so many of the last alone."""
    with np.errstate(all="ignore"):
        return _backward(run, faults, steps)


def _backward(run: Faulty, faults: Backward, count: int | None) -> Slopes:
    call, steps = run.call, run.steps
    T, B, H = steps.output.shape
    names = call.cell.states
    direct, entering, later = _injected(run, faults)
    slopes = Slopes(
        {s: np.zeros((T, B, H)) for s in dict.fromkeys((*run.slots_x, *run.slots_h))},
        {n: np.zeros((T, B, H)) for n in names},
        later,
    )
    if call.cell.name == "gru":
        _special_products(run, slopes)
    for j, t in list(enumerate(steps.order))[::-1][:count]:
        arriving = {n: direct[n][t] + later[n] for n in names}
        dz, total, before = _step(run, faults, slopes, t, arriving)
        on = steps.valid[t]
        for slot, gradient in dz.items():
            slopes.dz[slot][t] = np.where(on, gradient, 0.0)
        across = T - j if faults.from_end else j
        cut = faults.every and j and across % faults.every == 0
        for n in names:
            slopes.totals[n][t] = np.where(on, total[n], 0.0)
            back = 0.0 if n in run.faults.forgotten or cut else before[n]
            later[n] = np.where(on, back, arriving[n]) + entering[n][t]
    slopes.initial = {n: 0 * g if n in run.faults.no_initial else g for n, g in later.items()}
    return slopes


def _injected(
    run: Faulty, faults: Backward
) -> tuple[dict[str, Array], dict[str, Array], dict[str, Array]]:
    """The gradients from outside: into each state after a step, into those before; after all."""
    call, steps, names = run.call, run.steps, run.call.cell.states
    shape = steps.output.shape
    direct = {n: np.zeros(shape) for n in names}
    entering = {n: np.zeros(shape) for n in names}
    later = {n: np.zeros(shape[1:]) for n in names}
    if call.doutput is not None and "doutput" not in faults.ignored:
        shown = True if faults.raw_doutput else steps.shown
        where = entering if run.faults.output == "entering" else direct
        where["c" if run.faults.output == "c" else "h"] += np.where(shown, call.doutput, 0.0)
    for n, given in zip(names, call.dstate or (), strict=call.dstate is not None):
        if given is None or n in faults.ignored:
            continue
        if run.faults.last == "one earlier" and shape[0]:
            sequences = np.arange(shape[1])
            at = run.last_steps(steps.valid, steps.order)
            entering[n][at, sequences] += np.where(steps.valid[at, sequences], given, 0.0)
        elif run.faults.last == "output[-1]" and shape[0]:
            direct[n][-1] += np.where(steps.shown[-1], given, 0.0)
        else:
            later[n] = given
    return direct, entering, later


def _special_products(run: Faulty, slopes: Slopes) -> None:
    """Where a GRU's product has r ∘ h in place of h."""
    if run.reset == "before":
        steps = run.steps
        slopes.fed["recurrent_new"] = steps.gates["reset"] * steps.entering["h"]
    if run.reset == "bias outside":
        slopes.bias["recurrent_new"] = slopes.dz["new"]  # filled as the loop goes


def _step(
    run: Faulty, faults: Backward, slopes: Slopes, t: int, arriving: dict[str, Array]
) -> tuple[dict[str, Array], dict[str, Array], dict[str, Array]]:
    """dz of each slot, the total gradients, and what goes back to each state before the step."""
    steps = run.steps
    gate = {s: g[t] for s, g in steps.gates.items()}
    last = {n: s[t] for n, s in steps.entering.items()}
    seen = {n: s[t] for n, s in steps.states.items()} if faults.after else last

    def slope(slot: str, y: Array) -> Array:
        return run.slope(slot, y, faults)

    def through(dz: dict[str, Array], *slots: str) -> Array:
        if "U" in faults.cut:
            return np.zeros_like(last["h"])
        matrices = {s: run.U[s].T if faults.transposed else run.U[s] for s in slots}
        return sum((dz[s] @ matrices[s] for s in slots), np.zeros_like(last["h"]))

    dh = arriving["h"]
    if run.call.cell.name == "rnn":
        dz = {"new": dh * slope("new", gate["new"])}
        return dz, {"h": dh}, {"h": through(dz, "new")}
    if run.call.cell.name == "lstm":
        i, f, g, o = (gate[s] for s in run.slots_x)
        y = run.value("state", steps.states["c"][t])
        dc = arriving["c"] + (0.0 if faults.no_dc_from_h else dh * o * slope("state", y))
        dz = {
            "input": dc * g * slope("input", i),
            "forget": dc * seen["c"] * slope("forget", f),
            "cell": dc * i * slope("cell", g),
            "output": dh * y * slope("output", o),
        }
        back = 0 * dc if "c" in faults.cut else dc if faults.no_forget else f * dc
        return dz, {"h": dh, "c": dc}, {"h": through(dz, *run.slots_h), "c": back}
    r, u, n, q = (gate[s] for s in ("reset", "update", "new", "recurrent_new"))
    of_n, of_h, sign = (u, 1 - u, -1.0) if run.faults.complement else (1 - u, u, 1.0)
    dz_n = dh * of_n * slope("new", n)
    dz = {"new": dz_n, "update": sign * dh * (seen["h"] - n) * slope("update", u)}
    if run.reset == "before":
        inner = (dz_n @ run.U["recurrent_new"]) if "U" not in faults.cut else 0 * dh  # dL/d(r ∘ h)
        dz |= {"recurrent_new": dz_n, "reset": inner * last["h"] * slope("reset", r)}
        by_new = inner * r
    else:
        rate = 1.0 if run.reset == "ignored" or faults.no_reset else r
        scaled = q - run.bias_of("recurrent_new") if run.reset == "bias outside" else q
        dr = 0.0 if run.reset == "ignored" else dz_n * scaled
        dz |= {"recurrent_new": dz_n * rate, "reset": dr * slope("reset", r)}
        by_new = through(dz, "recurrent_new")
    before = through(dz, "reset", "update") + by_new
    return dz, {"h": dh}, {"h": before + (0.0 if "keep" in faults.cut else of_h * dh)}


def backward_arrays(
    run: Faulty,
    slopes: Slopes,
    faults: Products = RIGHT_PRODUCTS,
) -> dict[str, Array]:
    """The arrays of backward, named as the reference's (all but "grad_direct")."""
    return sequence_arrays(run, slopes, faults) | parameter_arrays(run, slopes, faults)


def sequence_arrays(run: Faulty, slopes: Slopes, faults: Products) -> dict[str, Array]:
    """Those in which sequences know nothing of each other."""
    order, slots = run.steps.order, run.call.cell.slots
    dz_x = np.concatenate([slopes.dz[s] for s in run.slots_x], axis=2)
    initial = slopes.initial
    if faults.initial == "total" and order:
        initial = {n: total[order[0]] for n, total in slopes.totals.items()}
    named = {"grad.x": np.where(run.steps.read, dz_x @ run.call.weights.weight_ih, 0.0)}
    named |= {f"grad.state.{n}": g for n, g in initial.items()}
    named |= {f"grad_states.{n}": g for n, g in slopes.totals.items()}
    return named | {f"grad_slots.{s}": g for s, g in slopes.dz.items() if s in slots}


def parameter_arrays(run: Faulty, slopes: Slopes, faults: Products) -> dict[str, Array]:
    """The gradients of the weights and biases: sums over steps and sequences."""
    steps, order = run.steps, run.steps.order
    chosen = {
        "all": order,
        "not first": order[1:],
        "not last": order[: len(order) - 1],
        "only first": order[:1],
        "only last": order[len(order) - 1 :],
    }
    h = steps.states["h"] if faults.h_after else np.where(steps.valid, steps.entering["h"], 0.0)

    def over(name: str, array: Array) -> Array:
        return array[chosen[faults.steps]] if name in faults.of else array

    def product(dz: Array, fed: Array, name: str) -> Array:
        return np.tensordot(over(name, dz), over(name, fed), axes=([0, 1], [0, 1]))

    def total(dz: Array, name: str) -> Array:
        return over(name, dz).sum(axis=(0, 1))

    named: dict[str, Array] = {}
    for name, slots in (("ih", run.slots_x), ("hh", run.slots_h)):
        of_bias = slopes.dz if name == "ih" else slopes.dz | slopes.bias
        fed = {s: steps.x if name == "ih" else slopes.fed.get(s, h) for s in slots}
        blocks = [product(slopes.dz[s], fed[s], f"weight_{name}") for s in slots]
        biases = [total(of_bias[s], f"bias_{name}") for s in slots]
        named |= {
            f"grad.weight_{name}": np.concatenate(blocks),
            f"grad.bias_{name}": np.concatenate(biases),
        }
    if faults.same_bias:
        named["grad.bias_hh"] = named["grad.bias_ih"]
    for name in ("bias_ih", "bias_hh"):
        if getattr(run.call.weights, name) is None:
            del named[f"grad.{name}"]
    return named
