"""Training loops with one mistake each, and healthy ones, over many seeds: what is said of them.

    python tools/loop_mistakes.py --seeds 10

Every script of `tests/interop/loop_scripts.py` is run under `watch`. Told for each: how often its
mistake was named at the root, how often anything was said of a healthy one, and how often making
the suggested edit cured it. Ends with status 1 where one of these is not always as it should be.
Needs PyTorch.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "interop"))


def run(script: str, seed: int, folder: Path) -> dict[str, Any]:
    """What a script leaves; an error of PyTorch's ends it early."""
    from minirnn.interop.torch import watch

    path = folder / f"script_{time.monotonic_ns()}.py"  # a new name: old text may be remembered
    path.write_text(script)
    names: dict[str, Any] = {"watch": watch, "SEED": seed, "skill": float("nan")}
    try:
        exec(compile(script, str(path), "exec"), names)
    except RuntimeError:
        names["stopped"] = True
    return names


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    seeds = range(parser.parse_args().seeds)
    import torch
    from loop_scripts import HEALTHY, SICK

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    wrong = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"{'mistake':36} {'named':>7} {'cured':>7}  R2 before and after, median")
        for mistake, script in SICK.items():
            symptom = mistake.split(",")[0].split(" ")[0]
            named, cured, before, after = 0, 0, [], []
            for seed in seeds:
                sick = run(script, seed, folder)
                root = sick["watched"].diagnosis().root
                before.append(sick["skill"])
                if root is None or root.symptom != symptom:
                    print(f"  seed {seed}: root {root.symptom if root else None}")
                    continue
                named += 1
                edited = run(root.remedies[0].code.applied_to(script), seed, folder)
                after.append(edited["skill"])
                left = edited["watched"].diagnosis().finding(symptom)
                gone = left is None or left.evidence.get("kind") != root.evidence.get("kind")
                cured += gone and edited["skill"] > 0.7
            wrong += 2 * len(seeds) - named - cured
            medians = f"{np.nanmedian([*before, -np.inf][: len(before)]):6.2f}"
            print(
                f"{mistake:36} {named:3}/{len(seeds)} {cured:3}/{len(seeds)}  {medians} "
                f"{np.nanmedian(after):6.2f}"
            )
        print(f"\n{'healthy loop':44} nothing said above a note")
        for loop, script in HEALTHY.items():
            said = [run(script, seed, folder)["watched"].diagnosis() for seed in seeds]
            quiet = sum(diagnosis.healthy for diagnosis in said)
            wrong += len(seeds) - quiet
            print(f"{loop:44} {quiet}/{len(seeds)}")
            for diagnosis in said:
                if not diagnosis.healthy:
                    print(diagnosis)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
