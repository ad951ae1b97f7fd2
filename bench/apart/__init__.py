"""Programs that run in a process of their own, and say what they measured as one line of JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def run(program: str, *arguments: object, **environment: str) -> Any:
    """Run bench/apart/<program>.py in a fresh process; returns what its last line says.

    Raises: RuntimeError with what it printed, if it fails.
    """
    done = subprocess.run(
        [sys.executable, "-m", f"bench.apart.{program}", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "MINIRNN_QUIET": "1", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"bench.apart.{program} {arguments} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])
