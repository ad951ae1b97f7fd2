"""The page of a trace: its gates, states and gradients over time, and how far gradients reach.

A trace holds a batch; the maps show one sequence of it (the longest unless told), the norms are
taken over the whole batch. Of a trace on a GPU just that comes over: the sequence, and the norms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minirnn.device import array_namespace
from minirnn.diagnosis.wording import counted, share
from minirnn.errors import ArgumentError
from minirnn.inspect.host import on_host
from minirnn.inspect.norms import norm
from minirnn.report import glossary, heatmaps
from minirnn.report.curves import Curve, log_curves
from minirnn.report.page import Block, Figure, Figures, Page, Section, Terms, Text
from minirnn.report.scales import log_range, symmetric_range
from minirnn.report.style import GATES, STATES
from minirnn.report.words import number

if TYPE_CHECKING:
    from minirnn.inspect import Trace

Array = np.ndarray[Any, Any]

# What each gate of the built-in cells is called and does, in a newcomer's words.
GATE_WORDS = {
    "input": ("Input gate i", "how much of the candidate is written into the cell"),
    "forget": ("Forget gate f", "how much of the cell is kept from the step before"),
    "cell": ("Candidate g", "what would be written; it may be negative"),
    "output": ("Output gate o", "how much of the cell the unit shows"),
    "reset": ("Reset gate r", "how much of the past enters the candidate"),
    "update": ("Update gate z", "how much of the old state is kept"),
    "new": ("Candidate n", "what would be written; it may be negative"),
}
STATE_WORDS = {
    "h": ("Hidden state h", "what the next step and the layer above see"),
    "c": ("Cell state c", "the memory that the gates write to and keep"),
}
FADED = 0.01  # a gradient of which less than this share is left
SIGNED = {"cell", "new"}  # the built-in cells' slots whose activation may be negative


def trace_page(trace: Trace, *, sequence: int | None = None) -> Page:
    """A page of its own for one trace; `sequence` is the batch entry whose maps are shown.

    Raises: ArgumentError naming `sequence` when the batch has no such entry.
    """
    T, B, H = trace.shape
    sections = [Section("inside", "Inside, step by step", inside(trace, sequence=sequence))]
    if trace.has_gradients:
        sections.append(Section("gradients", "The way back", way_back(trace, sequence=sequence)))
    else:
        text = "Backward has not run through this call, so there are no gradients to show."
        sections.append(Section("gradients", "The way back", [Text([text])]))
    terms = glossary.terms(trace.cell.name, series=False)
    sections.append(Section("glossary", "Words used on this page", [Terms(terms)]))
    return Page(
        title=f"{trace.name}, step by step",
        opening=[
            "What one recurrent layer computed at every step of one call: what its gates let "
            "through, what its units remembered, and what reached each step on the way back."
        ],
        sections=sections,
        facts=[
            ("steps T", f"{T:,}"),
            ("sequences B", f"{B:,}"),
            ("units H", f"{H:,}"),
            ("cell", trace.cell.name),
            ("direction", trace.direction),
            ("numbers", trace.dtype.name),
        ],
    )


def choose_sequence(trace: Trace, sequence: int | None) -> int:
    """The batch entry to show: the one asked for, or among the longest the one in the middle."""
    B = trace.shape[1]
    if sequence is None:
        longest = np.flatnonzero(trace.lengths == trace.lengths.max())
        return int(longest[len(longest) // 2])
    if not 0 <= sequence < B:
        raise ArgumentError("sequence", sequence, f"0 <= sequence < {B}, the trace's batch")
    return sequence


def inside(
    trace: Trace, *, sequence: int | None = None, x_title: str = "step t", heading: str = ""
) -> list[Block]:
    """Maps of every gate and state of one sequence."""
    b = choose_sequence(trace, sequence)
    T, B, H = trace.shape
    figures = []
    for name, activations in trace.gates.items():
        title, meaning = GATE_WORDS.get(name, (f"Gate {name}", ""))
        figures.append(_activation(title, meaning, name, on_host(activations[:, b]), x_title))
    for name, values in trace.states.items():
        title, meaning = STATE_WORDS.get(name, (f"State {name}", ""))
        explanation = f"{meaning[:1].upper()}{meaning[1:]}." if meaning else ""
        shown = on_host(values[:, b])
        if symmetric_range(shown) > 1:
            explanation += " The scale reaches beyond ±1."
        picture = heatmaps.signed_map(shown, x_title=x_title)
        figures.append(Figure(title, picture, explanation.strip()))
    _, _, cut = heatmaps.shown_part(T, H)
    which = f"sequence {b + 1} of {B:,}" if B > 1 else "the one sequence"
    explanation = (
        f"Each row is one of the layer's {counted(H, 'unit')}, each column one of "
        f"{counted(T, 'step')} of {which} of the batch; step 0 is the oldest. {cut}"
    )
    return [Figures(figures, heading=heading, explanation=explanation.strip())]


def way_back(
    trace: Trace,
    *,
    sequence: int | None = None,
    x_title: str = "step t",
    limits: tuple[float, float] | None = None,
    heading: str = "",
) -> list[Block]:
    """Gradient norms per step, and maps of the gradients of the states of one sequence.

    `limits`: the colour scale in decades (`scales.log_range`), to share it between traces.
    Raises: TraceError before backward.
    """
    b = choose_sequence(trace, sequence)
    shared = gradient_limits([trace], [b]) if limits is None else limits
    maps = [
        Figure(
            f"Gradient of {_state_name(name)}",
            heatmaps.gradient_map(on_host(gradient[:, b]), shared, x_title=x_title),
            f"|dL/d{name}| of each unit at each step.",
        )
        for name, gradient in trace.grad_states.items()
    ]
    ground = (
        "Colours are powers of ten, the same scale in every gradient map of this page; light grey "
        "is exactly zero: nothing at all arrived there."
    )
    return [
        Figures(
            norm_figures(trace, x_title=x_title),
            heading=heading,
            explanation=reach_sentence(trace),
        ),
        Figures(maps, explanation=ground),
    ]


def norm_figures(trace: Trace, *, x_title: str = "step t") -> list[Figure]:
    """Norms per step over the batch: of the states' gradients, and of the gates' gradients."""
    x = np.arange(trace.shape[0])
    states = [
        Curve(f"‖dL/d{name}‖", x, on_host(trace.gradient_norms(name)), color, dash)
        for name, color, dash in zip(trace.states, STATES, ("solid", "dash"), strict=False)
    ]
    gates = [
        Curve(_gate_title(name), x, on_host(norm(gradient, (1, 2))), GATES[k % len(GATES)])
        for k, (name, gradient) in enumerate(trace.grad_gates.items())
    ]
    y_title = "norm over batch and units"
    return [
        Figure(
            "Gradient norm of the states",
            log_curves(states, x_title=x_title, y_title=y_title),
            f"What the loss asks of the states at each step. {entrance_sentence(trace)}",
        ),
        Figure(
            "Gradient norm of the gates",
            log_curves(gates, x_title=x_title, y_title=y_title),
            "What is left of it once it has passed a gate's slope; the weights learn from this. "
            "A saturated gate has almost no slope.",
        ),
    ]


def entrance_sentence(trace: Trace) -> str:
    """Where the gradient comes into the layer, read from what entered from outside."""
    entered = array_namespace(trace.direct_grad_hidden).any(trace.direct_grad_hidden != 0, axis=2)
    steps = int(entered.sum(axis=0).max()) if entered.size else 0
    if steps == 0:
        return "No gradient entered this layer."
    if steps == 1:
        first, way = ("first", "right") if trace.reverse else ("last", "left")
        return f"It enters at the {first} step and travels to the {way}."
    return f"It enters at {steps:,} of {trace.shape[0]:,} steps."


def gradient_limits(traces: Sequence[Trace], sequences: Sequence[int]) -> tuple[float, float]:
    """One colour scale, in decades, for the state gradients of several traces' sequences."""
    return log_range(
        on_host(gradient[:, b])
        for trace, b in zip(traces, sequences, strict=True)
        if trace.has_gradients
        for gradient in trace.grad_states.values()
    )


