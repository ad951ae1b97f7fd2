"""The text of a CUDA module: the folder's .cuh files, a cell's equations, and its entry points.

A module is one kernel, or a few small ones, for one dtype, format and tile, compiled when it is
first used. `minirnn.kernels.cuda.generated_source` gives one to read.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.cuda.lowering import FUNCTIONS, cell_text, mangled

FOLDER = Path(__file__).parent
REALS = {"float32": "float", "float64": "double"}
# How the operands of a product are held, see formats.cuh.
FORMATS = {
    "float64": "Exact<double>",
    "float32": "Exact<float>",
    "tf32": "Tf32",
    "bfloat16": "Bfloat16",
    "float16": "Float16",
}


class StepTile(NamedTuple):
    """How the work of a step is cut; see sequence.cuh."""

    rows: int  # sequences a block takes at a time
    units: int  # hidden units that a block owns
    depth: int  # k that a warp takes at a time
    stages: int  # places for such pieces; all but one are on their way at once
    resident: bool  # whether a block's weights stay in shared memory


class ProductTile(NamedTuple):
    """The tile of a large product; see product.cuh."""

    rows: int
    columns: int
    depth: int
    warp_rows: int  # warps one under another
    stages: int  # tiles of each operand that have room


@cache
def forward_source(cell: Cell, dtype: str, precision: str, tile: StepTile) -> str:
    """The module with `forward`: a cell's steps through time."""
    parameters = [
        "Real* z", "const Element* weights", "Element* handed", "const Real* bias",
        "const long long* lengths",
        "Real* output", *_states(cell), *_STEPS, "unsigned* counters",
    ]  # fmt: skip
    body = [
        *_arrays_and_steps(cell),
        f"forward_steps<Format, Cell, {_numbers(tile)}>(",
        "    z, weights, handed, bias, lengths, output, arrays, steps, counters);",
    ]
    return _sequence_module(cell, dtype, precision, "forward", parameters, body)


@cache
def backward_source(cell: Cell, dtype: str, precision: str, tile: StepTile) -> str:
    """The module with `backward`: a cell's steps back through time."""
    totals = [f"Real* total_{mangled(s)}" for s in cell.states]
    carries = [f"Real* carry_{mangled(s)}" for s in cell.states]
    parameters = [
        "const Real* z", "Real* dz", "const Element* weights", "Element* handed",
        "const long long* lengths", "const Real* doutput", *carries, *totals, "long long finish",
        "long long started", *_states(cell), *_STEPS, "unsigned* counters",
    ]  # fmt: skip
    names = [mangled(s) for s in cell.states]
    body = [
        *_arrays_and_steps(cell),
        "const Gradients<Cell> gradients = {",
        "    doutput, {" + ", ".join(f"carry_{n}" for n in names) + "},",
        "    {" + ", ".join(f"total_{n}" for n in names) + "}, finish, int(started)};",
        f"backward_steps<Format, Cell, {_numbers(tile)}>(",
        "    z, dz, weights, handed, lengths, arrays, gradients, steps, counters);",
    ]
    return _sequence_module(cell, dtype, precision, "backward", parameters, body)


@cache
def rebuild_source(cell: Cell, dtype: str) -> str:
    """The module with `rebuild`: gates of some steps again, from their pre-activations."""
    parameters = ["Real* z", "const long long* lengths", *_states(cell), *_STEPS]
    body = [*_arrays_and_steps(cell), "rebuild_steps<Cell>(z, lengths, arrays, steps);"]
    return _sequence_module(cell, dtype, dtype, "rebuild", parameters, body)


@cache
def product_source(
    dtype: str, precision: str, tile: ProductTile, a_along_k: bool, b_along_k: bool
) -> str:
    """The module with `large_product`: C = start + A B^T."""
    parameters = [
        "Real* c", "long long c_step", "long long slice_step", "const Format::Element* a",
        "long long a_step", "const Format::Element* b", "long long b_step", "const Real* start",
        "long long begin", "long long M", "long long N", "long long K",
    ]  # fmt: skip
    along = ", ".join("true" if flag else "false" for flag in (a_along_k, b_along_k))
    numbers = ", ".join(map(str, tile))
    body = [
        f"product<Format, {numbers}, {along}>(",
        "    c, c_step, slice_step, a, a_step, b, b_step, start, begin, M, N, K);",
    ]
    return _module(
        dtype, precision, ["product.cuh"], "", [("large_product", parameters, body)],
        blocks=2 if precision == dtype else 1,
    )  # fmt: skip


