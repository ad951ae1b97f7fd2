"""The tables of docs/performance.md about the GPU."""

from __future__ import annotations

from bench.gpu_shapes import PRECISIONS
from bench.results import Record, Results
from bench.shapes import GATES, MODES, Shape
from bench.summary import median
from bench.tables import CELLS, number, percent, size, table

NOT_YET = (
    "*Not measured yet: `make gpu-check`, on a machine with an NVIDIA GPU, measures it and writes "
    "the file that `python -m bench.report` reads.*"
)
GIGA = 1e9


def contents(results: Results | None) -> dict[str, str]:
    """The text of every region about the GPU; a sentence where nothing was measured."""
    regions = {
        "gpu-machine": machine, "gpu-checks": checks, "gpu-ceilings": ceilings,
        "gpu-ratios": summary, "gpu": cases,
    }  # fmt: skip
    return {name: NOT_YET if results is None else write(results) for name, write in regions.items()}


def machine(results: Results) -> str:
    """What it was measured on and with."""
    m = results.machine
    versions = [f"{name} {version or 'absent'}" for name, version in m["versions"].items()]
    commits = sorted({record.commit for record in results.cases.values()})
    days = sorted({record.taken[:10] for record in results.cases.values()})
    rows = [
        ["GPU", f"{m['gpu']} (compute capability {m['compute_capability']}), "
                f"{m['multiprocessors']} multiprocessors"],
        ["memory", f"{number(m['gpu_memory_gib'])} GiB; second-level cache {m['l2_mib']:g} MiB"],
        ["CUDA", f"driver {m['driver'] or 'unknown'} of CUDA {m['cuda_driver']}, runtime "
                 f"{m['cuda_runtime']}"],
        ["processor", f"{m['processor']}, {m['cores']} cores"],
        ["versions", ", ".join([f"Python {m['python']}", *versions])],
        ["date", ", ".join(days)],
        ["commit", ", ".join(commits)],
    ]  # fmt: skip
    return table(["", ""], rows)


def checks(results: Results) -> str:
    """What `make gpu-check` found before it timed anything."""
    rows = [[name, told["outcome"], told["words"]] for name, told in results.checks.items()]
    return table(["check", "", ""], rows)


def ceilings(results: Results) -> str:
    """What the GPU can do, by format."""
    rows = []
    for name in (*PRECISIONS, "float64"):
        library = _ceiling(results, f"library product, {name}")
        own = number(_ceiling(results, name) / 1e3)
        rows.append([name, own, number(library / 1e3) if library else ""])
    head = ["", "multiply-adds in registers, TFLOP/s", "cuBLAS, 8192 cubed, TFLOP/s"]
    copied = number(_ceiling(results, "copy"))
    return f"{table(head, rows)}\n\nCopied in memory, read and written: {copied} GB/s."


def _ceiling(results: Results, name: str) -> float:
    """The best reading; 0 where there is none."""
    found = [r for record in results.of("gpu-ceilings") for r in record.readings.get(name, [])]
    return max(found, default=0.0)


def cases(results: Results) -> str:
    """Every case: times, ratios, and shares of the ceilings."""
    records = sorted(results.of("gpu"), key=_order)
    rows = [_row(results, record) for record in records if "minirnn" in record.readings]
    head = [
        "", "T,B,I,H", "", "operands", "minirnn ms", "µs a step", "cuDNN ms", "ratio",
        "a launch a step ms", "CPU ms", "of multiply-adds", "of copying", "host busy",
    ]  # fmt: skip
    left = [
        f"- {size(_shape(record))}, {CELLS[record.parameters['cell']]}, "
        f"{record.parameters['precision']}, {record.parameters['mode']}: {side} not timed: {why}"
        for record in records
        for side, why in record.facts["left_out"].items()
    ]
    return "\n".join([table(head, rows), *(["", *left] if left else [])])


def _row(results: Results, record: Record) -> list[str]:
    p, facts, shape = record.parameters, record.facts, _shape(record)
    times = {side: median(readings) for side, readings in record.readings.items()}
    ours, theirs = times["minirnn"], times.get("cudnn")
    rate = facts["flop"] / ours / GIGA / _ceiling(results, p["precision"])
    moved = facts["nbytes"] / ours / GIGA / _ceiling(results, "copy")
    others = [
        number(1e3 * times[side]) if side in times else ""
        for side in ("minirnn, a launch a step", "cpu")
    ]
    compared = [number(1e3 * theirs), number(theirs / ours)] if theirs else ["", ""]
    return [
        CELLS[p["cell"]], size(shape), p["mode"], p["precision"], number(1e3 * ours),
        number(1e6 * ours / shape.T), *compared, *others, percent(rate), percent(moved),
        percent(facts["host"]["minirnn"]),
    ]  # fmt: skip


def _shape(record: Record) -> Shape:
    return Shape(*record.parameters["shape"])


def _order(record: Record) -> tuple[object, ...]:
    p = record.parameters
    places = list(GATES).index(p["cell"]), PRECISIONS.index(p["precision"]), MODES.index(p["mode"])
    cell, precision, mode = places
    return cell, _shape(record), mode, precision


def ratios(results: Results) -> list[tuple[str, str, list[float]]]:
    """cuDNN's time over ours by precision and mode, where both were timed."""
    found = []
    for precision in PRECISIONS:
        for mode in reversed(MODES):
            each = [
                median(r.readings["cudnn"]) / median(r.readings["minirnn"])
                for r in results.of("gpu", precision=precision, mode=mode)
                if {"cudnn", "minirnn"} <= r.readings.keys()
            ]
            if each:
                found.append((precision, mode, each))
    return found


def in_short(results: Results) -> str:
    """Ratios to cuDNN over all cases, for the end of a run on a terminal."""
    return "\n".join(
        f"{precision:9} {mode:10} cuDNN's time over ours: median {median(each):.2f}, "
        f"from {min(each):.2f} to {max(each):.2f}, over {len(each)} cases"
        for precision, mode, each in ratios(results)
    )


def summary(results: Results) -> str:
    """The same as a table."""
    rows = [
        [
            precision,
            mode,
            number(median(each)),
            number(min(each)),
            number(max(each)),
            str(len(each)),
        ]
        for precision, mode, each in ratios(results)
    ]
    return table(["operands", "", "median", "least", "most", "cases"], rows)