def reach_sentence(trace: Trace) -> str:
    """How far back the gradient of each state reaches, counted from each sequence's last step."""
    return " ".join(
        _reach(_state_name(name), on_host(trace.gradient_decay(name))) for name in trace.grad_states
    )


def _reach(name: str, decay: Array) -> str:
    """In words: `decay (D,)` is what is left d steps before the last, 1 at d = 0."""
    if decay.size == 0 or np.isnan(decay).all():
        return f"No gradient of {name} enters at the last step."
    if not np.isfinite(decay).all():
        return f"The gradient of {name} is not finite."
    earliest, steps = float(decay[-1]), counted(len(decay) - 1, "step")
    if earliest >= FADED:
        return (
            f"{steps} before the last, the gradient of {name} is still {number(earliest)} times "
            "what it is at the last."
        )
    faded = int(np.flatnonzero(decay >= FADED)[-1]) + 1
    left = "exactly 0" if earliest == 0 else f"{number(earliest)} of it"
    return (
        f"Under {share(FADED)} of the gradient of {name} is left {counted(faded, 'step')} before "
        f"the last, and {left} {steps} before."
    )


def _gate_title(name: str) -> str:
    return GATE_WORDS.get(name, (name,))[0]


def _state_name(name: str) -> str:
    return {"h": "the hidden state h", "c": "the cell state c"}.get(name, f"the state {name}")


def _activation(title: str, meaning: str, name: str, values: Array, x_title: str) -> Figure:
    """A gate's map: on 0..1 if it is one of ours or stays within, on a diverging scale if not."""
    finite = values[np.isfinite(values)]
    within = finite.size == 0 or (finite.min() >= 0 and finite.max() <= 1)
    signed = name in SIGNED or (name not in GATE_WORDS and not within)
    draw = heatmaps.signed_map if signed else heatmaps.gate_map
    explanation = f"{meaning[:1].upper()}{meaning[1:]}." if meaning else ""
    return Figure(title, draw(values, x_title=x_title), explanation)
