"""What the processes of an evaluation do in its tests: nothing, at once, or something bad."""

from __future__ import annotations

import os
import sys
import time

from bench.corpus.row import Key, Row


def named(key: Key, mend: bool) -> Row:
    """Every run told right; those whose numbers ask for it otherwise."""
    if key.number == 13:
        print("a last word", file=sys.stderr, flush=True)
        os._exit(7)
    if key.number == 99:
        time.sleep(3600)
    planted = key.symptom if key.kind == "faulty" else None
    return Row(key, "digest", "made", planted=planted, named=(key.symptom,) if planted else ())
