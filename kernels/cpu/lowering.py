"""A cell's equations and their derivative, lowered to vector code for a panel of units.

`source` writes the module that compiles them to two functions, `forward_panel` and
`backward_panel`. Both run over some sequences at one step, a vector of units at a time. Gates are
emitted in the order in which the cell writes them, then the states; a product that feeds one sum
becomes a fused multiply-add here, by rule, so every lane of every size rounds alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minirnn.kernels.cells.cell import Cell
from minirnn.kernels.cells.fusing import fused_products, product_in
from minirnn.kernels.cells.vocabulary import Expression, in_order
from minirnn.kernels.cpu.layout import layout_of
from minirnn.kernels.cpu.vector import FORMATS, INT64, Vectors, vector_bytes

Values = dict[Expression, Any]


def lower(v: Vectors, roots: list[Expression], values: Values) -> list[Any]:
    """Emit the code of `roots`; `values` holds the leaves (kind, name) already loaded."""
    done: Values = dict(values)
    fused = fused_products(roots, values)
    for e in in_order(roots):
        if e in done or e in fused:
            continue
        done[e] = _emit(v, e, done)
    return [done[e] for e in roots]


def _emit(v: Vectors, e: Expression, done: Values) -> Any:
    operation, arguments = e.operation, e.arguments
    product = product_in(e)
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
        case "divide":
            return v.divide(a[0], a[1])
        case "greater":
            return v.compare(">", a[0], a[1])
        case "greater_equal":
            return v.compare(">=", a[0], a[1])
        case "select":
            return v.select(a[0], a[1], a[2])
        case "exp":
            return v.exp(a[0])
        case "log":
            return v.log(a[0])
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


class _Panel:
    """A function that loops over the rows of a panel and the vectors of units in it.

    Its arguments are int64: `rows`, `vectors` of units in the panel, `units` that are left from the
    panel's first one on (fewer than the vectors hold: the last is incomplete), how many vectors
    `ahead` the units of the panel lie that comes next; then the arrays, each an address and the
    distance between its rows.
    """

    def __init__(self, module: ir.Module, name: str, dtype: str, arrays: list[str]) -> None:
        kind = ir.FunctionType(ir.VoidType(), [INT64] * (4 + 2 * len(arrays)))
        self.function = cgutils.get_or_insert_function(module, kind, name)
        self.is_new = self.function.is_declaration
        self.dtype = dtype
        self.arrays = arrays

    def define(self, emit: Callable[[Vectors, _Place], None]) -> None:
        """Emit the body once: `emit(v, place)` for one vector of units of one row."""
        f = self.function
        f.linkage = "internal"
        f.attributes.add("alwaysinline")  # its caller does nothing but call it
        builder = ir.IRBuilder(f.append_basic_block("entry"))
        rows, vectors, units, ahead = f.args[:4]
        element = FORMATS[self.dtype].type.as_pointer()
        given = f.args[4:]
        base = {
            name: (builder.inttoptr(given[2 * n], element), given[2 * n + 1])
            for n, name in enumerate(self.arrays)
        }
        v = Vectors(builder, self.dtype)
        lanes = ir.Constant(INT64, v.lanes)
        one, zero = ir.Constant(INT64, 1), ir.Constant(INT64, 0)
        with (
            cgutils.for_range_slice(builder, zero, rows, one) as (row, _),
            cgutils.for_range_slice(builder, zero, vectors, one) as (vector, _),
        ):
            unit = builder.mul(vector, lanes)
            left = builder.sub(units, unit)
            whole = builder.icmp_signed(">=", left, lanes)
            slot_size = builder.mul(vectors, lanes)
            place = _Place(v, base, row, slot_size, unit, ahead, v.mask(left), whole)
            emit(v, place)
        builder.ret_void()


@dataclass(frozen=True)
class _Place:
    """One vector of units in one row: where each array has it."""

    v: Vectors
    base: dict[str, tuple[Any, Any]]
    row: Any
    slot_size: Any
    unit: Any
    ahead: Any
    mask: Any  # of the lanes that hold a unit
    whole: Any  # whether all do

    def of(self, array: str, slot: int = 0) -> Any:
        """Pointer to the vector of an array; of a row of slots, the vector of a slot."""
        builder = self.v.builder
        pointer, step = self.base[array]
        offset = builder.add(builder.mul(self.row, step), self.unit)
        if slot:
            offset = builder.add(offset, builder.mul(ir.Constant(INT64, slot), self.slot_size))
        return self.v.at(pointer, offset)

    def bring_next(self, arrays: Iterable[str], to_write: bool = False) -> None:
        """Ask for what the next panel has in this row of some arrays, to read or write soon."""
        for array in arrays:
            self.v.prefetch(self.v.builder.gep(self.of(array), [self.ahead]), to_write)

    def store(self, values: dict[str, Any]) -> None:
        """Store a vector to each array, the lanes that hold a unit."""
        targets = [(value, self.of(array)) for array, value in values.items()]
        if vector_bytes() == 64:  # under a mask at full speed
            for value, pointer in targets:
                self.v.store_masked(value, pointer, self.mask)
            return
        with self.v.builder.if_else(self.whole) as (all_lanes, some_lanes):
            with all_lanes:
                for value, pointer in targets:
                    self.v.store(value, pointer)
            with some_lanes:
                for value, pointer in targets:
                    self.v.store_masked(value, pointer, self.mask)


def _forward_arrays(cell: Cell) -> list[str]:
    return ["z", *(f"last.{s}" for s in cell.states), *(f"new.{s}" for s in cell.states)]


def _backward_arrays(cell: Cell) -> list[str]:
    per_state = [f"{what}.{s}" for s in cell.states for what in ("last", "state", "carry", "total")]
    return ["stored", "dz", "doutput", *per_state]


def forward_function(module: ir.Module, cell: Cell, dtype: str) -> ir.Function:
    """forward(…, z, last…, new…): in a panel's rows z becomes the stored gates; new the states."""
    name = f"minirnn_{cell.fingerprint()}_forward_{dtype}"
    panel = _Panel(module, name, dtype, _forward_arrays(cell))
    slot_at = layout_of(cell).place
    roots = [*cell.stored.values(), *cell.new_states.values()]

    def emit(v: Vectors, place: _Place) -> None:
        values: Values = {}
        for e in in_order(roots):
            if e.operation == "leaf":
                kind, name = e.payload
                if kind == "z":
                    values[e] = v.load(place.of("z", slot_at(name)))
                else:
                    values[e] = v.load_masked(place.of(f"last.{name}"), place.mask)
        done = lower(v, roots, values)
        stored, states = done[: len(cell.stored)], done[len(cell.stored) :]
        for slot, value in zip(cell.stored, stored, strict=True):
            v.store(value, place.of("z", slot_at(slot)))
        news = {f"new.{name}": s for name, s in zip(cell.states, states, strict=True)}
        place.store(news)
        place.bring_next(news, to_write=True)

    if panel.is_new:
        panel.define(emit)
    return panel.function


