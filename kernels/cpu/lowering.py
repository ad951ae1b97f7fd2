"""A cell's equations and their derivative, lowered to vector code for one row of a batch.

`row_intrinsics(cell)` gives two functions to call from Numba, `forward_row` and `backward_row`.
Both run over the H units of one sequence at one step, a vector at a time. Gates are emitted in the
order in which the cell writes them, then the states; a product that feeds one sum becomes a fused
multiply-add here, by rule, so every lane of every size rounds alike.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.cells.vocabulary import Expression, in_order
from minirnn.kernels.cpu.product import pointer_to
from minirnn.kernels.cpu.vector import FORMATS, INT64, Vectors

Values = dict[Expression, Any]


def lower(v: Vectors, roots: list[Expression], values: Values) -> list[Any]:
    """Emit the code of `roots`; `values` holds the leaves (kind, name) already loaded."""
    order = in_order(roots)
    uses = Counter(a for e in order for a in e.arguments)
    uses.update(roots)
    done: Values = dict(values)

    # A product used once, by a sum that can take it in, is not computed on its own.
    fused = {
        product
        for e in order
        if (product := _fuses(e)) is not None and uses[product] == 1 and product not in values
    }
    for e in order:
        if e in done or e in fused:
            continue
        done[e] = _emit(v, e, done)
    return [done[e] for e in roots]


def _fuses(e: Expression) -> Expression | None:
    """Which argument of a sum may be fused into it: the last product, if there is one."""
    if e.operation not in ("add", "subtract"):
        return None
    products = [a for a in e.arguments if a.operation == "multiply"]
    return products[-1] if products else None


def _emit(v: Vectors, e: Expression, done: Values) -> Any:
    operation, arguments = e.operation, e.arguments
    product = _fuses(e)
    if product is not None and product not in done:
        return _emit_fused(v, e, product, done)
    a = [done[x] for x in arguments]
    match operation:
        case "constant":
            return v.splat(e.payload)
        case "add":
            return v.add(a[0], a[1])
        case "subtract":
            return v.subtract(a[0], a[1])
        case "multiply":
            return v.multiply(a[0], a[1])
        case "greater":
            return v.compare(">", a[0], a[1])
        case "greater_equal":
            return v.compare(">=", a[0], a[1])
        case "select":
            return v.select(a[0], a[1], a[2])
        case "sigmoid":
            return v.sigmoid(a[0])
        case "tanh":
            return v.tanh(a[0])
        case "relu":
            return v.relu(a[0])
        case "clip":
            return v.clip(a[0], *e.payload)
    raise AssertionError(f"no lowering for {e!r}")


def _emit_fused(v: Vectors, e: Expression, product: Expression, done: Values) -> Any:
    p, q = (done[x] for x in product.arguments)
    first = e.arguments[0] is product
    other = done[e.arguments[1] if first else e.arguments[0]]
    if e.operation == "add":
        return v.fma(p, q, other)
    if first:  # p q - other
        return v.fma(p, q, v.builder.fneg(other))
    return v.fma(v.builder.fneg(p), q, other)  # other - p q


class _Row:
    """A function that loops over the units of one row, and the pointers it was given."""

    def __init__(self, module: ir.Module, name: str, dtype: str, pointers: list[str]) -> None:
        element = FORMATS[dtype].type.as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [INT64, INT64, *([element] * len(pointers))])
        self.function = cgutils.get_or_insert_function(module, kind, name)
        self.is_new = self.function.is_declaration
        self.dtype = dtype
        self.pointers = pointers

    def define(self, emit: Any) -> None:
        """Emit the body once: `emit(v, pointer, slot_stride, unit, mask)` for one vector."""
        f = self.function
        f.linkage = "internal"
        f.attributes.add("noinline")
        builder = ir.IRBuilder(f.append_basic_block("entry"))
        units, stride = f.args[:2]
        pointer = dict(zip(self.pointers, f.args[2:], strict=True))
        v = Vectors(builder, self.dtype)
        step = ir.Constant(INT64, v.lanes)
        zero = ir.Constant(INT64, 0)
        with cgutils.for_range_slice(builder, zero, units, step) as (unit, _):
            emit(v, pointer, stride, unit, v.mask(builder.sub(units, unit)))
        builder.ret_void()


def _slot_places(v: Vectors, cell: Cell, base: Any, stride: Any, unit: Any) -> dict[str, Any]:
    """Pointer to each slot's vector in a row of slots, `stride` apart."""
    places = {}
    for number, slot in enumerate(cell.slots):
        offset = v.builder.add(v.builder.mul(ir.Constant(INT64, number), stride), unit)
        places[slot] = v.at(base, offset)
    return places


