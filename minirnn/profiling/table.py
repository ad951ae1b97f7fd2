"""A profile as tables: for `rich`, and as plain text."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from minirnn.diagnosis.wording import counted, number

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from minirnn.profiling.result import Comparison, Growth, Phase, Profile

WIDTH = 100  # more than is needed: nothing is cut off
COLUMNS = ("ms", "share", "µs/step", "MFLOP", "GFLOP/s", "of peak", "MB", "of read")
LEGEND = (
    "\nms: milliseconds; share: of its pass; µs/step: microseconds per time step\n"
    "MFLOP: millions of operations; GFLOP/s: billions a second; of peak: share of the peak above\n"
    "MB: millions of bytes; of read: share of the memory rate above; over 100% is served by a cache"
)
TITLES = {
    "inference": "inference",
    "forward": "forward",
    "backward": "backward",
    "training": "training step",
}


def as_tables(profile: Profile) -> Group:
    """What rich prints: what was run, its passes and phases, memory, growth, PyTorch."""
    from rich.console import Group
    from rich.text import Text

    parts: list[Any] = [
        Text(_head(profile)),
        _passes(profile),
        Text(LEGEND),
        Text(_memory(profile)),
    ]
    if profile.growth:
        parts += [Text(), _growth(profile.growth)]
    if profile.torch is not None:
        parts.append(Text(_torch(profile.torch)))
    return Group(*parts, *(Text(f"\n{note}") for note in profile.notes))


def as_text(profile: Profile) -> str:
    """The same as plain text."""
    from rich.console import Console

    stream = io.StringIO()
    console = Console(file=stream, width=WIDTH, markup=False, highlight=False, emoji=False)
    console.print(as_tables(profile))
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


def _head(profile: Profile) -> str:
    peak, inference, training = profile.peak, profile.inference, profile.training
    apart = f"{_percent(inference.spread)} (inference) and {_percent(training.spread)} (training)"
    return (
        f"{profile.name}, T = {profile.steps}, B = {profile.batch}, {profile.dtype}, on "
        f"{profile.device} with {counted(peak.threads, 'thread')}\n"
        f"Peak: {number(peak.gflops)} GFLOP/s in vectors of {peak.vector_bytes} bytes; "
        f"{number(peak.bandwidth)} GB/s read from memory\n"
        f"Medians of {training.repeats} runs, whose quartiles are {apart} apart\n"
    )


def _table(*columns: str) -> Table:
    from rich.table import Table as RichTable

    table = RichTable(box=None, pad_edge=False, padding=(0, 1))
    table.add_column("", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _passes(profile: Profile) -> Table:
    table = _table(*COLUMNS)
    for one in (profile.inference, profile.forward, profile.backward):
        _row(table, TITLES[one.name], one, style="bold")
        for phase in one.phases:
            _row(table, f"  {phase.name}", phase)
    _row(table, TITLES["training"], profile.training, style="bold")
    return table


def _row(table: Table, title: str, phase: Phase, style: str = "") -> None:
    table.add_row(
        title,
        number(1e3 * phase.seconds),
        _percent(phase.share),
        number(phase.microseconds_per_step),
        _millions(phase.flop),
        _optional(phase.gflops),
        _percent(phase.share_of_peak),
        _millions(phase.nbytes),
        _percent(phase.share_of_bandwidth),
        style=style,
    )


def _memory(profile: Profile) -> str:
    memory, levels = profile.memory, len(profile.levels)
    each = f" of each of the {levels} layers and directions" if levels > 1 else ""
    return (
        f"\nKept for the backward pass: {number(memory.nbytes / 1e6)} MB, which is "
        f"{memory.units_of_h:.2f} H floats per step and sequence{each}"
    )


def _growth(growth: tuple[Growth, ...]) -> Table:
    table = _table("inference ms", "grows as", "training ms", "grows as")
    for one in growth:
        name = one.dimension
        table.add_row(
            f"{name}: {one.sizes[0]} → {one.sizes[1]}",
            " → ".join(number(1e3 * seconds) for seconds in one.inference),
            f"{name}^{one.inference_exponent:.2f}",
            " → ".join(number(1e3 * seconds) for seconds in one.training),
            f"{name}^{one.training_exponent:.2f}",
        )
    return table


def _torch(torch: Comparison) -> str:
    return (
        f"\nPyTorch {torch.version}: inference {number(1e3 * torch.inference)} ms, "
        f"{torch.inference_ratio:.2f} times ours; training step {number(1e3 * torch.training)} ms, "
        f"{torch.training_ratio:.2f} times ours\n"
        f"Outputs and gradients agree to {torch.difference:.1e} of the largest"
    )


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100.0 * share:.0f}%"


def _millions(count: int | None) -> str:
    return "" if not count else number(count / 1e6)


def _optional(value: float | None) -> str:
    return "" if value is None else number(value)
