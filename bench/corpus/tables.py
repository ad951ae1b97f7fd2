"""What an evaluation says on a terminal."""

from __future__ import annotations

import math

from bench.corpus.measures import Measures, OfSymptom, Share, wanted


def fraction(of: Share) -> str:
    """`29/30`, and nothing of none."""
    return f"{of.right}/{of.of}" if of else "–"


def summary(measures: Measures) -> str:
    """A line a symptom, the pooled one, the control, and what was wanted."""
    heads = ("recall", "precision", "root", "silent", "repaired", "control", "trainings")
    width = max([len(name) for name in measures.each] + [10])
    lines = [f"{'symptom':{width}}" + "".join(f"{head:>11}" for head in heads)]
    lines += [_line(name, of, width) for name, of in measures.each.items()]
    lines.append(_line("all", measures.pooled, width))
    if measures.skipped:
        lines.append(f"{measures.skipped} runs were skipped: they need PyTorch")
    took = ", ".join(f"{name} {value:.0f} s" for name, value in measures.seconds.items())
    lines += [f"time: {took or 'none'}", ""]
    for each in wanted(measures):
        if " of " in each.what and each.met:
            continue  # of single symptoms, what falls short is told
        value = "not measured" if math.isnan(each.value) else f"{100 * each.value:.2f}%"
        state = "ok   " if each.met else "SHORT"
        lines.append(f"{state} {each.what}: {value} (wanted: {100 * each.least:g}%)")
    return "\n".join(lines)


def _line(name: str, of: OfSymptom, width: int) -> str:
    shares = (of.recall, of.precision, of.root, of.silent, of.repaired, of.control)
    trainings = "–" if of.trainings is None else f"{of.trainings:g}"
    cells = [*map(fraction, shares), trainings]
    return f"{name:{width}}" + "".join(f"{cell:>11}" for cell in cells)
