"""Golden vectors: inputs and what the reference made of them in float64, in one file.

    for name, inputs, expected in minirnn.testing.golden():
        output = my_lstm(inputs["x"], inputs["state"], inputs["weights"])
        assert_allclose(output, expected["output"])

The file, `minirnn/testing/data/golden.safetensors`, is for tests that cannot call minirnn, in
whatever language: safetensors is a header of JSON and then the numbers. Its arrays are named
"<case>/input/<array>" and "<case>/expected/<array>", its metadata tell version, conventions and
each case's cell. `tools/make_golden.py` writes it, and a test computes it again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minirnn.errors import ArgumentError, CheckpointError
from minirnn.kernels import cells
from minirnn.kernels.contract import Array, Weights

if TYPE_CHECKING:
    from minirnn.kernels.cells.cell import Cell

__all__ = ["Golden", "golden"]

PATH = Path(__file__).parent / "data" / "golden.safetensors"
VERSION = "1"


class Golden(NamedTuple):
    """One case. `inputs` are the arguments of `minirnn.testing.reference`, by name.

    `expected` holds the arrays of `ReferenceRun.arrays`, float64.
    """

    name: str
    inputs: dict[str, Any]
    expected: dict[str, Array]


def golden(cell: str | None = None) -> Iterator[Golden]:
    """The golden vectors, of all cells or of "rnn", "gru" or "lstm".

    Arrays are time-major, gates in PyTorch's order (docs/conventions.md); the metadata of the file
    say so too.

    Raises: ArgumentError for another cell; CheckpointError for a file of another version.
    """
    if cell not in (None, "rnn", "gru", "lstm"):
        raise ArgumentError("cell", repr(cell), '"rnn", "gru", "lstm" or None')
    metadata, arrays = _read()
    for name, described in json.loads(metadata["cases"]).items():
        if cell in (None, described["cell"]):
            mine = {
                key.removeprefix(f"{name}/"): array
                for key, array in arrays.items()
                if key.startswith(f"{name}/")
            }
            yield _case(name, described, mine)


def cell_of(described: dict[str, Any]) -> Cell:
    """The cell that a case's description names."""
    made: Cell = getattr(cells, described["cell"])(**described["options"])
    return made


def _read() -> tuple[dict[str, str], dict[str, Array]]:
    from safetensors import safe_open

    with safe_open(PATH, framework="numpy") as file:
        metadata = dict(file.metadata())
        if metadata.get("version") != VERSION:
            came = f"version {metadata.get('version')}"
            raise CheckpointError(str(PATH), came, f"golden vectors of version {VERSION}")
        return metadata, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


def _case(name: str, described: dict[str, Any], arrays: dict[str, Array]) -> Golden:
    given = {k.removeprefix("input/"): a for k, a in arrays.items() if k.startswith("input/")}
    cell = cell_of(described)
    inputs = {
        "cell": cell,
        "x": given["x"],
        "state": tuple(given[f"state.{n}"] for n in cell.states),
        "weights": Weights(*(given.get(field) for field in Weights._fields)),
        "lengths": given.get("lengths"),
        "reverse": bool(described["reverse"]),
        "doutput": given["doutput"],
        "dstate": tuple(given[f"dstate.{n}"] for n in cell.states),
    }
    expected = {
        k.removeprefix("expected/"): np.asarray(a)
        for k, a in arrays.items()
        if k.startswith("expected/")
    }
    return Golden(name, inputs, expected)
