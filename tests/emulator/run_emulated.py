"""Run a program on the emulated GPU.

    python tests/emulator/run_emulated.py -m minirnn demo --device cuda
    python tests/emulator/run_emulated.py my_program.py
    python tests/emulator/run_emulated.py --transfers -m minirnn demo --device cuda

`--transfers` tells at the end, on standard error, what crossed between host and device.
"""

from __future__ import annotations

import runpy
import sys
from collections import Counter
from pathlib import Path

import emulator


def main(arguments: list[str]) -> None:
    tells = arguments[:1] == ["--transfers"]
    rest = arguments[1:] if tells else arguments
    if not rest or rest == ["-m"] or rest[0] in ("-h", "--help"):
        print(__doc__)
        raise SystemExit(0 if rest else 2)
    reason = emulator.available()
    if reason is not None:
        raise SystemExit(f"cannot emulate a GPU: {reason}")
    emulator.install()
    with emulator.transfers() as log:
        try:
            if rest[0] == "-m":
                sys.argv = rest[1:]
                sys.path.insert(0, str(Path.cwd()))
                runpy.run_module(rest[1], run_name="__main__", alter_sys=True)
            else:
                sys.argv = rest
                sys.path.insert(0, str(Path(rest[0]).resolve().parent))
                runpy.run_path(rest[0], run_name="__main__")
        finally:
            if tells:
                for line, count in Counter(map(str, log)).most_common():
                    print(f"{count:6d} × {line}", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