@cache
def operands_source(dtype: str, precision: str) -> str:
    """The module that makes operands as `large_product` reads them, one or two, or turns one."""
    parameters, body = [], ["const int block = blockIdx.x, before = static_cast<int>(blocks0);"]
    for n in ("0", "1"):
        names = ["from_step", "lines", "width", "shift"]
        parameters += [f"Format::Element* to{n}", f"long long to_step{n}", f"const Real* from{n}"]
        parameters += [f"long long {name}{n}" for name in names]
        places = ("to", "to_step", "from", "from_step", "lines", "width")
        arguments = ", ".join(f"{name}{n}" for name in places) + f", static_cast<int>(shift{n})"
        if n == "0":
            parameters += ["long long blocks0"]
            body += ["if (block < before)"]
        else:
            body += ["else"]
        body += [f"    lay_out<Format>({arguments}, {'block' if n == '0' else 'block - before'});"]
    return _module(
        dtype, precision, ["product.cuh", "operands.cuh"], "",
        [
            ("lay_out_operands", parameters, body),
            (
                "turn_an_operand",
                ["Real* to", "long long to_step", "const Real* from", "long long from_step",
                 "long long lines", "long long width"],
                ["turn(to, to_step, from, from_step, lines, width);"],
            ),
        ],
    )  # fmt: skip


@cache
def around_source(dtype: str, precision: str) -> str:
    """The module with the sums that surround the products."""
    entries = [
        (
            "add_the_slices",
            ["Real* c", "const Real* parts", "long long count", "long long slices",
             "long long accumulate"],
            ["add_slices<Real>(c, parts, count, slices, accumulate);"],
        ),
        (
            "sum_the_rows",
            ["Real* parts", "const Real* a", "long long a_step", "long long N", "long long K"],
            ["sum_rows<Real>(parts, a, a_step, N, K);"],
        ),
    ]  # fmt: skip
    return _module(dtype, precision, ["product.cuh"], "", entries)


@cache
def packing_source(dtype: str, precision: str) -> str:
    """The module with what packs for the steps."""
    entries = [
        (
            "pack_weights",
            [
                "Element* to", "const Real* from", "const long long* place", "long long blocks",
                "long long H", "long long width", "long long step", "long long transposed",
            ],
            ["pack<Format>(to, from, place, blocks, H, width, step, transposed);"],
        ),
        (
            "hand_it_over",
            ["Element* to", "const Real* from", "long long rows", "long long width",
             "long long step"],
            ["hand_over<Format>(to, from, rows, width, step);"],
        ),
        (
            "pack_the_bias",
            [
                "Real* to", "const Real* bias_ih", "const Real* bias_hh",
                "const long long* x_place", "const long long* h_place", "long long slots",
                "long long H",
            ],
            ["pack_bias<Real>(to, bias_ih, bias_hh, x_place, h_place, slots, H);"],
        ),
    ]  # fmt: skip
    return _module(dtype, precision, ["packing.cuh"], "", entries)


_STEPS = [f"long long {name}" for name in ("first", "last", "origin", "T", "B", "H", "reverse")]


def _states(cell: Cell) -> list[str]:
    """The parameters that say where the states lie."""
    names = [mangled(s) for s in cell.states]
    return [*[f"Real* state_{n}" for n in names], *[f"long long base_{n}" for n in names]]


def _arrays_and_steps(cell: Cell) -> list[str]:
    names = [mangled(s) for s in cell.states]
    states = ", ".join(f"state_{n}" for n in names)
    bases = ", ".join(f"base_{n}" for n in names)
    return [
        f"const Arrays<Cell> arrays = {{{{{states}}}, {{{bases}}}}};",
        "const Steps steps = {int(first), int(last), int(origin), int(T), int(B), int(H),",
        "                     reverse != 0};",
    ]


def _numbers(tile: StepTile) -> str:
    resident = "true" if tile.resident else "false"
    return f"{tile.rows}, {tile.units}, {tile.depth}, {tile.stages}, {resident}"


Entry = tuple[str, list[str], list[str]]  # name, parameters, body


def _sequence_module(
    cell: Cell, dtype: str, precision: str, name: str, parameters: list[str], body: list[str]
) -> str:
    equations = f"{FUNCTIONS}\n{cell_text(cell)}"
    files = ["share.cuh", "sequence.cuh"]
    return _module(dtype, precision, files, equations, [(name, parameters, body)])


def _module(
    dtype: str, precision: str, files: list[str], equations: str, entries: list[Entry],
    blocks: int = 1,
) -> str:  # fmt: skip
    """A text; of its kernels' blocks, so many are to fit into the registers of a multiprocessor."""
    parts = ["// begin machine.cuh\n", _text("machine.cuh"), "// end machine.cuh\n\n"]
    parts += [f"using Real = {REALS[dtype]};\n\n"]
    for file in ("formats.cuh", *files):
        parts += [_text(file), "\n"]
    parts += [
        f"using Format = {FORMATS[precision]};\nusing Element = Format::Element;\n\n",
        equations,
    ]
    for name, parameters, body in entries:
        inside = "\n".join(f"    {line}" for line in body)
        parts.append(
            f'\nextern "C" __global__ void __launch_bounds__(THREADS, {blocks}) {name}(\n    '
            + ",\n    ".join(parameters)
            + f") {{\n{inside}\n}}\n"
        )
    return "".join(parts)


@cache
def _text(file: str) -> str:
    return (FOLDER / file).read_text(encoding="utf-8")
