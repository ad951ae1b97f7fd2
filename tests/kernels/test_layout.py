"""How slots lie in panels, and cells of every kind of slots at sizes around whole vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minirnn as mr
from minirnn.cells import sigmoid, tanh
from minirnn.kernels import cpu
from minirnn.kernels.contract import Keep, Needs, Weights
from minirnn.kernels.cpu import forward_pass, threads
from minirnn.kernels.cpu.layout import APART, SAME_PLACE, layout_of, panel_rows
from minirnn.kernels.cpu.vector import vector_bytes

T, B, WIDTH = 5, 3, 7


def cell_of(*feeds: str) -> Any:
    """A cell of two states, each slot with a gate of its own, in an order that tells them apart."""
    slots = {f"s{i}": feed for i, feed in enumerate(feeds)}

    @mr.cell(states=("h", "m"), **slots)
    def mixed(z: Any, last: Any) -> Any:
        stored = {s: (tanh if i % 2 else sigmoid)(getattr(z, s)) for i, s in enumerate(slots)}
        total = last.h * 0.3
        for i, s in enumerate(slots):
            total = total + stored[s] * (0.4 + 0.2 * i)
        memory = last.m * stored["s0"] + total * 0.5
        return {"h": tanh(total + memory), "m": memory}, stored

    return mixed


ONE, TWO, THREE = ("xh",), ("h", "x"), ("xh", "x", "h")
FIVE, SIX = ("h", "xh", "x", "xh", "x"), ("h", "h", "x", "xh", "x", "xh")


@pytest.mark.parametrize(
    ("feeds", "order", "fed_by_x", "fed_by_h", "vectors"),
    [
        (ONE, "s0", 1, 1, 4),
        (TWO, "s1 s0", 1, 1, 2),
        (THREE, "s1 s0 s2", 2, 2, 1),
        (("xh", "xh", "xh", "xh"), "s0 s1 s2 s3", 4, 4, 1),
        (FIVE, "s2 s4 s1 s3 s0", 4, 3, 1),
        (SIX, "s2 s4 s3 s5 s0 s1", 4, 4, 1),
        (("h", "h", "x"), "s2 s0 s1", 1, 2, 1),
    ],
)
def test_what_x_feeds_is_first_and_what_h_feeds_is_last(
    feeds: tuple[str, ...], order: str, fed_by_x: int, fed_by_h: int, vectors: int
) -> None:
    cell = cell_of(*feeds)
    layout = layout_of(cell)
    assert layout.order == tuple(order.split())
    if vector_bytes() < 64:  # narrow vectors: a panel of sixteen of them, not of four
        vectors = max(1, 16 // len(feeds))
    assert (layout.fed_by_x, layout.fed_by_h, layout.vectors) == (fed_by_x, fed_by_h, vectors)
    assert [layout.place(s) for s in layout.order] == list(range(len(feeds)))
    first, last = layout.order[:fed_by_x], layout.order[len(feeds) - fed_by_h :]
    assert [cell.input_slots[block] for block in layout.x_blocks] == list(first)
    assert [cell.hidden_slots[block] for block in layout.h_blocks] == list(last)


def test_grus_candidate_lies_at_both_ends() -> None:
    layout = layout_of(mr.cells.gru())
    assert layout.order == ("new", "reset", "update", "recurrent_new")
    assert layout.x_blocks == (2, 0, 1)
    assert layout.h_blocks == (0, 1, 2)


@pytest.mark.parametrize("width", [64, 256, 1 << 10])
@pytest.mark.parametrize(("steps", "B"), [(0, 4), (64, 4), (77, 3), (100, 1), (1024, 16)])
def test_panels_never_begin_at_the_same_place_of_a_cache(steps: int, B: int, width: int) -> None:
    rows = panel_rows(steps, B, width)
    assert steps * B <= rows <= steps * B + APART // width + 1
    assert steps == 0 or rows * width % SAME_PLACE


def by_hand(
    cell: Any, x: Any, state: Any, weights: Any, doutput: Any, dstate: Any
) -> dict[str, Any]:
    """Forward and backward, step by step, from the cell's own equations in NumPy."""
    H = weights.weight_hh.shape[1]

    def share(array: Any, slots: Any, slot: str) -> Any:
        at = slots.index(slot) * H
        return array[at : at + H]

    last, steps, outputs = dict(zip(cell.states, state, strict=True)), [], []
    for x_t in x:
        z: dict[str, Any] = dict.fromkeys(cell.slots, 0.0)
        for slot in cell.slots:
            for slots, value, w, b in (
                (cell.input_slots, x_t, weights.weight_ih, weights.bias_ih),
                (cell.hidden_slots, last["h"], weights.weight_hh, weights.bias_hh),
            ):
                if slot in slots:
                    z[slot] = z[slot] + value @ share(w, slots, slot).T + share(b, slots, slot)
        step = cell.evaluate(z, last)
        steps.append((x_t, last, step))
        last = step.states
        outputs.append(last["h"])
    result = {"output": np.stack(outputs)} | {f"state.{s}": last[s] for s in cell.states}
    grads = dict(zip(cell.states, dstate, strict=True))
    sums = [np.zeros_like(w) for w in weights]
    dx = np.zeros_like(x)
    for t in reversed(range(len(x))):
        x_t, before, step = steps[t]
        grads = grads | {"h": grads["h"] + doutput[t]}
        _, dz, direct = cell.backward_step(step.gates, step.states, before, grads)
        grads = {s: direct[s] + np.zeros_like(x_t[:, :1]) for s in cell.states}
        for slot, d in dz.items():
            for slots, value, w, (dw, db) in (
                (cell.input_slots, x_t, weights.weight_ih, (sums[0], sums[2])),
                (cell.hidden_slots, before["h"], weights.weight_hh, (sums[1], sums[3])),
            ):
                if slot in slots:
                    share(dw, slots, slot)[:] += d.T @ value
                    share(db, slots, slot)[:] += d.sum(0)
                    through = d @ share(w, slots, slot)
                    if slots is cell.input_slots:
                        dx[t] += through
                    else:
                        grads["h"] = grads["h"] + through
    result |= {f"grad.{name}": dw for name, dw in zip(Weights._fields, sums, strict=True)}
    return result | {"grad.x": dx} | {f"grad.{s}": grads[s] for s in cell.states}


