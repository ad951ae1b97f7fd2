"""From a script that fails to the edit that cures it, timed: `python examples/watch_and_cure.py`.

Runs `constant_output_watched.py`, makes the edit that its diagnosis suggests in a copy of it, and
runs that. Ends with status 1 where the cure fails, or all of it took more than a minute.
"""

import runpy
import sys
import tempfile
import time
from pathlib import Path

SCRIPT = Path(__file__).with_name("constant_output_watched.py")
LIMIT = 60.0  # seconds


def main() -> int:
    """The exit status."""
    begun = time.perf_counter()
    sick = runpy.run_path(str(SCRIPT))
    diagnosis = sick["watch"].diagnosis()
    remedy = diagnosis.root.remedies[0]
    named = time.perf_counter() - begun
    print(f"\n--- named after {named:.1f} s: {diagnosis.root.symptom}. The edit is made:\n")
    print(remedy.code.diff)
    with tempfile.TemporaryDirectory() as folder:
        cured_script = Path(folder) / "cured.py"
        cured_script.write_text(remedy.code.applied_to(SCRIPT.read_text()))
        cured = runpy.run_path(str(cured_script))
        after = cured["watch"].diagnosis()
    taken = time.perf_counter() - begun
    print(f"\n--- {'cured' if after.healthy else 'still ill'} after {taken:.1f} s")
    return 0 if after.healthy and taken < LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
