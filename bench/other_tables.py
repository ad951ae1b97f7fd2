"""The tables of docs/performance.md about everything else: recording, memory, starting, noise."""

from __future__ import annotations

from bench.results import Results
from bench.shapes import GATES
from bench.summary import median
from bench.tables import CELLS, NOTHING, number, percent, size, table
from bench.views import case_of, medians, records, spreads

RECOMPUTED = 4 / 3  # operations of training: forward's are a third of it, and are done once more


def machine(results: Results) -> str:
    """What it was measured on and with."""
    m = results.machine
    versions = [f"{name} {version or 'absent'}" for name, version in m["versions"].items()]
    days = sorted({record.taken[:10] for record in results.cases.values()})
    commits = sorted({record.commit for record in results.cases.values()})
    rows = [
        ["processor", f"{m['processor']} ({m['architecture']}), {m['cores']} cores"],
        ["vectors", f"{8 * m['vector_bytes']} bits"],
        ["memory", f"{number(m['memory_gib'])} GiB"],
        ["threads of each side", str(results.threads)],
        ["system", f"{m['system']}, Python {m['python']}"],
        ["versions", ", ".join(versions)],
        ["FMA peak", _peaks(results)],
        ["date", " to ".join(dict.fromkeys([days[0], days[-1]])) if days else "never"],
        ["commit", ", ".join(commits)],
    ]
    return table(["", ""], rows)


def _peaks(results: Results) -> str:
    """The range of the peak over all that was measured beside it."""
    told = []
    for dtype in ("float32", "float64"):
        peaks = [median(r.readings["fma_peak"]) for r in results.of("compare", dtype=dtype)]
        if peaks:
            low, high = number(min(peaks)), number(max(peaks))
            told.append(f"{dtype} {number(median(peaks))} GFLOP/s (from {low} to {high})")
    return "; ".join(told) or "not measured"


def recording(results: Results) -> str:
    """Cost of recording, and the loop over PyTorch cells."""
    rows = []
    for record in records(results, "recording"):
        case, times = case_of(record), medians(record)
        plain, recorded = times["plain"], times["recorded"]
        loop = times.get("cell loop")
        costs = [f"{100 * (times[side] / plain - 1):+.1f}%" for side in ("recorded", "read")]
        rest = [number(1e3 * loop), number(loop / recorded)] if loop else ["", ""]
        sizes = [CELLS[case.cell], str(case.shape.B), str(case.shape.H), number(1e3 * plain)]
        rows.append([*sizes, *costs, *rest])
    head = [
        "", "B", "H", "training ms", "recorded", "and read", "cell loop ms", "loop / recorded",
    ]  # fmt: skip
    return table(head, rows)


def recompute(results: Results) -> str:
    """What `recompute=True` keeps and costs."""
    rows = []
    for record in records(results, "recompute"):
        case, times = case_of(record), medians(record)
        kept = record.facts["floats_kept"]
        ratio = times["recompute"] / times["plain"]
        same = "yes" if record.facts["same_bits"] else "no"
        floats = [f"{kept['plain']:.2f} H", f"{kept['recompute']:.2f} H"]
        seconds = [number(1e3 * times["plain"]), number(1e3 * times["recompute"])]
        last = [number(ratio), number(RECOMPUTED), same]
        rows.append([CELLS[case.cell], size(case.shape), *floats, *seconds, *last])
    head = [
        "", "T,B,I,H", "kept", "with recompute", "ms", "with recompute", "ratio",
        "ratio of operations", "same bits",
    ]  # fmt: skip
    return table(head, rows)


def memory(results: Results) -> str:
    """Peak resident memory of training on long sequences."""
    names = {"recompute": "minirnn, recompute", "plain": "minirnn", "torch": "PyTorch"}
    rows = []
    for record in records(results, "memory"):
        shape = size(case_of(record).shape)
        for side, peak in record.facts["peak"].items():
            before = record.facts["before"][side]
            seconds = number(median(record.readings[side]))
            rows.append([shape, names[side], number(before), number(peak), seconds])
    head = ["T,B,I,H", "", "before MiB", "peak MiB", "seconds a step"]
    return table(head, rows)


def small(results: Results) -> str:
    """Microseconds of one step of a stream, and of a layer's smallest call."""
    sides = {
        "stream": ("one step of a stream", "stream", "torch cell"),
        "layer": ("the same by the layer", "layer", None),
        "inference": ("inference at T = B = 1", "minirnn", "torch"),
        "training": ("training at T = B = 1", "minirnn", "torch"),
    }
    rows = []
    for record in records(results, "latency"):
        case, times = case_of(record), medians(record)
        for what in ["stream", "layer"] if "stream" in times else [case.mode]:
            words, ours, theirs = sides[what]
            seconds = [
                number(1e6 * times[side]) if side in times else "" for side in (ours, theirs)
            ]
            rows.append([CELLS[case.cell], words, str(case.shape.I), str(case.shape.H), *seconds])
    return table(["", "", "I", "H", "minirnn µs", "PyTorch µs"], rows)


def step(results: Results) -> str:
    """Microseconds a step of whole sequences at B = 1."""
    rows = []
    for record in records(results, "compare"):
        case = case_of(record)
        if case.shape.B == 1 and case.dtype == "float32":
            times = medians(record)
            steps = [
                number(1e6 * times[side] / case.shape.T) if side in times else ""
                for side in ("minirnn", "torch")
            ]
            rows.append([CELLS[case.cell], size(case.shape), case.mode, *steps])
    return table(["", "T,B,I,H", "", "minirnn µs a step", "PyTorch µs a step"], rows)


def start(results: Results) -> str:
    """Compiling with an empty cache, and the first call of a process that finds it full."""
    rows = []
    for cell in GATES:
        for record in results.of("start", cell=cell):
            calls = record.facts["cold"]["calls"]
            each = ", ".join(f"{name} {number(seconds)}" for name, seconds in calls.items())
            cached = number(median(record.readings["cached"]))
            row = [CELLS[cell], record.parameters["dtype"], number(sum(calls.values()))]
            rows.append([*row, each, cached])
    head = ["", "", "all activations, cold s", "of which", "first cached call s"]
    return table(head, rows)


def imports(results: Results) -> str:
    """Milliseconds that imports take."""
    rows = [
        [f"`import {module}`", number(1e3 * median(readings))]
        for record in results.of("start")
        if "cold" not in record.facts
        for module, readings in record.readings.items()
    ]
    return table(["", "ms"], rows)


def noise(results: Results) -> str:
    """How far the rounds of a case lie apart."""
    found = sorted(spreads(results), reverse=True)
    if not found:
        return NOTHING
    middle = percent(median([value for value, _, _ in found]))
    below = sum(value <= 0.05 for value, _, _ in found)
    worst = "; ".join(f"{percent(value)} for {side} in `{key}`" for value, key, side in found[:3])
    return (
        f"Interquartile range of the rounds over their median, of {len(found)} sides timed: "
        f"{middle} in the middle, at most 5% in {percent(below / len(found))} of them. "
        f"The widest: {worst}. {_others(results)}"
    )


def _others(results: Results) -> str:
    known = [each.others for each in results.cases.values() if each.others is not None]
    if not known:
        return "What other processes took of the processor meanwhile is not known."
    return (
        f"Other processes took {percent(median(known))} of the processor meanwhile, "
        f"{percent(max(known))} at most."
    )
