"""A profile as tables: for `rich`, and as plain text."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from minirnn.diagnosis.wording import number

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from minirnn.profiling.result import (
        BreakEven,
        Comparison,
        Growth,
        Phase,
        Profile,
        Transfer,
    )

WIDTH = 100  # more than is needed: nothing is cut off
COLUMNS = ("ms", "share", "µs/step", "MFLOP", "GFLOP/s", "of peak", "MB", "of read")
LEGEND = (
    "\nms: milliseconds; share: of its pass; µs/step: microseconds per time step\n"
    "MFLOP: millions of operations; GFLOP/s: billions a second; of peak: share of the peak above\n"
    "MB: millions of bytes; of read: share of the memory rate above; over 100% is served by a cache"
)
BREAK_EVEN = "\nA training step while one size is doubled, and the others are as above\n"
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

    profiles = (profile, *profile.beside)
    parts: list[Any] = []
    for one in profiles:
        parts += [Text(), *_one_device(one)] if parts else _one_device(one)
    if profile.beside:
        parts += [Text("\nBeside each other\n"), _devices(profiles)]
    if profile.break_even:
        parts += [Text(BREAK_EVEN), *[_break_even(one) for one in profile.break_even]]
    return Group(*parts)


def _one_device(profile: Profile) -> list[Any]:
    from rich.text import Text

    parts: list[Any] = [
        Text(_head(profile)),
        _passes(profile),
        Text(LEGEND),
        Text(_memory(profile)),
    ]
    if profile.transfers:
        parts += [Text(), _transfers(profile.transfers)]
    if profile.growth:
        parts += [Text(), _growth(profile.growth)]
    if profile.torch is not None:
        parts.append(Text(_torch(profile.torch)))
    return [*parts, *(Text(f"\n{note}") for note in profile.notes)]


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
    figures = peak.words().format(number(peak.gflops), number(peak.bandwidth))
    return (
        f"{profile.name}, T = {profile.steps}, B = {profile.batch}, {profile.dtype}, on "
        f"{peak.where()}\n"
        f"Peak: {figures}\n"
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
    launched = profile.training.launches is not None
    table = _table(*COLUMNS, *(["launches"] if launched else []))
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
        *([] if phase.launches is None else [str(phase.launches)]),
        style=style,
    )


def _memory(profile: Profile) -> str:
    memory, levels = profile.memory, len(profile.levels)
    each = f" of each of the {levels} layers and directions" if levels > 1 else ""
    held = "" if memory.held is None else (
        f"\nIn the GPU's memory pool after forward, with all else that is kept: "
        f"{number(memory.held / 1e6)} MB"
    )  # fmt: skip
    return (
        f"\nKept for the backward pass: {number(memory.nbytes / 1e6)} MB, which is "
        f"{memory.units_of_h:.2f} H floats per step and sequence{each}{held}"
    )


def _transfers(transfers: tuple[Transfer, ...]) -> Table:
    table = _table("MB", "ms", "GB/s")
    for one in transfers:
        table.add_row(
            f"{one.name} {'to' if one.to_gpu else 'from'} the GPU",
            number(one.nbytes / 1e6),
            number(1e3 * one.seconds),
            number(one.bandwidth),
        )
    return table


def _devices(profiles: tuple[Profile, ...]) -> Table:
    """Every pass on every device, and how many times the first one's time is the other's."""
    first, *others = profiles
    names = [f"{one.device} ms" for one in profiles]
    table = _table(*names, *[f"{first.device} / {one.device}" for one in others])
    for name in TITLES:
        seconds = [getattr(one, name).seconds for one in profiles]
        ratios = [f"{seconds[0] / other:.2f}" for other in seconds[1:]]
        table.add_row(TITLES[name], *[number(1e3 * each) for each in seconds], *ratios)
    return table


def _break_even(one: BreakEven) -> Table:
    table = _table("cpu ms", "cuda ms", "with inputs brought over", "cpu / cuda")
    for size, cpu, cuda, moved in zip(one.sizes, one.cpu, one.cuda, one.with_transfer, strict=True):
        here = "  the GPU begins to win" if size == one.wins_at else ""
        milliseconds = [number(1e3 * seconds) for seconds in (cpu, cuda, moved)]
        table.add_row(f"{one.dimension} = {size}{here}", *milliseconds, f"{cpu / cuda:.2f}")
    if one.wins_at is None:
        table.add_row(f"{one.dimension}: the GPU does not win at these sizes")
    return table


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