def by_kernels(
    cell: Any, x: Any, state: Any, weights: Any, doutput: Any, dstate: Any, keep: Keep = "tape"
) -> dict[str, Any]:
    output, last, tape = cpu.forward(cell, x, state, weights, keep=keep)
    g = cpu.backward(cell, doutput, dstate, tape, needs=Needs())
    result = {"output": output} | {f"state.{s}": a for s, a in zip(cell.states, last, strict=True)}
    result |= {f"grad.{name}": getattr(g, name) for name in Weights._fields} | {"grad.x": g.x}
    return result | {f"grad.{s}": a for s, a in zip(cell.states, g.state, strict=True)}


def random_arguments(cell: Any, H: int) -> tuple[Any, ...]:
    """x, state, weights, doutput, dstate."""
    rng = np.random.default_rng(H)
    rows_x, rows_h = len(cell.input_slots) * H, len(cell.hidden_slots) * H
    shapes = [(rows_x, WIDTH), (rows_h, H), (rows_x,), (rows_h,)]
    weights = Weights(*[rng.uniform(-1, 1, shape) / np.sqrt(H) for shape in shapes])
    x, state = rng.normal(size=(T, B, WIDTH)), list(rng.normal(size=(2, B, H)))
    return x, state, weights, rng.normal(size=(T, B, H)), list(rng.normal(size=(2, B, H)))


@pytest.mark.parametrize("H", [1, 15, 16, 17, 63, 64, 65, 130])
@pytest.mark.parametrize("feeds", [ONE, TWO, THREE, FIVE, SIX], ids=len)
def test_cells_of_all_slots_compute_their_own_equations(feeds: tuple[str, ...], H: int) -> None:
    cell = cell_of(*feeds)
    arguments = random_arguments(cell, H)
    expected, found = by_hand(cell, *arguments), by_kernels(cell, *arguments)
    assert expected.keys() == found.keys()
    for name, wanted in expected.items():
        bound = 1e-12 * max(1.0, np.abs(wanted).max())
        np.testing.assert_allclose(found[name], wanted, rtol=0, atol=bound, err_msg=name)


@pytest.mark.parametrize("threads_used", [1, 3])
@pytest.mark.parametrize("feeds", [ONE, TWO, THREE, FIVE, SIX], ids=len)
def test_what_is_kept_and_how_work_is_cut_change_no_bit(
    feeds: tuple[str, ...], threads_used: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = cell_of(*feeds)
    arguments = random_arguments(cell, 65)
    expected = by_kernels(cell, *arguments)
    monkeypatch.setattr(forward_pass, "REBUILT_STEPS", (2, 2))
    monkeypatch.setattr(threads, "OPERATIONS_WORTH_A_THREAD", 1)
    monkeypatch.setattr(threads, "_threads", threads_used)
    for keep in ("tape", "checkpoints", "record"):
        for name, found in by_kernels(cell, *arguments, keep).items():
            assert np.array_equal(found, expected[name]), f"{name} with {keep}"