def backward_function(module: ir.Module, cell: Cell, dtype: str) -> ir.Function:
    """backward(…, stored, dz, doutput, then per state last, state, carry, total), a panel's rows.

    `carry` holds the gradient that arrives from the later step and is left with the part that goes
    on to the earlier one without passing a slot; `total` receives dL/d state. What pads the last
    vector of dz is 0, because the product that follows reads it.
    """
    name = f"minirnn_{cell.fingerprint()}_backward_{dtype}"
    panel = _Panel(module, name, dtype, _backward_arrays(cell))
    slot_at = layout_of(cell).place
    d = cell.derivative
    direct = {s: e for s, e in d.last.items() if e is not None}
    roots = [*d.slots.values(), *d.states.values(), *direct.values()]

    def emit(v: Vectors, place: _Place) -> None:
        values: Values = {}
        read: list[str] = []
        for e in in_order(roots):
            if e.operation != "leaf":
                continue
            kind, name = e.payload
            if kind == "gate":
                values[e] = v.load(place.of("stored", slot_at(name)))
                continue
            array = f"carry.{name}" if kind == "grad" else f"{kind}.{name}"
            read.append(array)
            if kind != "grad":
                values[e] = v.load_masked(place.of(array), place.mask)
                continue
            values[e] = v.load(place.of(array))
            if name == "h":
                read.append("doutput")
                values[e] = v.add(values[e], v.load_masked(place.of("doutput"), place.mask))
        place.bring_next(read)
        done = iter(lower(v, roots, values))
        for slot in d.slots:
            real = v.select(place.mask, next(done), v.splat(0.0))
            v.store(real, place.of("dz", slot_at(slot)))
        totals = {f"total.{name}": next(done) for name in d.states}
        for name in cell.states:
            value = next(done) if name in direct else v.splat(0.0)
            v.store(value, place.of(f"carry.{name}"))
        place.store(totals)

    if panel.is_new:
        panel.define(emit)
    return panel.function


def panel_intrinsics(cell: Cell, dtype: str) -> tuple[Any, Any]:
    """`forward` and `backward` of a cell's panels, to call from Numba; see `_Panel`.

    Arguments: rows, vectors, units, ahead, then an address and a row distance for each array of
    `forward_function` and `backward_function`.
    """

    def wrap(build: Any) -> Any:
        def panel(typingctx: Any, *arguments: Any) -> Any:
            packed = types.StarArgTuple(arguments)

            def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
                values = cgutils.unpack_tuple(builder, args[0])
                builder.call(build(builder.module, cell, dtype), values)
                return context.get_dummy_value()

            return types.void(packed), codegen

        return intrinsic(panel)

    return wrap(forward_function), wrap(backward_function)


_MODULE = '''\
"""Equations of the cell {name} in {dtype}; written by minirnn.kernels.cpu.lowering."""

from numba import cfunc

from minirnn.kernels.cpu.build import compiling_cell
from minirnn.kernels.cpu.lowering import panel_intrinsics

forward, backward = panel_intrinsics(compiling_cell("{fingerprint}"), "{dtype}")
'''

_FUNCTION = """

@cfunc("void({types})", cache={cache}, error_model="numpy")
def {name}_panel({arguments}):
    {name}({arguments})
"""


def source(cell: Cell, dtype: str, cache: bool = True) -> str:
    """The text of the module with `forward_panel` and `backward_panel`, to be called by address."""
    text = _MODULE.format(name=cell.name, dtype=dtype, fingerprint=cell.fingerprint())
    for name, arrays in (("forward", _forward_arrays(cell)), ("backward", _backward_arrays(cell))):
        count = 4 + 2 * len(arrays)
        arguments = ", ".join([f"a{n}" for n in range(count)])
        kinds = ", ".join(["i8"] * count)
        text += _FUNCTION.format(name=name, types=kinds, arguments=arguments, cache=cache)
    return text
