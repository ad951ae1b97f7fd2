"""Play a case that is a training loop of somebody's own, in PyTorch, under `watch`.

PyTorch is no dependency: without it such a case is skipped, and says so.
"""

from __future__ import annotations

import math
import tempfile
import time
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from minirnn.diagnosis.cases.case import Case, Pairs
from minirnn.diagnosis.cases.judge import of_cause, of_fix, well
from minirnn.diagnosis.cases.seen import CaseSeen, Seen, Treated, Tried
from minirnn.diagnosis.cases.training_loop import changed
from minirnn.diagnosis.finding import Diagnosis

NO_TORCH = "PyTorch is not installed"
EDITS = 3  # of the lines, one after the other


def play(case: Case, seed: int) -> CaseSeen:
    """A loop as it is, with every fix, and with the edits that the doctor suggests."""
    if find_spec("torch") is None:
        return CaseSeen(case.id, seed, skipped=NO_TORCH)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        diagnosis, sick = _run(case, case.script, seed, folder)
        fixes = {}
        for fix in case.fixes:
            _, after = _run(case, changed(case.script, *cast(Pairs, fix.edit)), seed, folder)
            fixes[fix.id] = Tried(fix.says, after, of_fix(case.measure, sick, after))
        doctor = None
        if diagnosis is not None and case.curable and not well(case.measure, sick):
            doctor = _treated(case, diagnosis, sick, seed, folder)
    return CaseSeen(case.id, seed, sick, of_cause(case, sick), fixes, doctor)


def _run(case: Case, script: str, seed: int, folder: Path) -> tuple[Diagnosis | None, Seen]:
    """What is said of a loop; of one that an error ends before it is watched, the error."""
    import torch

    from minirnn.interop.torch import watch  # an arrow that points up: late, and only here

    torch.set_num_threads(1)
    # A name of its own each time: Python remembers the lines of a file that it has seen.
    path = folder / f"loop_{time.monotonic_ns()}.py"
    path.write_text(script, encoding="utf-8")
    names: dict[str, Any] = {"watch": watch, "SEED": seed}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's of a broadcast target is not ours to print
        try:
            exec(compile(script, str(path), "exec"), names)
        except (RuntimeError, ValueError) as error:
            if "watched" not in names:
                return None, Seen(error=f"{type(error).__name__}: {error}")
        diagnosis = cast(Diagnosis, names["watched"].diagnosis())
    skill = float(names.get("skill", math.nan))
    figures = {"r2": skill} if math.isfinite(skill) else {}
    return diagnosis, Seen(
        named=tuple(finding.symptom for finding in diagnosis.findings if finding.harmful),
        notes=tuple(finding.symptom for finding in diagnosis.findings if not finding.harmful),
        shown=round(skill, 6) if math.isfinite(skill) else None,
        score=round(case.measure.scored(figures), 6),
        figures={name: float(f"{value:.6g}") for name, value in figures.items()},
    )


def _treated(case: Case, now: Diagnosis, sick: Seen, seed: int, folder: Path) -> Treated:
    """Make the root's first edit of the lines, run them again, and so on while any is offered."""
    script, seen = case.script, sick
    kept: list[str] = []
    while not well(case.measure, seen) and len(kept) < EDITS:
        offers = [each.code for each in now.root.remedies if each.code] if now.root else []
        if not offers or not offers[0].changes:
            break
        script = offers[0].applied_to(script)
        kept.append(offers[0].words)
        again, seen = _run(case, script, seed, folder)
        if again is None:
            break
        now = again
    return Treated(tuple(kept), 1 + len(kept), seen, of_fix(case.measure, sick, seen))
