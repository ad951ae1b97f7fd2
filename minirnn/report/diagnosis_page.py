"""The page of a diagnosis: every attempt with its findings and pictures, then all side by side.

An attempt that was taken back has its curves, and no pictures of what went on inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from minirnn.report import glossary, measured, series_page, story
from minirnn.report.cards import NOTHING_FOUND, cards
from minirnn.report.curves import epoch_curves
from minirnn.report.page import Block, Cards, Code, Figure, Figures, Page, Section, Terms, Text
from minirnn.report.scales import Array
from minirnn.report.series_page import Axes
from minirnn.report.story import Wording
from minirnn.report.style import attempt_color
from minirnn.report.trace_page import choose_sequence, gradient_limits, inside, way_back

if TYPE_CHECKING:
    from minirnn.diagnosis import Attempt, Diagnosis
    from minirnn.inspect import Trace

MAX_TRACES = 2  # layers and directions shown of one attempt: the first and the last


@dataclass(frozen=True)
class Setting:
    """What surrounds a diagnosis on its page; the defaults serve any diagnosis.

    times, x_title   of the series' values, where they are known
    opening          paragraphs before the first section
    about            paragraphs on where the data come from
    """

    title: str = ""
    opening: Sequence[str] = ()
    about: Sequence[str] = ()
    wording: Wording = field(default_factory=Wording)
    times: Array | None = None
    x_title: str = ""


def diagnosis_page(diagnosis: Diagnosis, setting: Setting | None = None) -> Page:
    """The page of what `mr.doctor` or `mr.diagnose` found.

    Raises: MissingExtraError when plotly is not installed.
    """
    setting = Setting() if setting is None else setting
    wording = setting.wording
    sections: list[Section] = []
    cell = ""
    if not diagnosis.attempts:
        sections.append(Section("findings", "Findings", _findings(diagnosis)))
        traces = diagnosis.run.traces if diagnosis.run is not None else ()
        sections += [Section("inside", "Inside", _traces(traces, "step t", None))] if traces else []
    else:
        first = diagnosis.attempts[0]
        cell = first.recipe.model.cell
        axes = _axes(first, setting)
        if axes is not None and first.run is not None:
            blocks: list[Block] = [Text(setting.about)] if setting.about else []
            blocks.append(Figures([series_page.record_figure(first.run, axes)], wide=True))
            sections.append(Section("record", "The data", blocks))
        limits = _limits(diagnosis.attempts)
        sections += [
            _attempt_section(k, attempt, wording, axes, limits)
            for k, attempt in enumerate(diagnosis.attempts)
        ]
        sections.append(_together(diagnosis, wording, axes))
    terms = glossary.terms(cell, series=any(a.recipe.is_series for a in diagnosis.attempts))
    sections.append(Section("glossary", "Words used on this page", [Terms(terms)]))
    return Page(
        title=setting.title or _title(diagnosis),
        opening=setting.opening,
        verdict=story.ending(diagnosis, wording),
        healthy=diagnosis.healthy,
        sections=sections,
        facts=_facts(diagnosis),
    )


def _title(diagnosis: Diagnosis) -> str:
    root = diagnosis.before.root
    if root is None:
        return "A healthy recurrent network"
    if diagnosis.cured:
        return f"A recurrent network, cured of {root.symptom}"
    return f"What ails this recurrent network: {root.symptom}"


def _facts(diagnosis: Diagnosis) -> list[tuple[str, str]]:
    import minirnn

    facts = [("minirnn", minirnn.__version__)]
    if diagnosis.attempts:
        recipe = diagnosis.attempts[0].recipe
        seconds = sum(sum(a.history.seconds) for a in diagnosis.attempts if a.history is not None)
        facts += [
            ("network", f"{recipe.model.cell.upper()}, {recipe.model.hidden_size} units"),
            ("seed", str(recipe.training.seed)),
            ("trainings", str(len(diagnosis.attempts))),
            *_device(diagnosis),
            ("time in training", f"{seconds:.0f} s" if seconds >= 1 else "under 1 s"),
        ]
    return facts


def _device(diagnosis: Diagnosis) -> list[tuple[str, str]]:
    """Where it trained, where that was not the CPU."""
    run = diagnosis.attempts[0].run
    return [("device", run.data.device)] if run is not None and run.data.device != "cpu" else []


def _findings(diagnosis: Diagnosis) -> list[Block]:
    return [Cards(cards(diagnosis.findings), otherwise=NOTHING_FOUND)]


def _attempt_section(
    index: int,
    attempt: Attempt,
    wording: Wording,
    axes: Axes | None,
    limits: tuple[float, float],
) -> Section:
    name = story.label(index, wording)
    done = story.what_was_done(attempt, wording)
    blocks: list[Block] = [Text([done, *story.what_happened(attempt, wording)])]
    if not attempt.kept:
        blocks.append(Text([f"This attempt was taken back: {attempt.verdict}."]))
    blocks.append(
        Cards(
            cards(attempt.diagnosis.findings),
            heading="What the doctor found",
            otherwise=NOTHING_FOUND,
        )
    )
    if axes is not None and attempt.run is not None:
        predictions = series_page.predictions_figure(attempt, name, index, axes)
        blocks.append(Figures([predictions], heading="Its predictions", wide=True))
    training = _training(attempt, index)
    if training:
        blocks.append(Figures(training, heading="How training went"))
    # The maps of gates and states are the bulk of a page; nobody looks into a network given up.
    traces = attempt.run.traces if attempt.run is not None and attempt.kept else ()
    step = f"{wording.step} of the window" if axes is not None else "step t"
    blocks += _traces(traces, step, limits)
    blocks.append(Code("The recipe of this attempt", _recipe_text(attempt)))
    return Section(f"attempt-{index + 1}", story.headline(attempt), blocks, label=name)


def _training(attempt: Attempt, index: int) -> list[Figure]:
    """Loss and gradient norm, epoch by epoch."""
    history = attempt.history
    if history is None or not history.epochs:
        return []
    columns = {"training": np.array(history.loss)}
    if any(value is not None for value in history.validation_loss):
        held = [np.nan if v is None else v for v in history.validation_loss]
        columns["held out"] = np.array(held)
    kind = attempt.recipe.training.loss
    title = {"mse": "mean squared error"}.get(kind, kind)
    squared = ", in the square of the units that the network is fed" if kind == "mse" else ""
    color = attempt_color(index)
    norms = {"mean over the epoch": np.array(history.gradient_norm)}
    return [
        Figure(
            "Loss",
            epoch_curves(columns, color, y_title=f"{title}, as fed"),
            f"What training makes smaller, after each epoch{squared}.",
        ),
        Figure(
            "Gradient norm in training",
            epoch_curves(norms, color, y_title="norm over all parameters"),
            "How strongly the loss pulls at the weights; where it is zero, nothing is learnt.",
        ),
    ]


def _traces(
    traces: Sequence[Trace], x_title: str, limits: tuple[float, float] | None
) -> list[Block]:
    """Gates, states and gradients of the first and the last recorded layer."""
    shown = traces if len(traces) <= MAX_TRACES else (traces[0], traces[-1])
    blocks: list[Block] = []
    for trace in shown:
        blocks += inside(trace, x_title=x_title, heading=f"Inside {trace.name}, step by step")
        back = f"The way back through {trace.name}"
        blocks += way_back(trace, x_title=x_title, limits=limits, heading=back)
    return blocks


def _limits(attempts: Sequence[Attempt]) -> tuple[float, float]:
    """One colour scale for the gradient maps of every attempt that shows any."""
    traces = [t for a in attempts if a.run is not None and a.kept for t in a.run.traces]
    return gradient_limits(traces, [choose_sequence(trace, None) for trace in traces])


def _together(diagnosis: Diagnosis, wording: Wording, axes: Axes | None) -> Section:
    """The attempts side by side, and what the story shows."""
    attempts = [(story.label(k, wording), attempt) for k, attempt in enumerate(diagnosis.attempts)]
    blocks: list[Block] = [Text([story.ending(diagnosis, wording)])]
    table = story.before_and_after(diagnosis, wording)
    if table is not None:
        blocks.append(table)
    if axes is not None:
        season = diagnosis.figures.get("season")
        figures = [
            series_page.held_out_figure(attempts, axes),
            series_page.errors_figure(attempts, axes, season if isinstance(season, int) else None),
            series_page.free_run_figure(
                attempts, axes, measured.continued(diagnosis.figures, wording)
            ),
        ]
        shown = [figure for figure in figures if figure is not None]
        blocks.append(Figures(shown, heading="In pictures", wide=True))
    return Section("together", "Side by side", blocks)


def _axes(first: Attempt, setting: Setting) -> Axes | None:
    run = first.run
    if run is None or run.data.series is None:
        return None
    counted = Axes.of(run)
    if setting.times is None or len(setting.times) != len(counted.times):
        return counted
    return Axes(setting.times, setting.x_title, counted.y_title)


def _recipe_text(attempt: Attempt) -> str:
    """The recipe as TOML; arrays are told by their shape."""
    from minirnn.diagnosis.recipe import toml

    return toml.write(attempt.recipe.describe())
