"""Write minirnn/testing/data/golden.safetensors: golden vectors from the reference.

    python tools/make_golden.py            # writes the file anew
    python tools/make_golden.py --check    # says whether the file holds what this would write

Inputs are drawn with NumPy's PCG64 generator from the seeds below and stored with the results, so
whoever uses the file needs neither. Run it again only with a reason, and raise VERSION in
`minirnn/testing/golden.py` when numbers or names change: others' tests hold on to them.
"""

from __future__ import annotations

import argparse
import json
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from minirnn.testing import reference
from minirnn.testing.golden import PATH, VERSION, cell_of, golden

CELLS: dict[str, dict[str, Any]] = {
    "rnn-tanh": {"cell": "rnn", "options": {"nonlinearity": "tanh"}},
    "rnn-relu": {"cell": "rnn", "options": {"nonlinearity": "relu"}},
    "gru-reset-after": {"cell": "gru", "options": {"reset": "after"}},
    "gru-reset-before": {"cell": "gru", "options": {"reset": "before"}},
    "lstm": {"cell": "lstm", "options": {}},
}
# T, B, I, H, lengths, reverse
CASES: dict[str, tuple[int, int, int, int, list[int] | None, bool]] = {
    "one-step": (1, 2, 3, 4, None, False),
    "steps": (6, 2, 3, 5, None, False),
    "lengths": (5, 4, 2, 3, [5, 2, 0, 3], False),
    "lengths-reverse": (5, 4, 2, 3, [5, 2, 0, 3], True),
}
CONVENTIONS = {
    "layout": "time-major: x (T, B, I), output (T, B, H), state (B, H)",
    "weights": "weight_ih (G*H, I), weight_hh (G*H, H), bias_ih (G*H), bias_hh (G*H)",
    "gate_order": json.dumps(
        {"lstm": ["input", "forget", "cell", "output"], "gru": ["reset", "update", "new"]}
    ),
    "update_gate": "h = (1 - update) * new + update * h_before",
    "lengths": "steps past a sequence's end change no state, give zero output, take no gradient",
    "gradients": "of sum(output * doutput) + sum(state * dstate)",
}


def build() -> tuple[dict[str, Any], dict[str, str]]:
    """The arrays and the metadata of the file."""
    arrays: dict[str, Any] = {}
    described = {}
    for kind, of_cell in CELLS.items():
        for title, (T, B, I, H, lengths, reverse) in CASES.items():  # noqa: E741
            name = f"{kind}/{title}"
            rng = np.random.default_rng(zlib.crc32(name.encode()))
            cell = cell_of(of_cell)
            Gi, Gh, k = len(cell.input_slots), len(cell.hidden_slots), H**-0.5
            inputs = {
                "x": rng.standard_normal((T, B, I)),
                "weight_ih": rng.uniform(-k, k, (Gi * H, I)),
                "weight_hh": rng.uniform(-k, k, (Gh * H, H)),
                "bias_ih": rng.uniform(-k, k, Gi * H),
                "bias_hh": rng.uniform(-k, k, Gh * H),
                "doutput": rng.standard_normal((T, B, H)),
            }
            for state in cell.states:
                inputs[f"state.{state}"] = rng.uniform(-1, 1, (B, H))
                inputs[f"dstate.{state}"] = rng.standard_normal((B, H))
            if lengths is not None:
                inputs["lengths"] = np.array(lengths, np.int64)
            run = reference(
                cell,
                inputs["x"],
                [inputs[f"state.{n}"] for n in cell.states],
                [inputs[n] for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")],
                lengths=inputs.get("lengths"),
                reverse=reverse,
                doutput=inputs["doutput"],
                dstate=[inputs[f"dstate.{n}"] for n in cell.states],
            )
            arrays |= {f"{name}/input/{key}": array for key, array in inputs.items()}
            arrays |= {f"{name}/expected/{key}": array for key, array in run.arrays().items()}
            described[name] = {**of_cell, "reverse": reverse}
    metadata = {"format": "minirnn golden vectors", "version": VERSION, **CONVENTIONS}
    metadata["cases"] = json.dumps(described)
    return {key: np.ascontiguousarray(array) for key, array in arrays.items()}, metadata


def differences() -> list[str]:
    """Names of stored arrays that the reference does not give now, from the inputs stored."""
    different = []
    for name, inputs, expected in golden():
        run = reference(**inputs)
        known = run.arrays()
        for key in sorted(known.keys() | expected.keys()):
            there = key in known and key in expected and known[key].shape == expected[key].shape
            if not there or not np.abs(known[key] - expected[key]).max(initial=0.0) <= (
                run.tolerance(key, np.float64)
            ):
                different.append(f"{name}/{key}")
    return different


def main() -> int:
    """Write or check; the exit status is 1 if the file holds something else."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    if parser.parse_args().check:
        different = differences()
        print("\n".join(different) or f"{PATH.name}: as the reference has it")
        return bool(different)
    from safetensors.numpy import save

    arrays, metadata = build()
    written = Path(PATH)
    written.parent.mkdir(exist_ok=True)
    written.write_bytes(save(arrays, metadata))
    print(f"{written.name}: {len(arrays)} arrays, {written.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
