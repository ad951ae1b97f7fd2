"""A cell's equations and their derivative, lowered to CUDA C++ that reads like the equations.

`cell_text(cell)` is a struct `Cell` with `forward` and `backward` for one unit of one sequence. The
order is the cell's own: gates as it writes them, then the states; a product that feeds one sum
becomes a fused multiply-add here, by the same rule as on the CPU, and nowhere else (the kernels are
compiled with --fmad=false).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping

from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.cells.fusing import fused_products, product_in
from minirnn.kernels.cells.text import SIGNS, WIDTH, bare
from minirnn.kernels.cells.vocabulary import Expression, in_order, is_comparison
from minirnn.kernels.slots import slot_order

FUNCTIONS = """\
// The functions of the vocabulary. A comparison with NaN is false, and so written that NaN stays.
template <typename T> __device__ __forceinline__ T sigmoid(T x) {
    const T small = exp(-fabs(x));  // of a negative number only: it cannot overflow
    return x < T(0) ? small / (T(1) + small) : T(1) / (T(1) + small);
}
template <typename T> __device__ __forceinline__ T infinity() { return -log(T(0)); }
template <typename T> __device__ __forceinline__ T relu(T x) { return T(0) > x ? T(0) : x; }
template <typename T> __device__ __forceinline__ T clip(T x, T low, T high) {
    return low > x ? low : x > high ? high : x;
}
"""


def mangled(name: str) -> str:
    """A name of the cell as a name of C++: `new` and the like are words of that language."""
    plain = re.sub(r"[^0-9A-Za-z_]", lambda sign: f"u{ord(sign[0]):x}", name)
    return f"{plain}_"


def cell_text(cell: Cell) -> str:
    """The struct `Cell` of a cell, in terms of `Real`."""
    slots = slot_order(cell).slots
    d = cell.derivative
    forward = {f"gate[slot::{mangled(s)}]": e for s, e in cell.stored.items()}
    forward |= {f"state[state_of::{mangled(s)}]": e for s, e in cell.new_states.items()}
    backward = {f"total[state_of::{mangled(s)}]": e for s, e in d.states.items()}
    backward |= {f"dz[slot::{mangled(s)}]": e for s, e in d.slots.items()}
    backward |= {f"dlast[state_of::{mangled(s)}]": e for s, e in d.last.items() if e is not None}
    absent = [f"dlast[state_of::{mangled(s)}] = 0;" for s in cell.states if d.last.get(s) is None]
    lines = [
        f"// The cell {cell.name!r}{_options(cell)}, one unit of one sequence.",
        "struct Cell {",
        "    using Real = ::Real;",
        f"    static constexpr int SLOTS = {len(slots)}, STATES = {len(cell.states)};",
        f"    static constexpr int FED_BY_X = {len(cell.input_slots)}, "
        f"FED_BY_H = {len(cell.hidden_slots)};",
        f"    struct slot {{ enum {{ {', '.join(map(mangled, slots))} }}; }};",
        f"    struct state_of {{ enum {{ {', '.join(map(mangled, cell.states))} }}; }};",
        "",
        "    static __device__ __forceinline__ void forward(",
        "        const Real (&z)[SLOTS], const Real (&last)[STATES], Real (&gate)[SLOTS],",
        "        Real (&state)[STATES]) {",
        *[f"        {line}" for line in statements(forward)],
        "    }",
        "",
        "    // total: dL/d each new state in all; dlast: what goes on to the step before without",
        "    // passing a slot.",
        "    static __device__ __forceinline__ void backward(",
        "        const Real (&gate)[SLOTS], const Real (&state)[STATES],",
        "        const Real (&last)[STATES], const Real (&grad)[STATES], Real (&total)[STATES],",
        "        Real (&dz)[SLOTS], Real (&dlast)[STATES]) {",
        *[f"        {line}" for line in statements(backward)],
        *[f"        {line}" for line in absent],
        "    }",
        "};",
    ]
    return "\n".join(lines) + "\n"


def _options(cell: Cell) -> str:
    return "".join(f", {key} {value!r}" for key, value in cell.options.items())


def statements(results: Mapping[str, Expression]) -> list[str]:
    """Assignments, one a line, that compute `results`: target -> expression."""
    order = in_order(results.values())
    uses = Counter(a for e in order for a in e.arguments)
    uses.update(results.values())
    fused = fused_products(results.values())
    targets: dict[Expression, list[str]] = {}
    for target, e in results.items():
        targets.setdefault(e, []).append(target)
    names: dict[Expression, str] = {}
    lines: list[str] = []
    temporaries = 0
    for e in order:
        if e in fused:
            continue
        text = _text(e, names, fused)
        if e in targets:
            lines.append(f"{targets[e][0]} = {bare(text)};")
            lines += [f"{other} = {targets[e][0]};" for other in targets[e][1:]]
            names[e] = targets[e][0]
        elif e.arguments and (uses[e] > 1 or len(text) > WIDTH) and not is_comparison(e):
            temporaries += 1
            lines.append(f"const Real t{temporaries} = {bare(text)};")
            names[e] = f"t{temporaries}"
        else:
            names[e] = text
    return lines


def _text(e: Expression, names: Mapping[Expression, str], fused: set[Expression]) -> str:
    if e.operation == "leaf":
        kind, name = e.payload
        array = f"{kind}[slot::" if kind in ("z", "gate") else f"{kind}[state_of::"
        return f"{array}{mangled(name)}]"
    if e.operation == "constant":
        return _number(e.payload)
    product = product_in(e)
    if product in fused and product is not None:
        p, q = (bare(names[a]) for a in product.arguments)
        first = e.arguments[0] is product
        other = bare(names[e.arguments[1] if first else e.arguments[0]])
        if e.operation == "add":
            return f"fma({p}, {q}, {other})"
        if first:
            return f"fma({p}, {q}, {_negated(other)})"
        return f"fma({_negated(p)}, {q}, {other})"
    a = [names[x] for x in e.arguments]
    if e.operation in SIGNS:
        return f"({a[0]} {SIGNS[e.operation]} {a[1]})"
    a = [bare(x) for x in a]
    if e.operation == "select":
        return f"({a[0]} ? {a[1]} : {a[2]})"
    if e.operation == "clip":
        a += [_number(bound) for bound in e.payload]
    return f"{e.operation}({', '.join(a)})"


def _negated(text: str) -> str:
    return f"-{text}" if re.fullmatch(r"[\w:\[\]]+", text) else f"-({text})"


def _number(value: float) -> str:
    if math.isfinite(value):
        return f"Real({value!r})"
    return "(Real(0) / Real(0))" if math.isnan(value) else f"{'-' * (value < 0)}infinity<Real>()"
