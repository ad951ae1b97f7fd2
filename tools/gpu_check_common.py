"""What the parts of `make gpu-check` share: folders, a planted fault, and what a part reports."""

from __future__ import annotations

import json
import os
import runpy
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# What the parts import beside minirnn: the benchmarks, and what the tests share. Where they run,
# these are in PYTHONPATH.
FOLDERS = (ROOT, ROOT / "tools", ROOT / "tests" / "emulator", ROOT / "tests" / "kernels")
# In the environment of a part: a file to run first, a file to write to, and when to be done.
PLANT, REPORT, UNTIL = "GPU_CHECK_PLANT", "GPU_CHECK_REPORT", "GPU_CHECK_UNTIL"


def plant() -> None:
    """Run the planted fault, if there is one: what it breaks has to be found."""
    planted = os.environ.get(PLANT)
    if planted:
        runpy.run_path(planted)


def seconds_left() -> float:
    """Until this part has to be done; very long if nobody said."""
    until = os.environ.get(UNTIL)
    return float("inf") if until is None else float(until) - time.time()


def report(words: str, failures: list[str], **more: Any) -> int:
    """Write what a part found where it was asked to, and print it; returns the exit status."""
    path = os.environ.get(REPORT)
    if path:
        told = {"words": words, "failures": failures, **more}
        Path(path).write_text(json.dumps(told), encoding="utf-8")
    print(words, flush=True)
    for failure in failures:
        print(f"FAILED: {failure}", flush=True)
    return 1 if failures else 0