def forward_function(module: ir.Module, cell: Cell, dtype: str) -> ir.Function:
    """forward(units, stride, z, last…, new…): z becomes the stored gates, new the states."""
    pointers = ["z", *(f"last.{s}" for s in cell.states), *(f"new.{s}" for s in cell.states)]
    row = _Row(module, f"minirnn_{cell.fingerprint()}_forward_{dtype}", dtype, pointers)
    roots = [*cell.stored.values(), *cell.new_states.values()]

    def emit(v: Vectors, pointer: dict[str, Any], stride: Any, unit: Any, mask: Any) -> None:
        slots = _slot_places(v, cell, pointer["z"], stride, unit)
        values: Values = {}
        for e in in_order(roots):
            if e.operation == "leaf":
                kind, name = e.payload
                if kind == "z":
                    values[e] = v.load(slots[name])
                else:
                    values[e] = v.load_masked(v.at(pointer[f"last.{name}"], unit), mask)
        done = lower(v, roots, values)
        stored, states = done[: len(slots)], done[len(slots) :]
        for slot, value in zip(cell.stored, stored, strict=True):
            v.store(value, slots[slot])
        for name, value in zip(cell.states, states, strict=True):
            v.store_masked(value, v.at(pointer[f"new.{name}"], unit), mask)

    if row.is_new:
        row.define(emit)
    return row.function


def backward_function(module: ir.Module, cell: Cell, dtype: str) -> ir.Function:
    """backward(units, stride, stored, dz, doutput, then per state last, state, carry, total).

    `carry` holds the gradient that arrives from the later step and is left with the part that goes
    on to the earlier one without passing a slot; `total` receives dL/d state.
    """
    per_state = [f"{what}.{s}" for s in cell.states for what in ("last", "state", "carry", "total")]
    pointers = ["stored", "dz", "doutput", *per_state]
    row = _Row(module, f"minirnn_{cell.fingerprint()}_backward_{dtype}", dtype, pointers)
    d = cell.derivative
    direct = {s: e for s, e in d.last.items() if e is not None}
    roots = [*d.slots.values(), *d.states.values(), *direct.values()]

    def emit(v: Vectors, pointer: dict[str, Any], stride: Any, unit: Any, mask: Any) -> None:
        stored = _slot_places(v, cell, pointer["stored"], stride, unit)
        gradients = _slot_places(v, cell, pointer["dz"], stride, unit)
        values: Values = {}
        for e in in_order(roots):
            if e.operation != "leaf":
                continue
            kind, name = e.payload
            if kind == "gate":
                values[e] = v.load(stored[name])
            elif kind == "grad":
                values[e] = v.load(v.at(pointer[f"carry.{name}"], unit))
                if name == "h":
                    outside = v.load_masked(v.at(pointer["doutput"], unit), mask)
                    values[e] = v.add(values[e], outside)
            else:
                values[e] = v.load_masked(v.at(pointer[f"{kind}.{name}"], unit), mask)
        done = iter(lower(v, roots, values))
        for slot in d.slots:
            v.store(next(done), gradients[slot])
        for name in d.states:
            v.store_masked(next(done), v.at(pointer[f"total.{name}"], unit), mask)
        for name in cell.states:
            value = next(done) if name in direct else v.splat(0.0)
            v.store(value, v.at(pointer[f"carry.{name}"], unit))

    if row.is_new:
        row.define(emit)
    return row.function


def row_intrinsics(cell: Cell) -> tuple[Any, Any]:
    """`forward_row` and `backward_row` of a cell, to call from Numba.

    Both take (units, stride, array, offset, array, offset, …), an array and an offset for each
    pointer of `forward_function` and `backward_function`.
    """

    def wrap(build: Any) -> Any:
        @intrinsic
        def row(typingctx: Any, units: Any, stride: Any, *places: Any) -> Any:
            i = types.int64
            kinds = types.StarArgTuple(places)

            def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
                units, stride, packed = args
                values = cgutils.unpack_tuple(builder, packed)
                pointers = []
                for n in range(0, len(kinds), 2):
                    offset = context.cast(builder, values[n + 1], kinds[n + 1], i)
                    pointers.append(pointer_to(context, builder, kinds[n], values[n], offset))
                call = build(builder.module, cell, str(kinds[0].dtype))
                builder.call(call, [units, stride, *pointers])
                return context.get_dummy_value()

            return types.void(i, i, kinds), codegen

        return row

    return wrap(forward_function), wrap(backward_function)
